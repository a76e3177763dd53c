"""What settled pairs say of their neighbours: variables of scopes that correspond go together.

Scopes correspond where each is the other's best (Dice coefficient over settled pairs). The smallest pair of
corresponding scopes that a pair of variables lies in decides.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from automatch.describe import Features
from automatch.evidence.units import units

__all__ = ["Neighbours"]

Matrix = npt.NDArray[np.float32]
Members = tuple[int, ...]

_FLOOR = 0.2
_HALF = 0.5
# Scopes that hold the same are the same if this share of at least so many settled pairs goes from one to the
# other.
_MOSTLY, _SEEN, _LAYERS = 0.75, 3, 2
_TORN = -3.0


class Neighbours:
    """Groups of variables on both sides: scopes, and layers that creation order shows."""

    def __init__(self, target: Features, source: Features) -> None:
        self._shape = len(target), len(source)
        self._groups_t, self._groups_s = _groups(target), _groups(source)
        self._holds_t, self._holds_s = _holds(target, self._groups_t), _holds(source, self._groups_s)
        self._of_t, self._of_s = _index(self._groups_t, len(target)), _index(self._groups_s, len(source))

    def weights(
        self, settled: Iterable[tuple[int, int]]
    ) -> tuple[Matrix, npt.NDArray[np.bool_], list[tuple[Members, Members]]]:
        """Weights from the groups that settled (target, source) pairs show to correspond, and what is torn.

        A pair is torn if one end lies in a scope and the other outside of what is the same scope. What comes
        last are the variables of scopes that are the same, of target and source.
        """
        shares, seen = self._shares(settled)
        weights = np.zeros(self._shape, np.float32)
        largest = max(self._shape)
        for share, a, b in _mutual(shares):
            rows, columns = self._groups_t[a], self._groups_s[b]
            weight = share * math.log(largest / max(len(rows), len(columns)))
            if weight > _FLOOR:
                block = np.ix_(rows, columns)
                weights[block] = np.maximum(weights[block], weight)
        torn = np.zeros(self._shape, np.bool_)
        same = []
        for (a, b), share in shares.items():
            if share >= _MOSTLY and seen[a, b] >= _SEEN and self._holds_t[a] == self._holds_s[b] != ():
                inside = np.ix_(self._groups_t[a], self._groups_s[b])
                before = torn[inside]
                torn[list(self._groups_t[a]), :] = True
                torn[:, list(self._groups_s[b])] = True
                torn[inside] = before
                same.append((self._groups_t[a], self._groups_s[b]))
        return weights + _TORN * torn, torn, same

    def _shares(
        self, settled: Iterable[tuple[int, int]]
    ) -> tuple[dict[tuple[int, int], float], Counter[tuple[int, int]]]:
        """The share (Dice) of the settled pairs of two groups that go from one to the other; how many do."""
        in_t: Counter[int] = Counter()
        in_s: Counter[int] = Counter()
        both: Counter[tuple[int, int]] = Counter()
        for t, s in settled:
            here, there = self._of_t[t], self._of_s[s]
            in_t.update(here)
            in_s.update(there)
            both.update((a, b) for a in here for b in there)
        return {(a, b): 2 * count / (in_t[a] + in_s[b]) for (a, b), count in both.items()}, both


def _mutual(shares: Mapping[tuple[int, int], float]) -> Iterator[tuple[float, int, int]]:
    """The groups that are each other's best, with their share."""
    best_t: dict[int, float] = {}
    best_s: dict[int, float] = {}
    for (a, b), value in shares.items():
        best_t[a] = max(best_t.get(a, 0.0), value)
        best_s[b] = max(best_s.get(b, 0.0), value)
    for (a, b), value in shares.items():
        if value >= _HALF and value >= best_t[a] and value >= best_s[b]:
            yield value, a, b


def _groups(side: Features) -> list[Members]:
    scopes = {scope.members: None for scope in side.scopes if 1 < len(scope.members) < len(side)}
    own: dict[int, list[int]] = defaultdict(list)
    for i, kernel in side.own_kernels.items():
        own[kernel].append(i)
    layers = (tuple(dict.fromkeys((kernel, *own[kernel], *norm))) for kernel, *norm in units(side))
    return [*scopes, *dict.fromkeys(layers)]


def _holds(side: Features, groups: Iterable[Members]) -> list[tuple[tuple[int, bool], ...]]:
    """Sizes of what each group of several layers holds, in order, and whether they are vectors; else nothing.

    A single layer that is out of place would hold its own normalisation there.
    """
    return [
        tuple(sorted((side.sizes[i], side.vectors[i]) for i in members))
        if sum(not side.vectors[i] for i in members) >= _LAYERS
        else ()
        for members in groups
    ]


def _index(groups: list[Members], count: int) -> list[list[int]]:
    index: list[list[int]] = [[] for _ in range(count)]
    for place, members in enumerate(groups):
        for i in members:
            index[i].append(place)
    return index
