"""What a right pair may still need is said, and only where it is so."""

from __future__ import annotations

import pytest

from automatch.caveats import caveats
from automatch.tensor import Listing, Tensor


def listing(framework, **shapes):
    return Listing(
        tuple(Tensor(name, shape, "float32") for name, shape in shapes.items()), framework=framework
    )


KERAS = {"lstm/kernel": (5, 16), "lstm/recurrent_kernel": (4, 16), "lstm/bias": (16,)}
TORCH = {
    "rnn.weight_ih_l0": (16, 5),
    "rnn.weight_hh_l0": (16, 4),
    "rnn.bias_ih_l0": (16,),
    "rnn.bias_hh_l0": (16,),
}
FUSED = {"rnn/basic_lstm_cell/kernel": (9, 16), "rnn/basic_lstm_cell/bias": (16,)}
GRU = {
    name.replace("lstm", "gru"): tuple(12 if n == 16 else n for n in shape) for name, shape in KERAS.items()
}
TORCH_GRU = {name: tuple(12 if n == 16 else n for n in shape) for name, shape in TORCH.items()}


def test_gates_of_tensorflow_and_keras_stand_in_another_order_and_one_adds_to_its_bias():
    pairs = [("rnn/basic_lstm_cell/bias", "lstm/bias")]
    order, added = caveats(listing("tf1", **FUSED), listing("keras3", **KERAS), pairs)
    assert "i, c, f, o in 'rnn/basic_lstm_cell/bias', i, f, c, o in 'lstm/bias'" in order
    assert "cells of the source add 1" in added
    assert "add 1 to the forget block" in added


def test_the_other_way_round_one_is_to_be_taken_away():
    pairs = [("lstm/bias", "rnn/basic_lstm_cell/bias")]
    _, added = caveats(listing("keras3", **KERAS), listing("tf1", **FUSED), pairs)
    assert "cells of the target add 1" in added
    assert "take 1 from the forget block" in added


def test_two_biases_of_torch_are_to_be_added_up_but_its_lstm_gates_stand_as_in_keras():
    (found,) = caveats(
        listing("torch", **TORCH), listing("keras3", **KERAS), [("rnn.bias_ih_l0", "lstm/bias")]
    )
    assert "uses their sum" in found


def test_gates_of_a_gru_differ_between_torch_and_keras():
    pairs = [("rnn.weight_ih_l0", "gru/kernel")]
    (found,) = caveats(listing("torch", **TORCH_GRU), listing("keras3", **GRU), pairs)
    assert found.startswith("GRU gates stand in another order: r, z, h in 'rnn.weight_ih_l0', z, r, h in")


@pytest.mark.parametrize("weights", [KERAS, TORCH, FUSED])
def test_equal_cells_need_nothing(weights):
    both = listing("tf1", **weights)
    assert caveats(both, both, [(name, name) for name in weights]) == []


VGG = {"features.0.weight": (64, 3, 3, 3), "features.28.weight": (512, 512, 3, 3), "features.28.bias": (512,)}


def test_rows_behind_a_flattened_image_are_permuted_between_torch_and_tensorflow():
    torch = listing("torch", **VGG, **{"classifier.0.weight": (4096, 25088), "classifier.0.bias": (4096,)})
    keras = listing("keras3", **{"fc1/kernel": (25088, 4096)})
    (found,) = caveats(torch, keras, [("classifier.0.weight", "fc1/kernel")])
    assert "'classifier.0.weight' seems to take a flattened image of 512 channels" in found
    assert "25088 inputs" in found


def test_a_layer_behind_another_layer_of_its_width_is_not_taken_for_one_behind_an_image():
    torch = listing(
        "torch", **VGG, **{"fc1.weight": (2048, 512), "fc1.bias": (2048,), "fc2.weight": (512, 2048)}
    )
    keras = listing("keras3", **{"fc2/kernel": (2048, 512)})
    assert caveats(torch, keras, [("fc2.weight", "fc2/kernel")]) == []


def test_images_and_epsilon_are_mentioned_once_between_libraries_and_not_within_one():
    torch = listing("torch", **{"stem.weight": (8, 3, 3, 3), "bn.running_var": (8,)})
    keras = listing("keras3", **{"stem/kernel": (3, 3, 3, 8), "bn/moving_variance": (8,)})
    image, epsilon = caveats(
        torch, keras, [("stem.weight", "stem/kernel"), ("bn.running_var", "bn/moving_variance")]
    )
    assert "RGB or BGR" in image
    assert "epsilon" in epsilon
    older = listing("keras2-h5", **{"stem/kernel": (3, 3, 3, 8), "bn/moving_variance": (8,)})
    assert caveats(older, keras, [(name, name) for name in keras.by_name]) == []


def test_transposed_convolutions_of_flax_are_turned():
    flax = listing("flax", **{"ConvTranspose_0/kernel": (3, 3, 4, 8)})
    keras = listing("keras3", **{"conv2d_transpose/kernel": (3, 3, 8, 4)})
    (found,) = caveats(flax, keras, [("ConvTranspose_0/kernel", "conv2d_transpose/kernel")])
    assert "180 degrees" in found
