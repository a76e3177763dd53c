"""The best assignment and its margins, against trying out everything."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.assign import ALONE, Assigned, assign, longing

Scores = npt.NDArray[np.float32]

MATRICES = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(-3, 12), min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
    ).map(lambda rows: np.array(rows, np.float32))
)


def solved(scores: Scores) -> list[Assigned]:
    rows, columns = scores.shape
    return list(assign(scores, [(np.arange(rows), np.arange(columns))]))


def best(scores: Scores, without: tuple[int, int] | None = None) -> float:
    """The highest total of any assignment, by trying them all; no counterpart is worth ALONE."""
    rows, columns = scores.shape
    worth = scores.astype(float).copy()
    if without is not None:
        worth[without] = -1e9
    places = [*range(columns), *[-1] * rows]
    totals = (
        sum(ALONE if place < 0 else worth[row, place] for row, place in enumerate(order))
        for order in set(permutations(places, rows))
    )
    return max(totals)


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_no_other_assignment_is_worth_more(scores: Scores) -> None:
    pairs = solved(scores)
    total = sum(pair.score for pair in pairs) + ALONE * (len(scores) - len(pairs))
    assert total == pytest.approx(best(scores))
    assert len({pair.source for pair in pairs}) == len(pairs)
    assert all(pair.score > ALONE for pair in pairs)


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_a_margin_is_what_the_total_loses_without_the_pair(scores: Scores) -> None:
    for pair in solved(scores):
        loss = best(scores) - best(scores, without=(pair.target, pair.source))
        assert pair.margin == pytest.approx(loss, abs=1e-5)


def test_a_sequence_that_could_shift_has_no_margin() -> None:
    # Three targets of one row fit four sources as well from the first as from the second on.
    scores = np.full((3, 4), -9, np.float32)
    for row in range(3):
        scores[row, row] = scores[row, row + 1] = 5
    assert [pair.margin for pair in solved(scores)] == [0, 0, 0]


def test_blocks_do_not_meet() -> None:
    scores = np.array([[9, 99], [99, 9]], np.float32)
    one, two = (np.array([0]), np.array([0])), (np.array([1]), np.array([1]))
    assert [(pair.target, pair.source) for pair in assign(scores, [one, two])] == [(0, 0), (1, 1)]


def test_what_is_impossible_is_never_assigned() -> None:
    scores = np.array([[-np.inf, 5], [-np.inf, 9]], np.float32)
    assert [(pair.target, pair.source) for pair in solved(scores)] == [(1, 1)]


def test_a_kind_of_evidence_longs_for_the_exchange_it_likes_best() -> None:
    part = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    possible = np.ones_like(part, bool)
    assert longing(part, possible, np.array([0, 1, 2])).tolist() == [5.0, 5.0, 0.0]
    possible[1, 0] = False
    assert longing(part, possible, np.array([0, 1, -1])).tolist() == [0.0, 0.0, 0.0]
