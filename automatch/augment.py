"""The cheapest assignment of a small block, without SciPy: its start costs more than a small mapping does.

One row after the other gets a column, along the shortest path of exchanges that ends at a free one (Jonker
and Volgenant 1987; Crouse, "On implementing 2D rectangular assignment algorithms", 2016). Columns are looked
at in the order in which SciPy's `linear_sum_assignment` does, so that of several optima both find the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["cheapest"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_FREE = -1


def cheapest(cost: Array) -> Places:
    """The column of each row where the total cost is least; `cost` is finite, and no taller than wide."""
    found = _Optimum(cost)
    for row in range(len(cost)):
        found.add(row)
    return found.column_of


class _Optimum:
    """The cheapest assignment of some rows, with the prices of rows and columns that prove it so."""

    def __init__(self, cost: Array) -> None:
        self._cost = cost
        rows, columns = cost.shape
        self.column_of, self._row_of = np.full(rows, _FREE, np.intp), np.full(columns, _FREE, np.intp)
        self._row_price, self._column_price = np.zeros(rows), np.zeros(columns)

    def add(self, start: int) -> None:
        """Give one more row a column."""
        distance = np.full(len(self._row_of), np.inf)
        before = np.full(len(self._row_of), _FREE, np.intp)
        ahead = np.arange(len(self._row_of))[::-1].copy()
        rows, columns, reached = [start], [], 0.0
        while True:
            row = rows[-1]
            through = reached + self._cost[row, ahead] - self._row_price[row] - self._column_price[ahead]
            nearer = through < distance[ahead]
            distance[ahead[nearer]], before[ahead[nearer]] = through[nearer], row
            place, reached = self._nearest(ahead, distance[ahead])
            columns.append(ahead[place])
            if self._row_of[columns[-1]] == _FREE:
                break
            rows.append(int(self._row_of[columns[-1]]))
            ahead[place] = ahead[-1]
            ahead = ahead[:-1]
        self._row_price[start] += reached
        self._row_price[rows[1:]] += reached - distance[self.column_of[rows[1:]]]
        self._column_price[columns] -= reached - distance[columns]
        self._exchange(start, columns[-1], before)

    def _nearest(self, ahead: Places, distance: Array) -> tuple[int, float]:
        """The place of the nearest column, a free one if there is any among equals, and how far it is."""
        reached = distance.min()
        nearest = np.flatnonzero(distance == reached)
        free = nearest[self._row_of[ahead[nearest]] == _FREE]
        return int(free[-1] if len(free) else nearest[0]), float(reached)

    def _exchange(self, start: int, column: int, before: Places) -> None:
        """Take the path back from its end: each row on it takes the column ahead and leaves its own."""
        row = _FREE
        while row != start:
            row = int(before[column])
            self._row_of[column] = row
            column, self.column_of[row] = int(self.column_of[row]), column
