"""The plain baseline: what an afternoon's work would do, and what automatch has to be better than.

Names are compared by normalised edit distance (Levenshtein 1966); a pair needs the same dtype and a transform
that turns one shape into the other; the best one-to-one assignment is taken (Kuhn 1955), cut at a similarity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from automatch.shapes import options
from automatch.tensor import Listing
from benchmarks.corpus import Accepted, Case

__all__ = ["answer"]

_IMPOSSIBLE = -1.0


def answer(case: Case, *, cut: float | None) -> Accepted:
    """The pairs of the optimal assignment whose names are `cut` or more alike, 0 to 1; all for None."""
    from scipy.optimize import linear_sum_assignment

    source, target = case.listing("source"), case.listing("target")
    alike = _alike(source, target)
    lowest = 0.0 if cut is None else cut
    rows, columns = linear_sum_assignment(alike, maximize=True)
    return [
        (target.tensors[t].name, source.tensors[s].name, _transform(source, target, s, t) or "identity")
        for t, s in zip(rows, columns, strict=True)
        if alike[t, s] >= lowest
    ]


def _alike(source: Listing, target: Listing) -> npt.NDArray[np.float32]:
    """`[target, source]`: similarity of the names, 0 to 1; -1 where shapes or dtypes forbid the pair."""
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    names = [[tensor.name for tensor in side.tensors] for side in (target, source)]
    alike = cdist(*names, scorer=Levenshtein.normalized_similarity, dtype=np.float32)
    for t in range(len(target)):
        for s in range(len(source)):
            if _transform(source, target, s, t) is None:
                alike[t, s] = _IMPOSSIBLE
    return alike


def _transform(source: Listing, target: Listing, s: int, t: int) -> str | None:
    """The transposition that a change of layout asks for, or the identity; None where shapes then differ."""
    given, wanted = source.tensors[s], target.tensors[t]
    if given.dtype != wanted.dtype or given.shape is None or wanted.shape is None:
        return None
    ways = options(given.shape, wanted.shape, source.framework, target.framework)
    plain = {kind: text for text, kind in reversed(ways) if "reshape" not in text}
    return plain.get("layout") or plain.get("keep")
