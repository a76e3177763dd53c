"""What the order of variables says, where both orders mean something.

Kernels are aligned with kernels and normalisations with normalisations: two sequences of sizes, gap by gap
(longest common subsequence). A pair is worth as much as the best alignment through it comes to the best of
all, so that what can be aligned in two ways is not decided here.

Where nothing says in which order words were created, evidence is spread over what cannot be told apart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.evidence.orders import orders, rows
from automatch.evidence.rows import in_rows
from automatch.evidence.sequences import align, regrets
from automatch.names import parse
from automatch.vocabulary import in_usual_order, usual_place

__all__ = ["Order"]

Matrix = npt.NDArray[np.float32]
Channel = Literal["kernels", "vectors"]
Label = tuple[Channel, int]
Pairs = Sequence[tuple[int, int]]
_Places = tuple[int, ...]
_Towers = dict[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""The components of a scope -> those of all that it could be mistaken for, itself included."""

_WEIGHT = 1.5
# Of the items that could be aligned, as many as this must be for the orders to count at all; the weight
# rises from nothing at _FAIR to all at 1.
_COMPARABLE, _FAIR = 0.75, 0.75
# Sequences that fit as well backwards show little, unless they fit entirely.
_BACKWARDS, _ENTIRELY = 0.1, 0.95
_NAMES = 0.3
_CREATION = 0.05
_CELLS = 4_000_000
_NOWHERE = (1e9,)
# A tower has so many variables, and two of them share at least this part of what they hold.
_TOWER, _TWINS = 16, 0.75


class _Orders(NamedTuple):
    """An order of the target, whether it is that of creation, the same of the source; the row that one is."""

    target: _Places
    created_t: bool
    source: _Places
    created_s: bool
    row: _Places = ()


@dataclass(frozen=True, slots=True)
class _Item:
    """A kernel with the vectors of its scope, or a run of vectors of one scope and size."""

    label: Label
    members: list[int]


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """Two sequences of items taken to be in the same order; `quality` is the share that can be aligned."""

    quality: float
    created: int
    row: _Places
    target: list[_Item]
    source: list[_Item]
    same: npt.NDArray[np.bool_]
    groups_t: list[list[int]]
    groups_s: list[list[int]]

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
    def _towers(self) -> tuple[_Towers, _Towers]:
        """Of the target and of the source; looked for once, and where an order is not that of creation."""
        return _towers(self._target), _towers(self._source)

    def weights(self, agreement: Matrix, settled: Pairs, torn: npt.NDArray[np.bool_]) -> Matrix:
        """Weights from 0 to 1.5. `agreement` (0 to 1, of the names) breaks ties between alignments.

        torn: pairs that are not to be aligned, since they lead out of scopes that go together.
        """
        weights = np.zeros((len(self._target), len(self._source)), np.float32)
        if not self._shared or not all(
            side.creation or in_rows(side) for side in (self._target, self._source)
        ):
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
        return weights

    def _hypotheses(self, settled: Pairs) -> Iterator[_Hypothesis]:
        for pair in dict.fromkeys(self._orders(settled)):
            if pair not in self._compared:
                self._compared[pair] = list(self._compare(pair))
            yield from self._compared[pair]

    def _orders(self, settled: Pairs) -> Iterator[_Orders]:
        for order_t, created_t in self._target_orders(settled):
            rank = np.empty(len(self._target))
            rank[order_t] = np.arange(len(order_t))
            place = {s: rank[t] for t, s in settled}
            for order_s, created_s in orders(self._source, place):
                yield _Orders(tuple(order_t), created_t, tuple(order_s), created_s)
        yield from self._orders_of_rows(settled)

    def _orders_of_rows(self, settled: Pairs) -> Iterator[_Orders]:
        """A long row of one side (`conv2d`, `conv2d_1`, …) beside what is not settled outside of it.

        The row was created in the order of its numbers; where `block8_1_conv` stands in it, no name says.
        """
        for row in rows(self._source):
            members = set(row)
            outside = {t for t, s in settled if s not in members}
            for order, created in orders(self._target, {}):
                yield _Orders(tuple(t for t in order if t not in outside), created, row, False, row)
        for row in rows(self._target):
            members = set(row)
            outside = {s for t, s in settled if t not in members}
            for order, created in orders(self._source, {}):
                yield _Orders(row, False, tuple(s for s in order if s not in outside), created, row)

    def _compare(self, pair: _Orders) -> Iterator[_Hypothesis]:
        items_t = _items(self._target, pair.target, self._shared)
        items_s = _items(self._source, pair.source, self._shared)
        for channel in ("kernels", "vectors"):
            yield from self._hypothesis(channel, items_t, items_s, pair)

    def _target_orders(self, settled: Pairs) -> Iterator[tuple[list[int], bool]]:
        yield from orders(self._target, {})
        if settled and not self._target.creation:
            first, _ = next(orders(self._source, {}))
            rank = {s: place for place, s in enumerate(first)}
            yield from orders(self._target, {t: rank[s] for t, s in settled})

    def _hypothesis(
        self, channel: Channel, items_t: list[_Item], items_s: list[_Item], pair: _Orders
    ) -> Iterator[_Hypothesis]:
        target = [item for item in items_t if item.label[0] == channel]
        source = [item for item in items_s if item.label[0] == channel]
        if not target or not source or len(target) * len(source) > _CELLS:
            return
        labels_t = np.array([item.label[1] for item in target], dtype=object)
        labels_s = np.array([item.label[1] for item in source], dtype=object)
        same = (labels_t[:, None] == labels_s[None, :]).astype(bool)
        aligned, backwards = align(same)[-1, -1], align(same[:, ::-1])[-1, -1]
        common = sum((Counter(labels_t.tolist()) & Counter(labels_s.tolist())).values())
        if not common or aligned < _COMPARABLE * common:
            return
        told_apart = aligned - backwards >= _BACKWARDS * common or aligned >= _ENTIRELY * common
        if told_apart or (pair.created_t and pair.created_s):
            yield _Hypothesis(
                float(aligned / common),
                pair.created_t + pair.created_s,
                pair.row,
                target,
                source,
                same,
                # What was created is told apart by its place.
                [] if pair.created_t else _groups(self._target, target, self._towers[0]),
                [] if pair.created_s else _groups(self._source, source, self._towers[1]),
            )


