"""Large models made small before they are matched, and the answer spread over what was left out.

Of every axis (see `orbits.py`) a few members stay: the first ones, so that offsets and order show, and the
last ones, so that its end does. Nested axes shrink multiplicatively. What was left out follows what stayed
(`spread.py`). If there is too much left, names decide as far as they can (`joined.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from automatch.joined import Joined, join
from automatch.matching import Match
from automatch.orbits import Axis, Orbits, find_orbits
from automatch.spread import spread
from automatch.tensor import Listing

__all__ = ["Reduction", "reduce"]

# Up to this size a side is matched as it is: a second or two of work; and up to that one where the sides have
# no axes of one length, so that what is left out would have nothing to follow: ten at the most.
_WHOLE, _WHOLE_AT_MOST = 1500, 2500

# Three show a step, and whether the first is special; two show the end. Where that leaves little, more are
# kept: how much the place in a row says depends on how many there are.
_FIRST, _LAST = (24, 12, 6, 3), 2
_ENOUGH = 500
# Axes of different lengths stay so, as far as there are not too many.
_LENGTHS = 3
# Ranks of pairs that a person has decided are kept too, up to so many of an axis: they teach the rest.
_PINNED = 8


@dataclass(frozen=True)
class Reduction:
    """The variables (indices into the listings) to match; `spread` extends their matches to all."""

    target: Sequence[int]
    source: Sequence[int]
    _kept: Sequence[int] = ()
    _joined: Joined | None = None
    _orbits: tuple[Orbits, Orbits] | None = None

    def spread(
        self,
        found: Mapping[int, Match],
        decided: Mapping[int, int],
        refused: Collection[tuple[int, int]],
    ) -> tuple[dict[int, Match], dict[int, str]]:
        """The matches of all variables by target, and why of those that were left out some have none.

        decided: target -> source, pairs by a person; refused: (target, source) pairs that must not be made.
        """
        if self._orbits is None or self._joined is None:
            return dict(found), {}
        by_name = {t: match for t, match in self._joined.found.items() if (t, match.source) not in refused}
        everything, why = spread(*self._orbits, self._kept, {**by_name, **found}, decided, refused)
        return everything, {**self._joined.why, **why}


def reduce(
    source: Listing,
    target: Listing,
    variables_s: Sequence[int],
    variables_t: Sequence[int],
    decided: Mapping[int, int],
) -> Reduction:
    """The variables that stand for all; all of them where neither side is large.

    decided: target -> source, pairs by a person.
    """
    larger = max(len(variables_s), len(variables_t))
    if larger <= _WHOLE:
        return Reduction(variables_t, variables_s)
    orbits_t, orbits_s = find_orbits(target, variables_t), find_orbits(source, variables_s)
    if larger <= _WHOLE_AT_MOST and not _shared_lengths(orbits_t, orbits_s):
        return Reduction(variables_t, variables_s)
    kept = _kept_ranks(orbits_t, orbits_s, decided)
    kept_t, kept_s = _kept(orbits_t, kept), _kept(orbits_s, kept)
    rest = join(source, target, kept_s, kept_t, decided.keys(), set(decided.values()))
    return Reduction(rest.target, rest.source, kept_t, rest, (orbits_t, orbits_s))


def _kept(orbits: Orbits, kept: _Kept) -> list[int]:
    ranks = [[kept[axis] for axis in axes] for axes in orbits.axes]
    return [
        i
        for i, orbit in orbits.of.items()
        if all(rank in some for rank, some in zip(orbits.ranks[i], ranks[orbit], strict=True))
    ]


_Kept = Mapping[Axis, Collection[int]]


def _kept_ranks(target: Orbits, source: Orbits, decided: Mapping[int, int]) -> _Kept:
    """The ranks to keep of each axis: as many as leave no more than enough, but not less than show a step."""
    axes = {axis for side in (target, source) for some in side.axes for axis in some}
    shared = sorted(_shared_lengths(target, source))
    pinned = _pinned(target, source, decided)
    kept: _Kept = {}
    for first in _FIRST:
        ends = {
            axis: _ends(len(axis), first + (shared.index(len(axis)) % _LENGTHS if len(axis) in shared else 0))
            | pinned[len(axis)]
            for axis in axes
        }
        kept = _joint(ends, shared)
        if max(_count(target, kept), _count(source, kept)) <= _ENOUGH:
            break
    return kept


def _shared_lengths(target: Orbits, source: Orbits) -> set[int]:
    """The lengths that axes of both sides have."""
    lengths = [{len(axis) for some in side.axes for axis in some} for side in (target, source)]
    return lengths[0] & lengths[1]


def _count(side: Orbits, kept: _Kept) -> int:
    return sum(prod(len(kept[axis]) for axis in axes) for axes in side.axes)


def _ends(length: int, first: int) -> set[int]:
    return {*range(min(first, length)), *range(length - _LAST, length)}


def _joint(ends: Mapping[Axis, set[int]], shared: Collection[int]) -> dict[Axis, frozenset[int]]:
    """The same ranks wherever axes of both sides could correspond.

    Axes of one length correspond rank by rank. Those of lengths that are not shared must not look as if they
    did: all keep what any of them keeps, by place and, where their families differ in length, by number.
    """
    odd = [axis for axis in ends if len(axis) not in shared]
    places = {axis.places[rank] for axis in odd for rank in ends[axis]}
    places |= {place for axis in odd for place in axis.apart}
    values: dict[int, set[int]] = defaultdict(set)
    for axis in odd:
        values[axis.family] |= {axis.values[rank] for rank in ends[axis]}
    kept = {axis: frozenset(ranks) for axis, ranks in ends.items()}
    for axis in odd:
        others = {value for family, some in values.items() if family != axis.family for value in some}
        kept[axis] |= {
            rank
            for rank, (place, value) in enumerate(zip(axis.places, axis.values, strict=True))
            if place in places or value in others
        }
    return kept


def _pinned(target: Orbits, source: Orbits, decided: Mapping[int, int]) -> dict[int, set[int]]:
    """By length of the axis, the ranks of pairs that a person has decided."""
    pinned: dict[int, set[int]] = defaultdict(set)
    for t, s in decided.items():
        for side, i in ((target, t), (source, s)):
            for axis, rank in zip(side.axes[side.of[i]], side.ranks[i], strict=True) if i in side.of else ():
                if len(pinned[len(axis)]) < _PINNED:
                    pinned[len(axis)].add(rank)
    return pinned
