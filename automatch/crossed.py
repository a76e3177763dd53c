"""Rows whose numbers say less than they seem to.

Crossed: they do not run the same way on both sides, nor the other way round.

A decoder that is counted from its end has its ends at the right places, since their shapes leave no choice,
and everything between them where equal numbers put it:

    decoder/0 <- up_3    decoder/1 <- up_1    decoder/2 <- up_2    decoder/3 <- up_0

Parted: the other side names some of a row otherwise, so that equal numbers need not mean the same; and the
order of the variables speaks against it.

    proj_in <- layers.1    layers.0 <- layers.0    proj_out <- layers.2
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterator
from itertools import pairwise, takewhile

import numpy as np

from automatch.assign import Assigned
from automatch.names import Atom, Name, template
from automatch.solve import Solution
from automatch.vocabulary import counted_either_way

__all__ = ["crossed", "either_way", "parted_rows"]

# Two that cross are either way round; of three, one can be out of line.
_ROW = 3
# What the order would gain elsewhere, and by how much parts of a score may differ, in natural-log odds.
_GAIN, _ALIKE = 0.5, 0.3


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
    # A bias goes with the kernel of its scope, which another shape may set apart.
    own_t, own_s = target.own_kernels, source.own_kernels
    paired = {(pair.target, pair.source) for pair in solution.pairs}
    follow = {
        pair.target for pair in solution.pairs if (own_t.get(pair.target), own_s.get(pair.source)) in paired
    }
    return (found - follow) | {vector for vector, kernel in own_t.items() if kernel in found}


def parted_rows(solution: Solution) -> set[int]:
    """Targets of pairs that the order would rather exchange in a row of the source that is parted."""
    names_t, names_s = solution.scores.target.names, solution.scores.source.names
    gains = {pair: gain["order"] for pair, gain in zip(solution.pairs, solution.longings, strict=True)}
    rows: dict[Hashable, list[tuple[Hashable, Assigned]]] = defaultdict(list)
    for pair in solution.pairs:
        here, there = template(names_t[pair.target].atoms), template(names_s[pair.source].atoms)
        rows[there].append((here, pair))
    found: set[int] = set()
    for members in rows.values():
        parted = len({name for name, _ in members}) > 1
        for name, pair in members if parted else ():
            # Few pairs have anything to gain, and rows may be long.
            for another, rival in members if gains[pair] > _GAIN else ():
                if name != another and _alike_but_for_numbers(solution, pair, rival):
                    found |= {pair.target, rival.target}
    return found


def either_way(solution: Solution) -> set[int]:
    """Targets in rows of levels that hold the same, where the two sides may count from opposite ends.

    Only where no word for them is the same, nor the words of the row: a codebase seldom turns its own rows.
    """
    target, source = solution.scores.target, solution.scores.source
    rows: dict[Hashable, dict[int, Assigned]] = defaultdict(dict)
    for pair in solution.pairs:
        ends = target.names[pair.target], source.names[pair.source]
        here, there = (counted_either_way().intersection(name.words) for name in ends)
        if (here or there) and not here & there:
            one, other = ends if here else ends[::-1]
            rest, level, words = _level(one)
            if not (words and _holds(template(other.atoms), (*words, "#"))):
                rows[here, there, tuple(template(name.atoms) for name in ends), rest][level] = pair
    return {
        pair.target
        for row in rows.values()
        for level, pair in row.items()
        for mirrored in [row.get(min(row) + max(row) - level)]
        if mirrored not in (None, pair) and np.isfinite(solution.total[pair.target, mirrored.source])
    }


def _level(name: Name) -> tuple[Hashable, int, tuple[Atom, ...]]:
    """The number behind the word that such levels have, with the numbers around it, and what is between."""
    at = next(place for place, atom in enumerate(name.atoms) if atom in counted_either_way())
    before = sum(isinstance(atom, int) for atom in name.atoms[:at])
    if before == len(name.numbers):
        return name.numbers, 0, ()
    words = tuple(takewhile(lambda atom: isinstance(atom, str), name.atoms[at + 1 :]))
    return (name.numbers[:before], name.numbers[before + 1 :]), name.numbers[before], words


def _holds(atoms: tuple[Atom, ...], run: tuple[Atom, ...]) -> bool:
    return any(atoms[start : start + len(run)] == run for start in range(len(atoms)))


def _alike_but_for_numbers(solution: Solution, pair: Assigned, rival: Assigned) -> bool:
    """Whether the source of another pair would be as good for a target by all but its numbers."""
    parts, at, other = solution.scores.parts, (pair.target, pair.source), (pair.target, rival.source)
    return bool(np.isfinite(solution.total[other])) and all(
        abs(parts[part][at] - parts[part][other]) < _ALIKE for part in ("words", "axis", "content")
    )


def _counted(numbers: Collection[int]) -> bool:
    """Whether nothing is missing from a row: else a program may have numbered it in an order of its own."""
    return len(set(numbers)) == len(numbers) == max(numbers) - min(numbers) + 1


def _places(name: Name) -> Iterator[tuple[Hashable, int]]:
    """Each number of a name with the rest of it."""
    rest = template(name.atoms)
    for place, number in enumerate(name.numbers):
        yield (rest, place, name.numbers[:place], name.numbers[place + 1 :]), number
