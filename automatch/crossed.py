"""Rows whose numbers do not run the same way on both sides, nor the other way round.

A decoder that is counted from its end has its ends at the right places, since their shapes leave no choice,
and everything between them where equal numbers put it:

    decoder/0 <- up_3    decoder/1 <- up_1    decoder/2 <- up_2    decoder/3 <- up_0
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator
from itertools import pairwise

import numpy as np

from automatch.assign import Assigned
from automatch.names import Name, template
from automatch.solve import Solution

__all__ = ["crossed"]

# Two that cross are either way round; of three, one can be out of line.
_ROW = 3


def crossed(solution: Solution) -> set[int]:
    """Targets of pairs in such rows that another pair's source of the row would fit as well."""
    target, source = solution.scores.target, solution.scores.source
    rows: dict[Hashable, list[tuple[int, int, Assigned]]] = defaultdict(list)
    for pair in solution.pairs:
        for key, number in _places(target.names[pair.target]):
            for other, number_s in _places(source.names[pair.source]):
                rows[key, other].append((number, number_s, pair))
    possible = np.isfinite(solution.total)
    found: set[int] = set()
    for row in rows.values():
        here = [number for number, _, _ in row]
        there = [number for _, number, _ in sorted(row, key=lambda member: member[:2])]
        steps = {after > before for before, after in pairwise(there)}
        if len(row) >= _ROW and len(steps) > 1 and _counted(here) and _counted(there):
            sources = [pair.source for _, _, pair in row]
            for _, _, pair in row:
                if possible[pair.target, sources].sum() > 1:
                    found.add(pair.target)
    return found | {vector for vector, kernel in target.own_kernels.items() if kernel in found}


def _counted(numbers: Collection[int]) -> bool:
    """Whether nothing is missing from a row: else a program may have numbered it in an order of its own."""
    return len(set(numbers)) == len(numbers) == max(numbers) - min(numbers) + 1


def _places(name: Name) -> Iterator[tuple[Hashable, int]]:
    """Each number of a name with the rest of it."""
    rest = template(name.atoms)
    for place, number in enumerate(name.numbers):
        yield (rest, place, name.numbers[:place], name.numbers[place + 1 :]), number
