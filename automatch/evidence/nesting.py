"""The order that the scopes of a sorted side were created in, as the other side's order of creation shows it.

A file that is sorted by name has `conv` before `input`, whichever came first. It still says which scope holds
what, and that parses what the other side created like a sentence (`scopes.py`). What stands at the same place
however the sentence is read is known by that place.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.evidence.items import Item, items
from automatch.evidence.orders import orders
from automatch.evidence.scopes import Way, places_in, tree, way_to
from automatch.layout import convention
from automatch.shapes import squeezed

__all__ = ["Nesting"]

_WEIGHT = 1.5


class Nesting:
    """The scopes of one side beside the creation of the other; nothing where both are sorted, or neither."""

    def __init__(self, target: Features, source: Features) -> None:
        self._target, self._source = target, source

    def correct(self, order: npt.NDArray[np.float32], torn: npt.NDArray[np.bool_]) -> None:
        """Give pairs that have the same place in any case at least 1.5, and what contradicts them nothing.

        order: weights of orders, `[target, source]`. torn: pairs that lead out of scopes that go together.
        """
        before = order.copy()
        for targets, sources in self._known:
            order[targets, :] = 0
            order[:, sources] = 0
        for targets, sources in self._known:
            cells = np.ix_(targets, sources)
            order[cells] = np.where(torn[cells], 0, np.maximum(_WEIGHT, before[cells]))

    @cached_property
    def _known(self) -> list[tuple[list[int], list[int]]]:
        """The members of items that are the same, of target and source."""
        if self._target.creation == self._source.creation:
            return []
        sides = (self._source, self._target) if self._target.creation else (self._target, self._source)
        shared = set(self._target.sizes) & set(self._source.sizes)
        given, listed = (items(side, next(orders(side, {}))[0], shared) for side in sides)
        numbered = _by_number(sides[1], listed)
        if numbered == listed:
            known = _same_items(sides, given, listed) or _same_items(sides, *map(_kernels, (given, listed)))
        else:
            # The other side may go by the one or by the other.
            either = [_same_items(sides, *map(_kernels, (given, one))) for one in (listed, numbered)]
            both = [pair for pair in either[0] if pair in either[1]]
            known = both if all(either) else either[0] + either[1]
        pairs = [(item.members, same.members) for item, same in known]
        return [(t, s) for s, t in pairs] if self._target.creation else pairs


def _kernels(sequence: Sequence[Item]) -> list[Item]:
    return [item for item in sequence if item.label[0] == "kernels"]


def _by_number(side: Features, created: Sequence[Item]) -> list[Item]:
    """The items with those of each row (`conv2d_7`, `conv2d_8`, …) by number, at the places that the row has.

    Keras lists the layers of a model by their depth, and numbers them as they are created.
    """
    rows: dict[Path, list[tuple[int, int]]] = defaultdict(list)
    for place, item in enumerate(created):
        parent = side.parents[item.members[0]]
        if parent and isinstance(parent[-1], int) and sum(isinstance(atom, int) for atom in parent) == 1:
            rows[parent[:-1]].append((parent[-1], place))
    found = list(created)
    for row in rows.values():
        for (_, place), at in zip(sorted(row), sorted(place for _, place in row), strict=True):
            found[at] = created[place]
    return found


def _same_items(
    sides: tuple[Features, Features], given: Sequence[Item], created: Sequence[Item]
) -> list[tuple[Item, Item]]:
    """Items of a sorted side, each with the only one of the other side that it can be.

    Nothing if not all of both can be read as the same.
    """
    pairs = list(zip(sides, (given, created), strict=True))
    labels: list[list[Hashable]] = [[item.label for item in held] for _, held in pairs]
    for look in (_axes, _shape, _number):
        labels = _finer(labels, [[look(side, item) for item in held] for side, held in pairs])
    if not given or Counter(labels[0]) != Counter(labels[1]):
        return []
    whole = tree(list(zip(_ways(sides[0], given), range(len(given)), strict=True)))
    places = places_in(whole, *labels)
    return [(given[item], created[place]) for place, (item, *others) in places.items() if not others]


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
    return tuple(sorted(_shape(side, item)))


def _shape(side: Features, item: Item) -> tuple[int, ...]:
    """The axes longer than 1, in the order in which TensorFlow would have them."""
    shape = tuple(side.tensors[item.members[0]].shape or ())
    if convention(side.framework) == "torch":
        shape = (*shape[2:], *shape[1::-1])
    return tuple(squeezed(shape))


def _number(_: Features, item: Item) -> Hashable:
    return len(item.members)


def _ways(side: Features, given: Sequence[Item]) -> list[Way]:
    """The scopes around each item, and its own name where a scope holds several."""
    firsts = [item.members[0] for item in given]
    held = Counter(side.parents[i] for i in firsts)
    return [
        way_to(name, name.leaf if held[side.parents[i]] == 1 else name.end)
        for i, name in zip(firsts, (side.names[i] for i in firsts), strict=True)
    ]
