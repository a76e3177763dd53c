"""apply: a checkpoint under the target's names, that TensorFlow reads without knowing of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from automatch.errors import PlanError, PlanIsStale, RestoreError, UnreadableFile, UnwritableFile, UsageError
from automatch.read import read
from automatch.read.bundle import Entry, Header
from automatch.read.table import rows
from automatch.rewrite import apply
from automatch.rewrite.entries import index_bytes
from automatch.rewrite.table import table
from automatch.tensor import Listing, Tensor
from restore_helpers import (
    MISFITS,
    checkpoint,
    partitioned,
    partitioned_checkpoint,
    plan_of,
    random_values,
    tf1,
)
from rewrite_helpers import VALUES, leftovers, loaded, no_links, plan_for


def test_a_rename_links_the_data_and_tensorflow_reads_every_dtype(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    written = apply(plan_for(prefix, {f"new/{name}": name for name in VALUES}), tmp_path / "new.ckpt")
    found = loaded(tmp_path / "new.ckpt")
    assert set(found) == {f"new/{name}" for name in VALUES}
    for name, value in VALUES.items():
        np.testing.assert_array_equal(found[f"new/{name}"], value)
    assert Path(f"{prefix}.data-00000-of-00001").samefile(f"{tmp_path}/new.ckpt.data-00000-of-00001")
    assert (written.linked, written.copied, written.changed, written.missing) == (1, 0, (), ("head",))


def test_a_rename_reads_and_copies_no_data_however_large(tmp_path: Path) -> None:
    # 96 GB of holes: to copy them would fill the disk, and to read them would meet checksums that do not fit.
    size, float32 = 32 * 2**30, 1
    tensors = {f"old/{i}": Entry(float32, (2**23, 2**10), 0, i * size, size, crc=1) for i in range(3)}
    tensors["old/small"] = Entry(float32, (2, 2), 0, 0, 16, crc=1)
    data = tmp_path / "old.ckpt.data-00000-of-00001"
    data.touch()
    os.truncate(data, 3 * size)
    assert data.stat().st_blocks == 0, "the file system of the temporary folder knows no holes"
    (tmp_path / "old.ckpt.index").write_bytes(index_bytes(Header(1, "little"), tensors, {}))
    prefix = str(tmp_path / "old.ckpt")
    written = apply(plan_for(prefix, {f"new/{name}": name for name in tensors}), tmp_path / "new.ckpt")
    assert (written.linked, written.copied, written.changed) == (1, 0, ())
    names = sorted(path.name for path in tmp_path.glob("new.ckpt*"))
    assert names == ["new.ckpt.data-00000-of-00001", "new.ckpt.index"]
    assert data.samefile(tmp_path / "new.ckpt.data-00000-of-00001")
    assert data.stat().st_blocks == 0
    assert {tensor.shape for tensor in read(tmp_path / "new.ckpt").tensors} == {(2**23, 2**10), (2, 2)}
    with pytest.raises(UnreadableFile, match="checksum"):
        apply(plan_for(prefix, {"t": ("old/small", "transpose:1,0")}), tmp_path / "read.ckpt")


def test_changed_values_go_to_one_more_shard_and_the_rest_stays_linked(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    pairs = {"t": ("old/w", "transpose:1,0"), "flat": ("old/emb", "reshape"),
             "wide": ("half", "identity+cast"), "b": "old/b", "again": "old/b"}  # fmt: skip
    written = apply(plan_for(prefix, pairs), tmp_path / "new.ckpt")
    found = loaded(tmp_path / "new.ckpt")
    np.testing.assert_array_equal(found["t"], VALUES["old/w"].T)
    np.testing.assert_array_equal(found["flat"], VALUES["old/emb"].ravel())
    np.testing.assert_array_equal(found["wide"], np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(found["b"], VALUES["old/b"])
    np.testing.assert_array_equal(found["again"], VALUES["old/b"])
    assert set(written.changed) == {"t", "wide"}
    names = sorted(path.name for path in tmp_path.glob("new.ckpt*"))
    assert names == ["new.ckpt.data-00000-of-00002", "new.ckpt.data-00001-of-00002", "new.ckpt.index"]


@pytest.mark.parametrize("to", ["checkpoint", "npz"])
@pytest.mark.parametrize(("value", "dtype", "told"), [row for row in MISFITS if row[1] != "bfloat16"])
def test_a_cast_that_would_lose_a_value_writes_nothing(
    tmp_path: Path, to: str, value: np.ndarray, dtype: str, told: str
) -> None:
    prefix = checkpoint(tmp_path, {"old/a": value})
    plan = plan_of(
        read(prefix), Listing((Tensor("a", value.shape, dtype),)), {"a": ("old/a", "identity+cast")}
    )
    with pytest.raises(RestoreError, match=f"^'old/a' holds {told}.*does not fit into 'a' of {dtype}"):
        apply(plan, tmp_path / "new", to=to)
    assert not list(tmp_path.glob("new*"))


def test_an_unmodified_saver_restores_the_result(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    apply(
        plan_for(prefix, {"net/w": ("old/w", "transpose:1,0"), "net/emb": "old/emb"}), tmp_path / "new.ckpt"
    )
    with tf.Graph().as_default(), tf1.Session() as session:
        w = tf1.get_variable("net/w", [3, 4])
        emb = tf1.get_variable("net/emb", [6, 2], partitioner=tf1.fixed_size_partitioner(3))
        tf1.train.Saver().restore(session, str(tmp_path / "new.ckpt"))
        np.testing.assert_array_equal(session.run(w), VALUES["old/w"].T)
        np.testing.assert_array_equal(session.run(emb.as_tensor()), VALUES["old/emb"])


def test_partitioned_tensors_are_renamed_with_their_slices_or_joined_where_they_change(
    tmp_path: Path,
) -> None:
    values = random_values({"emb": (7, 2), "other": (4, 2)})
    prefix = partitioned_checkpoint(tmp_path, values, parts=3)
    written = apply(
        plan_for(prefix, {"new/emb": "emb", "t": ("other", "transpose:1,0")}), tmp_path / "new.ckpt"
    )
    found = loaded(tmp_path / "new.ckpt")
    np.testing.assert_array_equal(found["new/emb"], values["emb"])
    np.testing.assert_array_equal(found["t"], values["other"].T)
    assert written.changed == ("t",)


@pytest.mark.parametrize("dtype", ["float16", "uint32", "string", "float32"])
@pytest.mark.parametrize("stored", [None, 3])
@pytest.mark.parametrize("wanted", [None, 1, 2, 3])
def test_an_unmodified_saver_reads_parts_and_wholes_of_every_dtype(
    tmp_path: Path, dtype: str, stored: int | None, wanted: int | None
) -> None:
    numbers = np.arange(14).reshape(7, 2)
    value = numbers.astype(bytes).astype(object) if dtype == "string" else numbers.astype(dtype)
    values = {"old/a": value, "old/t": value, "old/c": numbers}
    prefix = partitioned_checkpoint(tmp_path, values, stored) if stored else checkpoint(tmp_path, values)
    nothing = np.zeros_like(value) if dtype != "string" else np.full_like(value, b"")
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        found = {
            name: partitioned(name, given, wanted)
            if wanted
            else [tf1.get_variable(name, initializer=tf.constant(given))]
            for name, given in {"a": nothing, "t": nothing.T, "c": nothing}.items()
            if name != "c" or dtype != "string"
        }
        pairs: dict[str, str | tuple[str, str]] = {"a": "old/a", "t": ("old/t", "transpose:1,0")}
        pairs |= {"c": ("old/c", "identity+cast")} if "c" in found else {}
        plan = plan_of(read(prefix), read(graph), pairs)
        plan.save(tmp_path / "plan.json")
        written = apply(tmp_path / "plan.json", tmp_path / "new.ckpt")
        tf1.train.Saver().restore(session, str(tmp_path / "new.ckpt"))
        for name, parts in found.items():
            np.testing.assert_array_equal(
                np.concatenate(session.run(parts)), value.T if name == "t" else value
            )
    again = read(tmp_path / "new.ckpt")
    assert again.values is not None
    for name in found:
        np.testing.assert_array_equal(again.values(name), value.T if name == "t" else value)
    assert ("a" in written.changed) == (dtype != "float32" and (stored or 1) != (wanted or 1))


def test_a_plan_that_does_not_know_the_targets_parts_keeps_those_of_the_source(tmp_path: Path) -> None:
    value = np.arange(14, dtype=np.float16).reshape(7, 2)
    prefix = partitioned_checkpoint(tmp_path, {"old": value}, 3)
    plan = plan_of(read(prefix), Listing((Tensor("new", (7, 2), "float16"),)), {"new": "old"})
    assert apply(plan, tmp_path / "new.ckpt").changed == ()
    with tf.Graph().as_default(), tf1.Session() as session:
        new = partitioned("new", np.zeros_like(value), 3)
        tf1.train.Saver().restore(session, str(tmp_path / "new.ckpt"))
        np.testing.assert_array_equal(np.concatenate(session.run(new)), value)


def test_strings_are_transposed_too(tmp_path: Path) -> None:
    words = np.array([[b"a", b"bb" * 90, b""], [b"d", b"\xff\x00", b"f"]], dtype=object)
    prefix = checkpoint(tmp_path, {"words": words})
    apply(plan_for(prefix, {"t": ("words", "transpose:1,0")}), tmp_path / "new.ckpt")
    np.testing.assert_array_equal(loaded(tmp_path / "new.ckpt")["t"], words.T)


def test_values_larger_than_a_chunk_stream_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automatch.rewrite.stream.CHUNK", 64)
    values = random_values({"w": (5, 7, 3)})
    prefix = checkpoint(tmp_path, values)
    steps: list[tuple[int, int]] = []
    target = Listing((Tensor("t", (3, 5, 7), "float32"),))
    plan = plan_of(read(prefix), target, {"t": ("w", "transpose:2,0,1")})
    apply(plan, tmp_path / "new.ckpt", progress=lambda done, total: steps.append((done, total)))
    np.testing.assert_array_equal(loaded(tmp_path / "new.ckpt")["t"], values["w"].transpose(2, 0, 1))
    assert len(steps) > 5
    assert steps[-1] == (5 * 7 * 3 * 4, 5 * 7 * 3 * 4)


def test_copy_makes_the_result_independent(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    written = apply(plan_for(prefix, {"b": "old/b"}), tmp_path / "new.ckpt", copy=True)
    assert not Path(f"{prefix}.data-00000-of-00001").samefile(f"{tmp_path}/new.ckpt.data-00000-of-00001")
    assert (written.linked, written.copied) == (0, 1)


def test_another_file_system_or_a_symbolic_link_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    plan = plan_for(prefix, {"b": "old/b"})

    monkeypatch.setattr(os, "link", no_links)
    assert apply(plan, tmp_path / "new.ckpt").copied == 1
    np.testing.assert_array_equal(loaded(tmp_path / "new.ckpt")["b"], VALUES["old/b"])


def test_damage_in_a_tensor_that_is_read_names_it_and_leaves_nothing(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    plan = plan_for(prefix, {"t": ("old/w", "transpose:1,0"), "b": "old/b"})
    shard = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    at = data.index(VALUES["old/w"].tobytes())
    data[at] ^= 1
    shard.write_bytes(data)
    before = leftovers(tmp_path)
    with pytest.raises(UnreadableFile, match=r"old\.ckpt\.data-00000-of-00001'.*'old/w'"):
        apply(plan, tmp_path / "new.ckpt")
    assert leftovers(tmp_path) == before


def test_undecided_pairs_have_to_be_decided_or_skipped(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    plan = plan_for(prefix, {"b": "old/b"}, decision="undecided")
    with pytest.raises(PlanError, match="1 pairs of the plan are undecided, 'b' for one"):
        apply(plan, tmp_path / "new.ckpt")
    assert apply(plan, tmp_path / "new.ckpt", skip_undecided=True).written == ()
    assert loaded(tmp_path / "new.ckpt") == {}


def test_a_plan_for_another_checkpoint_is_refused(tmp_path: Path) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"b": "old/b"})
    other = checkpoint(tmp_path, {"y": np.ones(2, np.float32)}, "other.ckpt")
    with pytest.raises(PlanIsStale):
        apply(plan, tmp_path / "new.ckpt", source=other)
    assert not list(tmp_path.glob("new.ckpt*"))


def test_a_file_of_another_format_becomes_a_checkpoint(tmp_path: Path) -> None:
    np.savez(tmp_path / "weights.npz", w=VALUES["old/w"], b=VALUES["old/b"])
    plan = plan_for(str(tmp_path / "weights.npz"), {"net/w": ("w", "transpose:1,0"), "net/b": "b"})
    apply(plan, tmp_path / "new.ckpt")
    found = loaded(tmp_path / "new.ckpt")
    np.testing.assert_array_equal(found["net/w"], VALUES["old/w"].T)
    np.testing.assert_array_equal(found["net/b"], VALUES["old/b"])


@pytest.mark.parametrize("to", ["safetensors", "npz"])
def test_weights_are_written_in_other_formats_and_read_by_their_own_libraries(
    tmp_path: Path, to: str
) -> None:
    from safetensors.numpy import load_file

    prefix = checkpoint(tmp_path, VALUES)
    plan = plan_for(
        prefix, {"net/w": ("old/w", "transpose:1,0"), "net/b": "old/b", "step": "step", "flag": "flag"}
    )
    out = tmp_path / f"weights.{to}"
    apply(plan, out, to=to)
    found = load_file(out) if to == "safetensors" else dict(np.load(out))
    assert set(found) == {"net/w", "net/b", "step", "flag"}
    np.testing.assert_array_equal(found["net/w"], VALUES["old/w"].T)
    np.testing.assert_array_equal(found["step"], VALUES["step"])
    np.testing.assert_array_equal(found["flag"], VALUES["flag"])
    with pytest.raises(UnwritableFile, match="stands already"):
        apply(plan, out, to=to)


def test_strings_do_not_go_into_safetensors_and_unknown_forms_are_named(tmp_path: Path) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"words": "words"})
    with pytest.raises(RestoreError, match="'words' is string, which safetensors cannot hold"):
        apply(plan, tmp_path / "x.safetensors", to="safetensors")
    with pytest.raises(UsageError, match="no form 'onnx'"):
        apply(plan, tmp_path / "x.onnx", to="onnx")
    assert not list(tmp_path.glob("*x.*"))


@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=300), max_size=80))
def test_tables_read_back_as_they_were_written(content: dict[bytes, bytes]) -> None:
    assert rows(table(sorted(content.items()))) == sorted(content.items())


def test_tables_of_many_blocks_read_back(tmp_path: Path) -> None:
    content = [(f"{i:06d}/kernel".encode(), bytes(100)) for i in range(20_000)]
    assert rows(table(content)) == content
