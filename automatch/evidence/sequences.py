"""Alignment of two sequences, one row of the table at a time (longest common subsequence, with gains)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["align", "inside_runs", "regrets"]

Matrix = npt.NDArray[np.float32]

_NEAR = 0.95
# A pair is inside of a run if so many pairs end with it, and as many begin with it.
_INSIDE = 4


def align(gains: npt.NDArray[np.generic]) -> Matrix:
    """The best total gain of an alignment of each two beginnings, `[rows + 1, columns + 1]`.

    gains: what each cell gives, 0 where its two items cannot be aligned.
    """
    rows, columns = gains.shape
    best = np.zeros((rows + 1, columns + 1), np.float32)
    for row in range(rows):
        taken = best[row].copy()
        taken[1:] = np.maximum(taken[1:], best[row, :-1] + gains[row])
        best[row + 1] = np.maximum.accumulate(taken)
    return best


def regrets(gains: Matrix, possible: npt.NDArray[np.bool_]) -> Matrix:
    """What the best alignment through each cell falls short of the best of all; infinity from 0.95 gains."""
    before, after = align(gains), align(gains[::-1, ::-1])[::-1, ::-1]
    regret = before[-1, -1] - np.where(possible, before[:-1, :-1] + gains + after[1:, 1:], -np.inf)
    near: Matrix = np.where(regret < _NEAR, np.maximum(regret, 0), np.inf).astype(np.float32)
    return near


def inside_runs(same: npt.NDArray[np.bool_], ahead: int) -> npt.NDArray[np.bool_]:
    """Pairs well inside of a run of the same on both sides, longer both ways than any other through them.

    Wherever such a run stands: what was moved as a whole keeps its order. Near its ends, what was moved
    may have had more of the same beside it.

    ahead: by how many pairs the run must be longer in all.
    """
    before, after = _runs(same), _runs(same[::-1, ::-1])[::-1, ::-1]
    inside: npt.NDArray[np.bool_] = (before >= _INSIDE) & (after >= _INSIDE)
    if inside.any():
        both = before + after
        for axis in (0, 1):
            inside &= (before == before.max(axis, keepdims=True)) & (after == after.max(axis, keepdims=True))
            inside &= both >= _second(both, axis) + ahead
    return inside


def _runs(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many pairs in a row end with each pair; what both sides begin with is as good as inside."""
    length = np.zeros((same.shape[0] + 1, same.shape[1] + 1), np.int64)
    length[0, 0] = _INSIDE
    for row, here in enumerate(same):
        length[row + 1, 1:] = np.where(here, 1 + length[row, :-1], 0)
    return length[1:, 1:]


def _second(values: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.int64]:
    """The second largest along an axis, 0 where there is one only."""
    if values.shape[axis] == 1:
        return np.zeros_like(values)
    ordered: npt.NDArray[np.int64] = np.partition(values, -2, axis)
    return np.take(ordered, [-2], axis)
