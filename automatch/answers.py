"""What a pair that a person has decided says of everything that is disputed in the same words.

    decided     net/layer_0/kernel <- teacher/layer_0/kernel      could have been student/layer_0/kernel
    so          `teacher` wherever nothing but `teacher` or `student` was in question

Where other targets dispute the same sources, the words in which the targets differ say on which side a row
is: the answer `q <- query`, not `key`, holds for every `q`, and the other way round for every `k`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automatch.assign import ALONE
from automatch.names import Atom, Name, parted, template
from automatch.solve import OPEN, Solution

__all__ = ["answers", "confirmed", "scopes"]

Votes = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]

# Less than the words of two names can say: it decides what is a tie, and little more.
_WEIGHT = 5.0


@dataclass(frozen=True, slots=True)
class _Parting:
    """A scope, numbers left out, with the words that stand in it on one side and on the other."""

    scope: tuple[Atom, ...]
    mine: tuple[Atom, ...]
    other: tuple[Atom, ...]

    def side(self, name: Name) -> int:
        """1 where a name goes on as mine, -1 as the other, 0 where it is not below the scope."""
        start = len(self.scope)
        if template(name.atoms[:start]) != self.scope:
            return 0
        longer = sorted(((self.mine, 1), (self.other, -1)), key=lambda way: -len(way[0]))
        return next((side for words, side in longer if name.atoms[start : start + len(words)] == words), 0)


def answers(question: Solution, decided: Mapping[int, int]) -> Matrix:
    """Weights, `[target, source]`, for what was in question before (target, source) pairs were decided."""
    wanted, given = question.scores.target.names, question.scores.source.names
    disputed = _disputed(question)
    votes = np.zeros(disputed.shape)
    for t, s in decided.items():
        if disputed[t, s]:
            votes += _votes(disputed, wanted, given, t, s) + _votes(disputed.T, given, wanted, s, t).T
    return (_WEIGHT * np.sign(votes)).astype(np.float32)


def _votes(
    disputed: npt.NDArray[np.bool_], names: Sequence[Name], others: Sequence[Name], row: int, column: int
) -> Votes:
    """For or against what goes on as the other name does, where that was disputed in the same words.

    disputed: `[name, other name]`. Where other rows dispute the column, the words in which these names differ
    say which rows the answer holds for, and which it excludes.
    """
    rows = _sides(names, row, np.flatnonzero(disputed[:, column]))
    columns = _sides(others, column, np.flatnonzero(disputed[row]))
    if not rows.any():
        rows[:] = 1  # nobody else wants it
    both = disputed[:, columns > 0].any(1) & disputed[:, columns < 0].any(1)
    return np.outer(rows * both, columns > 0)


def _disputed(question: Solution) -> npt.NDArray[np.bool_]:
    """Whether a source comes near what a target has, or near the best it could have where it has none."""
    near = question.total.max(1, initial=-np.inf)
    for pair in question.pairs:
        near[pair.target] = pair.score
    disputed: npt.NDArray[np.bool_] = question.total > np.maximum(near, ALONE)[:, None] - OPEN
    return disputed


def confirmed(solution: Solution) -> set[int]:
    """Targets of the pairs whose scopes are those of a decided pair, numbers left out.

    What the names leave in doubt, a person has answered for all of them.
    """
    decided = {scopes(solution, t, s) for t, s in solution.scores.decided.items()}
    return {pair.target for pair in solution.pairs if scopes(solution, pair.target, pair.source) in decided}


def scopes(solution: Solution, target: int, source: int) -> tuple[tuple[Atom, ...], tuple[Atom, ...]]:
    """The scopes of both, numbers left out; the names where one has no scope."""
    wanted, given = solution.scores.target, solution.scores.source
    if wanted.parents[target] and given.parents[source]:
        return template(wanted.parents[target]), template(given.parents[source])
    return template(wanted.names[target].atoms), template(given.names[source].atoms)


def _sides(names: Sequence[Name], mine: int, among: Iterable[int]) -> Votes:
    """1 for names that go on as mine where it parts from the others, -1 as one of them, 0 elsewhere."""
    partings = dict.fromkeys(_parting(names[mine], names[other]) for other in among if other != mine)
    sides = np.array([[parting.side(name) for name in names] for parting in partings] or [[0] * len(names)])
    return np.where(sides.min(0) < 0, -1.0, sides.max(0))


def _parting(name: Name, other: Name) -> _Parting:
    scope, mine, theirs = parted(name.atoms, other.atoms)
    return _Parting(template(scope), mine, theirs)
