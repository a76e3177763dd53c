"""Restoring into sessions: every kind of variable, every state of the graph, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from automatch.errors import AutomatchError, PlanIsStale, RestoreError, UnreadableFile
from automatch.read import read
from automatch.restore import Restored, restore, restore_auto
from restore_helpers import (
    FITS,
    MISFITS,
    checkpoint,
    partitioned,
    partitioned_checkpoint,
    plan_of,
    random_values,
    tf1,
)

VALUES = {
    **random_values({"old/w": (4, 3), "old/b": (3,), "old/emb": (7, 2)}),
    "old/step": np.int64(2**40),
    "old/words": np.array([b"a", b"", b"\xff\x00"], dtype=object),
    "old/flag": np.array([True, False]),
    "old/complex": np.array([1 + 2j], dtype=np.complex64),
    "old/half": np.array([1.5, 2.5], dtype=np.float16),
    "old/brain": np.array([1.5, 2.5], dtype=ml_dtypes.bfloat16),
}


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return checkpoint(tmp_path, VALUES)


@pytest.fixture(params=["resource", "ref"])
def graph(request: pytest.FixtureRequest) -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as graph, tf1.variable_scope("", use_resource=request.param == "resource"):
        yield graph


@pytest.fixture(params=["open", "finalized", "finalized with a Saver"])
def finish(request: pytest.FixtureRequest, graph: tf.Graph) -> Callable[[], None]:
    """To be called when all variables are there: the graph as it is, or as a Scaffold leaves it."""

    def finished() -> None:
        if "Saver" in request.param:
            tf1.train.Saver()
        if "finalized" in request.param:
            graph.finalize()

    return finished


def run_plan(
    session: tf1.Session, prefix: str, pairs: Mapping[str, str | tuple[str, str]], **options: bool
) -> Restored:
    return restore(session, prefix, plan_of(read(prefix), read(session), pairs), quiet=True, **options)


def variable(name: str, value: np.ndarray) -> tf1.Variable:
    """A variable of the value's shape and dtype, with nothing in it."""
    dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
    zeros = np.zeros(value.shape, value.dtype) if dtype != tf.string else np.full(value.shape, b"", object)
    return tf1.get_variable(name, initializer=tf.constant(zeros, dtype))


@pytest.mark.usefixtures("graph")
def test_every_dtype_arrives(prefix: str, graph: tf.Graph, finish: Callable[[], None]) -> None:
    variables = {
        name.replace("old", "new"): variable(name.replace("old", "new"), v) for name, v in VALUES.items()
    }
    finish()
    with tf1.Session() as session:
        restored = run_plan(session, prefix, {name: name.replace("new", "old") for name in variables})
        assert restored.restored == list(variables)
        for name, value in session.run(variables).items():
            np.testing.assert_array_equal(value, VALUES[name.replace("new", "old")])


def test_transposed_reshaped_tied_and_partitioned_targets(
    prefix: str, graph: tf.Graph, finish: Callable[[], None]
) -> None:
    parts = tf1.fixed_size_partitioner
    t, flat = tf1.get_variable("t", [3, 4]), tf1.get_variable("flat", [12])
    one, two = tf1.get_variable("one", [3]), tf1.get_variable("two", [3])
    emb = tf1.get_variable("emb", [7, 2], partitioner=parts(3))
    turned = tf1.get_variable("turned", [2, 7], partitioner=parts(2, axis=1))
    finish()
    with tf1.Session() as session:
        pairs: dict[str, str | tuple[str, str]] = {"one": "old/b", "two": "old/b", "emb": "old/emb"}
        pairs |= {"t": ("old/w", "transpose:1,0"), "flat": ("old/w", "reshape")}
        run_plan(session, prefix, pairs | {"turned": ("old/emb", "transpose:1,0")})
        np.testing.assert_array_equal(session.run(t), VALUES["old/w"].T)
        np.testing.assert_array_equal(session.run(flat), VALUES["old/w"].ravel())
        np.testing.assert_array_equal(session.run(one), VALUES["old/b"])
        np.testing.assert_array_equal(session.run(two), VALUES["old/b"])
        np.testing.assert_array_equal(np.concatenate(session.run(list(emb))), VALUES["old/emb"])
        np.testing.assert_array_equal(np.concatenate(session.run(list(turned)), 1), VALUES["old/emb"].T)


