"""Whole models under other names: they compute what the old ones did, and learn on as those would."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

import slim_models
from automatch.errors import RestoreError, UnreadableFile
from automatch.read import read
from automatch.restore import restore, restore_auto
from restore_helpers import checkpoint, plan_of, random_values, sharded_checkpoint, tf1

IDS = np.array([[3, 1, 4, 1], [5, 9, 2, 6]])
IMAGES = np.random.default_rng(1).standard_normal((2, 8, 8, 3)).astype(np.float32)


class Model(NamedTuple):
    """What a graph gives, and what makes it learn."""

    output: Any
    train: Any


def recurrent(outer: str, table: str, cell: str, parts: int) -> Model:
    """A recurrent network over an embedding in parts, with Adam."""
    with tf1.variable_scope(outer):
        with tf1.variable_scope(table, partitioner=tf1.fixed_size_partitioner(parts)):
            words = tf1.get_variable("embedding", [10, 5])
        with tf1.variable_scope(cell):
            kernel, bias = tf1.get_variable("kernel", [5 + 6, 6]), tf1.get_variable("bias", [6])
        with tf1.variable_scope("out"):
            projection = tf1.get_variable("kernel", [6, 3])
        steps = tf.transpose(tf1.nn.embedding_lookup(words, IDS, "div"), [1, 0, 2])
        state = tf.zeros([2, 6])
        for step in tf.unstack(steps, num=4):
            state = tf.tanh(tf.concat([step, state], 1) @ kernel + bias)
        output = state @ projection
    return Model(output, tf1.train.AdamOptimizer(0.01).minimize(tf.reduce_sum(output**2)))


def convolutional(outer: str, *_: Any) -> Model:
    """Convolutions of tf-slim with batch normalisation, and momentum."""
    # tf-slim calls its layers in a way that Keras 2 warns of.
    warnings.simplefilter("ignore", UserWarning)
    slim = slim_models.slim()
    with tf1.variable_scope(outer):
        norm = {"is_training": False, "scale": True}
        net = tf.constant(IMAGES)
        for i, depth in enumerate((4, 6, 8)):
            net = slim.conv2d(
                net, depth, 3, scope=f"{outer}_{i}", normalizer_fn=slim.batch_norm, normalizer_params=norm
            )
        output = slim.fully_connected(slim.flatten(net), 5, activation_fn=None, scope="top")
    optimizer = tf1.train.MomentumOptimizer(0.01, 0.9)
    return Model(output, optimizer.minimize(tf.reduce_mean(output**2)))


class Trained(NamedTuple):
    """A trained model's checkpoint, what it computes, and what it computes after one step more."""

    prefix: str
    output: np.ndarray
    later: np.ndarray


BUILDERS: dict[str, tuple[Callable[[], Model], Callable[[], Model]]] = {
    "recurrent": (
        lambda: recurrent("rnn", "words", "cell", 3),
        lambda: recurrent("model/reader", "vocabulary", "memory", 2),
    ),
    "slim": (lambda: convolutional("old"), lambda: convolutional("new")),
}


@pytest.fixture(params=[(name, resource) for name in BUILDERS for resource in (True, False)], ids=str)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    name, resource = request.param
    was = tf1.resource_variables_enabled()
    (tf1.enable_resource_variables if resource else tf1.disable_resource_variables)()
    yield name
    (tf1.enable_resource_variables if was else tf1.disable_resource_variables)()


@pytest.fixture
def trained(kind: str, tmp_path: Path) -> Trained:
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.set_random_seed(1)
        model = BUILDERS[kind][0]()
        session.run(tf1.global_variables_initializer())
        for _ in range(3):
            session.run(model.train)
        prefix = tf1.train.Saver().save(session, str(tmp_path / "trained.ckpt"))
        output = session.run(model.output)
        session.run(model.train)
        return Trained(prefix, output, session.run(model.output))


@pytest.mark.parametrize("finished", ["open", "finalized", "finalized with a Saver"])
def test_a_renamed_graph_computes_and_learns_on_as_the_old_one(
    kind: str, trained: Trained, finished: str
) -> None:
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        model = BUILDERS[kind][1]()
        if "Saver" in finished:
            tf1.train.Saver()
        if "finalized" in finished:
            graph.finalize()
        restored = restore_auto(session, trained.prefix, quiet=True)
        assert (restored.unmatched, restored.uninitialized) == ([], [])
        np.testing.assert_allclose(session.run(model.output), trained.output, rtol=1e-4, atol=1e-5)
        # The optimizer's slots have come along: without them the next step would be another one.
        session.run(model.train)
        np.testing.assert_allclose(session.run(model.output), trained.later, rtol=1e-4, atol=1e-5)


