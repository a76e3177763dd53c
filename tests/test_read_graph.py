"""Graphs tell their variables and what is done with them, as TensorFlow built them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.variable_pb2 import VariableDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

from automatch.errors import UnreadableFile
from automatch.read import read
from automatch.read.dataflow import plain_op
from automatch.tensor import Dataflow, Listing, Tensor
from real_files import DATA, GRAPHS, RealFile

tf1 = tf.compat.v1


def exported(path: Path) -> Listing:
    """The listing of the current graph, by way of a file."""
    tf1.train.export_meta_graph(str(path / "graph.meta"))
    return read(path / "graph.meta")


def flow(tensor: Tensor) -> Dataflow:
    assert tensor.dataflow is not None
    return tensor.dataflow


@pytest.mark.parametrize("file", GRAPHS, ids=str)
def test_real_graphs_have_the_variables_that_their_owner_listed(file: RealFile) -> None:
    listing = read(file.path)
    # A partitioned variable is listed once, its pieces beside it; lookup tables are saveables, not variables.
    flat = [
        (part.name, part.shape, tensor.dtype) if part else (tensor.name, tensor.shape, tensor.dtype)
        for tensor in listing.tensors
        for part in tensor.parts or (None,)
    ]
    expected = [row for row in file.variables if row[0] not in listing.saveables]
    if file.side["order"] == "sorted":
        flat, expected = sorted(flat), sorted(expected)
    for ours, theirs in zip(flat, expected, strict=True):
        # A shape that only running the graph would tell is unknown.
        assert ours == theirs or (ours[1] is None and -1 in theirs[1])


@pytest.mark.parametrize("file", GRAPHS, ids=str)
def test_real_graphs_are_understood_as_tensorflow_reads_them(file: RealFile) -> None:
    meta = MetaGraphDef.FromString(file.path.read_bytes())
    names = {
        key: {VariableDef.FromString(value).variable_name.removesuffix(":0") for value in listed}
        for key in ("variables", "trainable_variables")
        for listed in [meta.collection_def[key].bytes_list.value]
    }
    found = [(part, tensor) for tensor in read(file.path).tensors for part in tensor.parts or [tensor]]
    trainable = {part.name: tensor.trainable for part, tensor in found}
    assert names["variables"] <= set(trainable)
    assert {name for name, flag in trainable.items() if flag} == names["trainable_variables"]
    nodes = {node.name: node for node in meta.graph_def.node}
    for part, tensor in found:
        attributes = nodes[part.name].attr
        shape = tf.TensorShape(attributes["shape"].shape)
        assert part.shape == (None if shape.rank is None else tuple(shape))
        assert tensor.dtype == tf.as_dtype(attributes["dtype"].type).name


@pytest.mark.parametrize("file", [f for f in GRAPHS if "saver_names" in f.side], ids=str)
def test_what_a_saver_asks_for_is_what_is_listed(file: RealFile) -> None:
    listing = read(file.path)
    wanted = [name if isinstance(name, str) else name[0] for name in file.side["saver_names"]]
    assert set(wanted) <= {*listing.by_name, *listing.saveables}


def test_lookup_tables_are_saveables() -> None:
    listing = read(DATA / "tables-strings_scope_added" / "graph.meta")
    assert listing.saveables[:2] == ("text/word_table-keys", "text/word_table-values")
    assert "text/enc/w" in listing.by_name


def test_variables_on_a_second_device_are_listed_though_in_no_collection() -> None:
    listing = read(DATA / "mirrored-strategy_single_to_2-replicas" / "graph.meta")
    copy = listing.by_name["model/net/conv2d/kernel/replica_1"]
    assert copy.trainable is None
    assert flow(copy).consumers == ("Conv2D:1",)


@pytest.mark.parametrize("resource", [False, True])
def test_initializers_readers_and_depth_of_a_small_network(tmp_path: Path, resource: bool) -> None:
    with tf.Graph().as_default(), tf1.variable_scope("net", use_resource=resource):
        image = tf1.placeholder(tf.float32, [2, 8, 8, 3])
        kernel = tf1.get_variable("kernel", [3, 3, 3, 4])
        scale = tf1.get_variable("scale", [4], initializer=tf1.ones_initializer())
        offset = tf1.get_variable("offset", [4], initializer=tf1.zeros_initializer())
        mean = tf1.get_variable("mean", [4], initializer=tf1.zeros_initializer(), trainable=False)
        variance = tf1.get_variable("variance", [4], initializer=tf1.ones_initializer(), trainable=False)
        table = tf1.get_variable("table", [10, 4], initializer=tf1.random_normal_initializer())
        head = tf1.get_variable("head", [4, 5], initializer=tf1.constant_initializer(0.3))
        net = tf.nn.conv2d(image, kernel, 1, "SAME")
        net, *_ = tf1.nn.fused_batch_norm(net, scale, offset, mean, variance, is_training=False)
        pooled = tf.reduce_mean(tf.nn.relu(net), [1, 2]) + tf.gather(table, [1, 2])
        tf.matmul(pooled, head)
        tf1.get_variable("unread", [7], initializer=tf1.zeros_initializer())
        listing = exported(tmp_path)
    found = {t.name.removeprefix("net/"): flow(t) for t in listing.tensors}
    assert {name: (f.initializer, f.consumers) for name, f in found.items()} == {
        "kernel": ("random", ("Conv2D:1",)),
        "scale": ("ones", ("FusedBatchNorm:1",)),
        "offset": ("zeros", ("FusedBatchNorm:2",)),
        "mean": ("zeros", ("FusedBatchNorm:3",)),
        "variance": ("ones", ("FusedBatchNorm:4",)),
        "table": ("random", ("Gather:0",)),
        "head": ("constant", ("MatMul:1",)),
        "unread": ("zeros", ()),
    }
    assert found["unread"].depth is None
    depths = [found[name].depth or 0 for name in ("kernel", "scale", "head")]
    assert depths == sorted(set(depths))


@pytest.mark.parametrize("resource", [False, True])
def test_a_moving_statistic_is_read_like_the_input_that_it_becomes(tmp_path: Path, resource: bool) -> None:
    with tf.Graph().as_default(), tf1.variable_scope("net", use_resource=resource):
        image = tf1.placeholder(tf.float32, [2, 8, 8, 3])
        ones, zeros = tf.ones([3]), tf.zeros([3])
        _, mean, variance, *_ = tf1.raw_ops.FusedBatchNormV3(
            x=image, scale=ones, offset=zeros, mean=[], variance=[], is_training=True
        )
        for name, value in (("a", mean), ("b", variance)):
            average = tf1.get_variable(name, [3], trainable=False)
            tf1.assign_sub(average, (average - value) * 0.01)
        listing = exported(tmp_path)
    assert "FusedBatchNorm:3" in flow(listing.by_name["net/a"]).consumers
    assert "FusedBatchNorm:4" in flow(listing.by_name["net/b"]).consumers


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "kinds"),
    [
        (lambda: tf1.train.MomentumOptimizer(0.1, 0.9), ["momentum"]),
        (lambda: tf1.train.AdamOptimizer(), ["m", "v"]),
        (lambda: tf1.train.AdagradOptimizer(0.1), ["accumulator"]),
        (lambda: tf1.train.AdadeltaOptimizer(), ["accum_grad", "accum_var"]),
        (lambda: tf1.train.FtrlOptimizer(0.1), ["accumulator", "linear"]),
        (lambda: tf1.train.RMSPropOptimizer(0.1, centered=True), ["rms", "rms_centered", "rms_momentum"]),
    ],
)
def test_slots_are_known_by_the_op_that_updates_them(tmp_path, optimizer, kinds, resource) -> None:  # type: ignore[no-untyped-def]
    with tf.Graph().as_default():
        dense = tf1.get_variable("dense", [4, 4], use_resource=resource)
        table = tf1.get_variable("table", [9, 4], use_resource=resource)
        loss = tf.reduce_sum(tf.matmul(tf.gather(table, [1, 2]), dense))
        optimizer().minimize(loss)
        listing = exported(tmp_path)
    for name in ("dense", "table"):
        assert sorted(t.slot or "" for t in listing.tensors if t.slot_of == name) == kinds


def test_slots_of_a_hand_written_optimizer_are_found(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        weights = [tf1.get_variable(f"w{i}", [4, 4]) for i in range(3)]
        value = tf.ones([1, 4])
        for weight in weights:
            value = tf.nn.relu(tf.matmul(value, weight))
        grads, _ = tf.clip_by_global_norm(tf.gradients(tf.reduce_sum(value), weights), 1.0)
        for weight, grad in zip(weights, grads, strict=True):
            first = tf1.get_variable(weight.op.name + "/first", [4, 4], trainable=False)
            second = tf1.get_variable(weight.op.name + "/second", [4, 4], trainable=False)
            next_first = 0.9 * first + 0.1 * grad
            next_second = 0.999 * second + 0.001 * tf.square(grad)
            update = next_first / (tf.sqrt(next_second) + 1e-6) + 0.01 * weight
            tf.group(weight.assign(weight - update), first.assign(next_first), second.assign(next_second))
        listing = exported(tmp_path)
    slots = {t.name: (t.slot_of, t.slot) for t in listing.tensors if t.slot}
    assert slots == {f"w{i}/{kind}": (f"w{i}", kind) for i in range(3) for kind in ("first", "second")}
    assert all(flow(listing.by_name[f"w{i}"]).consumers == ("MatMul:1",) for i in range(3))


@pytest.mark.parametrize("resource", [False, True])
def test_moving_averages_are_slots_of_what_they_average(tmp_path: Path, resource: bool) -> None:
    with tf.Graph().as_default():
        weight = tf1.get_variable("w", [3], use_resource=resource)
        tf1.train.ExponentialMovingAverage(0.9).apply([weight])
        listing = exported(tmp_path)
    (average,) = (t for t in listing.tensors if t.slot)
    assert (average.slot_of, average.slot) == ("w", "ema")


def test_readers_inside_loops_branches_and_functions_are_found(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        tf1.enable_control_flow_v2()
        kernel = tf1.get_variable("kernel", [4, 4], use_resource=True)
        chosen = tf1.get_variable("chosen", [4], use_resource=True)
        called = tf1.get_variable("called", [4], use_resource=True)

        @tf.function
        def add(value: tf.Tensor) -> tf.Tensor:
            return tf.nn.bias_add(value, called)

        (value,) = tf.while_loop(
            lambda _: True, lambda v: [tf.matmul(v, kernel)], [tf.ones([1, 4])], maximum_iterations=3
        )
        value = tf.cond(tf.reduce_sum(value) > 0, lambda: tf.nn.bias_add(value, chosen), lambda: value)
        add(value)
        listing = exported(tmp_path)
        tf1.disable_control_flow_v2()
    assert {t.name: flow(t).consumers for t in listing.tensors} == {
        "kernel": ("MatMul:1",),
        "chosen": ("BiasAdd:1",),
        "called": ("BiasAdd:1",),
    }


def test_partitioned_variables_and_their_slots_are_whole(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        table = tf1.get_variable("table", [10, 4], partitioner=tf1.fixed_size_partitioner(3))
        tf1.train.AdagradOptimizer(0.1).minimize(tf.reduce_sum(tf.nn.embedding_lookup(table, [1, 2])))
        listing = exported(tmp_path)
    whole, slot = listing.tensors
    assert (whole.name, whole.shape, len(whole.parts)) == ("table", (10, 4), 3)
    assert (slot.name, slot.shape, slot.slot_of) == ("table/Adagrad", (10, 4), "table")
    assert [part.name for part in slot.parts] == [f"table/part_{i}/Adagrad" for i in range(3)]


def test_local_variables_are_left_out_with_a_note(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        tf1.get_variable("w", [3])
        tf1.metrics.mean([1.0])
        listing = exported(tmp_path)
    assert list(listing.by_name) == ["w"]
    assert "2 local variables" in listing.notes[0]


def test_a_plain_graph_def_lists_its_variables(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        tf1.get_variable("w", [3, 4], use_resource=True)
        tf1.get_variable("open", initializer=tf.zeros([2]), validate_shape=False, use_resource=False)
        (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    listing = read(tmp_path / "graph.pb")
    assert [(t.name, t.shape, t.trainable) for t in listing.tensors] == [
        ("w", (3, 4), None),
        ("open", None, None),
    ]
    assert listing.format == "tf-graph"


def test_graphs_in_text_are_read_like_graphs_in_bytes(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph:
        tf1.get_variable("w", [3, 4])
        tf1.train.export_meta_graph(str(tmp_path / "a.pbtxt"), as_text=True)
        tf1.train.write_graph(graph, str(tmp_path), "b.pbtxt")
    for name in ("a.pbtxt", "b.pbtxt"):
        assert [(t.name, t.shape) for t in read(tmp_path / name).tensors] == [("w", (3, 4))]


def test_a_frozen_graph_lists_its_constants_with_values(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        kernel = tf1.get_variable("kernel", [3, 4])
        bias = tf1.get_variable("bias", [4], initializer=tf1.constant_initializer(0.5))
        tf.add(tf.matmul(tf1.placeholder(tf.float32, [1, 3]), kernel), bias, name="out")
        session.run(tf1.global_variables_initializer())
        expected = session.run([kernel, bias])
        frozen = tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["out"])
    (tmp_path / "frozen.pb").write_bytes(frozen.SerializeToString())
    listing = read(tmp_path / "frozen.pb")
    assert listing.values is not None
    assert "frozen" in listing.notes[0]
    assert flow(listing.by_name["kernel"]).consumers == ("MatMul:1",)
    for name, value in zip(("kernel", "bias"), expected, strict=True):
        assert np.array_equal(listing.values(name), value)


@pytest.mark.parametrize(
    ("op", "plain"),
    [
        ("Conv2D", "Conv2D"),
        ("FusedBatchNormV3", "FusedBatchNorm"),
        ("ResourceGather", "Gather"),
        ("GatherV2", "Gather"),
        ("AssignSubVariableOp", "AssignSub"),
    ],
)
def test_versions_and_kinds_of_variables_do_not_make_another_op(op: str, plain: str) -> None:
    assert plain_op(op) == plain


def test_a_collection_that_names_a_missing_variable_is_refused(tmp_path: Path) -> None:
    with tf.Graph().as_default():
        tf1.get_variable("w", [3], use_resource=True)
        meta = tf1.train.export_meta_graph()
    del meta.graph_def.node[:]
    meta.graph_def.node.add(name="x", op="NoOp")
    (tmp_path / "bad.meta").write_bytes(meta.SerializeToString())
    with pytest.raises(UnreadableFile, match="name a variable 'w' that is not in its graph"):
        read(tmp_path / "bad.meta")
