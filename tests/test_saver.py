"""Plans as a Saver's builder, a var_list and an assignment map."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import msgspec
import numpy as np
import pytest
import tensorflow as tf

from automatch.errors import PlanConflict, PlanError, PlanIsStale, RestoreError, UnsupportedTarget
from automatch.export import export
from automatch.plan import Plan
from automatch.read import read
from automatch.restore import restore
from automatch.saver import SaverBuilder, assignment_map, var_list
from automatch.tensor import Listing, Part, Tensor
from restore_helpers import checkpoint, partitioned_checkpoint, plan_of, random_values, tf1

VALUES = random_values({"old/w": (4, 3), "old/b": (3,), "old/emb": (5, 2)})


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return checkpoint(tmp_path, VALUES)


def target(**shapes: tuple[int, ...]) -> Listing:
    return Listing(tuple(Tensor(name.replace("__", "/"), shape, "float32") for name, shape in shapes.items()))


def the_plan(prefix: str, listing: Listing, **pairs: str | tuple[str, str]) -> Plan:
    return plan_of(read(prefix), listing, {name.replace("__", "/"): pair for name, pair in pairs.items()})


@pytest.fixture(params=[True, False], ids=["resource", "ref"])
def use_resource(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_builder_reads_by_the_plan_and_leaves_the_rest_alone(prefix: str, use_resource: bool) -> None:
    plan = the_plan(prefix, target(new__w=(4, 3), new__b=(3,), head=(3,)), new__w="old/w", new__b="old/b")
    with tf.Graph().as_default(), tf1.variable_scope("", use_resource=use_resource), tf1.Session() as session:
        w, b = tf1.get_variable("new/w", [4, 3]), tf1.get_variable("new/b", [3])
        head = tf1.get_variable("head", [3], initializer=tf1.ones_initializer())
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver(builder=SaverBuilder(plan)).restore(session, prefix)
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
        np.testing.assert_array_equal(session.run(b), VALUES["old/b"])
        np.testing.assert_array_equal(session.run(head), np.ones(3))
        reads = [o for o in tf1.get_default_graph().get_operations() if o.type == "RestoreV2"]
    assert len(reads) == 1


def test_builder_saves_everything_under_the_graphs_names(prefix: str, tmp_path: Path) -> None:
    plan = the_plan(prefix, target(new__w=(4, 3), head=(3,)), new__w="old/w")
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.get_variable("new/w", [4, 3])
        tf1.get_variable("head", [3])
        session.run(tf1.global_variables_initializer())
        saved = tf1.train.Saver(builder=SaverBuilder(plan)).save(session, str(tmp_path / "new.ckpt"))
    assert [name for name, _ in tf.train.list_variables(saved)] == ["head", "new/w"]


def test_builder_transposes_and_reshapes_whole_and_partitioned_variables(prefix: str) -> None:
    listing = target(t=(3, 4), flat=(12,), emb=(2, 5))
    plan = the_plan(prefix, listing, t=("old/w", "transpose:1,0"), flat=("old/w", "reshape"),
                    emb=("old/emb", "transpose:1,0"))  # fmt: skip
    with tf.Graph().as_default(), tf1.Session() as session:
        t, flat = tf1.get_variable("t", [3, 4]), tf1.get_variable("flat", [12])
        emb = tf1.get_variable("emb", [2, 5], partitioner=tf1.fixed_size_partitioner(2, axis=1))
        tf1.train.Saver(builder=SaverBuilder(plan)).restore(session, prefix)
        np.testing.assert_array_equal(session.run(t), VALUES["old/w"].T)
        np.testing.assert_array_equal(session.run(flat), VALUES["old/w"].ravel())
        np.testing.assert_array_equal(session.run(emb.as_tensor()), VALUES["old/emb"].T)


def test_builder_works_with_a_sharded_saver(prefix: str) -> None:
    plan = the_plan(prefix, target(new__w=(4, 3), new__b=(3,)), new__w="old/w", new__b="old/b")
    with tf.Graph().as_default(), tf1.Session() as session:
        w, _ = tf1.get_variable("new/w", [4, 3]), tf1.get_variable("new/b", [3])
        tf1.train.Saver(builder=SaverBuilder(plan), sharded=True).restore(session, prefix)
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])


def test_builder_refuses_a_tensor_of_another_shape_than_the_plan_says(prefix: str) -> None:
    plan = the_plan(prefix, target(new__w=(3, 4)), new__w="old/w")
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("new/w", [3, 4], initializer=tf1.ones_initializer())
        session.run(w.initializer)
        saver = tf1.train.Saver(builder=SaverBuilder(plan))
        with pytest.raises(tf.errors.InvalidArgumentError, match="compatible"):
            saver.restore(session, prefix)
        np.testing.assert_array_equal(session.run(w), np.ones((3, 4)))


def test_builder_refuses_a_cast_that_nobody_asked_for(prefix: str) -> None:
    plan = the_plan(prefix, target(new__w=(4, 3)), new__w=("old/w", "identity+cast"))
    with pytest.raises(PlanConflict, match=r"'old/w' becomes 'new/w'.*converts to float32\. Pass cast=True"):
        SaverBuilder(plan)


NUMBERS = ["bfloat16", "float16", "float32", "float64", "int8", "uint8", "int32", "int64", "complex64"]
CASTS = [
    (stored, wanted) for stored in NUMBERS for wanted in NUMBERS if stored != wanted and stored != "complex64"
]


def test_builder_converts_between_all_dtypes_as_restore_does(tmp_path: Path) -> None:
    values = {dtype: np.array([0, 1, 2, 100]).astype(tf.as_dtype(dtype).as_numpy_dtype) for dtype in NUMBERS}
    prefix = checkpoint(tmp_path, values)
    listing = Listing(tuple(Tensor(f"{a}/{b}", (4,), b) for a, b in CASTS))
    plan = plan_of(read(prefix), listing, {f"{a}/{b}": (a, "identity+cast") for a, b in CASTS})
    with tf.Graph().as_default(), tf1.Session() as session:
        variables = {f"{a}/{b}": tf1.get_variable(f"{a}/{b}", initializer=tf.zeros([4], b)) for a, b in CASTS}
        tf1.train.Saver(builder=SaverBuilder(plan, cast=True)).restore(session, prefix)
        by_saver = session.run(variables)
        restore(session, prefix, plan, cast=True, quiet=True)
        by_restore = session.run(variables)
    for stored, wanted in CASTS:
        found = by_saver[f"{stored}/{wanted}"]
        assert found.dtype == tf.as_dtype(wanted).as_numpy_dtype
        np.testing.assert_array_equal(found, values[stored].astype(found.dtype))
        np.testing.assert_array_equal(found, by_restore[f"{stored}/{wanted}"])


def test_builder_converts_parts_and_what_it_turns(prefix: str, use_resource: bool) -> None:
    bf16 = ml_dtypes.bfloat16
    shapes = {"t": (3, 4), "emb": (5, 2), "turned": (2, 5)}
    listing = Listing(tuple(Tensor(name, shape, "bfloat16") for name, shape in shapes.items()))
    plan = the_plan(prefix, listing, t=("old/w", "transpose:1,0+cast"), emb=("old/emb", "identity+cast"),
                    turned=("old/emb", "transpose:1,0+cast"))  # fmt: skip
    parts = tf1.fixed_size_partitioner
    with tf.Graph().as_default(), tf1.variable_scope("", use_resource=use_resource), tf1.Session() as session:
        t = tf1.get_variable("t", [3, 4], tf.bfloat16)
        emb = tf1.get_variable("emb", [5, 2], tf.bfloat16, partitioner=parts(2))
        turned = tf1.get_variable("turned", [2, 5], tf.bfloat16, partitioner=parts(2, axis=1))
        tf1.train.Saver(builder=SaverBuilder(plan, cast=True)).restore(session, prefix)
        np.testing.assert_array_equal(session.run(t), VALUES["old/w"].T.astype(bf16))
        np.testing.assert_array_equal(session.run(emb.as_tensor()), VALUES["old/emb"].astype(bf16))
        np.testing.assert_array_equal(session.run(turned.as_tensor()), VALUES["old/emb"].T.astype(bf16))


@pytest.mark.parametrize("way", ["builder", "exported", "restore"])
@pytest.mark.parametrize("parts", [None, 2, 3])
@pytest.mark.parametrize(
    ("stored", "wanted"),
    [("float16", "float16"), ("float16", "float32"), ("uint32", "uint32"), ("string", "string")],
)
def test_parts_of_what_tensorflow_reads_only_as_it_is_stored(
    tmp_path: Path, way: str, stored: str, wanted: str, parts: int | None
) -> None:
    numbers = np.arange(10).reshape(5, 2)
    values = numbers.astype(bytes).astype(object) if stored == "string" else numbers.astype(stored)
    given = {"old/emb": values}
    prefix = partitioned_checkpoint(tmp_path, given, parts) if parts else checkpoint(tmp_path, given)
    cast = "" if stored == wanted else "+cast"
    listing = Listing((Tensor("emb", (5, 2), wanted),))
    plan = plan_of(read(prefix), listing, {"emb": ("old/emb", f"identity{cast}")})
    with tf.Graph().as_default(), tf1.Session() as session:
        emb = tf1.get_variable(
            "emb",
            [5, 2],
            wanted,
            partitioner=tf1.fixed_size_partitioner(2),
            initializer=tf1.zeros_initializer(),
        )
        with pytest.raises(tf.errors.InvalidArgumentError) if parts != 2 or cast else nullcontext():
            tf1.train.Saver({"old/emb": list(emb)}).restore(session, prefix)
        if way == "restore":
            restore(session, prefix, plan, cast=True, quiet=True)
        else:
            exported: dict[str, Any] = {}
            exec(export(plan, "saver_builder"), exported)
            made = SaverBuilder(plan, cast=True) if way == "builder" else exported["RenamingBuilder"]()
            if parts == 3:
                with pytest.raises((RestoreError, ValueError), match="TensorFlow does not join"):
                    tf1.train.Saver(builder=made)
                return
            tf1.train.Saver(builder=made).restore(session, prefix)
        found = np.concatenate(session.run(list(emb)))
    np.testing.assert_array_equal(found, values if stored == "string" else numbers.astype(wanted))


def test_builder_needs_the_checkpoint_to_know_what_is_converted(prefix: str, tmp_path: Path) -> None:
    listing = Listing((Tensor("new/w", (4, 3), "float16"),))
    plan = the_plan(prefix, listing, new__w=("old/w", "identity+cast"))
    homeless = msgspec.structs.replace(plan, source=msgspec.structs.replace(plan.source, path=None))
    with pytest.raises(PlanError, match="does not say where its source lies"):
        SaverBuilder(homeless, cast=True)
    assert SaverBuilder(homeless, cast=True, source=prefix)
    other = checkpoint(tmp_path, {"x": np.ones(3, np.float32)}, "other.ckpt")
    with pytest.raises(PlanIsStale):
        SaverBuilder(homeless, cast=True, source=other)
    words = checkpoint(tmp_path, {"old/w": np.full((4, 3), b"a", object)}, "words.ckpt")
    spoken = the_plan(words, listing, new__w=("old/w", "identity+cast"))
    with pytest.raises(RestoreError, match="no conversion keeps its meaning"):
        SaverBuilder(spoken, cast=True)


def test_var_list_restores_whole_and_partitioned_variables(prefix: str, use_resource: bool) -> None:
    listing = Listing(
        (
            Tensor("new/w", (4, 3), "float32"),
            Tensor("new/emb", (5, 2), "float32", parts=(Part("new/emb/part_0", (0, 0), (3, 2)),)),
        )
    )
    plan = the_plan(prefix, listing, new__w="old/w", new__emb="old/emb")
    graph = tf.Graph()
    with graph.as_default(), tf1.variable_scope("", use_resource=use_resource):
        w = tf1.get_variable("new/w", [4, 3])
        emb = tf1.get_variable("new/emb", [5, 2], partitioner=tf1.fixed_size_partitioner(2))
        tf1.get_variable("head", [3])
    with graph.as_default(), tf1.Session() as session:
        tf1.train.Saver(var_list(plan)).restore(session, prefix)
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
        np.testing.assert_array_equal(session.run(emb.as_tensor()), VALUES["old/emb"])
    assert set(plan.var_list(graph)) == {"old/w", "old/emb"}


def test_var_list_finds_keras_3_layers_in_a_graph(prefix: str) -> None:
    plan = the_plan(
        prefix, target(dense__kernel=(4, 3), dense__bias=(3,)), dense__kernel="old/w", dense__bias="old/b"
    )
    with tf.Graph().as_default(), tf1.Session() as session:
        layer = keras.layers.Dense(3, name="dense")
        layer.build((None, 4))
        tf1.train.Saver(plan.var_list()).restore(session, prefix)
        np.testing.assert_array_equal(session.run(layer.kernel.value), VALUES["old/w"])


def test_assignment_map_initialises_from_the_checkpoint(prefix: str) -> None:
    plan = the_plan(prefix, target(new__w=(4, 3), new__emb=(5, 2)), new__w="old/w", new__emb="old/emb")
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("new/w", [4, 3])
        emb = tf1.get_variable("new/emb", [5, 2], partitioner=tf1.fixed_size_partitioner(2))
        tf1.train.init_from_checkpoint(prefix, plan.assignment_map())
        session.run(tf1.global_variables_initializer())
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
        np.testing.assert_array_equal(session.run(emb.as_tensor()), VALUES["old/emb"])


@pytest.mark.parametrize("form", [assignment_map, lambda plan: var_list(plan, tf.Graph())])
def test_what_cannot_rename_alone_is_refused_never_dropped(prefix: str, form: object) -> None:
    moved = the_plan(prefix, target(t=(3, 4)), t=("old/w", "transpose:1,0"))
    tied = the_plan(prefix, target(a=(4, 3), b=(4, 3)), a="old/w", b="old/w")
    with pytest.raises(PlanConflict, match="'old/w' becomes 't' by 'transpose:1,0'"):
        form(moved)  # type: ignore[operator]
    with pytest.raises(PlanConflict, match="'old/w' goes to both 'a' and 'b'"):
        form(tied)  # type: ignore[operator]


def test_undecided_and_rejected_pairs_are_in_none_of_the_forms(prefix: str) -> None:
    listing = target(new__w=(4, 3))
    plan = plan_of(read(prefix), listing, {"new/w": ("old/w", "transpose:1,0+cast")}, decision="undecided")
    assert assignment_map(plan) == {}
    assert var_list(plan, tf.Graph()) == {}
    SaverBuilder(plan)


def test_a_graph_without_the_variable_is_named(prefix: str) -> None:
    plan = the_plan(prefix, target(new__w=(4, 3)), new__w="old/w")
    with pytest.raises(UnsupportedTarget, match="no variable 'new/w'"):
        var_list(plan, tf.Graph())