def _weigh(found: _Hypothesis, agreement: Matrix, torn: npt.NDArray[np.bool_]) -> Matrix:
    weights = np.zeros(torn.shape, np.float32)
    first_t = [item.members[0] for item in found.target]
    first_s = [item.members[0] for item in found.source]
    firsts = np.ix_(first_t, first_s)
    same = found.same & ~torn[firsts]
    gains = np.where(same, 1 + _NAMES * agreement[firsts], 0).astype(np.float32)
    scale = _WEIGHT * min(1.0, max(0.0, (found.quality - _FAIR) / (1 - _FAIR)))
    if scale:
        regret = _shared(_shared(regrets(gains, same), found.groups_t).T, found.groups_s).T
        rows, item_t = _members(found.target)
        columns, item_s = _members(found.source)
        weights[np.ix_(rows, columns)] = (scale * np.maximum(0, 1 - regret))[np.ix_(item_t, item_s)]
    return weights


def _members(items: list[_Item]) -> tuple[list[int], list[int]]:
    """The variables of all items, and the item that each is in."""
    places = [(i, place) for place, item in enumerate(items) for i in item.members]
    return [i for i, _ in places], [place for _, place in places]


def _shared(regret: Matrix, groups: list[list[int]]) -> Matrix:
    """The least regret among the items of the groups that each item is in."""
    least = regret.copy()
    for group in groups:
        least[group] = np.minimum(least[group], regret[group].min(axis=0))
    return least


