"""What the tree of scopes says, whatever its words are.

    content    two scopes that hold the same multiset of sizes may be the same scope
    axis       scopes that differ in an index form an axis; two axes with the same sequence of contents go
               together member by member, whatever number either starts from

A pair of variables shares such a mark when both lie below a scope that bears it. The rarer a mark, the
more it says; a pair is worth its best mark of each kind, since nested scopes say the same thing again.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, combinations, product
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.evidence.rows import counts

__all__ = ["structure"]

Matrix = npt.NDArray[np.float32]
Below = tuple[int, ...]
"""The variables below a scope, in order."""
Content = dict[str, int]
"""What a scope holds, in three grains: everything, kernels only, each size once."""
Marks = dict[tuple[str, int], list[Below]]
"""Grain and content -> the scopes that hold it."""
Axes = dict[tuple[str, tuple[int, ...]], dict["Outline", list[tuple[Below, ...]]]]
"""Grain and contents -> the axes whose scopes hold them one after the other, by outline."""

_CAP = 6.0
_FLOOR = 0.2
# Indices beyond these are rare, and each doubles the axes to look at.
_INDICES, _FREE = 5, 3


def structure(target: Features, source: Features) -> tuple[Matrix, Matrix]:
    """Weights from content and from axes, each in 0 to 6."""
    shared = set(target.sizes) & set(source.sizes)
    (content_t, axes_t), (content_s, axes_s) = _marks(target, shared), _marks(source, shared)
    shape = len(target), len(source)
    alike = ((content_t[mark], content_s[mark]) for mark in content_t.keys() & content_s.keys())
    return _weights(alike, shape), _weights(_members(axes_t, axes_s), shape)


def _members(target: Axes, source: Axes) -> Iterator[tuple[Sequence[Below], Sequence[Below]]]:
    """The scopes at the same place of axes that go together.

    Two numbers may be one that runs through on the other side, and what differs may be cut into other groups;
    but 2 by 16 of a kind are not 16 by 2.
    """
    for mark in target.keys() & source.keys():
        for (rows, axes_t), (columns, axes_s) in product(target[mark].items(), source[mark].items()):
            if rows.goes_with(columns):
                yield from zip(zip(*axes_t, strict=True), zip(*axes_s, strict=True), strict=True)


def _weights(marked: Iterable[tuple[Sequence[Below], Sequence[Below]]], shape: tuple[int, int]) -> Matrix:
    weights = np.zeros(shape, np.float32)
    # Nested scopes, and the grains of one, mostly say the same of the same variables.
    for rows, columns in {(_together(target), _together(source)) for target, source in marked}:
        weight = min(math.log(shape[0] / len(rows)), math.log(shape[1] / len(columns)), _CAP)
        if weight >= _FLOOR:
            block = np.ix_(rows, columns)
            weights[block] = np.maximum(weights[block], weight)
    return weights


def _together(scopes: Sequence[Below]) -> Below:
    return scopes[0] if len(scopes) == 1 else tuple(sorted(set().union(*scopes)))


def _marks(side: Features, shared: set[int]) -> tuple[Marks, Axes]:
    """Content and axis marks of one side; sizes that the other side lacks are left out of all contents."""
    labels = [
        _hash(size, vector) if size in shared else 0
        for size, vector in zip(side.sizes, side.vectors, strict=True)
    ]
    content: Marks = defaultdict(list)
    families: dict[Path, list[_Member]] = defaultdict(list)
    for scope in side.scopes:
        below = tuple([i for i in scope.members if labels[i]])
        if not below:
            continue
        held = _content([labels[i] for i in below], [labels[i] for i in below if not side.vectors[i]])
        if not (len(scope.members) == 1 and len(side.names[below[0]].atoms) == len(scope.path)):
            for mark in held.items():
                content[mark].append(below)
        places = [place for place, atom in enumerate(scope.path) if isinstance(atom, int)][-_INDICES:]
        if places:
            family = list(scope.path)
            for place in places:
                family[place] = "#"
            numbers = tuple([int(scope.path[place]) for place in places])
            kernels = sum(not side.vectors[i] for i in below)
            families[tuple(family)].append(_Member(numbers, held, below, kernels))
    return content, _axis_marks(families.values())


class Outline(NamedTuple):
    """How many scopes an axis has for each value of the outer of two numbers that run.

    Empty where one number runs, and where the contents tell the places apart.
    turns: whether the scopes could as well be counted the other way round.
    square: whether there are then as many one way as the other, so that nothing shows which way it is.
    """

    counts: tuple[int, ...]
    turns: bool = False
    square: bool = False

    def goes_with(self, other: Outline) -> bool:
        """Whether scopes at the same place of two axes go together."""
        open_ended = not self.counts or not other.counts
        if self.turns or other.turns:
            return self == other and not self.square
        return self == other or open_ended


class _Member(NamedTuple):
    """A scope among those whose paths differ in numbers only."""

    numbers: tuple[int, ...]
    content: Content
    below: Below
    kernels: int


def _content(labels: list[int], kernels: list[int]) -> Content:
    grains = {"all": sum(labels), "once": hash(frozenset(labels))}
    return grains | {"kernels": sum(kernels)} if kernels else grains


@lru_cache(maxsize=1 << 12)
def _hash(size: int, vector: bool) -> int:
    """61 bits that are the same in every process; sums of them tell multisets apart."""
    digest = hashlib.blake2b(f"{size} {vector}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 3


def _axis_marks(families: Iterable[list[_Member]]) -> Axes:
    marks: Axes = defaultdict(lambda: defaultdict(list))
    for family in families:
        family.sort(key=itemgetter(0))
        for free, axis in _axes(family):
            scopes = tuple([scope.below for scope in axis])
            for grain in ("all", "once", "kernels"):
                contents = tuple([scope.content.get(grain, 0) for scope in axis])
                if any(contents):
                    marks[grain, contents][_outline(free, axis, contents)].append(scopes)
    return marks


def _axes(family: list[_Member]) -> Iterator[tuple[tuple[int, ...], list[_Member]]]:
    """Each way to let some numbers run and hold the others, where those that run count something."""
    columns = [set(column) for column in zip(*(scope.numbers for scope in family), strict=True)]
    varying = [place for place, column in enumerate(columns) if len(column) > 1]
    for free in chain.from_iterable(combinations(varying, count) for count in range(1, _FREE + 1)):
        held = [place for place in varying if place not in free]
        axes: dict[tuple[int, ...], list[_Member]] = defaultdict(list)
        for scope in family:
            axes[tuple([scope.numbers[place] for place in held])].append(scope)
        for axis in axes.values():
            if len(axis) > 1 and all(counts({scope.numbers[place] for scope in axis}) for place in free):
                yield free, axis


def _outline(free: tuple[int, ...], axis: Sequence[_Member], contents: tuple[int, ...]) -> Outline:
    if len(free) == 1:
        return Outline(())
    turns = _take_turns(free, axis, contents)
    if len(set(contents)) > 1 and not turns:
        return Outline(())
    outer, inner = ({scope.numbers[place] for scope in axis} for place in free[-2:])
    counts = tuple(Counter(scope.numbers[free[0]] for scope in axis).values())
    return Outline(counts, turns, square=turns and len(outer) == len(inner))


def _take_turns(free: tuple[int, ...], axis: Sequence[_Member], contents: tuple[int, ...]) -> bool:
    """Whether single layers under two numbers hold the same where the outer of these is counted first.

    Blocks of several layers follow each other; `convs1.0` and `convs2.0` may take turns.
    """
    if any(scope.kernels > 1 for scope in axis):
        return False
    places = (*free[:-2], free[-1], free[-2])
    turns = sorted(range(len(axis)), key=lambda i: [axis[i].numbers[place] for place in places])
    return turns != sorted(turns) and tuple(contents[i] for i in turns) == contents
