"""What the order of variables says, where both orders mean something.

Kernels are aligned with kernels and normalisations with normalisations: two sequences of sizes, gap by gap
(longest common subsequence). A pair is worth as much as the best alignment through it comes to the best of
all, so that what can be aligned in two ways is not decided here. Kernels well inside of a run that was moved
as a whole are known as well, wherever it stands.

Where nothing says in which order words were created, evidence is spread over what cannot be told apart.
Where names say nothing (`layer_normalization_7`), vectors have to stand between their kernels, if they can.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from automatch.describe import Features
from automatch.evidence.interchangeable import Towers, interchangeable, look_alikes, misnamed, towers
from automatch.evidence.items import Channel, Item, items, members
from automatch.evidence.orders import mostly_in_rows, orders, rows
from automatch.evidence.rows import in_rows
from automatch.evidence.sequences import align, inside_runs, regrets

__all__ = ["Order"]

Matrix = npt.NDArray[np.float32]
Pairs = Sequence[tuple[int, int]]
_Places = tuple[int, ...]

_WEIGHT = 1.5
# Of the items that could be aligned, as many as this must be for the orders to count at all; the weight
# rises from nothing at _FAIR to all at 1.
_COMPARABLE, _FAIR = 0.75, 0.75
# Sequences that fit as well backwards show little, unless they fit entirely, and so many are aligned.
_BACKWARDS, _ENTIRELY, _FEW = 0.1, 0.95, 8
_NAMES = 0.3
# What an order weighs more that leaves nothing over, on either side of so many.
_COMPLETE, _MANY = 1.2, 16
_CREATION = 0.05
# By how many pairs a run must be longer than any other through a pair inside of it, where orders fit well and
# where they hardly do.
_WELL, _AHEAD, _FAR_AHEAD = 0.85, 2, 4
_CELLS = 4_000_000
# What may be left over, if vectors are aligned between their kernels, that is not if they are alone.
_MOVED, _MOVED_SHARE = 2, 0.05


class _Orders(NamedTuple):
    """An order of the target, whether it is that of creation, the same of the source; the row that one is."""

    target: _Places
    created_t: bool
    source: _Places
    created_s: bool
    row: _Places = ()


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """Two sequences of items taken to be in the same order.

    quality: the share that can be aligned; 0 where that is too little for an order.
    groups_t, groups_s: items that cannot be told apart by their place.
    in_a_row: whether the items of one side differ in one number.
    """

    quality: float
    created: int
    row: _Places
    target: list[Item]
    source: list[Item]
    same: npt.NDArray[np.bool_]
    groups_t: list[list[int]]
    groups_s: list[list[int]]
    in_a_row: bool

    @property
    def complete(self) -> bool:
        """Whether a row of one side is all of the other, and all items are told apart by their place."""
        whole = self.quality == 1 and len(self.target) == len(self.source) >= _MANY
        groups = *self.groups_t, *self.groups_s
        return whole and self.in_a_row and all(len(set(group)) == 1 for group in groups)

    @property
    def value(self) -> float:
        """How well the orders fit; what was created is more than what was sorted."""
        return self.quality + _CREATION * self.created


class Order:
    """The orders of both sides."""

    def __init__(self, target: Features, source: Features) -> None:
        self._target, self._source = target, source
        self._shared = set(target.sizes) & set(source.sizes)
        self._compared: dict[_Orders, list[_Hypothesis]] = {}

    @cached_property
    def _alike(self) -> tuple[Towers, Towers]:
        """The look-alikes of the target and of the source."""
        return look_alikes(self._target), look_alikes(self._source)

    @cached_property
    def _towers(self) -> tuple[Towers, Towers]:
        """Of the target and of the source; asked for where an order is not that of creation."""
        return towers(self._alike[0]), towers(self._alike[1])

    @cached_property
    def _misnamed(self) -> npt.NDArray[np.bool_]:
        return misnamed(self._target, self._source, *self._alike)

    def weights(self, agreement: Matrix, settled: Pairs, torn: npt.NDArray[np.bool_]) -> Matrix:
        """Weights from 0 to 1.5, and to 1.8 where nothing is left over.

        agreement: of the names, 0 to 1; breaks ties between alignments.
        torn: pairs that are not to be aligned, since they lead out of scopes that go together.
        """
        weights = np.zeros((len(self._target), len(self._source)), np.float32)
        sides = self._target, self._source
        if not self._shared or not all(side.creation or in_rows(side) for side in sides):
            return weights
        # Where neither was created, words stand in any order, and rows of what they name would be shifted.
        if not any(side.creation for side in sides) and all(map(_nested, sides)):
            return weights
        hypotheses = list(self._hypotheses(settled))
        for channel in ("kernels", "vectors"):
            here = [h for h in hypotheses if h.target[0].label[0] == channel]
            best = max((h.value for h in here), default=0.0)
            # Orders of the same that fit equally well speak where they say the same.
            alike: dict[_Places, list[Matrix]] = defaultdict(list)
            for h in here:
                if h.value == best:
                    alike[h.row].append(_weigh(h, agreement, torn))
            for found in alike.values():
                weights = np.maximum(weights, np.minimum.reduce(found))
        weights[self._misnamed] = 0
        if self._is_unnamed:
            weights = np.minimum(weights, self._held_together(agreement, torn))
        return weights

    def _held_together(self, agreement: Matrix, torn: npt.NDArray[np.bool_]) -> Matrix:
        """What vectors may weigh at the most, so that they stay between their kernels if they can.

        A normalisation that one side creates first and the other last moves all others of its size by one,
        and by themselves they can be aligned as well as ever.
        """
        most = np.full(torn.shape, np.inf, np.float32)
        target, source = self._created
        vectors = [np.array([item.label[0] == "vectors" for item in one], bool) for one in self._created]
        if not all(some.any() for some in vectors) or len(target) * len(source) > _CELLS:
            return most
        firsts = np.ix_(*([item.members[0] for item in one] for one in self._created))
        same = _same(target, source) & ~torn[firsts]
        apart = sum(align(same[np.ix_(*which)])[-1, -1] for which in (vectors, [~some for some in vectors]))
        if align(same)[-1, -1] >= apart - max(_MOVED, _MOVED_SHARE * apart):
            gains = np.where(same, 1 + _NAMES * agreement[firsts], 0).astype(np.float32)
            worth = _WEIGHT * _COMPLETE * np.maximum(0, 1 - regrets(gains, same))[np.ix_(*vectors)]
            held = [members([item for item in one if item.label[0] == "vectors"]) for one in self._created]
            most[np.ix_(*(variables for variables, _ in held))] = worth[np.ix_(*(item for _, item in held))]
        return most

    @cached_property
    def _created(self) -> tuple[list[Item], list[Item]]:
        """The items of the target and of the source in the order of their creation."""
        (order_t, _), (order_s, _) = self._unsettled[0][0], self._unsettled[1][0]
        return items(self._target, order_t, self._shared), items(self._source, order_s, self._shared)

    @cached_property
    def _is_unnamed(self) -> bool:
        """Whether both sides were created, and the names of one say nothing."""
        sides = self._target, self._source
        return all(side.creation for side in sides) and any(map(mostly_in_rows, sides))

    def _hypotheses(self, settled: Pairs) -> Iterator[_Hypothesis]:
        for pair in dict.fromkeys(self._orders(settled)):
            if pair not in self._compared:
                self._compared[pair] = list(self._compare(pair))
            yield from self._compared[pair]

    def _orders(self, settled: Pairs) -> Iterator[_Orders]:
        for order_t, created_t in (*self._unsettled[0], *self._target_orders(settled)):
            rank = np.empty(len(self._target))
            rank[order_t] = np.arange(len(order_t))
            place = {s: rank[t] for t, s in settled}
            for order_s, created_s in orders(self._source, place):
                yield _Orders(tuple(order_t), created_t, tuple(order_s), created_s)
        yield from self._orders_of_rows(settled)

    @cached_property
    def _unsettled(self) -> tuple[list[tuple[list[int], bool]], list[tuple[list[int], bool]]]:
        """The orders of the target and of the source as long as nothing is settled."""
        return list(orders(self._target, {})), list(orders(self._source, {}))

    @cached_property
    def _rows(self) -> tuple[list[_Places], list[_Places]]:
        """The long rows of the target and of the source."""
        return list(rows(self._target)), list(rows(self._source))

    def _orders_of_rows(self, settled: Pairs) -> Iterator[_Orders]:
        """A long row of one side (`conv2d`, `conv2d_1`, …) beside what is not settled outside of it.

        The row was created in the order of its numbers; where `block8_1_conv` stands in it, no name says.
        """
        for row in self._rows[1]:
            members = set(row)
            outside = {t for t, s in settled if s not in members}
            for order, created in self._unsettled[0]:
                yield _Orders(tuple(t for t in order if t not in outside), created, row, False, row)
        for row in self._rows[0]:
            members = set(row)
            outside = {s for t, s in settled if t not in members}
            for order, created in self._unsettled[1]:
                yield _Orders(row, False, tuple(s for s in order if s not in outside), created, row)

    def _compare(self, pair: _Orders) -> Iterator[_Hypothesis]:
        items_t = items(self._target, pair.target, self._shared)
        items_s = items(self._source, pair.source, self._shared)
        # Vectors by themselves may fit as well backwards: kernels in the same orders show which way they run.
        forwards = False
        for channel in ("kernels", "vectors"):
            for found in self._hypothesis(channel, items_t, items_s, pair, forwards):
                yield found
                forwards = found.quality > 0

    def _target_orders(self, settled: Pairs) -> Iterator[tuple[list[int], bool]]:
        if settled and not self._target.creation:
            first, _ = self._unsettled[1][0]
            rank = {s: place for place, s in enumerate(first)}
            yield from orders(self._target, {t: rank[s] for t, s in settled})

    def _hypothesis(
        self, channel: Channel, items_t: list[Item], items_s: list[Item], pair: _Orders, forwards: bool
    ) -> Iterator[_Hypothesis]:
        target = [item for item in items_t if item.label[0] == channel]
        source = [item for item in items_s if item.label[0] == channel]
        if not target or not source or len(target) * len(source) > _CELLS:
            return
        same = _same(target, source)
        aligned, backwards = align(same)[-1, -1], align(same[:, ::-1])[-1, -1]
        common = (Counter(item.label for item in target) & Counter(item.label for item in source)).total()
        if not common:
            return
        told_apart = (
            forwards or aligned - backwards >= _BACKWARDS * common or aligned >= max(_ENTIRELY * common, _FEW)
        )
        fair = aligned >= _COMPARABLE * common and (told_apart or (pair.created_t and pair.created_s))
        if fair or channel == "kernels":
            yield _Hypothesis(
                float(aligned / common) if fair else 0.0,
                pair.created_t + pair.created_s,
                pair.row,
                target,
                source,
                same,
                # What was created is told apart by its place.
                [] if pair.created_t else interchangeable(self._target, target, self._towers[0]),
                [] if pair.created_s else interchangeable(self._source, source, self._towers[1]),
                _in_a_row(self._target, target) or _in_a_row(self._source, source),
            )


def _same(target: Sequence[Item], source: Sequence[Item]) -> npt.NDArray[np.bool_]:
    """Which items may be aligned, as of one channel and size, `[target, source]`."""
    number: dict[object, int] = {}
    labels_t, labels_s = (
        np.array([number.setdefault(item.label, len(number)) for item in items]) for items in (target, source)
    )
    same: npt.NDArray[np.bool_] = labels_t[:, None] == labels_s[None, :]
    return same


def _nested(side: Features) -> bool:
    """Whether most kernels are in a row within a row."""
    kernels = [len(side.names[i].numbers) > 1 for i, vector in enumerate(side.vectors) if not vector]
    return sum(kernels) > len(kernels) / 2


def _in_a_row(side: Features, sequence: Sequence[Item]) -> bool:
    """Whether one number at the most stands in each name, so that nothing is nested in anything."""
    return all(len(side.names[item.members[0]].numbers) <= 1 for item in sequence)


def _weigh(found: _Hypothesis, agreement: Matrix, torn: npt.NDArray[np.bool_]) -> Matrix:
    weights = np.zeros(torn.shape, np.float32)
    first_t = [item.members[0] for item in found.target]
    first_s = [item.members[0] for item in found.source]
    firsts = np.ix_(first_t, first_s)
    same = found.same & ~torn[firsts]
    gains = np.where(same, 1 + _NAMES * agreement[firsts], 0).astype(np.float32)
    scale = _WEIGHT * min(1.0, max(0.0, (found.quality - _FAIR) / (1 - _FAIR)))
    if found.complete:
        scale *= _COMPLETE
    known = [(scale, regrets(gains, same))] if scale else []
    if found.target[0].label[0] == "kernels":
        inside = inside_runs(same, _AHEAD if found.quality >= _WELL else _FAR_AHEAD)
        known.append((_WEIGHT, np.where(inside, np.float32(0), np.float32(np.inf))))
    worth = np.zeros(same.shape, np.float32)
    for weight, regret in known:
        shared = _shared(_shared(regret, found.groups_t).T, found.groups_s).T
        worth = np.maximum(worth, weight * np.maximum(0, 1 - shared))
    if worth.any():
        rows, item_t = members(found.target)
        columns, item_s = members(found.source)
        weights[np.ix_(rows, columns)] = worth[np.ix_(item_t, item_s)]
    return weights


def _shared(regret: Matrix, groups: list[list[int]]) -> Matrix:
    """The least regret among the items of the groups that each item is in."""
    least = regret.copy()
    for group in groups:
        least[group] = np.minimum(least[group], regret[group].min(axis=0))
    return least
