"""The order that the scopes of a sorted side were created in, as the other side's order of creation shows it.

A file that is sorted by name has `conv` before `input`, whichever came first. It still says which scope holds
what, and that parses what the other side created like a sentence (`scopes.py`). What stands at the same place
however the sentence is read is known by that place. Where the whole cannot be read, since each side has heads
of its own, the scopes that go together are.

A model of PyTorch lists its layers as its constructor makes them, Keras as they are called: where two such
orders differ, the scopes of the one are read beside the rows of the other as if they were sorted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.evidence.items import Item, items, members
from automatch.evidence.orders import mostly_in_rows, number_in_row, orders
from automatch.evidence.scopes import Component, Scope, left_over, places_in, tree, way_to
from automatch.layout import Kind, axes, convention
from automatch.shapes import squeezed

__all__ = ["Nesting"]

_Sides = tuple[Features, Features]
"""The one whose scopes are read, and the one that is listed as it was created."""

_Cells = tuple[npt.NDArray[np.intp], ...]
_Known = tuple[_Cells, bool]
"""Pairs that what is known of a place allows, and whether it is a choice."""
_Members = tuple[int, ...]

_WEIGHT = 1.5


class _Reading(NamedTuple):
    """An item that was created, and those of the other side that may be it."""

    given: list[Item]
    created: Item


class Nesting:
    """The scopes of one side beside the creation of the other; nothing where both are sorted."""

    def __init__(self, target: Features, source: Features) -> None:
        self._target, self._source = target, source
        self._read_before: dict[tuple[_Members, _Members], list[_Known]] = {}

    def correct(
        self,
        order: npt.NDArray[np.float32],
        torn: npt.NDArray[np.bool_],
        same: Sequence[tuple[_Members, _Members]],
    ) -> None:
        """Hold what orders say to what the scopes allow.

        Pairs that have the same place however the scopes are read get 1.5 at the least, and what contradicts
        them nothing. What may stand at a place one as well as the other gets all the same.

        order: weights of orders, `[target, source]`. torn: pairs that lead out of scopes that go together.
        same: the variables of these scopes, of target and source; looked at if the whole cannot be read.
        """
        if not self._looked_at:
            return
        before = order.copy()
        known = self._whole or [cells for scopes in same for cells in self._within(*scopes)]
        for (targets, sources), choice in known:
            if not choice:
                order[targets, :] = order[:, sources] = 0
            elif self._listed_target:
                order[targets, :] = 0
            else:
                order[:, sources] = 0
        for cells, choice in known:
            weight = before[cells].max() if choice else np.maximum(_WEIGHT, before[cells])
            order[cells] = np.where(torn[cells], 0, weight)

    @cached_property
    def _looked_at(self) -> bool:
        """Whether the orders of the two sides do not come to the same."""
        target, source = self._target, self._source
        if not (target.creation and source.creation):
            return target.creation or source.creation
        labels = [[item.label for item in _kernels(items)] for items in self._items]
        return (mostly_in_rows(target) != mostly_in_rows(source)) and labels[0] != labels[1]

    @cached_property
    def _sides(self) -> _Sides:
        return (self._source, self._target) if self._listed_target else (self._target, self._source)

    @cached_property
    def _listed_target(self) -> bool:
        """Whether the source's scopes are read as what the target lists."""
        if self._target.creation and self._source.creation:
            return mostly_in_rows(self._target)
        return self._target.creation

    @cached_property
    def _items(self) -> tuple[list[Item], list[Item]]:
        """The items of the side that is sorted, and of that which is listed as it was created."""
        shared = set(self._target.sizes) & set(self._source.sizes)
        given, listed = (items(side, next(orders(side, {}))[0], shared) for side in self._sides)
        return given, listed

    @cached_property
    def _whole(self) -> list[_Known]:
        return self._read(*self._items, usual=True)

    def _within(self, target: _Members, source: _Members) -> list[_Known]:
        """What is known without a choice in two scopes that are the same.

        What a constructor of PyTorch or Flax creates stands in another order than what is called.
        """
        if any(convention(side.framework) != "tensorflow" for side in self._sides):
            return []
        if (target, source) not in self._read_before:
            around = (source, target) if self._listed_target else (target, source)
            held = [
                [item for item in items if set(item.members) <= set(scope)]
                for items, scope in zip(self._items, around, strict=True)
            ]
            known = self._read(held[0], held[1], usual=False)
            self._read_before[target, source] = [cells for cells in known if not cells[1]]
        return self._read_before[target, source]

    def _read(self, given: list[Item], listed: list[Item], *, usual: bool) -> list[_Known]:
        """Members of each item and of what it may be on the other side, and whether that is a choice."""
        sides = self._sides
        numbered = _by_number(sides[1], listed)
        if numbered == listed:
            known = _readings(sides, given, listed, usual) or _readings(
                sides, _kernels(given), _kernels(listed), usual
            )
        else:
            # The other side may go by the one or by the other.
            one, other = (
                _readings(sides, _kernels(given), _kernels(some), usual) for some in (listed, numbered)
            )
            both = [reading for reading in _alone(one) if reading in other]
            known = both if one and other else one or other
        pairs = [(members(given)[0], created.members) for given, created in known]
        return [
            (np.ix_(*(pair[::-1] if self._listed_target else pair)), len(given) > 1)
            for pair, (given, _) in zip(pairs, known, strict=True)
        ]