def test_partitioned_sources_into_whole_variables_and_parts_of_other_sizes(
    tmp_path: Path, graph: tf.Graph, finish: Callable[[], None]
) -> None:
    values = random_values({"emb": (7, 2), "other": (6, 2)})
    prefix = partitioned_checkpoint(tmp_path, values, parts=3)
    whole = tf1.get_variable("whole", [7, 2])
    halves = tf1.get_variable("halves", [6, 2], partitioner=tf1.fixed_size_partitioner(2))
    finish()
    with tf1.Session() as session:
        run_plan(session, prefix, {"whole": "emb", "halves": "other"})
        np.testing.assert_array_equal(session.run(whole), values["emb"])
        np.testing.assert_array_equal(np.concatenate(session.run(list(halves))), values["other"])


@pytest.mark.parametrize("dtype", ["float16", "uint16", "uint32", "uint64", "string"])
def test_slices_that_tensorflow_cannot_join_arrive_whole_and_in_all_parts(
    tmp_path: Path, graph: tf.Graph, finish: Callable[[], None], dtype: str
) -> None:
    numbers = np.arange(14).reshape(7, 2)
    value = numbers.astype(bytes).astype(object) if dtype == "string" else numbers.astype(dtype)
    prefix = partitioned_checkpoint(tmp_path, {"a": value, "b": value, "c": value, "d": value}, parts=3)
    nothing = np.zeros_like(value) if dtype != "string" else np.full_like(value, b"")
    same, halves = partitioned("same", nothing, 3), partitioned("halves", nothing, 2)
    whole, turned = variable("whole", nothing), variable("turned", nothing.T)
    finish()
    with tf1.Session() as session:
        # Alone, these are read as they are stored, which the rest cannot be.
        run_plan(session, prefix, {"same": "a"})
        np.testing.assert_array_equal(np.concatenate(session.run(same)), value)
        run_plan(session, prefix, {"whole": "a"})
        np.testing.assert_array_equal(session.run(whole), value)
        run_plan(
            session, prefix, {"same": "b", "halves": "a", "whole": "c", "turned": ("d", "transpose:1,0")}
        )
        for parts in (same, halves, [whole]):
            np.testing.assert_array_equal(np.concatenate(session.run(parts)), value)
        np.testing.assert_array_equal(session.run(turned), value.T)


def test_casts_happen_only_where_asked_for(prefix: str, graph: tf.Graph, finish: Callable[[], None]) -> None:
    wide, narrow = tf1.get_variable("wide", [2]), tf1.get_variable("narrow", [3], tf.bfloat16)
    finish()
    pairs = {"wide": ("old/half", "identity+cast"), "narrow": ("old/b", "identity+cast")}
    with tf1.Session() as session:
        with pytest.raises(RestoreError, match="needs a cast from float16 to float32: pass cast=True"):
            run_plan(session, prefix, pairs)
        run_plan(session, prefix, pairs, cast=True)
        np.testing.assert_array_equal(session.run(wide), [1.5, 2.5])
        np.testing.assert_array_equal(session.run(narrow), VALUES["old/b"].astype(ml_dtypes.bfloat16))


def test_a_cast_that_would_lose_a_value_is_refused_and_nothing_changes(
    tmp_path: Path, graph: tf.Graph, finish: Callable[[], None]
) -> None:
    prefix = checkpoint(tmp_path, {"good": np.ones(2)} | {f"x{i}": row[0] for i, row in enumerate(MISFITS)})
    good = tf1.get_variable("a", [2])
    for i, (value, dtype, _) in enumerate(MISFITS):
        tf1.get_variable(f"x{i}", value.shape, dtype, tf1.zeros_initializer())
    finish()
    with tf1.Session() as session:
        session.run([variable.initializer for variable in tf1.global_variables()])
        before = session.run(good)
        for i, (_, dtype, told) in enumerate(MISFITS):
            pairs = {"a": ("good", "identity+cast"), f"x{i}": (f"x{i}", "identity+cast")}
            with pytest.raises(RestoreError, match=f"^'x{i}' holds {told}.* not fit into 'x{i}' of {dtype}"):
                run_plan(session, prefix, pairs, cast=True)
            np.testing.assert_array_equal(session.run(good), before)


