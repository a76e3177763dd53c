"""How siblings follow each other in a row: where a row has numbers only, its members stand by their steps.

    layer2/0/downsample   conv2d_11          in two blocks and more the counterpart of `downsample` is
    layer2/0/conv1        conv2d_12          the number before that of `conv1`, so it is in `layer1/0`

What settled pairs show of the blocks of one side holds for those of the same name that hold the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.evidence.units import units
from automatch.names import template

__all__ = ["Steps"]

Matrix = npt.NDArray[np.float32]

_WEIGHT = 2.0
# A block has some kernels, and few enough to compare each variable with each of them.
_KERNELS = range(2, 17)
# Steps are believed once as many blocks show them.
_SEEN = 2

_Stand = tuple[tuple[object, ...], Path, Path, Path]
"""Where a variable stands: name of its block, path of a kernel, row of that one's counterpart, own path."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A scope that a number names; variables with their paths in it.

    name: its path without numbers and the paths of its variables; empty for a kernel and its normalisation.
    """

    name: tuple[object, ...]
    members: tuple[tuple[Path, int], ...]
    kernels: tuple[tuple[Path, int], ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Variables whose names hold one number: name without it, and number; and the way back."""

    places: Mapping[int, tuple[Path, int]]
    variables: Mapping[tuple[Path, int], int]


class Steps:
    """The blocks of each side beside the rows of the other."""

    def __init__(self, target: Features, source: Features) -> None:
        self._shape = len(target), len(source)
        self._target, self._source = _blocks(target), _blocks(source)
        self._rows_t, self._rows_s = _rows(target), _rows(source)

    def weights(self, settled: Sequence[tuple[int, int]]) -> Matrix:
        """Weights, 0 or 2, from the steps that the settled (target, source) pairs show."""
        weights = np.zeros(self._shape, np.float32)
        for t, s in _foreseen(self._target, self._rows_s, dict(settled)):
            weights[t, s] = _WEIGHT
        for s, t in _foreseen(self._source, self._rows_t, {s: t for t, s in settled}):
            weights[t, s] = _WEIGHT
        return weights


def _foreseen(blocks: Sequence[_Block], rows: _Rows, paired: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Variables of blocks, each with the one of the rows that the steps of other blocks lead to."""
    placed = {i: rows.places[j] for i, j in paired.items() if j in rows.places}
    seen: dict[_Stand, dict[Path, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, number, stand in _stands(blocks, placed):
        if i in placed:
            row, other = placed[i]
            # In one row with its kernel, a normalisation stands wherever its layer was created.
            if stand[0] or _word(row) != _word(stand[2]):
                seen[stand][row].append(other - number)
    steps: dict[_Stand, list[tuple[Path, int]]] = {
        stand: [
            (row, found[0])
            for row, found in rows_seen.items()
            if len(found) >= _SEEN and len(set(found)) == 1
        ]
        for stand, rows_seen in seen.items()
    }
    led = [
        ((stand, row), i, rows.variables.get((row, number + step)))
        for i, number, stand in _stands(blocks, placed)
        for row, step in steps.get(stand, ())
    ]
    # Steps that lead nowhere once are no rule.
    refuted = {step for step, _, end in led if end is None}
    ends: dict[int, set[int]] = defaultdict(set)
    for step, i, end in led:
        if end is not None and step not in refuted:
            ends[i].add(end)
    return ((i, min(found)) for i, found in ends.items() if len(found) == 1)


def _word(row: Path) -> Path:
    return row[: row.index("#")]


def _stands(
    blocks: Sequence[_Block], placed: Mapping[int, tuple[Path, int]]
) -> Iterator[tuple[int, int, _Stand]]:
    """Each variable of a block beside each kernel of it that has a place in a row, with its number there."""
    for block in blocks:
        for anchor, kernel in block.kernels:
            if kernel in placed:
                row, number = placed[kernel]
                for path, i in block.members:
                    if i != kernel:
                        yield i, number, (block.name, anchor, row, path)


def _blocks(side: Features) -> list[_Block]:
    found = []
    for scope in side.scopes:
        if isinstance(scope.path[-1], int):
            members = [(side.names[i].atoms[len(scope.path) :], i) for i in scope.members]
            kernels = [(path, i) for path, i in members if not side.vectors[i]]
            if len(kernels) in _KERNELS:
                # Blocks that hold other things are built otherwise: they teach each other nothing.
                name = (*template(scope.path), frozenset(path for path, _ in members))
                found.append(_Block(name, tuple(members), tuple(kernels)))
    for kernel, *norm in units(side) if side.creation else ():
        found.append(_Block((), tuple(((side.roles[i],), i) for i in norm), (((), kernel),)))
    return found


def _rows(side: Features) -> _Rows:
    places = {
        i: (template(name.atoms), name.numbers[0])
        for i, name in enumerate(side.names)
        if len(name.numbers) == 1
    }
    return _Rows(places, {place: i for i, place in places.items()})
