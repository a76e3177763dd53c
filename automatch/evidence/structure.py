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
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.evidence.rows import counts

__all__ = ["structure"]

Matrix = npt.NDArray[np.float32]
Marks = dict[Any, set[int]]
"""Mark -> the variables below a scope that bears it."""

_CAP = 6.0
_FLOOR = 0.2
# Indices beyond these are rare, and each doubles the axes to look at.
_INDICES, _FREE = 5, 3


def structure(target: Features, source: Features) -> tuple[Matrix, Matrix]:
    """Weights from content and from axes, each in 0 to 6."""
    shared = set(target.sizes) & set(source.sizes)
    (content_t, axes_t), (content_s, axes_s) = _marks(target, shared), _marks(source, shared)
    shape = len(target), len(source)
    return _weights(content_t, content_s, shape), _weights(axes_t, axes_s, shape)


def _weights(target: Marks, source: Marks, shape: tuple[int, int]) -> Matrix:
    weights = np.zeros(shape, np.float32)
    for mark, rows in target.items():
        columns = source.get(mark)
        if columns is None:
            continue
        weight = min(math.log(shape[0] / len(rows)), math.log(shape[1] / len(columns)), _CAP)
        if weight >= _FLOOR:
            block = np.ix_(sorted(rows), sorted(columns))
            weights[block] = np.maximum(weights[block], weight)
    return weights


def _marks(side: Features, shared: set[int]) -> tuple[Marks, Marks]:
    """Content and axis marks of one side; sizes that the other side lacks are left out of all contents."""
    labels = [
        (size, vector) if size in shared else None
        for size, vector in zip(side.sizes, side.vectors, strict=True)
    ]
    content: Marks = defaultdict(set)
    axes: dict[Path, list[tuple[tuple[int, ...], _Content, list[int]]]] = defaultdict(list)
    for scope in side.scopes:
        below = [i for i in scope.members if labels[i] is not None]
        if not below:
            continue
        held = _content(labels[i] for i in below)
        if not (len(scope.members) == 1 and len(side.names[below[0]].atoms) == len(scope.path)):
            for kind, value in held.items():
                content[kind, value].update(below)
        for free in _index_choices(scope.path):
            template = tuple("#" if place in free else atom for place, atom in enumerate(scope.path))
            axes[template].append((tuple(int(scope.path[place]) for place in free), held, below))
    return content, _axis_marks(axes)


_Content = Mapping[str, int]


def _content(labels: Iterable[tuple[int, bool] | None]) -> _Content:
    """The content of a scope in three grains: everything, kernels only, and each size once."""
    everything = kernels = 0
    distinct = set()
    for label in labels:
        assert label is not None
        value = _hash(*label)
        everything += value
        if not label[1]:
            kernels += value
        distinct.add(label)
    grains = {"all": everything, "once": hash(frozenset(_hash(*label) for label in distinct))}
    if kernels:
        grains["kernels"] = kernels
    return grains


@cache
def _hash(size: int, vector: bool) -> int:
    """61 bits that are the same in every process; sums of them tell multisets apart."""
    digest = hashlib.blake2b(f"{size} {vector}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 3


def _index_choices(path: Path) -> Iterable[tuple[int, ...]]:
    places = [place for place, atom in enumerate(path) if isinstance(atom, int)][-_INDICES:]
    for count in range(1, min(_FREE, len(places)) + 1):
        yield from combinations(places, count)


def _axis_marks(axes: Mapping[Path, list[tuple[tuple[int, ...], _Content, list[int]]]]) -> Marks:
    marks: Marks = defaultdict(set)
    for members in axes.values():
        if len(members) < 2 or not all(map(counts, map(set, zip(*(m[0] for m in members), strict=True)))):
            continue
        members.sort(key=lambda member: member[0])
        for kind in ("all", "once", "kernels"):
            sequence = tuple(member[1].get(kind, 0) for member in members)
            if not any(sequence):
                continue
            value = hash(sequence)
            for place, (_, _, below) in enumerate(members):
                marks[kind, len(members), value, place].update(below)
    return marks
