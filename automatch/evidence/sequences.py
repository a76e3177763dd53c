"""Alignment of two sequences, one row of the table at a time (longest common subsequence, with gains)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["align", "regrets"]

Matrix = npt.NDArray[np.float32]

_NEAR = 0.95


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