def test_slots_can_stay_behind(kind: str, trained: Trained) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        model = BUILDERS[kind][1]()
        restored = restore_auto(session, trained.prefix, slots=False, quiet=True)
        slots = [tensor.name for tensor in read(session).tensors if tensor.slot_of is not None]
        assert slots
        np.testing.assert_allclose(session.run(model.output), trained.output, rtol=1e-4, atol=1e-5)
        # With fresh ones the next step is another one than it would have been.
        fresh = {name.decode() for name in session.run(tf1.report_uninitialized_variables())}
        assert set(restored.uninitialized) == fresh
        session.run([v.initializer for v in tf1.global_variables() if v.op.name in fresh])
        session.run(model.train)
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(session.run(model.output), trained.later, rtol=1e-4, atol=1e-5)


def test_a_cast_is_asked_for_and_stands_in_the_plan(tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", w=np.array([1.0, 1 + 2**-40]))
    w = tf.Variable(tf.zeros([2]), name="w")
    left = restore_auto([w], tmp_path / "wide.npz", quiet=True)
    assert left.restored == []
    assert "cast" in left.why["w"]
    np.testing.assert_array_equal(w.numpy(), np.zeros(2))
    done = restore_auto([w], tmp_path / "wide.npz", cast=True, quiet=True)
    assert done.plan.pairs[0].transform == "identity+cast"
    np.testing.assert_array_equal(w.numpy(), np.ones(2))


def test_values_tell_apart_what_names_do_not(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    arrays = {f"net/{i}/kernel": random.normal(size=(8 + i, 16)) for i in range(3)}
    arrays |= {f"net/{i}/p": random.uniform(0.5, 2.0, 16) for i in range(3)}
    arrays |= {f"net/{i}/q": random.normal(0.0, 0.3, 16) for i in range(3)}
    arrays = {name: value.astype(np.float32) for name, value in arrays.items()}
    shapes = {"kernel": lambda i: (8 + i, 16), "gamma": lambda _: (16,), "beta": lambda _: (16,)}
    variables = {
        f"model/{i}/{leaf}": tf.Variable(tf.zeros(shape(i)))
        for i in range(3)
        for leaf, shape in shapes.items()
    }
    assert "model/0/gamma" in restore_auto(variables, arrays, quiet=True).unmatched
    assert restore_auto(variables, arrays, values=True, quiet=True).unmatched == []
    for i in range(3):
        np.testing.assert_array_equal(variables[f"model/{i}/gamma"].numpy(), arrays[f"net/{i}/p"])
        np.testing.assert_array_equal(variables[f"model/{i}/beta"].numpy(), arrays[f"net/{i}/q"])


@pytest.fixture
def large(tmp_path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """So much that several nodes read it, with damage in the last tensor."""
    values = random_values({f"old/{i}": (512, 1024) for i in range(12)})
    prefix = checkpoint(tmp_path, values)
    with open(f"{prefix}.data-00000-of-00001", "r+b") as shard:
        data = shard.read()
        shard.seek(data.index(values["old/9"].tobytes()) + 2**20)
        shard.write(b"\x01\x02\x03")
    return prefix, values


def test_damage_that_one_of_several_readers_meets_leaves_every_variable(
    large: tuple[str, dict[str, np.ndarray]],
) -> None:
    prefix, values = large
    with tf.Graph().as_default(), tf1.Session() as session:
        ones = [
            tf1.get_variable(f"new/{i}", [512, 1024], initializer=tf1.ones_initializer()) for i in range(12)
        ]
        session.run([variable.initializer for variable in ones])
        plan = plan_of(read(prefix), read(session), {f"new/{i}": f"old/{i}" for i in range(12)})
        with pytest.raises(UnreadableFile, match=r"data-00000-of-00001' is damaged.*'old/9'"):
            restore(session, prefix, plan, quiet=True)
        for value in session.run(ones):
            assert np.all(value == 1)
    assert len(values) == 12


@pytest.mark.parametrize("where", ["session", "finalized", "eager"])
def test_damage_in_the_middle_one_of_several_shards_names_that_file(tmp_path: Path, where: str) -> None:
    values = random_values({f"old/{i}": (64, 64) for i in range(6)})
    prefix = sharded_checkpoint(tmp_path, values, shards=3)
    pairs = {f"new/{i}": f"old/{i}" for i in range(6)}
    with open(f"{prefix}.data-00001-of-00003", "r+b") as shard:
        at = len(shard.read()) // 2
        shard.seek(at)
        byte = shard.read(1)
        shard.seek(at)
        shard.write(bytes([byte[0] ^ 1]))
    with pytest.raises(tf.errors.OpError, match="Checksum"):
        [tf.train.load_checkpoint(prefix).get_tensor(name) for name in values]
    told = pytest.raises(UnreadableFile, match=r"data-00001-of-00003' is damaged.*'old/[14]'")
    if where == "eager":
        variables = {name: tf.Variable(tf.ones([64, 64])) for name in pairs}
        with told:
            restore(variables, prefix, plan_of(read(prefix), read(variables), pairs), quiet=True)
        found = [variable.numpy() for variable in variables.values()]
    else:
        with tf.Graph().as_default() as graph, tf1.Session() as session:
            built = [tf1.get_variable(n, [64, 64], initializer=tf1.ones_initializer()) for n in pairs]
            session.run([variable.initializer for variable in built])
            if where == "finalized":
                graph.finalize()
            with told:
                restore(session, prefix, plan_of(read(prefix), read(session), pairs), quiet=True)
            found = session.run(built)
    assert all((value == 1).all() for value in found)


@pytest.mark.parametrize("kind_of_loss", ["missing", "short"])
def test_a_lost_data_shard_leaves_eager_variables(tmp_path: Path, kind_of_loss: str) -> None:
    prefix = checkpoint(tmp_path, random_values({"old/w": (4, 3), "old/b": (3,)}))
    variables = {"w": tf.Variable(tf.ones([4, 3])), "b": tf.Variable(tf.ones([3]))}
    plan = plan_of(read(prefix), read(variables), {"w": "old/w", "b": "old/b"})
    shard = Path(f"{prefix}.data-00000-of-00001")
    if kind_of_loss == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:30])
    with pytest.raises((RestoreError, UnreadableFile), match="data-00000-of-00001"):
        restore(variables, prefix, plan, quiet=True)
    for variable in variables.values():
        assert np.all(variable.numpy() == 1)


@pytest.mark.parametrize("where", ["eager", "mirrored", "finalized"])
@pytest.mark.parametrize("origin", ["file", "arrays"])
def test_values_are_the_variables_own_whatever_becomes_of_their_origin(
    tmp_path: Path, where: str, origin: str
) -> None:
    # Tensors of 16 KB lie aligned, where TensorFlow could take the memory as it is.
    arrays = random_values({f"old/{i}": (64, 64) for i in range(4)})
    wanted = {name.replace("old", "new"): value.copy() for name, value in arrays.items()}
    source: Any = checkpoint(tmp_path, arrays) if origin == "file" else arrays

    def spoil() -> None:
        for value in arrays.values():
            value[...] = 0
        if origin == "file":
            with open(f"{source}.data-00000-of-00001", "r+b") as shard:
                shard.write(bytes(4 * 64 * 64 * 4))

    strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    graph = tf.Graph()
    if where == "finalized":
        with graph.as_default(), tf1.variable_scope("", use_resource=True), tf1.Session() as session:
            built = {name: tf1.get_variable(name, [64, 64]) for name in wanted}
            graph.finalize()
            plan = plan_of(read(source), read(session), {name: name.replace("new", "old") for name in wanted})
            restore(session, source, plan, quiet=True)
            spoil()
            found = session.run(built)
    else:
        with strategy.scope() if where == "mirrored" else contextlib.nullcontext():
            variables = {name: tf.Variable(tf.zeros([64, 64])) for name in wanted}
        plan = plan_of(read(source), read(variables), {name: name.replace("new", "old") for name in wanted})
        restore(variables, source, plan, quiet=True)
        spoil()
        found = {name: variable.numpy() for name, variable in variables.items()}
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)
