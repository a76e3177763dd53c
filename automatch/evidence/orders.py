"""The orders that the variables of one side may have been created in.

A listing in order of creation is taken as it is, and a graph's order of reading too. A side that is sorted by
name is put in the order of its numbers; its words stand as their counterparts do on the other side as far as
these are settled, else as codebases usually create them (query before key before value).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

from automatch.describe import Features, Path
from automatch.tensor import Dataflow
from automatch.vocabulary import usual_place

__all__ = ["orders", "rows"]

# Share of the variables that a graph must read for the order of reading to be one.
_READ = 0.8
# Share of the variables that a row holds which is looked at by itself.
_LONG = 0.15


def orders(side: Features, place: dict[int, float]) -> Iterator[tuple[list[int], bool]]:
    """The orders that a side may be in, each with whether it is that of creation."""
    if side.creation:
        yield list(range(len(side))), True
        if side_by_side := _lists(side):
            yield _in_turn({i: i for i in range(len(side))}, side_by_side), True
    flows = [tensor.dataflow or Dataflow() for tensor in side.tensors]
    for places in ([flow.depth for flow in flows], [flow.place for flow in flows]):
        if sum(place is not None for place in places) > _READ * len(side):
            last = max(place for place in places if place is not None) + 1
            yield sorted(range(len(side)), key=lambda i: (last if places[i] is None else places[i], i)), True
    named = _by_name(side, place)
    yield named, False
    if not side.creation and (side_by_side := _lists(side)):
        rank = {i: at for at, i in enumerate(named)}
        yield _in_turn(rank, side_by_side), False


def rows(side: Features) -> Iterator[tuple[int, ...]]:
    """The variables of scopes that a word and a number name, by number, for each word of many."""
    found: dict[Path, list[int]] = defaultdict(list)
    for i in _by_name(side, {}):
        parent = side.parents[i]
        if parent and isinstance(parent[-1], int) and sum(isinstance(atom, int) for atom in parent) == 1:
            found[parent[:-1]].append(i)
    for row in found.values():
        if len(row) >= _LONG * len(side):
            yield tuple(sorted(row, key=lambda i: side.parents[i][-1]))


_List = tuple[tuple[int, ...], ...]
"""The variables of each layer of a list of layers, by number."""


def _lists(side: Features) -> list[list[_List]]:
    """Lists of layers that stand side by side under equal numbers, such as `convs1.0`, … and `convs2.0`, …"""
    layers: dict[Path, dict[int, tuple[int, ...]]] = defaultdict(dict)
    within: dict[Path, Path] = {}
    done: set[int] = set()
    for scope in side.scopes:
        number = scope.path[-1]
        one_kernel = sum(not side.vectors[i] for i in scope.members) == 1
        if isinstance(number, int) and one_kernel and not done.issuperset(scope.members):
            # Scopes come from the outermost on, so that this is all of the layer.
            done.update(scope.members)
            family = scope.path[:-1]
            layers[family][number] = scope.members
            within[family] = side.names[scope.members[0]].around(len(family) - 1)
    groups: dict[tuple[Path, frozenset[int]], list[_List]] = defaultdict(list)
    for family, members in layers.items():
        if len(members) > 1:
            groups[within[family], frozenset(members)].append(tuple(members[n] for n in sorted(members)))
    return [group for group in groups.values() if len(group) > 1]


def _in_turn(rank: dict[int, int], side_by_side: list[list[_List]]) -> list[int]:
    """The order in which the layers of such lists take turns: 0, 0, 1, 1, … in place of 0, 1, …, 0, 1, …

    rank: the place of each variable where they do not.
    """
    key: dict[int, tuple[int, ...]] = {i: (place,) for i, place in rank.items()}
    for group in side_by_side:
        first = min(rank[i] for one in group for layer in one for i in layer)
        for which, one in enumerate(group):
            for turn, layer in enumerate(one):
                for i in layer:
                    key[i] = (first, turn, which, rank[i])
    return sorted(rank, key=key.__getitem__)


def _by_name(side: Features, place: dict[int, float]) -> list[int]:
    """The variables by their numbers; words by the mean place of what is below them, then by usual place."""
    means = [0.0] * len(side.scopes)
    for at, scope in enumerate(side.scopes if place else ()):
        known = [place[i] for i in scope.members if i in place]
        means[at] = sum(known) / len(known) if known else 1e9

    def key(i: int) -> list[tuple[object, ...]]:
        name = side.names[i]
        return [
            (1, atom, (), "") if isinstance(atom, int) else (0, means[scope], usual, atom)
            for atom, scope, usual in zip(name.atoms, side.around[i], _usual(name.runs), strict=True)
        ]

    return sorted(range(len(side)), key=key)


@lru_cache(maxsize=1 << 12)
def _usual(runs: tuple[Path, ...]) -> list[tuple[float, ...]]:
    """The usual place of each atom: that of the run of words it stands in."""
    places: list[tuple[float, ...]] = []
    for run in runs:
        place = () if isinstance(run[0], int) else usual_place(tuple(str(word) for word in run))
        places.extend([place] * len(run))
    return places
