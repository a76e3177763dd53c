"""Restoring into models, modules, checkpoints, lists and dicts: variables that hold their own values."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from automatch.errors import AutomatchError, RestoreError, UnreadableFile, UnsupportedTarget
from automatch.read import read
from automatch.restore import Restored, restore, restore_auto
from restore_helpers import MISFITS, checkpoint, partitioned_checkpoint, plan_of, random_values, tf1

VALUES = {
    **random_values({"old/w": (4, 3), "old/b": (3,), "old/emb": (7, 2)}),
    "old/step": np.int64(2**40),
    "old/words": np.array([b"a", b"", b"\xff\x00"], dtype=object),
    "old/half": np.array([1.5, 2.5], dtype=np.float16),
    "old/brain": np.array([1.5, 2.5], dtype=ml_dtypes.bfloat16),
    "old/flag": np.array([True, False]),
    "old/wave": np.array([1 + 2j, -3j], np.complex64),
}


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return checkpoint(tmp_path, VALUES)


def run_plan(
    target: Any, source: Any, pairs: Mapping[str, str | tuple[str, str]], **options: bool
) -> Restored:
    return restore(target, source, plan_of(read(source), read(target), pairs), quiet=True, **options)


def test_a_dict_of_variables_takes_every_dtype(prefix: str) -> None:
    variables = {
        name: tf.Variable(tf.zeros_like(tf.constant(value)) if value.dtype != object else [b"", b"", b""])
        for name, value in VALUES.items()
    }
    run_plan(variables, prefix, {name: name for name in VALUES})
    for name, value in VALUES.items():
        np.testing.assert_array_equal(variables[name].numpy(), value)


def test_a_list_of_variables_with_transforms_casts_and_ties(prefix: str) -> None:
    t, wide = tf.Variable(tf.zeros([3, 4]), name="t"), tf.Variable(tf.zeros([2]), name="wide")
    one, two = tf.Variable(tf.zeros([3]), name="one"), tf.Variable(tf.zeros([3]), name="two")
    pairs = {
        "t": ("old/w", "transpose:1,0"),
        "wide": ("old/half", "identity+cast"),
        "one": "old/b",
        "two": "old/b",
    }
    run_plan([t, wide, one, two], prefix, pairs, cast=True)
    np.testing.assert_array_equal(t.numpy(), VALUES["old/w"].T)
    np.testing.assert_array_equal(wide.numpy(), [1.5, 2.5])
    one.assign_add([1.0, 1.0, 1.0])
    np.testing.assert_array_equal(two.numpy(), VALUES["old/b"])


def test_values_are_the_variables_own_whatever_becomes_of_the_file(tmp_path: Path) -> None:
    # Tensors of 64 bytes lie aligned in the file, where TensorFlow could take the mapped memory as it is.
    values = random_values({f"old/{i}": (4, 4) for i in range(8)})
    prefix = checkpoint(tmp_path, values)
    variables = {name: tf.Variable(tf.zeros([4, 4])) for name in values}
    run_plan(variables, prefix, {name: name for name in values})
    with open(f"{prefix}.data-00000-of-00001", "r+b") as shard:
        shard.write(bytes(8 * 64))
    for name, value in values.items():
        np.testing.assert_array_equal(variables[name].numpy(), value)


def test_a_keras_3_model(prefix: str) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")], name="m")
    restored = run_plan(model, prefix, {"m/d/kernel": "old/w", "m/d/bias": "old/b"})
    assert restored.restored == ["m/d/kernel", "m/d/bias"]
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(model(x), x @ VALUES["old/w"] + VALUES["old/b"], rtol=1e-5)


def test_a_keras_3_model_in_a_graph_through_its_session(prefix: str) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        layer = keras.layers.Dense(3, name="d")
        layer.build((None, 4))
        run_plan(session, prefix, {"d/kernel": "old/w", "d/bias": "old/b"})
        np.testing.assert_array_equal(session.run(layer.kernel.value), VALUES["old/w"])


def test_a_tf_keras_model(prefix: str) -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, name="d", input_shape=(4,))], name="m")
    run_plan(model, prefix, {"d/kernel": "old/w", "d/bias": "old/b"})
    x = np.ones((2, 4), np.float32)
    np.testing.assert_allclose(model(x), x @ VALUES["old/w"] + VALUES["old/b"], rtol=1e-5)


def test_mixed_precision_layers_of_tf_keras_keep_their_own_dtype(prefix: str) -> None:
    layer = tf_keras.layers.Dense(3, name="d", dtype=tf_keras.mixed_precision.Policy("mixed_float16"))
    layer.build((None, 4))
    run_plan(layer.weights, prefix, {"kernel": "old/w", "bias": "old/b"})
    np.testing.assert_array_equal(layer.kernel.numpy(), VALUES["old/w"])


def test_a_tf_module(prefix: str) -> None:
    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(tf.zeros([4, 3]), name="w")
            self.frozen = tf.Variable(tf.zeros([3]), name="b", trainable=False)

    net = Net()
    restored = run_plan(net, prefix, {"w": "old/w"})
    np.testing.assert_array_equal(net.w.numpy(), VALUES["old/w"])
    np.testing.assert_array_equal(net.frozen.numpy(), np.zeros(3))
    assert restored.unmatched == ["b"]


def test_a_tf_train_checkpoint(prefix: str) -> None:
    net = tf.Module()
    net.w = tf.Variable(tf.zeros([4, 3]))
    target = tf.train.Checkpoint(net=net)
    names = [tensor.name for tensor in read(target).tensors]
    key = next(name for name in names if name.startswith("net/w"))
    run_plan(target, prefix, {key: "old/w"})
    np.testing.assert_array_equal(net.w.numpy(), VALUES["old/w"])


def test_a_tf_train_checkpoint_of_a_trained_model_gets_its_optimizer_too_and_learns_on(
    tmp_path: Path,
) -> None:
    def step(model: Any, optimizer: Any) -> None:
        optimizer.apply_gradients([(v.value**2, v) for v in model.trainable_variables])

    def trained(name: str, steps: int) -> tuple[tf.train.Checkpoint, Any, Any]:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name=name)])
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(model.trainable_variables)
        for _ in range(steps):
            step(model, optimizer)
        return tf.train.Checkpoint(model=model, optimizer=optimizer), model, optimizer

    def assert_same() -> None:
        for mine, theirs in ((other, model), (its_optimizer, optimizer)):
            for variable, wanted in zip(mine.variables, theirs.variables, strict=True):
                np.testing.assert_array_equal(variable.numpy(), wanted.numpy())

    old, model, optimizer = trained("old", 3)
    prefix = old.write(str(tmp_path / "object.ckpt"))
    new, other, its_optimizer = trained("new", 0)
    restored = restore_auto(new, prefix, quiet=True)
    assert set(restored.why) == {"save_counter/.ATTRIBUTES/VARIABLE_VALUE"}
    assert_same()
    step(model, optimizer)
    step(other, its_optimizer)
    assert_same()


@pytest.mark.parametrize("library", [keras, tf_keras], ids=lambda library: str(library.__name__))
def test_weights_never_become_the_slots_of_an_optimizer(library: Any) -> None:
    model = library.Sequential([library.layers.Dense(5, name="one"), library.layers.Dense(3, name="two")])
    model.build((None, 4))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    shapes = {"a1/kernel": (4, 5), "a1/bias": (5,), "a2/kernel": (5, 3), "a2/bias": (3,)}
    source = {name: np.full(shape, 7, np.float32) for name, shape in shapes.items()}
    own = list(model.optimizer.variables)
    before = [variable.numpy() for variable in own]
    restore_auto([*model.weights, *own], source, quiet=True)
    for variable, value in zip(own, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert all((variable.numpy() == 7).all() for variable in model.weights)


@pytest.mark.parametrize("library", [keras, tf_keras], ids=lambda library: str(library.__name__))
def test_slots_of_a_keras_optimizer_follow_their_variables_or_are_left(library: Any, tmp_path: Path) -> None:
    def fitted(name: str) -> Any:
        layers = [library.layers.Dense(size, name=f"{name}{size}") for size in (5, 3)]
        model = library.Sequential(layers)
        model.build((None, 4))
        model.compile("adam", "mse")
        model.fit(np.random.default_rng(0).random((2, 4)), np.ones((2, 3)), verbose=0)
        return model

    old = fitted("old")
    prefix = tf.train.Checkpoint(model=old, optimizer=old.optimizer).write(str(tmp_path / "trained"))
    for slots in (False, True):
        new = fitted("new")
        target = [*new.weights, *new.optimizer.variables]
        before = [variable.numpy() for variable in new.optimizer.variables]
        restored = restore_auto(target, prefix, slots=slots, quiet=True)
        kept = [why for why in restored.why.values() if "slots=False" in why]
        assert len(kept) == (0 if slots else 8)
        for mine, theirs in zip(new.weights, old.weights, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
        wanted = [variable.numpy() for variable in old.optimizer.variables] if slots else before
        for variable, value in zip(new.optimizer.variables, wanted, strict=True):
            if variable.shape:
                np.testing.assert_array_equal(variable.numpy(), value)


def test_a_module_is_restored_from_its_own_checkpoint_whatever_its_variables_are_called(
    tmp_path: Path,
) -> None:
    class Block(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(tf.random.normal([4, 4]), name="w")
            self.bias = tf.Variable(tf.random.normal([4]), name="b")

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.blocks = [Block() for _ in range(3)]
            self.scale = tf.Variable(tf.random.normal([4]))
            self.shift = tf.Variable(tf.random.normal([4]))

    old = Net()
    prefix = tf.train.Checkpoint(net=old).save(str(tmp_path / "module"))
    for wrap in (lambda net: net, lambda net: tf.train.Checkpoint(net=net)):
        new = Net()
        restored = restore_auto(wrap(new), prefix, quiet=True)
        assert not restored.why
        for mine, theirs in zip(new.variables, old.variables, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_an_interrupt_half_way_leaves_the_old_values(prefix: str) -> None:
    class Interrupted(_Stubborn):
        def assign(self, value: np.ndarray) -> None:
            if not np.array_equal(np.asarray(value), np.ones(self.shape)):
                raise KeyboardInterrupt

    b, w = tf.Variable(tf.ones([3]), name="b"), tf.Variable(tf.ones([4, 3]), name="w")
    with pytest.raises(KeyboardInterrupt):
        run_plan([b, Interrupted(w)], prefix, {"b": "old/b", "w": "old/w"})
    np.testing.assert_array_equal(b.numpy(), np.ones(3))
    np.testing.assert_array_equal(w.numpy(), np.ones((4, 3)))


def test_a_partitioned_source_is_joined(tmp_path: Path) -> None:
    values = random_values({"emb": (7, 2)})
    prefix = partitioned_checkpoint(tmp_path, values, parts=3)
    emb = tf.Variable(tf.zeros([7, 2]), name="emb")
    run_plan([emb], prefix, {"emb": "emb"})
    np.testing.assert_array_equal(emb.numpy(), values["emb"])


def test_arrays_in_memory_are_a_source(prefix: str) -> None:
    w = tf.Variable(tf.zeros([3, 4]), name="w")
    run_plan([w], {"a": VALUES["old/w"]}, {"w": ("a", "transpose:1,0")})
    np.testing.assert_array_equal(w.numpy(), VALUES["old/w"].T)


def test_variables_of_a_mirrored_strategy_get_the_value_in_every_replica(prefix: str) -> None:
    strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
        w = tf.Variable(tf.zeros([4, 3]), name="w")
        total = tf.Variable(
            tf.zeros([3]),
            name="total",
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )
    run_plan([w, total], prefix, {"w": "old/w", "total": "old/b"})
    assert len(w.values) == 2
    for replica in w.values:
        np.testing.assert_array_equal(replica.numpy(), VALUES["old/w"])
    np.testing.assert_allclose(total.read_value().numpy(), VALUES["old/b"], rtol=1e-6)


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_keras_models_under_a_mirrored_strategy(prefix: str, inside: bool) -> None:
    strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")], name="m")
    with strategy.scope() if inside else contextlib.nullcontext():
        run_plan(model, prefix, {"m/d/kernel": "old/w", "m/d/bias": "old/b"})
    for replica in model.layers[0].kernel.value.values:
        np.testing.assert_array_equal(replica.numpy(), VALUES["old/w"])


def test_variables_of_a_graph_are_restored_through_the_default_session(prefix: str) -> None:
    with tf.Graph().as_default():
        w = tf1.get_variable("w", [4, 3])
        emb = tf1.get_variable("emb", [7, 2], partitioner=tf1.fixed_size_partitioner(2))
        target = {"mine/w": w, "mine/emb": emb}
        with pytest.raises(UnsupportedTarget, match="Pass the session"):
            run_plan(target, prefix, {"mine/w": "old/w"})
        with tf1.Session() as session:
            restored = run_plan(target, prefix, {"mine/w": "old/w", "mine/emb": "old/emb"})
            np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
            np.testing.assert_array_equal(np.concatenate(session.run(list(emb))), VALUES["old/emb"])
    assert restored.restored == ["mine/w", "mine/emb"]


def test_a_damaged_tensor_is_found_before_the_first_variable_changes(prefix: str) -> None:
    w, b = tf.Variable(tf.ones([4, 3]), name="w"), tf.Variable(tf.ones([3]), name="b")
    shard = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    data[data.index(VALUES["old/w"].tobytes()) + 40] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UnreadableFile, match=r"data-00000-of-00001' is damaged.*'old/w'"):
        run_plan([b, w], prefix, {"b": "old/b", "w": "old/w"})
    np.testing.assert_array_equal(b.numpy(), np.ones(3))
    np.testing.assert_array_equal(w.numpy(), np.ones((4, 3)))


class _Stubborn:
    """A variable that takes its old value and no other."""

    def __init__(self, variable: tf.Variable) -> None:
        self._variable = variable
        self.name, self.shape, self.dtype = variable.name, variable.shape, variable.dtype

    def assign(self, value: np.ndarray) -> None:
        if not np.array_equal(np.asarray(value), np.ones(self.shape)):
            raise ValueError("the disk is full")
        self._variable.assign(value)

    def read_value(self) -> tf.Tensor:
        return self._variable.read_value()


def test_a_failure_half_way_leaves_the_old_values(prefix: str) -> None:
    b, w = tf.Variable(tf.ones([3]), name="b"), tf.Variable(tf.ones([4, 3]), name="w")
    with pytest.raises(
        RestoreError, match=r"'w' did not take the value of 'old/w': the disk is full.*old value"
    ):
        run_plan([b, _Stubborn(w)], prefix, {"b": "old/b", "w": "old/w"})
    np.testing.assert_array_equal(b.numpy(), np.ones(3))
    np.testing.assert_array_equal(w.numpy(), np.ones((4, 3)))


def test_a_shape_that_does_not_fit_is_refused_with_both_sides(prefix: str) -> None:
    b, w = tf.Variable(tf.ones([3]), name="b"), tf.Variable(tf.ones([3, 4]), name="w")
    with pytest.raises(AutomatchError, match=r"f32\[3,4\].*'w'.*f32\[4,3\].*'old/w'"):
        run_plan([b, w], prefix, {"b": "old/b", "w": "old/w"})
    np.testing.assert_array_equal(b.numpy(), np.ones(3))


@pytest.mark.parametrize(("name", "dtype"), [("old/words", tf.float32), ("old/w", tf.string)])
def test_casts_without_meaning_are_refused(prefix: str, name: str, dtype: tf.DType) -> None:
    value = VALUES[name]
    v = tf.Variable(tf.zeros(value.shape) if dtype != tf.string else tf.fill(value.shape, b""), name="v")
    with pytest.raises(RestoreError, match="no conversion keeps its meaning"):
        run_plan([v], prefix, {"v": (name, "identity+cast")}, cast=True)


@pytest.mark.parametrize("kind", ["checkpoint", "arrays"])
def test_casts_that_would_lose_a_value_are_refused_before_any_variable_changes(
    tmp_path: Path, kind: str
) -> None:
    values = {"old/b": np.ones(2, np.float32)} | {f"x{i}": row[0] for i, row in enumerate(MISFITS)}
    source = values if kind == "arrays" else checkpoint(tmp_path, values)
    for i, (_, dtype, told) in enumerate(MISFITS):
        b, a = tf.Variable(tf.zeros([2]), name="b"), tf.Variable(tf.zeros([2], dtype), name="a")
        with pytest.raises(RestoreError, match=f"^'x{i}' holds {told}.* does not fit into 'a' of {dtype}"):
            run_plan([b, a], source, {"b": "old/b", "a": (f"x{i}", "identity+cast")}, cast=True)
        np.testing.assert_array_equal(b.numpy(), np.zeros(2))


def test_optimizer_slots_can_be_left(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("w", [3])
        tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(w * w))
        session.run(tf1.global_variables_initializer())
        prefix = tf1.train.Saver().save(session, str(tmp_path / "m.ckpt"))
        session.run([w.assign([1.0, 1.0, 1.0])])
        restored = run_plan(session, prefix, {"w": "w", "w/Momentum": "w/Momentum"}, slots=False)
        assert restored.restored == ["w"]
        assert "slots=False" in restored.why["w/Momentum"]
        assert run_plan(session, prefix, {"w": "w", "w/Momentum": "w/Momentum"}).restored == [
            "w",
            "w/Momentum",
        ]
