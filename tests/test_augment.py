"""The cheapest assignment of a small block, against SciPy's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment

from automatch.augment import cheapest

# Few different values, so that many assignments are equally good; and large ones, which stand for "never".
COSTS = array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
    lambda shape: arrays(
        np.float64,
        (min(shape), max(shape)),
        elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-9, 9), st.just(1e6)),
    )
)


@settings(max_examples=300, deadline=None)
@given(COSTS)
def test_of_all_optima_it_is_the_one_that_scipy_finds(cost: npt.NDArray[np.float64]) -> None:
    rows, columns = linear_sum_assignment(cost)
    assert rows.tolist() == list(range(len(cost)))
    assert cheapest(cost).tolist() == columns.tolist()


def test_a_long_sequence_shifts_as_a_whole_where_that_is_cheapest() -> None:
    places = np.arange(60)
    cost = np.abs(places[:, None] - places[None, :] + 1) * 0.1
    cost[-1, 0] = 0.0
    assert cheapest(cost).tolist() == [*range(1, 60), 0]


def test_no_rows_take_no_columns() -> None:
    assert cheapest(np.zeros((0, 4))).tolist() == []
