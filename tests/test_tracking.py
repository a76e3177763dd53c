"""track_variables: what was created inside, and nothing else."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf
import tf_keras
import tf_slim as slim

from automatch.tracking import track_variables

tf1 = tf.compat.v1


@pytest.fixture(params=[True, False], ids=["resource", "ref"])
def use_resource(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_only_variables_created_inside_are_listed_in_order_of_creation(use_resource: bool) -> None:
    with tf.Graph().as_default(), tf1.variable_scope("net", use_resource=use_resource):
        tf1.get_variable("before", [1])
        with track_variables() as created:
            tf1.get_variable("z", [1])
            tf1.get_variable("a", [1])
        tf1.get_variable("after", [1])
    assert created.names == ["net/z", "net/a"]


def test_a_reused_variable_was_not_created_inside(use_resource: bool) -> None:
    with tf.Graph().as_default(), tf1.variable_scope("net", use_resource=use_resource, reuse=tf1.AUTO_REUSE):
        shared = tf1.get_variable("shared", [1])
        with track_variables() as created:
            assert tf1.get_variable("shared", [1]) is shared
            new = tf1.get_variable("new", [1])
            assert tf1.get_variable("new", [1]) is new
    assert created == [new]


def test_the_outer_block_sees_what_the_inner_one_sees() -> None:
    with tf.Graph().as_default(), track_variables() as outer:
        tf1.get_variable("one", [1])
        with track_variables() as inner:
            tf1.get_variable("two", [1])
        tf1.get_variable("three", [1])
    assert inner.names == ["two"]
    assert outer.names == ["one", "two", "three"]


def test_several_graphs_entered_inside_one_block_are_all_followed() -> None:
    first, second = tf.Graph(), tf.Graph()
    with track_variables() as created:
        with first.as_default():
            tf1.get_variable("in_first", [1])
            with second.as_default():
                tf1.get_variable("in_second", [1])
            tf1.get_variable("first_again", [1])
        with tf1.Session(graph=second):
            tf1.get_variable("in_session", [1])
    assert created.names == ["in_first", "in_second", "first_again", "in_session"]
    assert [v.graph for v in created] == [first, second, first, second]


def test_blocks_in_different_graphs_do_not_mix() -> None:
    with tf.Graph().as_default(), track_variables() as one:
        tf1.get_variable("a", [1])
        with tf.Graph().as_default(), track_variables() as two:
            tf1.get_variable("b", [1])
    assert (one.names, two.names) == (["a", "b"], ["b"])


def test_as_default_is_tensorflows_own_again_after_the_block() -> None:
    plain = tf.Graph.as_default
    with pytest.raises(ZeroDivisionError), track_variables():
        _ = 1 / 0
    assert tf.Graph.as_default is plain
    with track_variables(), track_variables():
        assert tf.Graph.as_default is not plain
    assert tf.Graph.as_default is plain


def test_partitioned_variables_count_by_their_parts_and_restore_as_a_whole(tmp_path: object) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        with track_variables() as created:
            tf1.get_variable("emb", [5, 2], partitioner=tf1.fixed_size_partitioner(2))
        session.run(tf1.variables_initializer(created))
        prefix = tf1.train.Saver(created).save(session, f"{tmp_path}/model.ckpt")
    assert created.names == ["emb/part_0", "emb/part_1"]
    assert dict(tf.train.list_variables(prefix)) == {"emb": [5, 2]}


def test_slots_that_an_optimizer_makes_are_listed() -> None:
    with tf.Graph().as_default():
        weight = tf1.get_variable("w", [2])
        with track_variables() as created:
            tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(weight))
    assert created.names == ["w/Momentum"]
    assert weight not in created
    assert created[0] in created


def test_local_variables_are_left_out() -> None:
    with tf.Graph().as_default(), track_variables() as created:
        tf1.metrics.mean(tf.constant(1.0))
    assert created == []


@pytest.mark.filterwarnings("ignore:`layer.apply` is deprecated")
def test_layers_of_slim_keras_3_and_tf_keras_are_seen_in_a_graph() -> None:
    with tf.Graph().as_default(), track_variables() as created:
        slim.fully_connected(tf.zeros([1, 3]), 2, scope="slim_layer")
        keras.layers.Dense(2, name="three").build((None, 3))
        tf_keras.layers.Dense(2, name="two").build((None, 3))
        everything = tf1.global_variables()
    assert len(created) == 6
    assert set(created.names) == {v.op.name for v in everything}


def test_eager_models_are_seen() -> None:
    with track_variables() as created:
        model = keras.Sequential([keras.layers.Dense(2, name="d")], name="m")
        model.build((None, 3))
        own = tf.Variable(1.0, name="own")
    assert created[-1] is own
    assert [v.value is c for v, c in zip(model.variables, created[:-1], strict=True)] == [True, True]


def test_variables_of_an_imported_graph_are_seen() -> None:
    with tf.Graph().as_default() as graph:
        tf1.get_variable("w", [1])
        meta = tf1.train.export_meta_graph(graph=graph)
    with tf.Graph().as_default():
        tf1.get_variable("before", [1])
        with track_variables() as created:
            tf1.train.import_meta_graph(meta)
    assert created.names == ["w"]


def test_a_variable_made_once_inside_a_traced_function_is_seen_once() -> None:
    made: list[tf.Variable] = []

    @tf.function
    def step() -> tf.Tensor:
        if not made:
            made.append(tf.Variable(2.0, name="inside"))
        return made[0] + 1

    with track_variables() as created:
        step()
    assert [v.name for v in created] == ["inside:0"]
