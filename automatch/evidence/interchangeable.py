"""Layers of one side that no word or number in their names puts in an order, wherever they stand.

A file that is sorted by name has `conv` before `shortcut` and `img` before `txt`; its codebase may not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from itertools import product, takewhile

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.evidence.items import Item
from automatch.names import Name, parse
from automatch.vocabulary import in_usual_order, meaning, runs_in_usual_order, usual_place

__all__ = ["Towers", "interchangeable", "look_alikes", "misnamed", "towers"]

_Scope = tuple[str, ...]
"""The components of its name."""
Towers = dict[_Scope, tuple[_Scope, ...]]
"""A scope -> all that it could be mistaken for, itself included."""

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


def towers(alike: Towers) -> Towers:
    """The look-alikes that no order is known for: `img` and `txt`, but not encoder and decoder."""
    found = {}
    for scope, others in alike.items():
        words = {parse(other[-1]).words for other in others}
        if len(words) > 1 and not in_usual_order([word for (word, *_) in words if word]):
            found[scope] = others
    return found


def misnamed(target: Features, source: Features, alike_t: Towers, alike_s: Towers) -> npt.NDArray[np.bool_]:
    """The pairs that lead from a tower to another than the one that its name says, `[target, source]`.

    `question_encoder` is `question_model`, and not `ctx_model`, whichever of them was created first.
    alike_t, alike_s: the look-alikes of both sides.
    """
    found = np.zeros((len(target), len(source)), np.bool_)
    here, there = ([*map(_own_words, dict.fromkeys(alike.values()))] for alike in (alike_t, alike_s))
    for ours, theirs in product(here, there):
        said = [(a, b) for a, words in ours.items() for b, others in theirs.items() if words & others]
        alone = [
            (_below(target, a), _below(source, b))
            for a, b in said
            if sum(a == one for one, _ in said) == 1 == sum(b == other for _, other in said)
        ]
        if alone:
            all_rows, all_columns = _below(target, *ours), _below(source, *theirs)
            otherwise = np.zeros_like(found)
            for rows, columns in alone:
                otherwise[np.ix_(rows, all_columns)] = otherwise[np.ix_(all_rows, columns)] = True
            for rows, columns in alone:
                otherwise[np.ix_(rows, columns)] = False
            found |= otherwise
    return found


def _own_words(scopes: Sequence[_Scope]) -> dict[_Scope, frozenset[str]]:
    """What the last component of each scope says and those of the others do not."""
    words = [frozenset(meaning(parse(scope[-1]).words)) for scope in scopes]
    return {scope: words[at].difference(*words[:at], *words[at + 1 :]) for at, scope in enumerate(scopes)}


def _below(side: Features, *scopes: _Scope) -> list[int]:
    """The variables in any of the scopes."""
    return [
        i for i, name in enumerate(side.names) if any(name.components[: len(one)] == one for one in scopes)
    ]


def look_alikes(side: Features) -> Towers:
    """Scopes side by side that hold nearly the same, each with all of them."""
    held: dict[_Scope, Counter[int]] = defaultdict(Counter)
    for name, size in zip(side.names, side.sizes, strict=True):
        for end in range(1, len(name.components)):
            held[name.components[:end]][size] += 1
    beside: dict[_Scope, list[_Scope]] = defaultdict(list)
    for scope, sizes in held.items():
        if sizes.total() >= _TOWER:
            beside[scope[:-1]].append(scope)
    found = {}
    for scopes in beside.values():
        for scope in scopes:
            alike = tuple(other for other in scopes if _alike(held[scope], held[other]))
            if len(alike) > 1:
                found[scope] = alike
    return found


def _alike(sizes: Counter[int], others: Counter[int]) -> bool:
    return (sizes & others).total() >= _TWINS * (sizes | others).total()


def _placed(word: str) -> bool:
    return usual_place((word,)) != _NOWHERE
