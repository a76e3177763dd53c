"""What is said of the gates of recurrent layers is true: reordered as it says, they compute the same."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from automatch.cells import Cell, cells
from automatch.tensor import Listing, Tensor
from slim_models import slim

tf1 = tf.compat.v1

STEPS = Path(__file__).parent / "files" / "forward" / "recurrent.npz"
LAYERS = {"LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}


def cell_of(weights: dict[str, np.ndarray]) -> Cell:
    (cell,) = set(cells(Listing(tuple(Tensor(n, w.shape, "float32") for n, w in weights.items()))).values())
    return cell


def in_keras(cell: Cell, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, steps: np.ndarray):
    """What the layer of Keras makes of the steps, with another one's weights in its own order of gates."""
    layer = LAYERS[cell.kind](recurrent.shape[0], return_sequences=True)
    layer.build(steps.shape)
    names = ("kernel", "recurrent_kernel", "bias")
    own = cell_of({f"layer/{n}": np.zeros(w.shape) for n, w in zip(names, layer.get_weights(), strict=True)})
    given, wanted = cell.order.split(", "), own.order.split(", ")

    def reordered(weight):
        blocks = dict(zip(given, np.split(weight, len(given), -1), strict=True))
        return np.concatenate([blocks[gate] for gate in wanted], -1)

    bias = reordered(bias)
    if cell.added != own.added:
        forget = wanted.index("f") * recurrent.shape[0]
        bias[forget : forget + recurrent.shape[0]] += cell.added - own.added
    layer.set_weights([reordered(kernel), reordered(recurrent), bias])
    return keras.ops.convert_to_numpy(layer(steps))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_lstm_cell_of_tensorflow_1():
    slim()
    from tf_keras.src.layers.rnn.legacy_cells import BasicLSTMCell

    steps = np.load(STEPS)["input"]
    with tf.Graph().as_default(), tf1.Session() as session:
        made, state = [], None
        cell = BasicLSTMCell(4)
        state = cell.zero_state(len(steps), tf.float32)
        for step in steps.transpose(1, 0, 2):
            output, state = cell(tf.constant(step), state)
            made.append(output)
        session.run(tf1.global_variables_initializer())
        kernel, bias = cell.weights
        session.run(bias.assign(np.linspace(-1, 1, 16)))
        expected = session.run(tf.stack(made, 1))
        weights = {v.op.name: session.run(v) for v in (kernel, bias)}
    kernel, bias = weights.values()
    found = in_keras(cell_of(weights), kernel[:5], kernel[5:], bias, steps)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_layers_of_pytorch(kind):
    file = np.load(STEPS)
    weights = {name: file[name] for name in file.files if name.startswith(f"{kind}.")}
    kernel, recurrent, *biases = weights.values()
    # Keras keeps the two biases of a GRU apart, too, and of an LSTM their sum.
    bias = np.stack(biases) if kind == "gru" else sum(biases)
    found = in_keras(cell_of(weights), kernel.T, recurrent.T, bias, file["input"])
    np.testing.assert_allclose(found, file[f"{kind} output"], rtol=1e-4, atol=1e-6)


def test_the_lstm_of_haiku():
    file = np.load(STEPS.with_name("haiku.npz"))
    kernel, bias = file["lstm/linear/w"], file["lstm/linear/b"]
    cell = cell_of({"lstm/linear/w": kernel, "lstm/linear/b": bias})
    found = in_keras(cell, kernel[:5], kernel[5:], bias, np.load(STEPS)["input"])
    np.testing.assert_allclose(found, file["output"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "leaves"),
    [
        # Of Flax, each gate has a layer of its own.
        ("OptimizedLSTMCell_0", {f"{side}{gate}/kernel": (4, 4) for side in "ih" for gate in "ifgo"}),
        ("GRUCell_0", {f"{side}{gate}/kernel": (4, 4) for side in "ih" for gate in "rzn"}),
        # Of Haiku, the update gate is the other way round.
        ("gru", {"w_i": (5, 12), "w_h": (4, 12), "b": (12,)}),
    ],
)
def test_no_order_is_told_of_cells_that_have_none_or_differ_in_more(cell, leaves):
    tensors = tuple(Tensor(f"{cell}/{leaf}", shape, "float32") for leaf, shape in leaves.items())
    assert cells(Listing(tensors)) == {}
