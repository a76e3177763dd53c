"""The loop: assign, settle what is sure, learn from it, assign again until nothing changes.

Only pairs with a margin, and without a kind of evidence that contradicts them, are settled and teach: what
is a tie at first stays one, however often it is repeated, and never becomes its own proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from automatch.assign import Assigned, assign, longing
from automatch.score import Scores

__all__ = ["CONTRADICTING", "OPEN", "Solution", "by_part_of_an_order", "solve"]

CONTRADICTING = ("words", "order", "axis")
"""The kinds of evidence that are asked whether they would rather have another assignment."""

_ROUNDS = 6
# More than the order alone can give, whatever the rounding, unless it leaves nothing over on either side.
_SETTLED = 1.501
_WORDS_MAY_LONG = 1.0
# By how much an exchange must lose, neighbours left aside, for a pair to teach them (half of it each).
_GROUND = 0.25
# Up to this margin a pair may rest on the order alone; one that a twelfth contradicts teaches nothing.
_CLEAR, _ROW, _MOSTLY = 3.0, 0.5, 1.0

OPEN = 1.0
"""Below this margin something else is as good, and the order of the alphabet proposes."""


@dataclass(frozen=True)
class Solution:
    """The final assignment with the scores it rests on.

    longings: for each pair, what each contradicting kind of evidence would gain elsewhere.
    settled: the pairs that taught the rest.
    wavering: targets of pairs that came and went in the last rounds, where none was like the one before.
    namesakes: for each pair, by how much the words would rather have a source of another shape.
    """

    scores: Scores
    total: npt.NDArray[np.float32]
    pairs: tuple[Assigned, ...]
    longings: tuple[Mapping[str, float], ...]
    settled: frozenset[tuple[int, int]]
    wavering: frozenset[int]
    namesakes: tuple[float, ...]

    @cached_property
    def taken(self) -> npt.NDArray[np.bool_]:
        """Whether each source has a pair."""
        taken = np.zeros(self.total.shape[1], np.bool_)
        taken[[pair.source for pair in self.pairs]] = True
        return taken

    def rivals(self, pair: Assigned, near: float = OPEN) -> list[int]:
        """Sources that fit the target of a pair nearly as well: less well by `near` in natural-log odds."""
        row = self.total[pair.target]
        return [int(s) for s in np.flatnonzero(row > pair.score - near) if s != pair.source]


def solve(scores: Scores) -> Solution:
    """The assignment that no further round of learning changes (six rounds at the most)."""
    settled: list[tuple[int, int]] = []
    changing: frozenset[int] = frozenset()
    for _ in range(_ROUNDS):
        total = scores.total()
        pairs = tuple(assign(total, scores.blocks))
        longings = _longings(scores, total, pairs)
        sure = [
            (pair.target, pair.source)
            for pair, long in zip(pairs, longings, strict=True)
            if pair.margin > _SETTLED
            and long["words"] < _WORDS_MAY_LONG
            and not by_part_of_an_order(scores, pair, _MOSTLY)
            and not scores.torn[pair.target, pair.source]
        ]
        before, changing = changing, frozenset(t for t, _ in set(sure) ^ set(settled))
        wavering = changing and changing | before
        if not wavering:
            break
        settled = sure
        scores.learn(settled, _grounded(scores, total, settled))
    if any(pair.margin < OPEN for pair in pairs):
        pairs = tuple(assign(total + scores.ties(), scores.blocks))
        longings = _longings(scores, total, pairs)
    return Solution(
        scores, total, pairs, longings, frozenset(settled), wavering, _namesakes(scores, pairs, settled)
    )


def by_part_of_an_order(scores: Scores, pair: Assigned, throughout: float) -> bool:
    """Whether a pair rests on an order that weighs less than `throughout`, and on no place among others."""
    order, *rest = (
        float(scores.parts[part][pair.target, pair.source]) for part in ("order", "axis", "neighbours")
    )
    return pair.margin < _CLEAR and 0 < order < throughout and max(rest) < _ROW


def _grounded(
    scores: Scores, total: npt.NDArray[np.float32], settled: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The settled pairs that stand without their neighbours: two must not vouch for each other alone."""
    alone = total - scores.parts["neighbours"]
    for t, s in settled:
        alone[t, s] -= _GROUND
    gains = _gains(alone, np.isfinite(total), scores, dict(settled))
    return [(t, s) for t, s in settled if gains[t] <= 0]


def _longings(
    scores: Scores, total: npt.NDArray[np.float32], pairs: tuple[Assigned, ...]
) -> tuple[dict[str, float], ...]:
    possible = np.isfinite(total)
    column = {pair.target: pair.source for pair in pairs}
    # Words are asked without what was learned: a translation must not vouch for itself.
    plain = scores.parts | {"words": scores.words_alone}
    gains = {part: _gains(plain[part], possible, scores, column) for part in CONTRADICTING}
    return tuple({part: gains[part][pair.target] for part in CONTRADICTING} for pair in pairs)


def _gains(
    part: npt.NDArray[np.float32],
    possible: npt.NDArray[np.bool_],
    scores: Scores,
    column: Mapping[int, int],
) -> dict[int, float]:
    """What one kind of evidence would gain by another assignment, for each row that has a column."""
    found: dict[int, float] = {}
    for rows, columns in scores.blocks:
        place = {int(c): i for i, c in enumerate(columns)}
        taken = np.array([place.get(column.get(int(row), -1), -1) for row in rows], np.intp)
        block = np.ix_(rows, columns)
        gains = longing(part[block].astype(np.float64), possible[block], taken)
        found.update((int(row), float(gain)) for row, gain in zip(rows, gains, strict=True))
    return {row: found[row] for row in column}


def _namesakes(
    scores: Scores, pairs: tuple[Assigned, ...], settled: list[tuple[int, int]]
) -> tuple[float, ...]:
    """What the words would gain with a source of the same numbers that no transform turns into the target.

    A head with another class count is the case: what has its name does not fit, so what fits is no match.
    What is settled with another target is nobody's namesake.
    """
    words = np.where(np.isfinite(scores.parts["kind"]) | ~scores.same_numbers, -np.inf, scores.words_alone)
    words[:, [s for _, s in settled]] = -np.inf
    best = words.max(axis=1, initial=-np.inf)
    return tuple(
        max(0.0, float(best[pair.target] - scores.words_alone[pair.target, pair.source])) for pair in pairs
    )
