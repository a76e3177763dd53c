"""SavedModels are listed by the keys of their checkpoint, with what their graph knows."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from automatch.errors import UnreadableFile
from automatch.read import read

tf1 = tf.compat.v1


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A SavedModel of TensorFlow 1."""
    with tf.Graph().as_default(), tf1.Session() as session:
        weight = tf1.get_variable("net/w", [2, 3])
        bias = tf1.get_variable("net/b", [3], trainable=False)
        image = tf1.placeholder(tf.float32, [1, 2])
        out = tf.nn.bias_add(tf.matmul(image, weight), bias)
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.Builder(str(tmp_path / "first"))
        signature = tf1.saved_model.predict_signature_def({"image": image}, {"out": out})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return tmp_path / "first"


def test_a_model_of_tensorflow_1_has_the_order_and_readers_of_its_graph(first: Path) -> None:
    listing = read(first)
    assert [(t.name, t.trainable) for t in listing.tensors] == [("net/w", True), ("net/b", False)]
    assert (listing.order, listing.format) == ("creation", "saved-model")
    flow = listing.by_name["net/w"].dataflow
    assert flow is not None
    assert flow.consumers == ("MatMul:1",)
    assert read(first / "saved_model.pb").tensors == listing.tensors
    assert listing.values is not None
    assert listing.values("net/b").shape == (3,)


def test_a_model_of_tensorflow_2_has_full_names_and_trainable(tmp_path: Path) -> None:
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input((8,)),
            tf_keras.layers.Dense(3, name="head"),
            tf_keras.layers.BatchNormalization(name="norm"),
        ]
    )
    tf.saved_model.save(model, str(tmp_path))
    listing = read(tmp_path)
    found = {t.full_name: (t.trainable, t.shape) for t in listing.tensors if t.full_name}
    assert found["head/kernel"] == (True, (8, 3))
    assert found["norm/moving_mean"] == (False, (3,))
    assert listing.values is not None
    key = next(t.name for t in listing.tensors if t.full_name == "head/kernel")
    assert np.array_equal(listing.values(key), model.weights[0].numpy())


def test_an_exported_keras_3_model_is_read(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(3, name="head")])
    model.export(str(tmp_path / "export"), verbose=False)
    listing = read(tmp_path / "export")
    assert any((tensor.full_name or "").endswith("head/kernel") for tensor in listing.tensors)


def test_a_model_without_its_weights_is_listed_with_a_note(first: Path) -> None:
    shutil.rmtree(first / "variables")
    listing = read(first)
    assert [t.name for t in listing.tensors] == ["net/w", "net/b"]
    assert listing.values is None
    assert "values cannot be restored" in listing.notes[0]


def test_a_model_without_variables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    with pytest.raises(UnreadableFile, match="names no variables"):
        read(tmp_path)