def test_a_cast_rounds_what_fits(tmp_path: Path, graph: tf.Graph, finish: Callable[[], None]) -> None:
    prefix = checkpoint(tmp_path, {f"x{i}": value for i, (value, _) in enumerate(FITS)})
    variables = [
        tf1.get_variable(f"x{i}", value.shape, dtype, tf1.zeros_initializer())
        for i, (value, dtype) in enumerate(FITS)
    ]
    finish()
    with tf1.Session() as session:
        run_plan(session, prefix, {f"x{i}": (f"x{i}", "identity+cast") for i in range(len(FITS))}, cast=True)
        for found, (value, dtype) in zip(session.run(variables), FITS, strict=True):
            np.testing.assert_array_equal(found, value.astype(tf.as_dtype(dtype).as_numpy_dtype))


def test_variables_without_a_pair_are_untouched_and_named_when_uninitialized(
    prefix: str, graph: tf.Graph, finish: Callable[[], None]
) -> None:
    tf1.get_variable("w", [4, 3])
    head = tf1.get_variable("head", [3], initializer=tf1.ones_initializer())
    tf1.get_variable("fresh", [3])
    tf1.get_variable("parts", [4], partitioner=tf1.fixed_size_partitioner(2))
    finish()
    with tf1.Session() as session:
        session.run(head.initializer)
        restored = run_plan(session, prefix, {"w": "old/w"})
        np.testing.assert_array_equal(session.run(head), np.ones(3))
        everything = tf1.global_variables()
        session.run([v.initializer for v in everything if v.op.name in restored.uninitialized])
        session.run(everything)
        np.testing.assert_array_equal(session.run(everything[0]), VALUES["old/w"])
    assert restored.restored == ["w"]
    assert restored.unmatched == ["head", "fresh", "parts"]
    assert restored.uninitialized == ["fresh", "parts/part_0", "parts/part_1"]
    assert "3 left as they were, 2 of them without any value" in str(restored)
    assert restored.why["head"] == "nothing fits"
    assert set(restored.unused) == set(VALUES) - {"old/w"}


def test_calls_after_the_first_add_no_nodes(prefix: str, graph: tf.Graph) -> None:
    w = tf1.get_variable("w", [4, 3])
    tf1.get_variable("rest", [1])
    with tf1.Session() as session:
        run_plan(session, prefix, {"w": "old/w"})
        size = len(graph.get_operations())
        session.run(w.assign(tf.zeros([4, 3])))
        grown = len(graph.get_operations())
        run_plan(session, prefix, {"w": "old/w"})
        assert len(graph.get_operations()) == grown > size
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])


def test_a_finalized_graph_gets_no_nodes_at_all(prefix: str, graph: tf.Graph) -> None:
    w = tf1.get_variable("w", [4, 3])
    size = len(graph.get_operations())
    graph.finalize()
    with tf1.Session() as session:
        run_plan(session, prefix, {"w": "old/w"})
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])
    assert len(graph.get_operations()) == size


def test_variables_that_share_their_initial_value_get_their_own(prefix: str, graph: tf.Graph) -> None:
    shared = tf.zeros([3])
    one = tf1.get_variable("one", initializer=shared)
    two = tf1.get_variable("two", initializer=shared)
    tf1.get_variable("three", [2])
    graph.finalize()
    with tf1.Session() as session:
        np.savez(Path(prefix).with_name("x.npz"), b=VALUES["old/b"])
        run_plan(
            session,
            prefix,
            {"one": "old/b", "two": "old/b", "three": ("old/half", "identity+cast")},
            cast=True,
        )
        np.testing.assert_array_equal(session.run(one), VALUES["old/b"])
        np.testing.assert_array_equal(session.run(two), VALUES["old/b"])


def test_a_wrong_shape_is_refused_although_tensorflow_would_take_it(prefix: str, graph: tf.Graph) -> None:
    w = tf1.get_variable("w", [3, 4], initializer=tf1.ones_initializer())
    b = tf1.get_variable("b", [3], initializer=tf1.ones_initializer())
    with tf1.Session() as session:
        session.run([w.initializer, b.initializer])
        with pytest.raises(AutomatchError, match=r"f32\[3,4\].*'w'.*f32\[4,3\].*'old/w'"):
            run_plan(session, prefix, {"b": "old/b", "w": "old/w"})
        np.testing.assert_array_equal(session.run(b), np.ones(3))


def damage(prefix: str, name: str) -> None:
    """One bit of a tensor's bytes turned over."""
    shard = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    data[data.index(VALUES[name].tobytes()) + 1] ^= 4
    shard.write_bytes(data)


