"""Which of a block's numbered siblings a variable is, where blocks of such siblings repeat.

    resblock_3/norm_0, norm_1       the first of two here is the first of two there, whatever number it has
    resblock_3/norm_6, norm_7

Blocks themselves may be counted from either end, as those of decoders are; what is in a block is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from automatch.describe import Features
from automatch.names import template

__all__ = ["siblings"]

Matrix = npt.NDArray[np.float32]

_OTHER = -1.0
# Siblings are of a block where there are more blocks than siblings, and a few.
_BLOCKS = 3


def siblings(target: Features, source: Features) -> Matrix:
    """Weights, -1 where two variables have as many siblings and are not the same one of them, else 0."""
    weights = np.zeros((len(target), len(source)), np.float32)
    ranks_t, ranks_s = _ranks(target), _ranks(source)
    for kind in ranks_t.keys() & ranks_s.keys():
        (rows, rank_t), (columns, rank_s) = ranks_t[kind], ranks_s[kind]
        weights[np.ix_(rows, columns)] = np.where(rank_t[:, None] == rank_s[None, :], 0.0, _OTHER)
    return weights


_Ranks = dict[Hashable, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]
"""Role, size and number of siblings -> the variables that have so many, and which of them each is."""


def _ranks(side: Features) -> _Ranks:
    families: dict[Hashable, dict[Hashable, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for i, name in enumerate(side.names):
        kind = template(name.atoms), side.roles[i], side.sizes[i]
        for place, number in enumerate(name.numbers):
            block = name.numbers[:place], name.numbers[place + 1 :]
            families[kind, place][block].append((number, i))
    found: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)
    for blocks in families.values():
        by_count: dict[int, list[list[tuple[int, int]]]] = defaultdict(list)
        for members in blocks.values():
            by_count[len(members)].append(members)
        for count, alike in by_count.items():
            if count > 1 and len(alike) > count and len(alike) >= _BLOCKS:
                for members in alike:
                    for rank, (_, i) in enumerate(sorted(members)):
                        found[side.roles[i], side.sizes[i], count].append((i, rank))
    return {
        kind: (np.array([i for i, _ in ranks]), np.array([rank for _, rank in ranks]))
        for kind, ranks in found.items()
    }
