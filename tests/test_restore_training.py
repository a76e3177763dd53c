"""Restoring where training happens: monitored sessions, scaffolds, strategies, parameter servers."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from automatch.errors import UnreadableFile, UnsupportedTarget, UsageError
from automatch.plan import Plan
from automatch.read import read
from automatch.restore import restore, restore_auto
from restore_helpers import checkpoint, plan_of, random_values, tf1

VALUES = random_values({"old/w": (4, 3), "old/b": (3,), "old/emb": (6, 2), "old/step": ()})


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return checkpoint(tmp_path, VALUES)


def plan_into(graph: tf.Graph, prefix: str, **pairs: str) -> Plan:
    return plan_of(read(prefix), read(graph), pairs)


def test_a_monitored_session_restores_without_counting_a_step(prefix: str) -> None:
    runs: list[int] = []

    class Count(tf1.train.SessionRunHook):
        def before_run(self, run_context: object) -> None:
            runs.append(1)

    with tf.Graph().as_default() as graph:
        w = tf1.get_variable("w", [4, 3])
        b = tf1.get_variable("b", [3], initializer=tf1.ones_initializer())
        plan = plan_into(graph, prefix, w="old/w")
        with tf1.train.MonitoredSession(hooks=[Count()]) as session:
            restored = restore(session, prefix, plan, quiet=True)
            assert runs == []
            np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
            np.testing.assert_array_equal(session.run(b), np.ones(3))
    assert (restored.restored, restored.unmatched, restored.uninitialized) == (["w"], ["b"], [])


def test_a_scaffold_restores_in_its_init_fn(prefix: str) -> None:
    with tf.Graph().as_default() as graph:
        w = tf1.get_variable("w", [4, 3])
        b = tf1.get_variable("b", [3], initializer=tf1.ones_initializer())
        plan = plan_into(graph, prefix, w="old/w")
        scaffold = tf1.train.Scaffold(
            init_op=tf1.variables_initializer([b]),
            init_fn=lambda scaffold, session: restore(session, prefix, plan, quiet=True),
        )
        with tf1.train.MonitoredTrainingSession(scaffold=scaffold) as session:
            np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
            np.testing.assert_array_equal(session.run(b), np.ones(3))


def test_a_plan_made_before_the_graph_was_finalized_adds_nothing_afterwards(prefix: str) -> None:
    with tf.Graph().as_default() as graph:
        w = tf1.get_variable("w", [4, 3])
        plan = plan_into(graph, prefix, w="old/w")
        graph.finalize()
        with tf1.Session() as session:
            restore(session, prefix, plan, quiet=True)
            np.testing.assert_array_equal(session.run(w), VALUES["old/w"])


def test_replicas_of_a_mirrored_strategy_in_a_graph_are_all_set(prefix: str) -> None:
    with tf.Graph().as_default() as graph:
        strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
        with strategy.scope():
            w = tf1.get_variable("w", [4, 3])
        names = [tensor.name for tensor in read(graph).tensors]
        assert names == ["w", "w/replica_1"]
        plan = plan_of(read(prefix), read(graph), dict.fromkeys(names, "old/w"))
        with tf1.Session(config=tf1.ConfigProto(device_count={"CPU": 2})) as session:
            restore(session, prefix, plan, quiet=True)
            for replica in session.run(list(w.values)):
                np.testing.assert_array_equal(replica, VALUES["old/w"])


def test_restoring_inside_other_contexts_builds_outside_of_them(prefix: str) -> None:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        w = tf1.get_variable("w", [4, 3])
        plan = plan_into(graph, prefix, w="old/w")
        never = tf.debugging.Assert(False, ["never to be run"])
        with tf.device("/gpu:3"), tf.name_scope("mine"), graph.control_dependencies([never]):
            restore(session, prefix, plan, quiet=True)
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
        made = [o for o in graph.get_operations() if o.name.startswith("automatch_restore/")]
    assert made
    assert not any("GPU" in o.device for o in made)


@pytest.fixture(scope="module")
def cluster() -> Iterator[tf.distribute.Server]:
    """A worker of a cluster with two parameter servers on loopback, in this process."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("localhost", 0))) for _ in range(3)]
        hosts = [f"localhost:{bound.getsockname()[1]}" for bound in sockets]
    spec = tf.train.ClusterSpec({"ps": hosts[:2], "worker": hosts[2:]})
    servers = [tf.distribute.Server(spec, "ps", i) for i in range(2)]
    worker = tf.distribute.Server(spec, "worker", 0)
    yield worker
    del servers


