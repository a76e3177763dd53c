"""The loop: assign, settle what is sure, learn from it, assign again until nothing changes.

Only pairs with a margin, and without a kind of evidence that contradicts them, are settled and teach: what
is a tie at first stays one, however often it is repeated, and never becomes its own proof.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from automatch.assign import Assigned, assign, longing
from automatch.score import Scores

__all__ = ["CONTRADICTING", "Solution", "solve"]

CONTRADICTING = ("words", "order", "axis")
"""The kinds of evidence that are asked whether they would rather have another assignment."""

_ROUNDS = 6
_SETTLED = 1.5
_WORDS_MAY_LONG = 1.0
_GROUND = 0.25
_OPEN = 1.0


@dataclass(frozen=True)
class Solution:
    """The final assignment with the scores it rests on.

    longings: for each pair, what each contradicting kind of evidence would gain elsewhere.
    settled: the pairs that taught the rest.
    namesakes: for each pair, by how much the words would rather have a source of another shape.
    """

    scores: Scores
    total: npt.NDArray[np.float32]
    pairs: tuple[Assigned, ...]
    longings: tuple[Mapping[str, float], ...]
    settled: frozenset[tuple[int, int]]
    namesakes: tuple[float, ...]


def solve(scores: Scores) -> Solution:
    """The assignment that no further round of learning changes (six rounds at the most)."""
    settled: list[tuple[int, int]] = []
    for _ in range(_ROUNDS):
        total = scores.total()
        pairs = tuple(assign(total, scores.blocks))
        longings = _longings(scores, total, pairs)
        sure = [
            (pair.target, pair.source)
            for pair, long in zip(pairs, longings, strict=True)
            if pair.margin > _SETTLED and long["words"] < _WORDS_MAY_LONG
        ]
        if sure == settled:
            break
        settled = sure
        scores.learn(settled, _grounded(scores, total, settled))
    if any(pair.margin < _OPEN for pair in pairs):
        pairs = tuple(assign(total + scores.ties(), scores.blocks))
        longings = _longings(scores, total, pairs)
    return Solution(scores, total, pairs, longings, frozenset(settled), _namesakes(scores, pairs, settled))


def _grounded(
    scores: Scores, total: npt.NDArray[np.float32], settled: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The settled pairs that stand without their neighbours: two must not vouch for each other alone."""
    alone = total - scores.parts["neighbours"]
    possible = np.isfinite(total)
    column = dict(settled)
    lost: set[int] = set()
    for rows, columns in scores.blocks:
        place = {int(c): i for i, c in enumerate(columns)}
        taken = np.array([place.get(column.get(int(row), -1), -1) for row in rows], np.intp)
        block = alone[np.ix_(rows, columns)].astype(np.float64)
        held = np.flatnonzero(taken >= 0)
        block[held, taken[held]] -= _GROUND
        gains = longing(block, possible[np.ix_(rows, columns)], taken)
        lost.update(int(row) for row, gain in zip(rows, gains, strict=True) if gain > 0)
    return [(t, s) for t, s in settled if t not in lost]


def _longings(
    scores: Scores, total: npt.NDArray[np.float32], pairs: tuple[Assigned, ...]
) -> tuple[dict[str, float], ...]:
    possible = np.isfinite(total)
    column = {pair.target: pair.source for pair in pairs}
    found: dict[int, dict[str, float]] = {pair.target: {} for pair in pairs}
    # Words are asked without what was learned: a translation must not vouch for itself.
    plain = scores.parts | {"words": scores.words_alone}
    for rows, columns in scores.blocks:
        place = {int(c): i for i, c in enumerate(columns)}
        taken = np.array([place.get(column.get(int(row), -1), -1) for row in rows], np.intp)
        block = np.ix_(rows, columns)
        for part in CONTRADICTING:
            gains = longing(plain[part][block].astype(np.float64), possible[block], taken)
            for row, gain in zip(rows, gains, strict=True):
                if int(row) in found:
                    found[int(row)][part] = float(gain)
    return tuple(found[pair.target] for pair in pairs)


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
