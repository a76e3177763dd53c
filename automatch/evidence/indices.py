"""What the numbers in names say: equal ones where that has held so far, else the shift that has.

Numbers are only believed once settled pairs have shown how they correspond: many codebases count from 1
where others count from 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.names import template

__all__ = ["Indices"]

Matrix = npt.NDArray[np.float32]

_EQUAL, _SHIFT, _NAMED = 1.5, 2.5, 2.0
_REFUTED = 0.02
_NONE = -1
_LARGEST = 10**6


class Indices:
    """The numbers of both sides, in the order in which they stand in the names.

    same: whether two names hold the same numbers, none included, `[target, source]`.
    """

    def __init__(self, target: Features, source: Features) -> None:
        width = max((len(name.numbers) for name in (*target.names, *source.names)), default=0) or 1
        self._target, self._source = _table(target, width), _table(source, width)
        self._count_t, self._count_s = (self._target >= 0).sum(1), (self._source >= 0).sum(1)
        self._template_t, self._template_s = _templates(target), _templates(source)
        self.same = np.all(self._target[:, None, :] == self._source[None, :, :], axis=2)
        self._equal = self.same & (self._count_t[:, None] > 0)
        self._named = _named_alike(target, source)

    def weights(self, settled: Sequence[tuple[int, int]]) -> Matrix:
        """Weights from the shifts that the settled pairs show, up to 2.5; zeros where they show none."""
        comparable = [(t, s) for t, s in settled if self._count_t[t] == self._count_s[s] > 0]
        kept = (sum(bool(self._equal[t, s]) for t, s in comparable) + 0.5) / (len(comparable) + 1)
        equal = _EQUAL * max(0.0, 2 * kept - 1)
        weights: Matrix = (equal * self._equal + _NAMED * self._named).astype(np.float32)
        shifts: dict[tuple[int, int], list[npt.NDArray[np.int64]]] = defaultdict(list)
        for t, s in comparable:
            shifts[self._template_t[t], self._template_s[s]].append(self._target[t] - self._source[s])
        for (here, there), seen in shifts.items():
            if len(seen) > 1 and all(np.array_equal(seen[0], shift) for shift in seen):
                rows, columns = self._template_t == here, self._template_s == there
                shifted = self._target[rows][:, None, :] - self._source[columns][None, :, :]
                held = _SHIFT * np.all(shifted == seen[0], axis=2)
                weights[np.ix_(rows, columns)] = held + _NAMED * self._named[np.ix_(rows, columns)]
        return weights


def _table(side: Features, width: int) -> npt.NDArray[np.int64]:
    table = np.full((len(side), width), _NONE, np.int64)
    for row, name in enumerate(side.names):
        for column, number in enumerate(name.numbers):
            table[row, column] = min(number, _LARGEST)
    return table


def _templates(side: Features) -> npt.NDArray[np.intp]:
    """A number for each variable that is the same for names that differ in their numbers only."""
    places: dict[Path, int] = {}
    return np.array(
        [places.setdefault(template(name.atoms), len(places)) for name in side.names], dtype=np.intp
    )


def _named_alike(target: Features, source: Features) -> npt.NDArray[np.bool_]:
    """Which pairs have the same name, unless numbered names that do also differ in shape.

    Where `dense_6` has another shape than `dense_6`, a layer more or less has shifted the numbers, and no
    name can be taken at its word.
    """
    alike = np.zeros((len(target), len(source)), np.bool_)
    place = {name.text: i for i, name in enumerate(source.names)}
    numbered = misfits = 0
    for row, name in enumerate(target.names):
        column = place.get(name.text)
        if column is not None:
            alike[row, column] = True
            if name.numbers:
                numbered += 1
                misfits += target.tensors[row].shape != source.tensors[column].shape
    return alike if misfits <= _REFUTED * numbered else np.zeros_like(alike)
