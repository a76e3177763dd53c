"""Whether the numbers in names count something, or are only there (hashes, identifiers, dates)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import pairwise

from automatch.describe import Features, Path
from automatch.names import template

__all__ = ["counts", "in_rows"]

# A Sequential of PyTorch numbers its activations too, so that every third number may be missing.
_GAPS, _FEW = 4, 8
_MOST = 0.5


def counts(values: Collection[int]) -> bool:
    """Whether numbers are few, or mostly lie close enough together to count something.

    >>> counts(range(0, 60, 3)), counts(range(0, 60000, 3000))
    (True, False)
    """
    distinct = sorted(set(values))
    if len(distinct) <= _FEW:
        return True
    near = sum(after - before <= _GAPS for before, after in pairwise(distinct))
    return near >= _MOST * (len(distinct) - 1)


def in_rows(side: Features) -> bool:
    """Whether the numbers of most numbered names count: others differ in them alone, and few are missing."""
    rows: dict[Path, list[Sequence[int]]] = defaultdict(list)
    for name in side.names:
        if name.numbers:
            rows[template(name.atoms)].append(name.numbers)
    counted = sum(
        len(members)
        for members in rows.values()
        if len(members) > 1 and all(counts(set(place)) for place in zip(*members, strict=True))
    )
    numbered = sum(map(len, rows.values()))
    return numbered < _FEW or counted >= _MOST * numbered
