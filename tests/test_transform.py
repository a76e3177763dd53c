"""Transforms: read, applied, compared, chained."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automatch.casts import misfit, narrows
from automatch.errors import PlanConflict
from automatch.transform import IDENTITY, Step, Transform, compose, numpy_dtype, parse, same_effect

SIZES = st.sampled_from([1, 1, 2, 2, 3, 4, 6])


@st.composite
def factored(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """A shape of exactly this many elements."""
    shape = []
    while size > 1:
        axis = draw(st.sampled_from([d for d in range(1, size + 1) if size % d == 0]))
        shape.append(axis)
        size //= axis
        if len(shape) == 4:
            break
    return tuple([*shape, size] if size > 1 else shape)


@st.composite
def chains(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Transform, tuple[int, ...]]:
    """A transform for this shape, and the shape that comes out."""
    steps: list[Step] = []
    for _ in range(draw(st.integers(0, 4))):
        if shape and draw(st.booleans()):
            perm = tuple(draw(st.permutations(range(len(shape)))))
            steps.append(Step("transpose", perm))
            shape = tuple(shape[axis] for axis in perm)
        else:
            wider = draw(factored(math.prod(shape)))
            if wider:
                shape = wider
                steps.append(Step("reshape", shape))
    return Transform(tuple(steps)), shape


def by_numpy(transform: Transform, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The plain way: one numpy call a step."""
    for step in transform.steps:
        array = array.reshape(step.axes) if step.kind == "reshape" else array.transpose(step.axes)
    return array.reshape(shape)


shapes = st.lists(SIZES, min_size=1, max_size=4).map(tuple)


@given(st.data(), shapes)
def test_apply_gives_what_numpy_gives_step_by_step(data: st.DataObject, shape: tuple[int, ...]) -> None:
    transform, result = data.draw(chains(shape))
    source = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(
        transform.apply(source, result, "float32"), by_numpy(transform, source, result)
    )


@given(st.data(), shapes)
def test_same_effect_holds_exactly_where_every_element_agrees(
    data: st.DataObject, shape: tuple[int, ...]
) -> None:
    (a, one), (b, _) = data.draw(chains(shape)), data.draw(chains(shape))
    last = (Step("reshape"),)
    a, b = Transform((*a.steps, *last)), Transform((*b.steps, *last))
    source = np.arange(math.prod(shape)).reshape(shape)
    agree = np.array_equal(a.apply(source, one, "int64"), b.apply(source, one, "int64"))
    assert same_effect(a, b, shape, one) == agree


@given(st.data(), shapes)
def test_a_chain_of_two_does_what_they_do_one_after_the_other(
    data: st.DataObject, shape: tuple[int, ...]
) -> None:
    first, middle = data.draw(chains(shape))
    second, last = data.draw(chains(middle))
    both = compose(first, second, shape, middle, last)
    source = np.arange(math.prod(shape)).reshape(shape)
    expected = second.apply(first.apply(source, middle, "int64"), last, "int64")
    np.testing.assert_array_equal(both.apply(source, last, "int64"), expected)


@given(st.data(), shapes, st.booleans())
def test_text_reads_back_as_the_same_transform(
    data: st.DataObject, shape: tuple[int, ...], cast: bool
) -> None:
    transform = Transform(data.draw(chains(shape))[0].steps, cast)
    assert parse(str(transform)) == transform


@pytest.mark.parametrize(
    "text",
    [
        "identity",
        "reshape",
        "transpose:1,0",
        "transpose:3,2,0,1+reshape",
        "reshape:8,4+transpose:1,0",
        "identity+cast",
    ],
)
def test_the_documented_notations_keep_their_spelling(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "cast", "transpose", "transpose:", "transpose:1,1", "transpose:0,2", "reshape+transpose:1,0",
     "flip:0", "identity+reshape", "reshape:2,-1", "reshape:٣", "transpose:1,0+", "reshape:" + "9" * 40],
)  # fmt: skip
def test_any_other_text_is_refused_and_named(text: str) -> None:
    with pytest.raises(PlanConflict, match="cannot be read"):
        parse(text)


