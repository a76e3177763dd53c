"""Two listings in, a matching out."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from automatch.matching import Match, Matching
from automatch.tensor import Listing

__all__ = ["match"]


def match(
    source: Listing,
    target: Listing,
    *,
    fixed: Mapping[str, str] | None = None,
    forbidden: Collection[tuple[str, str]] = (),
    use_ema: bool = False,
) -> Matching:
    """The proposed mapping from source tensors to target variables.

    fixed: target name -> source name, pairs that a person has decided; they hold, and teach the rest.
    forbidden: (target name, source name) pairs that a person has refused.
    use_ema: take moving averages as the source of the variables they shadow.
    """
    by_name = {tensor.name: index for index, tensor in enumerate(source.tensors)}
    matches = []
    unmatched = {}
    taken = set()
    for row, wanted in enumerate(target.tensors):
        name = (fixed or {}).get(wanted.name, wanted.name)
        column = by_name.get(name)
        if column is None or source.tensors[column].shape != wanted.shape:
            unmatched[row] = "no tensor of this name and shape"
            continue
        taken.add(column)
        matches.append(Match(row, column, "identity", 1.0, 1.0, evidence=(("name", 1.0),)))
    unused = {i: "no target takes it" for i in range(len(source)) if i not in taken}
    return Matching(tuple(matches), unmatched, unused)
