"""Scores -> the best one-to-one assignment, with margins.

"No counterpart" has a price of its own, so that leaving a variable alone is part of the optimum and no
threshold afterwards. The margin of a pair is what the total would lose by the best change that takes the pair
apart: an exchange with another pair, a source or target left over, or no counterpart at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automatch.augment import cheapest

__all__ = ["ALONE", "Assigned", "assign", "longing", "margins"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

ALONE = 2.0
"""What "no counterpart" is worth, in natural-log odds: a pair must beat it."""

_NEVER = -1e6

# Rows of a block up to which margins are exact; beyond, exchanges of two and over what is left are looked at.
_EXACT = 600

# Rows up to which an assignment is found before SciPy would have started.
_SMALL = 256


@dataclass(frozen=True, slots=True)
class Assigned:
    """One pair of the optimum (indices into the score matrix), its score and its margin."""

    target: int
    source: int
    score: float
    margin: float


def assign(scores: npt.NDArray[np.float32], blocks: list[tuple[Places, Places]]) -> Iterator[Assigned]:
    """The pairs of the best assignment within each block."""
    for rows, columns in blocks:
        block = scores[np.ix_(rows, columns)].astype(np.float64)
        block[~np.isfinite(block)] = _NEVER
        taken = _solve(block)
        margin = margins(block, taken)
        for place in np.flatnonzero(taken >= 0):
            column = taken[place]
            yield Assigned(
                int(rows[place]), int(columns[column]), float(block[place, column]), float(margin[place])
            )


def _solve(block: Array) -> Places:
    """The column of each row, -1 for none."""
    rows, columns = block.shape
    taken: Places = np.where(block.max(1) > ALONE, block.argmax(1), -1)
    if np.bincount(taken[taken >= 0], minlength=1).max() <= 1:
        # Each row has its favourite, which no assignment can better.
        return taken
    cost = np.full((rows, columns + rows), -ALONE)
    cost[:, :columns] = -block
    best = _cheapest(cost)
    own = cost[np.arange(rows), best]
    return np.where((best < columns) & (own < -ALONE), best, -1)


def _cheapest(cost: Array) -> Places:
    """The column of each row in the cheapest assignment, by whichever solver is done first."""
    if len(cost) <= _SMALL:
        return cheapest(cost)
    from scipy.optimize import linear_sum_assignment

    best: Places = linear_sum_assignment(cost)[1]
    return best


def margins(block: Array, taken: Places) -> Array:
    """The margin of each row that has a column; infinity for the others.

    Exact: what the assignment would lose at least if the row had to give up its column. That is the cheapest
    cycle of exchanges through it, found as shortest paths between rows (Floyd and Warshall); an exchange of
    two alone would not see that a whole sequence could shift by one.
    """
    margin = np.full(len(block), np.inf)
    rows = np.flatnonzero(taken >= 0)
    if not len(rows):
        return margin
    columns = taken[rows]
    count = len(rows)
    own = block[rows, columns]
    # loss[i, k]: row i leaves its column for that of row k. The last node stands for what nobody has.
    loss = np.full((count + 1, count + 1), np.inf)
    loss[:count, :count] = own[:, None] - block[np.ix_(rows, columns)]
    left = _left(block, columns)
    elsewhere = np.full(count, ALONE)
    if len(left):
        elsewhere = np.maximum(elsewhere, block[np.ix_(rows, left)].max(1))
    loss[:count, count] = own - elsewhere
    alone = np.flatnonzero(taken < 0)
    gained = np.zeros(count)
    if len(alone):
        gained = np.maximum(gained, block[np.ix_(alone, columns)].max(0) - ALONE)
    loss[count, :count] = -gained
    np.fill_diagonal(loss, np.inf)
    paths = _shortest(loss) if count <= _EXACT else np.minimum(loss, loss[:, count, None] + loss[count])
    margin[rows] = np.min(loss + paths.T, axis=1)[:count]
    return margin


def _left(block: Array, columns: Places) -> Places:
    """The other columns."""
    # By hand: `np.setdiff1d` and `np.unique` import `numpy.ma`, a fiftieth of a second.
    free = np.ones(block.shape[1], np.bool_)
    free[columns] = False
    return np.flatnonzero(free)


def _shortest(loss: Array) -> Array:
    """The least loss of a chain of moves from each row's column to each other's."""
    paths = loss.copy()
    np.fill_diagonal(paths, 0)
    for middle in range(len(paths)):
        np.minimum(paths, paths[:, middle, None] + paths[middle], out=paths)
    return paths


def longing(part: Array, possible: npt.NDArray[np.bool_], taken: Places) -> Array:
    """How much one kind of evidence would gain by the exchange it likes best, for each row that has a column.

    Where this is large, that kind of evidence contradicts the others.
    """
    gain = np.zeros(len(part))
    rows = np.flatnonzero(taken >= 0)
    if not len(rows):
        return gain
    columns = taken[rows]
    own = part[rows, columns]
    best = np.zeros(len(rows))
    left = _left(part, columns)
    if len(left):
        free = np.ix_(rows, left)
        best = np.maximum(best, np.where(possible[free], part[free], -np.inf).max(1) - own)
    among = np.ix_(rows, columns)
    crossed, allowed = part[among], possible[among] & possible[among].T
    change = np.where(allowed, crossed + crossed.T - own[:, None] - own[None, :], -np.inf)
    gain[rows] = np.maximum(best, change.max(1))
    return gain