def _groups(side: Features, items: list[_Item], towers: _Towers) -> list[list[int]]:
    """Items that cannot be told apart by their place, in groups that may overlap."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    beside: dict[tuple[object, ...], dict[int, str]] = defaultdict(dict)
    for place, item in enumerate(items):
        name = side.names[item.members[0]]
        usual = tuple(usual_place((word,)) if _placed(word) else None for word in name.words)
        groups[item.label, name.numbers, usual].append(place)
        for at in range(len(name.components)):
            around = item.label, name.components[:at], name.components[at + 1 : -1]
            atoms = name.atoms_of(at)
            for start, atom in enumerate(atoms):
                word = atom if isinstance(atom, str) else ""
                if word or start == 0:
                    beside[*around, atoms[:start]][place] = word
            if tower := towers.get(name.components[: at + 1]):
                groups[item.label, "tower", tower].append(place)
    # Of siblings such as `conv3` and `shortcut`, `step0_up` and `step0_low`, no word or number says which one
    # was created first.
    several = ((list(words), set(words.values())) for words in beside.values() if len(words) > 1)
    return [*groups.values(), *(group for group, words in several if not in_usual_order(words))]


def _towers(side: Features) -> _Towers:
    """Scopes side by side that hold nearly the same, each with all of them: `img` and `txt`.

    Not those that codebases have an order for, as encoder and decoder.
    """
    held: dict[tuple[str, ...], Counter[int]] = defaultdict(Counter)
    for name, size in zip(side.names, side.sizes, strict=True):
        for end in range(1, len(name.components)):
            held[name.components[:end]][size] += 1
    beside: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for scope, sizes in held.items():
        if sizes.total() >= _TOWER:
            beside[scope[:-1]].append(scope)
    found = {}
    for scopes in beside.values():
        for scope in scopes:
            alike = tuple(other for other in scopes if _alike(held[scope], held[other]))
            words = {parse(other[-1]).words for other in alike}
            if len(words) > 1 and not in_usual_order([word for (word, *_) in words if word]):
                found[scope] = alike
    return found


def _alike(sizes: Counter[int], others: Counter[int]) -> bool:
    return (sizes & others).total() >= _TWINS * (sizes | others).total()


def _placed(word: str) -> bool:
    return usual_place((word,)) != _NOWHERE


def _items(side: Features, order: Sequence[int], shared: set[int]) -> list[_Item]:
    """The sequence to align. Vectors in the scope of a single kernel go with it, wherever they stand."""
    layers = _layers(side, [i for i in order if side.sizes[i] in shared])
    kernels = Counter(layer for i, layer in layers.items() if not side.vectors[i])
    items: list[_Item] = []
    owner: dict[Path, _Item] = {}
    waiting: dict[Path, list[int]] = defaultdict(list)
    for i in order:
        if i not in layers:
            continue
        parent, size = layers[i], side.sizes[i]
        owned = bool(parent) and kernels[parent] == 1
        if not side.vectors[i]:
            items.append(_Item(("kernels", size), [i]))
            if owned:
                owner[parent] = items[-1]
                items[-1].members.extend(waiting.pop(parent, ()))
        elif owned and parent in owner:
            owner[parent].members.append(i)
        elif owned:
            waiting[parent].append(i)
        elif items and (_continues(side, items[-1], parent, size) or _belongs(side, items[-1], parent, size)):
            items[-1].members.append(i)
        else:
            items.append(_Item(("vectors", size), [i]))
    return items


def _layers(side: Features, variables: Sequence[int]) -> dict[int, Path]:
    """The scope of each variable; `w1` and `b1` of a scope of several kernels are a layer of their own."""
    kernels = [i for i in variables if not side.vectors[i]]
    several = Counter(side.parents[i] for i in kernels)
    counted = {i: _counted(side, i) for i in variables if side.parents[i] and several[side.parents[i]] > 1}
    single = Counter(counted[i] for i in kernels if i in counted)
    return {i: counted[i] if single[counted.get(i, ())] == 1 else side.parents[i] for i in variables}


def _counted(side: Features, i: int) -> Path:
    """The scope of a variable and the numbers in its own name."""
    name = side.names[i]
    return side.parents[i] + tuple([atom for atom in name.atoms[name.leaf :] if isinstance(atom, int)])


def _belongs(side: Features, item: _Item, parent: Path, size: int) -> bool:
    """Whether a vector without a scope is the bias of the kernel before it."""
    shape = side.tensors[item.members[0]].shape or ()
    alone = item.label[0] == "kernels" and len(item.members) == 1
    return not parent and alone and not side.parents[item.members[0]] and size in (shape[0], shape[-1])


def _continues(side: Features, item: _Item, parent: Path, size: int) -> bool:
    return bool(parent) and item.label == ("vectors", size) and side.parents[item.members[0]] == parent
