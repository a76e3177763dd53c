"""Sessions, graphs, models, modules and variables are listed like the files that they would make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from automatch.errors import UnsupportedTarget
from automatch.read import read
from automatch.read.live import named_variables
from automatch.tensor import Listing

tf1 = tf.compat.v1


def rows(listing: Listing) -> list[tuple[str, Any, str]]:
    return [(t.name, t.shape, t.dtype) for t in listing.tensors]


def build_graph(resource: bool) -> list[Any]:
    with tf1.variable_scope("net", use_resource=resource):
        table = tf1.get_variable("table", [10, 4], partitioner=tf1.fixed_size_partitioner(2))
        head = tf1.get_variable("head", [4, 3])
    loss = tf.reduce_sum(tf.matmul(tf.nn.embedding_lookup(table, [1, 2]), head))
    tf1.train.MomentumOptimizer(0.1, 0.9).minimize(loss)
    return [table, head]


@pytest.mark.parametrize("resource", [False, True])
def test_a_session_its_graph_and_its_file_are_listed_alike(tmp_path: Path, resource: bool) -> None:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        build_graph(resource)
        tf1.train.export_meta_graph(str(tmp_path / "graph.meta"))
        variables = tf1.global_variables()
        listings = [read(session), read(graph), read(variables), read(tmp_path / "graph.meta")]
    assert [listing.tensors for listing in listings] == [listings[-1].tensors] * 4
    assert [listing.order for listing in listings] == ["creation"] * 4
    assert listings[0].by_name["net/head/Momentum"].slot_of == "net/head"
    assert len(listings[0].by_name["net/table"].parts) == 2


def test_reading_a_session_adds_nothing_to_its_graph() -> None:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        build_graph(resource=True)
        before = len(graph.get_operations())
        graph.finalize()
        read(session)
        assert len(graph.get_operations()) == before


def test_a_monitored_session_is_a_session() -> None:
    with tf.Graph().as_default():
        build_graph(resource=True)
        tf1.train.get_or_create_global_step()
        with tf1.train.MonitoredTrainingSession() as session:
            assert "net/head" in read(session).by_name


def test_a_dict_names_variables_in_its_own_words() -> None:
    with tf.Graph().as_default():
        table, head = build_graph(resource=False)
        listing = read({"words": table, "out": head})
    assert rows(listing) == [("words", (10, 4), "float32"), ("out", (4, 3), "float32")]
    assert [part.name for part in listing.by_name["words"].parts] == ["net/table/part_0", "net/table/part_1"]
    flow = listing.by_name["out"].dataflow
    assert flow is not None
    assert flow.consumers == ("MatMul:1",)


def test_one_piece_of_a_partitioned_variable_is_a_variable_of_its_own() -> None:
    with tf.Graph().as_default():
        table, _ = build_graph(resource=True)
        assert rows(read([next(iter(table))])) == [("net/table/part_0", (5, 4), "float32")]


def test_keras_3_models_are_listed_by_path_in_order_of_creation() -> None:
    model = keras.Sequential(
        [keras.layers.Input((8,)), keras.layers.Dense(3), keras.layers.BatchNormalization()]
    )
    listing = read(model)
    assert [t.name for t in listing.tensors] == [weight.path for weight in model.weights]
    assert listing.framework == "keras3"
    assert [t.trainable for t in listing.tensors] == [True, True, True, True, False, False]
    assert listing.values is not None
    for name, variable in named_variables(model).items():
        assert np.array_equal(listing.values(name), variable.numpy())


def test_tf_keras_models_are_listed_by_name_in_order_of_creation() -> None:
    model = tf_keras.Sequential([tf_keras.layers.Input((8,)), tf_keras.layers.Dense(3, name="head")])
    listing = read(model)
    assert rows(listing) == [("head/kernel", (8, 3), "float32"), ("head/bias", (3,), "float32")]
    assert listing.framework == "keras2-tf"


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_keras_models_in_a_graph_know_what_is_done_with_their_variables(library: Any) -> None:
    with tf.Graph().as_default():
        layer = library.layers.Dense(3, name="head")
        model = library.Sequential([library.layers.Input((8,)), layer])
        model(tf1.placeholder(tf.float32, [1, 8]))
        kernel = read(model).tensors[0]
    assert kernel.dataflow is not None
    assert "MatMul:1" in kernel.dataflow.consumers


class Pair(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = tf.Variable([1.0])
        self.right = [tf.Variable([2.0]), tf.Variable([3, 4], trainable=False)]


def test_a_module_whose_variables_share_a_name_is_listed_by_its_attributes() -> None:
    listing = read(Pair())
    assert rows(listing) == [
        ("left", (1,), "float32"),
        ("right/0", (1,), "float32"),
        ("right/1", (2,), "int32"),
    ]


def test_a_module_with_names_of_its_own_is_listed_by_them() -> None:
    module = tf.Module()
    module.a, module.b = tf.Variable(1.0, name="first"), tf.Variable(2.0, name="scope/second")
    assert list(read(module).by_name) == ["first", "scope/second"]


def test_a_checkpoint_object_is_listed_by_the_keys_that_it_saves(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(3)])
    checkpoint = tf.train.Checkpoint(model=model, pair=Pair(), **{"with.dot": tf.Variable(1.0)})
    prefix = checkpoint.save(str(tmp_path / "ck"))
    saved = {t.name: (t.shape, t.dtype) for t in read(prefix).tensors if t.dtype != "string"}
    assert {t.name: (t.shape, t.dtype) for t in read(checkpoint).tensors} == saved


def test_arrays_are_a_source_with_values() -> None:
    arrays = {"a": np.zeros((2, 3), np.float16), "b": np.arange(4)}
    listing = read(arrays)
    assert rows(listing) == [("a", (2, 3), "float16"), ("b", (4,), "int64")]
    assert listing.values is not None
    assert listing.values("b").tolist() == [0, 1, 2, 3]


def test_a_listing_is_read_as_it_is() -> None:
    listing = Listing(())
    assert read(listing) is listing


@pytest.mark.parametrize("thing", [3, None, object(), {}, [], tf.Module(), keras.Sequential()], ids=repr)
def test_what_has_no_variables_is_refused(thing: Any) -> None:
    with pytest.raises(UnsupportedTarget, match=r"has no variables\. Build the model first"):
        read(thing)


def test_what_is_no_variable_is_named() -> None:
    with pytest.raises(UnsupportedTarget, match="holds a str, which is no variable"):
        read([tf.Variable(1.0), "w"])


def test_variables_that_nobody_has_named_are_numbered_as_in_a_graph() -> None:
    made = [tf.Variable([0.0]), tf.Variable([0.0], name="x"), tf.Variable([0.0])]
    assert [tensor.name for tensor in read(made).tensors] == ["Variable", "x", "Variable_1"]


def test_two_variables_of_one_name_ask_for_names() -> None:
    with pytest.raises(UnsupportedTarget, match="2 variables of this list are named 'w'"):
        read([tf.Variable(1.0, name="w"), tf.Variable(2.0, name="w")])
