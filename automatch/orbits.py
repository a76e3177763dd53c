"""The exact repetitions of one side: 60 layers of 256 experts are one expert, repeated along two axes.

    moe/layer_17/expert_203/up/kernel
          axis 1     axis 2              ranks (17, 203) in the orbit  moe/layer_#/expert_#/up/kernel

Siblings whose names differ in one number, and below which exactly the same stands (relative names, shapes,
dtypes, readers in the graph), form an axis. Variables on the same axes at different ranks form an orbit.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from automatch.names import Atom, parse
from automatch.tensor import Listing, Tensor

__all__ = ["Axis", "Orbits", "Ranks", "find_orbits"]

Path = tuple[Atom, ...]
Ranks = tuple[int, ...]

SHORT = 8
"""Siblings up to which repetition is no axis: five of an axis are kept, so that shorter ones save little."""

# Places of a name at which an axis is looked for; what comes after is taken as it is.
_STATIONS = 8


@dataclass(frozen=True, slots=True)
class Axis:
    """Siblings that repeat each other, by their numbers.

    values: the numbers, ascending; `dense` beside `dense_1` has the number before the first.
    places: their places among all numbered siblings, of which there are `family`.
    apart: the places of those siblings that are on no axis.
    """

    values: tuple[int, ...]
    places: tuple[int, ...]
    family: int
    apart: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Orbits:
    """Orbit and ranks of each variable (index into the listing).

    axes: for each orbit, its axes from the outermost on; an orbit without axes is a variable of its own.
    """

    of: Mapping[int, int]
    ranks: Mapping[int, Ranks]
    axes: Sequence[tuple[Axis, ...]]

    def members(self) -> dict[int, dict[Ranks, int]]:
        """For each orbit with axes its variables by ranks, less those that have theirs in common."""
        found: dict[int, dict[Ranks, int]] = defaultdict(dict)
        twice: set[tuple[int, Ranks]] = set()
        for i, orbit in self.of.items():
            if self.axes[orbit]:
                if self.ranks[i] in found[orbit]:
                    twice.add((orbit, self.ranks[i]))
                found[orbit][self.ranks[i]] = i
        for orbit, ranks in twice:
            del found[orbit][ranks]
        return found


def find_orbits(listing: Listing, variables: Iterable[int]) -> Orbits:
    """The orbits of some variables of a listing (indices)."""
    names = _with_stations({i: parse(listing.tensors[i].known_as).atoms for i in variables})
    on_axis = _axes(names, {i: _kind(listing.tensors[i]) for i in names})
    of: dict[int, int] = {}
    ranks: dict[int, Ranks] = {}
    axes: list[tuple[Axis, ...]] = []
    known: dict[tuple[object, ...], int] = {}
    for i, (atoms, stations) in names.items():
        key: list[object] = list(atoms)
        passed: list[tuple[Axis, int]] = []
        for end, bare in stations:
            found = on_axis.get((atoms[:end], bare))
            if found is not None:
                axis, rank, sameness = found
                # The mark of a sibling without a number takes a place of its own.
                shift = len(key) - len(atoms)
                key[end + shift if bare else end + shift - 1 : end + shift] = [(sameness,)]
                passed.append((axis, rank))
        orbit = known.setdefault(tuple(key), len(axes))
        if orbit == len(axes):
            axes.append(tuple(axis for axis, _ in passed))
        of[i] = orbit
        ranks[i] = tuple([rank for _, rank in passed])
    return Orbits(of, ranks, axes)


def _kind(tensor: Tensor) -> tuple[object, ...]:
    flow = tensor.dataflow
    return tensor.shape, tensor.dtype, flow and (flow.initializer, flow.consumers)


_Stations = Sequence[tuple[int, bool]]
"""Where a name may lie on an axis: (end of the path, whether as the sibling without a number)."""

_Names = Mapping[int, tuple[Path, _Stations]]
_OnAxis = Mapping[tuple[Path, bool], tuple[Axis, int, int]]
"""(path, whether it is the sibling without a number) -> its axis, its rank, and what its siblings share."""


def _with_stations(names: Mapping[int, Path]) -> _Names:
    """The names with their stations, which those share that differ in numbers only."""
    templates = {i: tuple([None if isinstance(a, int) else a for a in atoms]) for i, atoms in names.items()}
    numbered = {template[end - 1] for template in set(templates.values()) for end in _stems(template)}
    stations = {template: _stations(template, numbered) for template in set(templates.values())}
    return {i: (atoms, stations[templates[i]]) for i, atoms in names.items()}


def _stems(template: Sequence[str | None]) -> Iterator[int]:
    """The ends of the stems that a number follows."""
    return (end for end in range(1, len(template)) if template[end] is None)


def _stations(template: Sequence[str | None], numbered: Collection[str | None]) -> _Stations:
    """After each number, and (bare) after a word that a number follows elsewhere but not here."""
    found: list[tuple[int, bool]] = []
    followed = set(_stems(template))
    for end, atom in enumerate(template, start=1):
        if atom is None:
            found.append((end, False))
        elif atom in numbered and end not in followed:
            found.append((end, True))
    return found[:_STATIONS]


def _axes(names: _Names, kinds: Mapping[int, tuple[object, ...]]) -> _OnAxis:
    held = _held(names, kinds)
    families: dict[Path, dict[int, int]] = defaultdict(dict)
    for (path, bare), sameness in held.items():
        if not bare:
            families[path[:-1]][int(path[-1])] = sameness
    found: dict[tuple[Path, bool], tuple[Axis, int, int]] = {}
    once: dict[Axis, Axis] = {}
    for stem, family in families.items():
        unnumbered = min(family) - 1
        alone = held.get((stem, True))
        if alone is not None and alone in family.values():
            family[unnumbered] = alone
        for axis, sameness in _classes(family):
            shared = once.setdefault(axis, axis)
            for rank, value in enumerate(axis.values):
                bare = value == unnumbered
                found[stem if bare else (*stem, value), bare] = (shared, rank, sameness)
    return found


def _held(names: _Names, kinds: Mapping[int, tuple[object, ...]]) -> dict[tuple[Path, bool], int]:
    """What stands below each place where an axis may be, as a number: the same for siblings that repeat."""
    held: dict[tuple[Path, bool], int] = defaultdict(int)
    marks: dict[tuple[object, ...], int] = {}
    for i, (atoms, stations) in names.items():
        for end, bare in stations:
            mark = (atoms[end:], kinds[i])
            value = marks.get(mark)
            if value is None:
                value = marks[mark] = _scattered(len(marks))
            held[atoms[:end], bare] += value
    return held


def _scattered(number: int) -> int:
    """64 bits that look random and are the same in every process; sums of them tell multisets apart."""
    return int.from_bytes(hashlib.blake2b(str(number).encode(), digest_size=8).digest(), "big")


def _classes(family: Mapping[int, int]) -> Iterator[tuple[Axis, int]]:
    """The axes among numbered siblings, each with what its members share."""
    order = sorted(family)
    alike: dict[int, list[int]] = defaultdict(list)
    for place, value in enumerate(order):
        alike[family[value]].append(place)
    apart = tuple(sorted(place for places in alike.values() if len(places) <= SHORT for place in places))
    for sameness, places in alike.items():
        if len(places) > SHORT:
            values = tuple(order[place] for place in places)
            yield Axis(values, tuple(places), len(order), apart), sameness
