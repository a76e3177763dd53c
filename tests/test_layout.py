"""Kernel layouts by framework, proved with the convolutions and products of the frameworks themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.layout import axes, convention, expected_transform
from automatch.transform import parse

FRAMEWORKS = ("tf1", "keras2-h5", "keras3", "tf2-object", "flax", "haiku", "flax-npz", "torch")
RANKS = {
    "conv": (3, 4, 5),
    "conv_transpose": (3, 4),
    "depthwise": (4,),
    "dense": (2,),
    "recurrent": (2,),
    "embedding": (2,),
}


@pytest.mark.parametrize("kind", RANKS)
@settings(deadline=None)
@given(st.data())
def test_there_and_back_is_where_one_came_from(kind, data):
    rank = data.draw(st.sampled_from(RANKS[kind]))
    here, there = data.draw(st.sampled_from(FRAMEWORKS)), data.draw(st.sampled_from(FRAMEWORKS))
    sizes = {"in": 5, "out": 7, "in*multiplier": 10, "multiplier": 2, "1": 1, "words": 11, "features": 6}
    shapes = [tuple(sizes.get(axis, 3) for axis in axes(who, kind, rank)) for who in (here, there)]
    kernel = np.arange(np.prod(shapes[0])).reshape(shapes[0])
    way, back = expected_transform(here, there, kind, rank), expected_transform(there, here, kind, rank)
    moved = parse(way).apply(kernel, shapes[1], "int64")
    np.testing.assert_array_equal(parse(back).apply(moved, shapes[0], "int64"), kernel)


def test_what_a_kind_cannot_be_has_no_layout():
    assert axes("torch", "dense", 3) is None
    assert axes("tf1", "conv", 2) is None
    assert expected_transform("tf1", "torch", "vector", 1) == "identity"


def test_a_depthwise_kernel_of_torch_computes_in_tensorflow_what_a_grouped_convolution_does():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(1, 6, 6, 3)), rng.normal(size=(6, 1, 3, 3))
    moved = parse(expected_transform("torch", "keras3", "depthwise", 4)).apply(
        kernel, (3, 3, 3, 2), "float64"
    )
    found = tf.nn.depthwise_conv2d(image, moved, [1, 1, 1, 1], "VALID").numpy()
    # A grouped convolution by hand: output channel c sees input channel c // 2 alone.
    expected = np.zeros_like(found)
    for c, y, x in itertools.product(range(6), range(4), range(4)):
        expected[0, y, x, c] = (image[0, y : y + 3, x : x + 3, c // 2] * kernel[c, 0]).sum()
    np.testing.assert_allclose(found, expected)


def test_a_depthwise_kernel_of_flax_is_a_grouped_convolution_of_tensorflow():
    rng = np.random.default_rng(0)
    image, kernel = rng.normal(size=(1, 6, 6, 3)), rng.normal(size=(3, 3, 1, 6))
    moved = parse(expected_transform("flax", "keras3", "depthwise", 4)).apply(kernel, (3, 3, 3, 2), "float64")
    found = tf.nn.depthwise_conv2d(image, moved, [1, 1, 1, 1], "VALID")
    np.testing.assert_allclose(found, tf.nn.conv2d(image, kernel, 1, "VALID"))


@pytest.mark.parametrize(
    ("framework", "whose"), [("torch", "torch"), ("npz", "tensorflow"), ("flax-npz", "flax")]
)
def test_every_framework_follows_one_convention(framework, whose):
    assert convention(framework) == whose