def test_each_parameter_server_reads_its_own_variables(prefix: str, cluster: tf.distribute.Server) -> None:
    with tf.Graph().as_default() as graph:
        with tf1.device(tf1.train.replica_device_setter(ps_tasks=2, worker_device="/job:worker/task:0")):
            w, b = tf1.get_variable("w", [4, 3]), tf1.get_variable("b", [3])
            emb = tf1.get_variable("emb", [6, 2], partitioner=tf1.fixed_size_partitioner(2))
        plan = plan_into(graph, prefix, w="old/w", b="old/b", emb="old/emb")
        with tf1.Session(cluster.target) as session:
            restore(session, prefix, plan, quiet=True)
            np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
            np.testing.assert_array_equal(session.run(b), VALUES["old/b"])
            np.testing.assert_array_equal(np.concatenate(session.run(list(emb))), VALUES["old/emb"])
        readers = [o for o in graph.get_operations() if o.type == "RestoreV2"]
        placed = {o.name: o.device for o in graph.get_operations()}
    assert {o.device for o in readers} == {"/job:ps/task:0/device:CPU:0", "/job:ps/task:1/device:CPU:0"}
    for assign in [
        o for o in graph.get_operations() if o.type == "AssignVariableOp" and "automatch" in o.name
    ]:
        assert placed[assign.inputs[0].op.name] == assign.device


@pytest.mark.parametrize("origin", ["checkpoint", "arrays"])
def test_a_session_that_tensorflow_makes_restores_into_parameter_servers(
    prefix: str, cluster: tf.distribute.Server, origin: str
) -> None:
    with tf.Graph().as_default() as graph:
        with tf1.device(tf1.train.replica_device_setter(ps_tasks=2, worker_device="/job:worker/task:0")):
            w, b = tf1.get_variable("w", [4, 3]), tf1.get_variable("b", [3])
            emb = tf1.get_variable("emb", [6, 2], partitioner=tf1.fixed_size_partitioner(2))
            fresh = tf1.get_variable("fresh", [3], initializer=tf1.ones_initializer())
        source = prefix if origin == "checkpoint" else VALUES
        plan = plan_of(read(source), read(graph), {"w": "old/w", "b": "old/b", "emb": "old/emb"})
        with tf1.train.MonitoredTrainingSession(master=cluster.target) as session:
            assert graph.finalized
            restored = restore(session, source, plan, quiet=True)
            np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
            np.testing.assert_array_equal(session.run(b), VALUES["old/b"])
            np.testing.assert_array_equal(np.concatenate(session.run(list(emb))), VALUES["old/emb"])
            np.testing.assert_array_equal(session.run(fresh), np.ones(3))
    assert (restored.unmatched, restored.uninitialized) == (["fresh"], [])


def test_damage_on_one_parameter_server_leaves_the_other_as_it_was(
    prefix: str, cluster: tf.distribute.Server
) -> None:
    with tf.Graph().as_default() as graph:
        with tf1.device(tf1.train.replica_device_setter(ps_tasks=2, worker_device="/job:worker/task:0")):
            w = tf1.get_variable("w", [4, 3], initializer=tf1.ones_initializer())
            b = tf1.get_variable("b", [3], initializer=tf1.ones_initializer())
        plan = plan_into(graph, prefix, w="old/w", b="old/b")
        shard = Path(f"{prefix}.data-00000-of-00001")
        data = bytearray(shard.read_bytes())
        data[data.index(VALUES["old/b"].tobytes())] ^= 1
        shard.write_bytes(data)
        with tf1.Session(cluster.target) as session:
            session.run([w.initializer, b.initializer])
            with pytest.raises(UnreadableFile, match="'old/b'"):
                restore(session, prefix, plan, quiet=True)
            np.testing.assert_array_equal(session.run(w), np.ones((4, 3)))


def test_restore_auto_proposes_and_restores_in_one_call(tmp_path: Path) -> None:
    values = random_values({"w": (4, 3), "b": (3,), "old_head": (5,)})
    prefix = checkpoint(tmp_path, values)
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", [4, 3])
        tf1.get_variable("b", [3], tf.float16)
        tf1.get_variable("head", [9])
        restored = restore_auto(session, prefix, quiet=True)
        np.testing.assert_array_equal(session.run(w), values["w"])
    assert restored.restored == ["w"]
    assert "head" in restored.uninitialized
    assert "old_head" in restored.unused
    assert restored.plan.options.min_score == 0.8


def test_a_session_of_another_graph_and_swapped_arguments_are_told(prefix: str) -> None:
    with tf1.Session(graph=tf.Graph()) as elsewhere, tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("w", [4, 3])
        for given in (session, {"w": tf.zeros([4, 3])}):
            with pytest.raises(UnsupportedTarget, match="The target comes first"):
                restore_auto(prefix, given)
        with pytest.raises(UnsupportedTarget, match=r"has no variables\. Build the model first"):
            restore_auto(elsewhere, prefix)


