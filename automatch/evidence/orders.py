"""The orders that the variables of one side may have been created in.

A listing in order of creation is taken as it is, and a graph's order of reading too. A side that is sorted by
name is put in the order of its numbers; its words stand as their counterparts do on the other side as far as
these are settled, else as codebases usually create them (query before key before value).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from automatch.describe import NORM_ROLES, Features, Path
from automatch.tensor import Dataflow
from automatch.vocabulary import usual_place

__all__ = ["layers_in_rows", "mostly_in_rows", "number_in_row", "orders", "rows"]

# Share of the variables that a graph must read for the order of reading to be one.
_READ = 0.8
# Share of the kernels of a side that is rows of layers rather than scopes.
_MOSTLY = 0.5
# Share of the variables that a row holds which is looked at by itself.
_LONG = 0.15
# Share of a row whose places show that it counts backwards; a few heads at its end do not.
_SHOWN = 0.5
_UNKNOWN = 1e9
_LISTED = re.compile(r"(?:^|[/.])\d+(?:$|[/.])")


def orders(side: Features, place: dict[int, float]) -> Iterator[tuple[list[int], bool]]:
    """The orders that a side may be in, each with whether it is that of creation."""
    if side.creation:
        yield list(range(len(side))), True
        if _may_be_a_module(side) and (side_by_side := _lists(side)):
            yield _in_turn({i: i for i in range(len(side))}, side_by_side), True
    flows = [tensor.dataflow or Dataflow() for tensor in side.tensors]
    for places in ([flow.depth for flow in flows], [flow.place for flow in flows]):
        if sum(place is not None for place in places) > _READ * len(side):
            last = max(place for place in places if place is not None) + 1
            yield sorted(range(len(side)), key=lambda i: (last if places[i] is None else places[i], i)), True
    means = _means(side, place)
    named = _by_name(side, means)
    yield named, False
    if backwards := _backwards(side, means):
        yield _by_name(side, means, backwards), False
    if not side.creation and (side_by_side := _lists(side)):
        rank = {i: at for at, i in enumerate(named)}
        yield _in_turn(rank, side_by_side), False


def number_in_row(scope: Path) -> int | None:
    """The number of one of a row of scopes (`conv2d_7`) that is nested in nothing numbered; else None."""
    numbers = [atom for atom in scope if isinstance(atom, int)]
    return numbers[0] if len(numbers) == 1 and scope[-1] == numbers[0] else None


def layers_in_rows(side: Features) -> list[list[tuple[int, ...]]]:
    """The variables of each layer of each row (`conv2d`, `conv2d_1`, …), by number."""
    found: dict[Path, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, parent in enumerate(side.parents):
        number = number_in_row(parent)
        if number is not None:
            found[parent[:-1]][number].append(i)
    return [[tuple(row[number]) for number in sorted(row)] for row in found.values()]


def mostly_in_rows(side: Features) -> bool:
    """Whether a side has automatic names, such as `conv2d_7`, for at least half of its kernels."""
    rows = [layers for layers in layers_in_rows(side) if len(layers) > 1]
    inside = {i for layers in rows for layer in layers for i in layer}
    kernels = [i for i, vector in enumerate(side.vectors) if not vector]
    return sum(i in inside for i in kernels) >= _MOSTLY * len(kernels)


def rows(side: Features) -> Iterator[tuple[int, ...]]:
    """The variables of scopes that a word and a number name, by number, for each word of many."""
    for layers in layers_in_rows(side):
        row = tuple([i for layer in layers for i in layer])
        if len(row) >= _LONG * len(side):
            yield row


def _may_be_a_module(side: Features) -> bool:
    """Whether variables may be listed by the attributes that hold them, and not as they were created.

    In a graph no scope is called by a number alone, as what a list holds is.
    """
    return side.framework != "tf1" or any(_LISTED.search(name.text) for name in side.names)


_List = tuple[tuple[int, ...], ...]
"""The variables of each layer of a list of layers, by number."""


def _lists(side: Features) -> list[list[_List]]:
    """Lists of layers that stand side by side under equal numbers, such as `convs1.0`, … and `convs2.0`, …"""
    layers: dict[Path, dict[int, tuple[int, ...]]] = defaultdict(dict)
    within: dict[Path, Path] = {}
    done: set[int] = set()
    for scope, kernels in zip(side.scopes, side.kernels, strict=True):
        number = scope.path[-1]
        if isinstance(number, int) and len(kernels) == 1 and not done.issuperset(scope.members):
            # Scopes come from the outermost on, so that this is all of the layer.
            done.update(scope.members)
            family = scope.path[:-1]
            layers[family][number] = scope.members
            within[family] = side.names[scope.members[0]].around(len(family) - 1)
    groups: dict[tuple[Path, frozenset[int]], list[_List]] = defaultdict(list)
    for family, members in layers.items():
        # Scopes that only a number tells apart, such as `layers.0` and `layers.1`, were created one by one.
        named = any(isinstance(atom, str) for atom in family[len(within[family]) :])
        if len(members) > 1 and named:
            groups[within[family], frozenset(members)].append(_in_a_list(members))
    return [*(group for group in groups.values() if len(group) > 1), *_norms_beside_blocks(side)]


def _norms_beside_blocks(side: Features) -> Iterator[list[_List]]:
    """Lists of normalisations beside a list of blocks under equal numbers: `mlps.0`, … and `norms.0`, …"""
    lists: dict[tuple[Path, frozenset[int]], list[_List]] = defaultdict(list)
    families: dict[Path, dict[int, tuple[int, ...]]] = defaultdict(dict)
    for scope in side.scopes if side.creation else ():
        if isinstance(scope.path[-1], int):
            families[scope.path[:-1]][scope.path[-1]] = scope.members
    for family, members in families.items():
        first = members[min(members)]
        within = side.names[first[0]].around(len(family) - 1)
        lists[within, frozenset(members)].append(_in_a_list(members))
    for beside in lists.values():
        norms = [one for one in beside if all(side.roles[i] in NORM_ROLES for layer in one for i in layer)]
        blocks = [one for one in beside if all(sum(not side.vectors[i] for i in layer) > 1 for layer in one)]
        if norms and len(blocks) == 1 and len(blocks[0]) > 1:
            yield blocks + norms


def _in_a_list(members: dict[int, tuple[int, ...]]) -> _List:
    return tuple([members[number] for number in sorted(members)])


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


def _by_name(side: Features, means: Sequence[float], backwards: Collection[Path] = ()) -> list[int]:
    """The variables by their numbers; words by the mean place of what is below them, then by usual place.

    means: of each scope, see `_means`. backwards: scopes whose numbers count from the end.
    """

    def key(i: int) -> list[tuple[object, ...]]:
        name, around = side.names[i], side.around[i]
        found: list[tuple[object, ...]] = []
        for run, usual in zip(name.runs, _usual(name.runs), strict=True):
            if isinstance(run[0], int):
                family = name.atoms[: len(found)]
                found.append((1, -run[0] if family in backwards else run[0], (), ""))
            else:
                mean = means[around[len(found) + len(run) - 1]]
                found.extend((0, mean, usual, word) for word in run)
        return found

    return sorted(range(len(side)), key=key)


def _means(side: Features, place: dict[int, float]) -> list[float]:
    """The mean place of what is below each scope, as far as it is known."""
    means = [_UNKNOWN] * len(side.scopes)
    for at, scope in enumerate(side.scopes if place else ()):
        known = [place[i] for i in scope.members if i in place]
        means[at] = sum(known) / len(known) if known else _UNKNOWN
    return means


def _backwards(side: Features, means: Sequence[float]) -> set[Path]:
    """Scopes whose numbers count from the end, as far as places are known: `deconv5` before `deconv4`.

    What stands beside such a row under the same numbers counts as it does, if nothing is known of it.
    """
    rows: dict[Path, list[tuple[int, float]]] = defaultdict(list)
    beside: dict[tuple[Path, frozenset[int]], list[Path]] = defaultdict(list)
    within: dict[Path, Path] = {}
    for scope, mean in zip(side.scopes, means, strict=True):
        number = scope.path[-1]
        if isinstance(number, int):
            family = scope.path[:-1]
            rows[family].append((number, mean))
            within[family] = side.names[scope.members[0]].around(len(family) - 1)
    found = set()
    for family, row in rows.items():
        beside[within[family], frozenset(number for number, _ in row)].append(family)
        known = sorted(place for place in row if place[1] < _UNKNOWN)
        backwards = all(after[1] < before[1] for before, after in pairwise(known))
        if len(known) > 1 and len(known) >= _SHOWN * len(row) and backwards:
            found.add(family)
    for families in beside.values():
        if found.intersection(families):
            found.update(one for one in families if all(mean == _UNKNOWN for _, mean in rows[one]))
    return found


@lru_cache(maxsize=1 << 12)
def _usual(runs: tuple[Path, ...]) -> list[tuple[float, ...]]:
    """The usual place of each run of words."""
    return [() if isinstance(run[0], int) else usual_place(tuple(map(str, run))) for run in runs]
