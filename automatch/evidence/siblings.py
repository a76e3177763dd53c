"""Which of a block's siblings a variable is, where blocks of such siblings repeat.

    resblock_3/norm_0, norm_1       the first of two here is the first of two there, whatever number it has,
    resblock_3/norm_6, norm_7       or whatever word says so
    block_3/norm_before, norm_after

Blocks themselves may be counted from either end, as those of decoders are; what is in a block is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automatch.describe import NORM_ROLES, Features
from automatch.names import Atom, template
from automatch.vocabulary import in_usual_order, usual_place

__all__ = ["siblings"]

Matrix = npt.NDArray[np.float32]

_OTHER = -1.0
# Siblings are of a block where there are more blocks than siblings, and a few.
_BLOCKS, _MOST = 3, 62


def siblings(target: Features, source: Features) -> Matrix:
    """Weights, -1 where two variables have as many siblings and are not the same one of them, else 0."""
    weights = np.zeros((len(target), len(source)), np.float32)
    ranks_t, ranks_s = _ranks(target), _ranks(source)
    for kind in ranks_t.keys() & ranks_s.keys():
        (rows, rank_t), (columns, rank_s) = ranks_t[kind], ranks_s[kind]
        block = np.ix_(rows, columns)
        other = np.where(rank_t[:, None] & rank_s[None, :], 0.0, _OTHER)
        # A variable may have two siblings by one number and three by another.
        weights[block] = np.minimum(weights[block], other)
    return weights


_Ranks = dict[Hashable, tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]]
"""Role, size and number of siblings -> the variables that have so many; which of them each is, as bits."""
_Family = dict[Hashable, dict[Atom, int]]
"""Numbers of a block, and a size -> its siblings of that size, by the number or word that is their own."""


@dataclass(frozen=True, slots=True)
class _Rank:
    """Which of its siblings a variable is; always: whether all blocks of the family have as many."""

    rank: int
    always: bool


def _ranks(side: Features) -> _Ranks:
    ranks: dict[tuple[int, int], list[_Rank]] = defaultdict(list)
    for blocks in _families(side):
        for words, alike in _by_words(blocks).items():
            count = len(next(iter(alike)))
            if 1 < count <= _MOST and len(alike) > count and len(alike) >= _BLOCKS and _in_order(words):
                for members in alike:
                    for rank, atom in enumerate(sorted(members, key=_place)):
                        ranks[members[atom], count].append(_Rank(rank, len(alike) == len(blocks)))
    found: dict[Hashable, dict[int, int]] = defaultdict(dict)
    for (i, count), (*outer, inner) in ranks.items():
        # Where there are twos of twos throughout, either may be the inner one on the other side.
        either = [one for one in outer if one.always and inner.always]
        found[side.roles[i], side.sizes[i], count][i] = sum({1 << one.rank for one in (*either, inner)})
    return {
        kind: (np.array(list(ranks), np.intp), np.array(list(ranks.values()), np.int64))
        for kind, ranks in found.items()
    }


def _families(side: Features) -> Iterable[_Family]:
    """Variables whose names differ in one number, or in a word behind all numbers; outer numbers first."""
    families: dict[tuple[int, str, Hashable], _Family] = defaultdict(lambda: defaultdict(dict))
    for i, name in enumerate(side.names):
        counted = [place for place, atom in enumerate(name.atoms) if isinstance(atom, int)]
        for place, atom in enumerate(name.atoms):
            # What words say of an order holds for normalisations; of kernels, codebases number some
            # otherwise.
            in_block = counted and place > counted[-1] and side.roles[i] in NORM_ROLES
            if isinstance(atom, int) or in_block:
                rest = (*name.atoms[:place], type(atom).__name__, *name.atoms[place + 1 :])
                numbers = tuple(number for number in rest if isinstance(number, int))
                if numbers:
                    key = place, side.roles[i], template(rest)
                    families[key][numbers, side.sizes[i]][atom] = i
    return [families[key] for key in sorted(families, key=lambda key: key[0])]


def _by_words(blocks: _Family) -> dict[Hashable, list[dict[Atom, int]]]:
    """The blocks that have as many numbered siblings, and those whose siblings have the same words."""
    found: dict[Hashable, list[dict[Atom, int]]] = defaultdict(list)
    for members in blocks.values():
        words = frozenset(atom for atom in members if isinstance(atom, str))
        found[words or len(members)].append(members)
    return found


def _in_order(words: Hashable) -> bool:
    return not isinstance(words, frozenset) or in_usual_order(words)


def _place(atom: Atom) -> tuple[float, ...]:
    return (atom,) if isinstance(atom, int) else usual_place((atom,))