def test_one_glob_to_exclude_needs_no_list(tmp_path: Path) -> None:
    values = random_values({"net/w": (4, 3), "net/b": (3,), "head/w": (5, 2)})
    variables = {name: tf.Variable(tf.zeros(value.shape)) for name, value in values.items()}
    restored = restore_auto(variables, checkpoint(tmp_path, values), exclude="head/*", quiet=True)
    assert (restored.restored, restored.unmatched) == (["net/w", "net/b"], ["head/w"])
    assert restored.plan.options.exclude == ("head/*",)


@pytest.mark.parametrize(
    ("shape", "order"),
    [((4, 3, 2), (0, 1, 2)), ((3, 4, 2), (1, 0, 2)), ((2, 3, 4), (2, 1, 0)), ((12, 2), (0, 1, 2))],
)
def test_a_pair_that_a_person_names_is_reshaped_or_has_two_axes_exchanged(
    tmp_path: Path, shape: tuple[int, ...], order: tuple[int, ...]
) -> None:
    values = random_values({"net/w": (4, 3, 2), "net/b": (3,)})
    x = tf.Variable(tf.zeros(shape))
    prefix = checkpoint(tmp_path, values)
    restored = restore_auto({"x": x}, prefix, pairs={"x": "net/w"}, quiet=True)
    assert restored.restored == ["x"]
    np.testing.assert_array_equal(x.numpy(), values["net/w"].transpose(order).reshape(shape))


@pytest.mark.parametrize("shape", [(5, 5), (2, 6), (4,), (4, 4)])
def test_a_pair_whose_shapes_cannot_meet_is_refused_before_anything_is_restored(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    prefix = checkpoint(tmp_path, random_values({"net/w": (4, 3), "net/b": (3,)}))
    variables = {"x": tf.Variable(tf.zeros(shape)), "b": tf.Variable(tf.zeros([3]))}
    wanted = re.escape(f"f32[{','.join(map(str, shape))}]")
    with pytest.raises(UsageError, match=rf"^'net/w' f32\[4,3\] cannot become 'x' {wanted}: [^\n]*$"):
        restore_auto(variables, prefix, pairs={"x": "net/w"}, quiet=True)
    np.testing.assert_array_equal(variables["b"].numpy(), np.zeros(3))


@pytest.mark.parametrize("shapes", [((4, 3), (4, 3)), ((4, 3), (3, 4)), ((4, 3), (12,), (4, 3))])
def test_one_source_that_a_person_gives_to_several_variables_goes_to_all(
    tmp_path: Path, shapes: tuple[tuple[int, ...], ...]
) -> None:
    values = random_values({"net/w": (4, 3), "net/b": (3,)})
    variables = {f"t{i}": tf.Variable(tf.zeros(shape)) for i, shape in enumerate(shapes)}
    prefix = checkpoint(tmp_path, values)
    restored = restore_auto(variables, prefix, pairs=dict.fromkeys(variables, "net/w"), quiet=True)
    assert restored.restored == list(variables)
    assert all(pair.tied and pair.by == "person" for pair in restored.plan.pairs)
    assert restored.plan.rules == Plan.load(restored.plan.save(tmp_path / "p.json")).rules
    for variable in variables.values():
        value = values["net/w"].T if variable.shape == (3, 4) else values["net/w"]
        np.testing.assert_array_equal(variable.numpy(), value.reshape(variable.shape))


def test_the_slots_of_variables_that_share_a_source_follow_it(tmp_path: Path) -> None:
    values = random_values({"net/w": (4, 3), "net/w/Momentum": (4, 3), "net/b": (3,)})
    prefix = checkpoint(tmp_path, values)
    with tf.Graph().as_default(), tf1.Session() as session:
        one, two = (tf1.get_variable(name, [4, 3]) for name in ("one", "two"))
        optimizer = tf1.train.MomentumOptimizer(0.1, 0.9)
        optimizer.minimize(tf.reduce_sum(one * two))
        session.run(tf1.global_variables_initializer())
        restored = restore_auto(session, prefix, pairs={"one": "net/w", "two": "net/w"}, quiet=True)
        assert sorted(restored.restored) == ["one", "one/Momentum", "two", "two/Momentum"]
        for variable in (one, two):
            np.testing.assert_array_equal(session.run(variable), values["net/w"])
            slot = optimizer.get_slot(variable, "momentum")
            np.testing.assert_array_equal(session.run(slot), values["net/w/Momentum"])


def test_a_variable_of_open_shape_takes_the_source_that_a_person_names(tmp_path: Path) -> None:
    values = random_values({"net/w": (4, 3), "net/b": (3,)})
    w = tf.Variable(tf.zeros([1, 1]), shape=tf.TensorShape([None, None]))
    restored = restore_auto({"w": w}, checkpoint(tmp_path, values), pairs={"w": "net/w"}, quiet=True)
    assert restored.restored == ["w"]
    np.testing.assert_array_equal(w.numpy(), values["net/w"])
