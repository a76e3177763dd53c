"""Layers of one side that no word or number in their names puts in an order, wherever they stand.

A file that is sorted by name has `conv` before `shortcut` and `img` before `txt`; its codebase may not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from itertools import takewhile

from automatch.describe import Features, Path
from automatch.evidence.items import Item
from automatch.names import Name, parse
from automatch.vocabulary import in_usual_order, runs_in_usual_order, usual_place

__all__ = ["Towers", "interchangeable", "towers"]

Towers = dict[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""The components of a scope -> those of all that it could be mistaken for, itself included."""

_NOWHERE = (1e9,)
# A tower has so many variables, and two of them share at least this part of what they hold.
_TOWER, _TWINS = 16, 0.75


def interchangeable(side: Features, items: Sequence[Item], around: Towers) -> list[list[int]]:
    """Places of items that cannot be told apart by their order, in groups that may overlap.

    around: the towers of the side.
    """
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    beside: dict[tuple[object, ...], dict[int, str]] = defaultdict(dict)
    blocks: dict[tuple[object, ...], dict[int, Path]] = defaultdict(dict)
    for place, item in enumerate(items):
        name = side.names[item.members[0]]
        usual = tuple(usual_place((word,)) if _placed(word) else None for word in name.words)
        groups[item.label, name.numbers, usual].append(place)
        for at in range(len(name.components)):
            others = item.label, name.components[:at], name.components[at + 1 : -1]
            atoms = name.atoms_of(at)
            for start, atom in enumerate(atoms):
                word = atom if isinstance(atom, str) else ""
                if word or start == 0:
                    beside[*others, atoms[:start]][place] = word
            if tower := around.get(name.components[: at + 1]):
                groups[item.label, "tower", tower].append(place)
        if block := _block(name):
            blocks[item.label, name.atoms[:block]][place] = name.atoms[block : name.leaf]
    # Of siblings such as `conv3` and `shortcut`, `step0_up` and `step0_low`, no word or number says which one
    # was created first.
    several = ((list(words), set(words.values())) for words in beside.values() if len(words) > 1)
    return [
        *groups.values(),
        *(group for group, words in several if not in_usual_order(words)),
        *(list(block) for block in blocks.values() if not _told_apart(set(block.values()))),
    ]


def _block(name: Name) -> int:
    """Where the last number before the last component of a name ends; 0 where there is none."""
    return max((at + 1 for at in range(name.leaf) if isinstance(name.atoms[at], int)), default=0)


def _told_apart(paths: Collection[Path]) -> bool:
    """Whether codebases may have an order for the words in which the paths within a block begin to differ."""
    for path in paths:
        for start in range(1, len(path)):
            # `conv` and `conv_block/conv` may follow each other either way; attention comes before output.
            if path[start:] in paths and not (_placed(str(path[0])) and _placed(str(path[start]))):
                return False
    common = sum(1 for _ in takewhile(lambda atoms: len(set(atoms)) == 1, zip(*paths, strict=False)))
    rest = {tuple(map(str, path[common:])) for path in paths}
    firsts = {run[0] for run in rest if run}
    return () in rest or len(firsts) == 1 or any(map(_placed, firsts)) or runs_in_usual_order(rest)


def towers(side: Features) -> Towers:
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