def test_equal_effects_are_seen_on_tensors_of_billions_of_elements() -> None:
    shape, target = (32, 1024, 1, 65536), (65536, 32 * 1024)
    assert same_effect("transpose:3,2,0,1+reshape", "transpose:3,0,1,2+reshape", shape, target)
    assert same_effect("transpose:3,2,0,1+reshape", "reshape:32768,65536+transpose:1,0", shape, target)
    assert not same_effect("transpose:3,2,1,0+reshape", "transpose:3,2,0,1+reshape", shape, target)


def test_a_cast_is_part_of_the_effect() -> None:
    assert not same_effect("identity", "identity+cast", (2,), (2,))
    assert same_effect("identity+cast", "reshape+cast", (2,), (2,))


def test_a_reshape_that_cuts_through_transposed_axes_is_compared_too() -> None:
    cut = "transpose:1,0+reshape:2,3+transpose:1,0"
    assert same_effect(cut, "transpose:1,0+reshape:2,3+transpose:1,0+reshape", (2, 3), (3, 2))
    assert not same_effect(cut, "reshape", (2, 3), (3, 2))


@pytest.mark.parametrize(
    ("text", "source", "target", "fits"),
    [
        ("identity", (2, 3), (2, 3), True),
        ("identity", (2, 3), (3, 2), False),
        ("identity", (2, 3), (2, -1), True),
        ("identity", (2, 3), None, True),
        ("identity", None, (2, 3), True),
        ("reshape", None, (2, 3), False),
        ("reshape", (4, 3), (2, -1), True),
        ("reshape", (4, 3), (5, -1), False),
        ("reshape", (4, 3), (2, 5), False),
        ("transpose:1,0", (2, 3), (3, 2), True),
        ("transpose:1,0", (2, 3), (6,), False),
        ("transpose:1,0+reshape", (2, 3), (6,), True),
        ("transpose:1,0", (2, 3, 1), (3, 2, 1), False),
        ("reshape:8,4,2+transpose:0,2,1", (8, 8), (8, 2, 4), True),
        ("reshape:8,4,2+transpose:0,2,1", (8, 8), (64,), True),
        ("reshape:8,4,3+transpose:0,2,1", (8, 8), (8, 3, 4), False),
        ("reshape", (), (1, 1), True),
        ("reshape", (0, 3), (0,), True),
    ],
)
def test_fits_answers_before_any_value_is_read(
    text: str, source: tuple[int, ...] | None, target: tuple[int, ...] | None, fits: bool
) -> None:
    assert parse(text).fits(source, target) is fits


def test_a_transform_that_does_not_fit_is_refused_with_both_shapes() -> None:
    with pytest.raises(PlanConflict, match=r"'transpose:1,0' does not turn shape \[2, 3\] into \[2, 3\]"):
        parse("transpose:1,0").apply(np.zeros((2, 3), np.float32), (2, 3), "float32")


def test_a_dtype_changes_only_where_a_cast_is_written() -> None:
    half = np.ones(2, np.float16)
    with pytest.raises(PlanConflict, match="keeps float16, but the target is float32"):
        IDENTITY.apply(half, (2,), "float32")
    assert parse("identity+cast").apply(half, (2,), "bfloat16").dtype == numpy_dtype("bfloat16")


NUMBERS = ["int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("wanted", NUMBERS)
@pytest.mark.parametrize("stored", NUMBERS)
def test_values_are_looked_at_exactly_where_a_cast_can_lose_one(stored: str, wanted: str) -> None:
    whole = "int" in stored
    found = (ml_dtypes.iinfo if whole else ml_dtypes.finfo)(numpy_dtype(stored))
    extremes = [found.min, found.max, 0, *([] if whole else [np.nan, np.inf])]
    lost = [misfit(np.array([1, value], numpy_dtype(stored)), wanted) for value in extremes]
    assert any(value is not None for value in lost) == narrows(stored, wanted)


def test_moving_ones_and_zeros_of_elements_moves_no_values() -> None:
    assert not parse("transpose:1,0").moves_values((1, 5))
    assert not parse("transpose:1,0").moves_values((0, 5))
    assert parse("transpose:1,0").moves_values((2, 5))


def test_views_share_memory_with_the_source() -> None:
    source = np.arange(24.0).reshape(2, 3, 4)
    assert np.shares_memory(parse("transpose:2,0,1+reshape").view(source), source)
