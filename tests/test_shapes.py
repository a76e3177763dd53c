"""Which transforms lead from one shape to another, tried on arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automatch.shapes import is_vector, options, squeezed
from automatch.transform import parse

SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 6]), max_size=4).map(tuple)
FRAMEWORKS = st.sampled_from(["tf1", "keras2", "keras3", "torch", "flax"])
TENSORFLOW = st.sampled_from(["tf1", "keras2", "keras3"])


@given(SHAPES, SHAPES, FRAMEWORKS, FRAMEWORKS)
def test_every_way_that_is_offered_works_and_no_two_do_the_same(
    source: tuple[int, ...], target: tuple[int, ...], framework: str, other: str
) -> None:
    array = np.arange(math.prod(source)).reshape(source)
    made = [
        parse(text).apply(array, target, "int64") for text, _ in options(source, target, framework, other)
    ]
    assert all(result.shape == target for result in made)
    assert len({result.tobytes() for result in made}) == len(made)


@given(SHAPES, SHAPES, TENSORFLOW, TENSORFLOW)
def test_between_tensorflow_sides_values_keep_their_order(
    source: tuple[int, ...], target: tuple[int, ...], framework: str, other: str
) -> None:
    array = np.arange(math.prod(source)).reshape(source)
    for text, kind in options(source, target, framework, other):
        assert kind == "keep"
        assert parse(text).apply(array, target, "int64").ravel().tolist() == array.ravel().tolist()


@given(SHAPES, SHAPES, FRAMEWORKS, FRAMEWORKS)
def test_what_leads_there_leads_back(
    source: tuple[int, ...], target: tuple[int, ...], framework: str, other: str
) -> None:
    there = {kind for _, kind in options(source, target, framework, other)}
    back = {kind for _, kind in options(target, source, other, framework)}
    assert ("keep" in there) == ("keep" in back)


@given(SHAPES, FRAMEWORKS)
def test_an_equal_shape_is_first_of_all_taken_as_it_is(shape: tuple[int, ...], framework: str) -> None:
    assert options(shape, shape, framework, framework)[0] == ("identity", "keep")


@pytest.mark.parametrize(
    ("source", "target", "frameworks", "texts"),
    [
        ((64, 3, 7, 7), (7, 7, 3, 64), ("torch", "keras2"), ["transpose:2,3,1,0"]),
        ((1, 1, 64, 10), (64, 10), ("tf1", "tf1"), ["reshape"]),
        ((10, 64, 1, 1), (64, 10), ("torch", "tf1"), ["transpose:2,3,1,0+reshape"]),
        ((32, 1, 3, 3), (3, 3, 32, 1), ("torch", "tf1"), ["transpose:2,3,0,1"]),
        ((1, 1, 16, 64), (16, 64, 1, 1), ("tf1", "torch"), []),
        ((768, 12, 64), (768, 768), ("flax", "tf1"), ["reshape"]),
        ((768, 12, 64), (768, 768), ("flax", "torch"), ["reshape", "transpose:1,2,0+reshape"]),
        ((5, 4), (4, 5), ("tf1", "keras2"), []),
        ((6, 4), (8, 3), ("tf1", "tf1"), []),
    ],
)
def test_layouts_of_frameworks(
    source: tuple[int, ...], target: tuple[int, ...], frameworks: tuple[str, str], texts: list[str]
) -> None:
    assert [text for text, _ in options(source, target, *frameworks)] == texts


@given(SHAPES)
def test_a_vector_has_one_axis_that_counts(shape: tuple[int, ...]) -> None:
    assert is_vector(shape) == (sum(axis != 1 for axis in shape) <= 1)
    assert math.prod(squeezed(shape)) == math.prod(shape)
