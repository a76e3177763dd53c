"""What the numbers in names say: equal ones where that has held so far, else the relation that has.

Numbers are only believed once settled pairs have shown how they correspond: many codebases count from 1
where others count from 0, and `Mconv3_stage2` is `stage2/conv3` elsewhere.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from automatch.describe import Features, Path
from automatch.names import template

__all__ = ["Indices"]

Matrix = npt.NDArray[np.float32]

_EQUAL, _RELATION, _NAMED = 1.5, 2.5, 2.0
# A number that was the same in all pairs, where it could also follow one of the target.
_EVER = 0.5
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
        self._equal = self.same & (self._count_t[:, None] > 0) & _even(_steps(target), _steps(source))
        self._named = _named_alike(target, source)

    def weights(self, settled: Sequence[tuple[int, int]]) -> Matrix:
        """Weights from the relations that settled pairs show, up to 2.5; zeros where they show none."""
        comparable = [(t, s) for t, s in settled if self._count_t[t] == self._count_s[s] > 0]
        kept = (sum(bool(self._equal[t, s]) for t, s in comparable) + 0.5) / (len(comparable) + 1)
        equal = _EQUAL * max(0.0, 2 * kept - 1)
        weights: Matrix = (equal * self._equal + _NAMED * self._named).astype(np.float32)
        seen: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for t, s in settled:
            seen[self._template_t[t], self._template_s[s]].append((t, s))
        for (here, there), pairs in seen.items():
            if len(pairs) > 1:
                block = np.ix_(self._template_t == here, self._template_s == there)
                fit = self._fit(pairs, *block)
                if fit.any():
                    weights[block] = _RELATION * fit + _NAMED * self._named[block]
                elif self._count_t[pairs[0][0]] == self._count_s[pairs[0][1]]:
                    # Where equal numbers have not held, as in a decoder counted from its end, they say less.
                    here_kept = sum(bool(self._equal[pair]) for pair in pairs) / len(pairs)
                    weights[block] -= equal * min(1.0, 2 - 2 * here_kept) * self._equal[block]
        return weights

    def _fit(
        self, pairs: Sequence[tuple[int, int]], rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
    ) -> Matrix:
        """How far the sources' numbers are what the pairs make of the targets', 0 to 1, `[rows, columns]`.

        Each number of a source is one of its target's with a shift that all the pairs show, wherever that
        stands; else, and half as likely where there is such a one, it is the same as ever.
        """
        here, there = self._target[[t for t, _ in pairs]], self._source[[s for _, s in pairs]]
        here = here[:, : self._count_t[pairs[0][0]]]
        there = there[:, : self._count_s[pairs[0][1]]]
        fit: Matrix = np.ones((rows.size, columns.size), np.float32)
        for place, seen in enumerate(there.T):
            number = self._source[columns, place]
            follows = np.zeros(fit.shape, np.bool_)
            for other, shift in _shifts(here, seen, place if here.shape == there.shape else None):
                follows |= self._target[rows, other] + shift == number
            constant = np.all(seen == seen[0]) & (number == seen[0])
            fit *= np.where(follows, 1.0, constant * (_EVER if follows.any() else 1.0))
        return fit if there.size else np.zeros_like(fit)


def _shifts(
    here: npt.NDArray[np.int64], seen: npt.NDArray[np.int64], same: int | None
) -> Iterator[tuple[int, int]]:
    """The target's numbers that a number of the source follows in all pairs, each with the shift.

    Two that never change follow each other only if they are equal, or stand at the same place.
    """
    changes = np.any(seen != seen[0])
    for other, numbers in enumerate(here.T):
        shift = seen - numbers
        if np.all(shift == shift[0]) and (changes or shift[0] == 0 or other == same):
            yield other, int(shift[0])


def _steps(side: Features) -> npt.NDArray[np.int64]:
    """By how much the last numbers of rows of a role and size go up; 0 for those with a single number."""
    rows: dict[object, list[int]] = defaultdict(list)
    for i, name in enumerate(side.names):
        rows[template(name.atoms), name.numbers[:-1], side.roles[i], side.sizes[i]].append(i)
    steps = np.zeros(len(side), np.int64)
    for members in rows.values():
        numbers = sorted(side.names[i].numbers[-1] for i in members if side.names[i].numbers)
        steps[members] = math.gcd(*(after - before for before, after in pairwise(numbers)))
    return steps


def _even(target: npt.NDArray[np.int64], source: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether two rows go up by as much: 3 is the second of 0, 3, 6, as a Sequential counts."""
    alone = (target == 0)[:, None] | (source == 0)[None, :]
    even: npt.NDArray[np.bool_] = alone | (target[:, None] == source[None, :])
    return even


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
