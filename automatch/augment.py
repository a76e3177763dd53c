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
        ahead = np.arange(len(self._row_of))[::-1].copy()
        distance = np.full(len(ahead), np.inf)
        before = np.full(len(ahead), _FREE, np.intp)
        rows, columns, reached = [start], list[int](), 0.0
        while True:
            through = reached + self._cost[rows[-1]] - self._row_price[rows[-1]] - self._column_price
            through[columns] = np.inf
            before[through < distance] = rows[-1]
            np.minimum(distance, through, out=distance)
            left = distance[ahead]
            place = int(left.argmin())
            reached = float(left[place])
            nearest = ahead[left == reached]
            free = nearest[self._row_of[nearest] == _FREE]
            if len(free):
                break
            columns.append(int(ahead[place]))
            rows.append(int(self._row_of[columns[-1]]))
            ahead[place] = ahead[-1]
            ahead = ahead[:-1]
        self._row_price[start] += reached
        if columns:
            self._row_price[rows[1:]] += reached - distance[columns]
            self._column_price[columns] -= reached - distance[columns]
        self._exchange(start, int(free[-1]), before)

    def _exchange(self, start: int, column: int, before: Places) -> None:
        """Take the path back from its end: each row on it takes the column ahead and leaves its own."""
        row = _FREE
        while row != start:
            row = int(before[column])
            self._row_of[column] = row
            column, self.column_of[row] = int(self.column_of[row]), column
