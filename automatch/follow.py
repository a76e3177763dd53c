"""What follows a matched variable: its slots and moving averages, and copies of it on the target's side."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import permutations, takewhile

from automatch.describe import Features, Path
from automatch.names import Atom, Name
from automatch.slots import Satellite

__all__ = ["copies", "followers", "numbers"]

_KERNELS, _SETTLED, _LEFT = 2, 0.6, 0.3
# Share of names that have a word where it is the word of their scope.
_NAMED = 0.9


def followers(
    target: Mapping[int, Satellite], source: Mapping[int, Satellite], base: Mapping[int, int]
) -> dict[int, int]:
    """Target satellite -> source satellite of the same kind, of variables paired as `base` says."""
    kept = {(it.base, it.kind): i for i, it in sorted(source.items(), reverse=True) if it.base is not None}
    return {
        i: kept[base[it.base], it.kind]
        for i, it in target.items()
        if it.base is not None and it.base in base and (base[it.base], it.kind) in kept
    }


def copies(target: Features, source: Features, paired: Mapping[int, int]) -> dict[int, int]:
    """Variable -> the variable of the same model it is a copy of, where one scope repeats another.

    A scope is a copy if it holds what another one holds under the same relative names, differs from it by
    words or by a replica's number, and has (nearly) nothing paired where the other is (nearly) all paired:
    two towers that one checkpoint initialises, the replicas of a strategy, a master copy in float32.
    Layers that differ in an index are no copies of each other, and neither is what the source tells apart:
    its names have the word of the original, or elsewhere that of the copy.
    """
    found: dict[int, int] = {}
    originals: set[int] = set()
    holders: dict[str, set[int]] = defaultdict(set)
    for i, name in enumerate(source.names):
        for word in name.words:
            holders[word].add(i)
    for (path, original), (other, copy) in _twins(target):
        theirs = {paired[i] for i in original.values() if i in paired}
        named = any(len(holders[word] & theirs) >= _NAMED * len(theirs) for word in path - other)
        if named or any(holders[word] - theirs for word in other - path):
            continue
        pairs = {copy[name]: original[name] for name in copy}
        done = sum(i in paired for i in original.values()) / len(original)
        mine = sum(i in paired for i in copy.values()) / len(copy)
        if done >= _SETTLED and mine <= _LEFT:
            # Also those whose originals are alone so far: the two may have stood in each other's way. Larger
            # scopes come first, and what they say holds: no copy is an original as well.
            for i, j in pairs.items():
                if j not in found and i not in originals:
                    originals.add(found.setdefault(i, j))
    found.update({i: j for i, j in _replicas(target).items() if j in paired and i not in paired})
    return {i: j for i, j in found.items() if j not in found}


_Part = tuple[Path, object]
"""The name of a variable in a scope, and its shape."""
Relative = dict[_Part, int]


_Scope = tuple[frozenset[str], Relative]
"""The words of a scope's path, and what it holds."""


def _twins(side: Features) -> Iterator[tuple[_Scope, _Scope]]:
    """Ordered pairs of scopes of which the second holds nothing but what the first holds, largest first."""
    alike: dict[Atom, list[tuple[Path, Relative]]] = defaultdict(list)
    whole: dict[frozenset[_Part], list[tuple[Path, Relative]]] = defaultdict(list)
    for scope, kernels in zip(side.scopes, side.kernels, strict=True):
        # A single kernel with its normalisation has look-alikes everywhere; a tower has several kernels.
        if len(kernels) < _KERNELS:
            continue
        end = len(scope.path)
        below: Relative = {(side.names[i].atoms[end:], side.tensors[i].shape): i for i in scope.members}
        if len(below) == len(scope.members):
            whole[frozenset(below)].append((scope.path, below))
            alike[scope.path[-1]].append((scope.path, below))
    towers = {path: below.keys() for group in whole.values() for path, below in group}
    for group in sorted([*whole.values(), *alike.values()], key=lambda group: -len(group[0][1])):
        for (path, first), (other, second) in permutations(group, 2):
            contained = second.keys() <= first.keys() and not set(first.values()) & set(second.values())
            if not contained or _words(path) == _words(other):
                continue
            if _whole(side, towers, *_same_part(first, second)):
                yield (frozenset(_words(path)), first), (frozenset(_words(other)), second)


def _whole(side: Features, towers: Mapping[Path, Collection[_Part]], i: int, j: int) -> bool:
    """Whether what has the same name in the towers that two variables are the same part of is of one shape.

    A tower that takes other inputs, as optical flow in place of colours, is another model.
    """
    names = side.names[i], side.names[j]
    ends = zip(*(name.components[::-1] for name in names), strict=False)
    same = sum(1 for _ in takewhile(lambda end: end[0] == end[1], ends))
    first, second = (dict(towers.get(_root(name, same), ())) for name in names)
    return all(first[name] == second[name] for name in first.keys() & second.keys())


def _same_part(first: Relative, second: Relative) -> tuple[int, int]:
    """A variable of each that has the same relative name."""
    part = next(iter(second))
    return first[part], second[part]


def _root(name: Name, less: int) -> Path:
    """The atoms of a name's components without the last ones."""
    return tuple(atom for at in range(len(name.components) - less) for atom in name.atoms_of(at))


def _words(path: Path) -> list[str]:
    return [atom for atom in path if isinstance(atom, str)]


def _replicas(side: Features) -> dict[int, int]:
    """`X/replica_1` -> `X`, the convention of tf.distribute."""
    place = {name.text: i for i, name in enumerate(side.names)}
    found = {}
    for i, name in enumerate(side.names):
        stem, _, last = name.text.rpartition("/")
        if last.startswith("replica_") and stem in place:
            found[i] = place[stem]
    return found


def numbers(target: Mapping[int, tuple[str, ...]], source: Mapping[int, tuple[str, ...]]) -> dict[int, int]:
    """Target -> source for an optimizer's own numbers, by their names' last words, where these are unique.

    `beta1_power` stays `beta1_power` under whatever scope; two of them (two optimizers) are not told apart.
    """

    def unique(side: Mapping[int, tuple[str, ...]]) -> dict[tuple[str, ...], int]:
        counts = Counter(side.values())
        return {words: i for i, words in side.items() if counts[words] == 1}

    given = unique(source)
    return {i: given[words] for words, i in unique(target).items() if words in given}