def _alone(readings: Sequence[_Reading]) -> list[_Reading]:
    return [reading for reading in readings if len(reading.given) == 1]


def _kernels(sequence: Sequence[Item]) -> list[Item]:
    return [item for item in sequence if item.label[0] == "kernels"]


def _by_number(side: Features, created: Sequence[Item]) -> list[Item]:
    """The items with those of each row (`conv2d_7`, `conv2d_8`, …) by number, at the places that the row has.

    Keras lists the layers of a model by their depth, and numbers them as they are created.
    """
    rows: dict[Path, list[tuple[int, int]]] = defaultdict(list)
    for place, item in enumerate(created):
        parent = side.parents[item.members[0]]
        number = number_in_row(parent)
        if number is not None:
            rows[parent[:-1]].append((number, place))
    found = list(created)
    for row in rows.values():
        for (_, place), at in zip(sorted(row), sorted(place for _, place in row), strict=True):
            found[at] = created[place]
    return found


def _readings(sides: _Sides, given: Sequence[Item], created: Sequence[Item], usual: bool) -> list[_Reading]:
    """What each item of the created side may be, over all ways in which the other's scopes can be read as it.

    Nothing if the rest of either is no scope of its own, or not all can be read.

    usual: whether the order counts in which codebases usually create what words stand for.
    """
    here = _without_rest(sides[0], given, created)
    there = _without_rest(sides[1], created, given)
    held = list(zip(sides, (here, there), strict=True))
    labels: list[list[Hashable]] = [[item.label for item in items] for _, items in held]
    for look in (_axes, _longer_axes, _shape, _number, _is_kernel):
        labels = _finer(labels, [[look(side, item) for item in items] for side, items in held])
    if not here or Counter(labels[0]) != Counter(labels[1]):
        return []
    # Of `fuse_0_to_1` either number may be the one of the outer loop, and `conv1_skip` be no part of `conv1`.
    ways = (places_in(_tree(sides[0], here, how), *labels, usual=usual) for how in get_args(Component))
    places = next(filter(None, ways), {})
    return [
        _Reading([here[item] for item in sorted(several)], there[place])
        for place, several in sorted(places.items())
    ]


def _without_rest(side: Features, held: Sequence[Item], others: Sequence[Item]) -> list[Item]:
    """The items less the scopes that hold just what the other side has fewer of, if there are such."""
    labels: list[Hashable] = [item.label for item in held]
    spare: Counter[Hashable] = Counter(labels)
    spare -= Counter[Hashable](item.label for item in others)
    rest = left_over(_tree(side, held), labels, spare) if spare else frozenset[int]()
    return [item for place, item in enumerate(held) if place not in rest]


def _finer(labels: Sequence[Sequence[Hashable]], looks: Sequence[Sequence[Hashable]]) -> list[list[Hashable]]:
    """The labels of both sides, each with what it looks like where both sides have as many that look so."""
    counts: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for side, sign in ((0, 1), (1, -1)):
        for label, look in zip(labels[side], looks[side], strict=True):
            counts[label][look] += sign
    told = {label for label, count in counts.items() if not any(count.values())}
    return [
        [(label, look) if label in told else label for label, look in zip(*side, strict=True)]
        for side in zip(labels, looks, strict=True)
    ]


def _axes(side: Features, item: Item) -> Hashable:
    return tuple(sorted(_longer_axes(side, item)))


def _longer_axes(side: Features, item: Item) -> tuple[int, ...]:
    return tuple(squeezed(_shape(side, item)))


def _shape(side: Features, item: Item) -> tuple[int, ...]:
    """The axes in the order in which TensorFlow would have them."""
    shape = tuple(side.tensors[item.members[0]].shape or ())
    kind: Kind = "dense" if len(shape) == 2 else "conv"
    given, wanted = (axes(framework, kind, len(shape)) for framework in (side.framework, "tf"))
    return tuple(shape[given.index(axis)] for axis in wanted) if given and wanted else shape


def _is_kernel(side: Features, item: Item) -> Hashable:
    return side.roles[item.members[0]] == "kernel"


def _number(_: Features, item: Item) -> Hashable:
    return len(item.members)


def _tree(side: Features, held: Sequence[Item], how: Component = "outer first") -> Scope:
    """The scopes around items, and an item's own name where a scope holds several; see `way_to`."""
    firsts = [item.members[0] for item in held]
    several = Counter(side.parents[i] for i in firsts)
    alone = [several[side.parents[i]] == 1 for i in firsts]
    names = [side.names[i] for i in firsts]
    ends = [name.leaf if one else name.end for name, one in zip(names, alone, strict=True)]
    ways = (way_to(name, end, how) for name, end in zip(names, ends, strict=True))
    return tree([(way, at) for at, way in enumerate(ways)])