def test_a_damaged_tensor_is_named_with_its_file_and_nothing_changes(
    prefix: str, graph: tf.Graph, finish: Callable[[], None]
) -> None:
    w = tf1.get_variable("w", [4, 3], initializer=tf1.ones_initializer())
    b = tf1.get_variable("b", [3], initializer=tf1.ones_initializer())
    initializers = [w.initializer, b.initializer]
    finish()
    damage(prefix, "old/w")
    with tf1.Session() as session:
        session.run(initializers)
        with pytest.raises(UnreadableFile, match=r"old\.ckpt\.data-00000-of-00001' is damaged.*'old/w'"):
            run_plan(session, prefix, {"b": "old/b", "w": "old/w"})
        np.testing.assert_array_equal(session.run(b), np.ones(3))
        np.testing.assert_array_equal(session.run(w), np.ones((4, 3)))


def test_a_missing_or_short_data_shard_is_named(prefix: str, graph: tf.Graph) -> None:
    tf1.get_variable("w", [4, 3])
    shard = Path(f"{prefix}.data-00000-of-00001")
    with tf1.Session() as session:
        plan = plan_of(read(prefix), read(session), {"w": "old/w"})
        shard.write_bytes(shard.read_bytes()[:20])
        with pytest.raises(UnreadableFile, match=r"data-00000-of-00001' has 20 bytes"):
            restore(session, prefix, plan)
        shard.unlink()
        with pytest.raises(RestoreError, match=r"data-00000-of-00001' is missing"):
            restore(session, prefix, plan)


def test_a_data_shard_that_links_to_nothing_is_missing_in_both_calls(prefix: str, graph: tf.Graph) -> None:
    variable("new/w", VALUES["old/w"])
    shard = Path(f"{prefix}.data-00000-of-00001")
    with tf1.Session() as session:
        plan = plan_of(read(prefix), read(session), {"new/w": "old/w"})
        shard.unlink()
        shard.symlink_to("moved/blob")
        with pytest.raises(RestoreError, match=r"data-00000-of-00001' is missing") as said:
            restore(session, prefix, plan)
        with pytest.raises(RestoreError) as said_too:
            restore_auto(session, prefix)
        assert str(said.value) == str(said_too.value)


def test_a_plan_for_another_graph_is_refused(prefix: str, graph: tf.Graph) -> None:
    w = tf1.get_variable("w", [4, 3], initializer=tf1.ones_initializer())
    with tf1.Session() as session:
        plan = plan_of(read(prefix), read(session), {"w": "old/w"})
        tf1.get_variable("more", [4, 3])
        session.run(w.initializer)
        with pytest.raises(PlanIsStale, match="more"):
            restore(session, prefix, plan)
        np.testing.assert_array_equal(session.run(w), np.ones((4, 3)))


def test_undecided_and_rejected_pairs_are_not_restored(prefix: str, graph: tf.Graph, tmp_path: Path) -> None:
    tf1.get_variable("w", [4, 3])
    with tf1.Session() as session:
        plan = plan_of(read(prefix), read(session), {"w": "old/w"}, decision="undecided")
        path = plan.save(tmp_path / "some.plan.json")
        restored = restore(session, prefix, path, quiet=True)
    assert restored.restored == []
    assert restored.why == {"w": "undecided"}


def test_one_line_is_printed_unless_quiet(
    prefix: str, graph: tf.Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    tf1.get_variable("w", [4, 3])
    tf1.get_variable("head", [2])
    with tf1.Session() as session:
        plan = plan_of(read(prefix), read(session), {"w": "old/w"})
        restore(session, prefix, plan)
        assert capsys.readouterr().out == (
            "automatch: restored 1 of 2 variables; 1 left as they were, 1 of them without any value; "
            "8 source tensors unused\n"
        )
        restore(session, prefix, plan, quiet=True)
        assert capsys.readouterr().out == ""


def test_a_prefix_with_glob_characters_restores(tmp_path: Path, graph: tf.Graph) -> None:
    folder = tmp_path / "run[1]"
    folder.mkdir()
    for path in Path(checkpoint(tmp_path, VALUES)).parent.glob("old.ckpt.*"):
        path.rename(folder / path.name)
    w = tf1.get_variable("w", [4, 3])
    with tf1.Session() as session:
        run_plan(session, str(folder / "old.ckpt"), {"w": "old/w"})
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"])


def test_lookup_tables_are_left_out_with_a_word(prefix: str, graph: tf.Graph) -> None:
    tf1.get_variable("w", [4, 3])
    tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="words")
    tf1.train.Saver()
    with tf1.Session() as session:
        restored = run_plan(session, prefix, {"w": "old/w"})
    assert restored.excluded
    assert "no variables left out" in str(restored)
