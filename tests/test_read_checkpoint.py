"""Checkpoints are listed and read as TensorFlow itself lists and reads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from automatch.errors import UnreadableFile
from automatch.read import read, table
from automatch.read.snappy import decompress
from automatch.read.wire import encode
from real_files import CHECKPOINTS, DATA, RealFile
from table_files import one_block_table

tf1 = tf.compat.v1


def listed(prefix: Path | str) -> list[tuple[str, tuple[int, ...], str]]:
    return [(t.name, t.shape, t.dtype) for t in read(prefix, beside=False).tensors]


def by_tensorflow(prefix: str) -> list[tuple[str, tuple[int, ...], str]]:
    reader = tf.train.load_checkpoint(prefix)
    dtypes = reader.get_variable_to_dtype_map()
    shapes = reader.get_variable_to_shape_map()
    return [(name, tuple(shapes[name]), dtypes[name].name) for name in sorted(shapes, key=str.encode)]


def save(prefix: Path, **tensors: Any) -> Path:
    values = [tf.convert_to_tensor(value) for value in tensors.values()]
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=list(tensors), shape_and_slices=[""] * len(values), tensors=values
    )
    return prefix


@pytest.mark.parametrize("file", CHECKPOINTS, ids=str)
def test_real_checkpoints_are_listed_as_tensorflow_lists_them(file: RealFile) -> None:
    assert listed(file.path) == by_tensorflow(str(file.path)) == file.variables


@pytest.mark.parametrize("file", CHECKPOINTS, ids=str)
def test_real_values_are_those_that_tensorflow_reads(file: RealFile) -> None:
    listing = read(file.path)
    reader = tf.train.load_checkpoint(str(file.path))
    if listing.values is None:
        assert "missing" in listing.notes[0]
        return
    for tensor in listing.tensors:
        ours, theirs = listing.values(tensor.name), reader.get_tensor(tensor.name)
        assert ours.shape == tensor.shape
        # TensorFlow gives a scalar string as bytes, which numpy would cut at its zeros.
        assert ours.tolist() == (theirs if isinstance(theirs, bytes) else theirs.tolist())


def test_a_checkpoint_is_found_by_whatever_names_it(tmp_path: Path) -> None:
    prefix = save(tmp_path / "we[i]rd*na?me.ckpt-7", w=[1.0, 2.0])
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "we[i]rd*na?me.ckpt-7"\n')
    names = [
        prefix,
        str(prefix),
        f"{prefix}.index",
        f"{prefix}.data-00000-of-00001",
        tmp_path,
        tmp_path / "checkpoint",
    ]
    assert {read(name).path for name in names} == {str(prefix)}


def test_a_moved_folder_finds_its_latest_checkpoint_beside_the_state_file(tmp_path: Path) -> None:
    save(tmp_path / "naïve-3", w=[1.0])
    with tf.Graph().as_default():
        tf1.train.update_checkpoint_state(str(tmp_path), "/no/such/place/naïve-3")
    assert read(tmp_path).path == str(tmp_path / "naïve-3")


def test_a_folder_with_two_checkpoints_asks_which(tmp_path: Path) -> None:
    save(tmp_path / "a", w=[1.0])
    save(tmp_path / "b", w=[1.0])
    with pytest.raises(UnreadableFile, match=r"holds 2 checkpoints .*Give the prefix of the one you mean"):
        read(tmp_path)


def test_values_of_every_dtype_come_back(tmp_path: Path) -> None:
    numbers = np.arange(6).reshape(2, 3)
    dtypes = [
        *(tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int16, tf.int32, tf.int64),
        *(tf.uint8, tf.uint16, tf.uint32, tf.uint64, tf.bool, tf.complex64, tf.complex128),
    ]
    tensors = {dtype.name: tf.cast(tf.constant(numbers), dtype) for dtype in dtypes}
    listing = read(save(tmp_path / "all", **tensors))
    assert listing.values is not None
    for dtype in dtypes:
        value = listing.values(dtype.name)
        assert value.dtype == dtype.as_numpy_dtype
        assert np.array_equal(value, tensors[dtype.name].numpy())


def test_strings_scalars_and_empty_tensors_come_back(tmp_path: Path) -> None:
    texts = [b"", b"a\x00b", "ünïcode".encode(), b"x" * 70_000]
    listing = read(save(tmp_path / "t", texts=texts, one=b"scalar", none=np.zeros((0, 3), np.float32), n=7))
    assert listing.values is not None
    assert listing.values("texts").tolist() == texts
    assert listing.values("one").item() == b"scalar"
    assert listing.values("none").shape == (0, 3)
    assert listing.values("n") == 7


def test_a_partitioned_variable_is_one_tensor_with_parts(tmp_path: Path) -> None:
    listing = read(DATA / "partition_3-parts_to_full_resource" / "model.ckpt", beside=False)
    tensor = listing.by_name["user_tower/embeddings/user"]
    assert tensor.shape == (1000, 16)
    assert [(part.offset, part.shape) for part in tensor.parts] == [
        ((0, 0), (334, 16)),
        ((334, 0), (333, 16)),
        ((667, 0), (333, 16)),
    ]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("length", [5, 200, 20_000])
def test_pieces_of_any_size_are_assembled(tmp_path: Path, axis: int, length: int) -> None:
    shape = [length, 3] if axis == 0 else [3, length]
    with tf.Graph().as_default(), tf1.Session() as session:
        partitioner = tf1.fixed_size_partitioner(4, axis=axis)
        parted = tf1.get_variable("v", shape, partitioner=partitioner)
        session.run(tf1.global_variables_initializer())
        expected = session.run(parted.as_tensor())
        prefix = tf1.train.Saver().save(session, str(tmp_path / "p"))
    listing = read(prefix)
    assert listing.values is not None
    assert np.array_equal(listing.values("v"), expected)


def test_slots_that_tensorflow_saves_in_part_are_listed_and_refused_as_values(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("net"):
            table = tf1.get_variable("table", [10, 4], partitioner=tf1.fixed_size_partitioner(2))
            tf1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_sum(table.as_tensor()))
        session.run(tf1.global_variables_initializer())
        prefix = tf1.train.Saver().save(session, str(tmp_path / "p"))
    assert listed(prefix) == by_tensorflow(prefix)
    values = read(prefix).values
    assert values is not None
    assert values("net/table").shape == (10, 4)
    with pytest.raises(UnreadableFile, match="holds only a part of 'net/table/t_0/Momentum'"):
        values("net/table/t_0/Momentum")


def test_names_that_mention_bytes_of_the_table_are_read(tmp_path: Path) -> None:
    names = ["a", "a/b", "ab", "é", "日本", "x" * 5000, "a b\tc", "a\x01"]
    listing = read(save(tmp_path / "n", **dict.fromkeys(names, 1.0)))
    assert {tensor.name for tensor in listing.tensors} == set(names)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("sharded", [False, True])
def test_both_formats_hold_the_same(tmp_path: Path, version: int, sharded: bool) -> None:
    with tf.Graph().as_default(), tf1.Session() as session:
        for dtype in (
            tf.float32,
            tf.float64,
            tf.int32,
            tf.int64,
            tf.bool,
            tf.complex64,
            tf.float16,
            tf.uint8,
        ):
            value = np.arange(12).reshape(3, 4).astype(dtype.as_numpy_dtype)
            tf1.get_variable(dtype.name, initializer=tf.constant(value))
        tf1.get_variable("parted", initializer=tf.range(10.0), partitioner=tf1.fixed_size_partitioner(3))
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver(write_version=version, sharded=sharded)
        prefix = saver.save(session, str(tmp_path / "v"), write_meta_graph=False)
        expected = {v.op.name: session.run(v) for v in tf1.global_variables() if "part_" not in v.name}
    listing = read(prefix)
    assert listing.format == ("tf-checkpoint-v1" if version == 1 else "tf-checkpoint")
    assert listed(prefix) == by_tensorflow(prefix)
    assert listing.values is not None
    assert listing.values("parted").tolist() == list(range(10))
    for name, value in expected.items():
        found = listing.values(name)
        assert found.dtype == value.dtype
        assert np.array_equal(found, value)
    assert len(read(tmp_path)) == len(listing)


def test_an_object_based_checkpoint_knows_full_names_and_slots() -> None:
    listing = read(DATA / "keras_k2-savedmodel_to_k3-weights-h5" / "model.ckpt")
    case = next(file for file in CHECKPOINTS if file.case.startswith("keras_k2-savedmodel"))
    assert (listing.format, listing.framework) == ("tf-object-checkpoint", "tf2-object")
    assert {t.name: t.full_name for t in listing.tensors if t.full_name} == case.side["full_names"]
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    slots = [t for t in listing.tensors if t.slot]
    assert {t.slot for t in slots} == {"m", "v"}
    for tensor in slots:
        assert tensor.slot_of is not None
        assert tensor.name.startswith(tensor.slot_of.removesuffix(end))
        assert listing.by_name[tensor.slot_of].shape == tensor.shape


def test_a_checkpoint_without_its_data_is_listed_with_a_note(tmp_path: Path) -> None:
    prefix = save(tmp_path / "m", w=[1.0])
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.unlink()
    listing = read(prefix)
    assert len(listing) == 1
    assert listing.values is None
    assert str(shard) in listing.notes[0]


def test_a_truncated_data_shard_is_refused_with_both_sizes(tmp_path: Path) -> None:
    prefix = save(tmp_path / "m", w=np.zeros(100, np.float32))
    shard = Path(f"{prefix}.data-00000-of-00001")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(UnreadableFile, match="has 399 bytes, and its index needs 400"):
        read(prefix)


def test_a_damaged_value_is_refused_by_its_name(tmp_path: Path) -> None:
    prefix = save(tmp_path / "m", good=[1.0], hurt=[2.0], words=[b"abc"])
    shard = Path(f"{prefix}.data-00000-of-00001")
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    data[-1] ^= 1
    shard.write_bytes(data)
    values = read(prefix).values
    assert values is not None
    assert values("good") == [1.0]
    with pytest.raises(UnreadableFile, match="'hurt' do not fit their checksum"):
        values("hurt")
    with pytest.raises(UnreadableFile, match="do not fit their checksum"):
        values("words")


def test_the_graph_beside_a_checkpoint_tells_order_slots_and_readers() -> None:
    prefix = DATA / "slots-adam_to_rmsprop" / "model.ckpt"
    plain, told = read(prefix, beside=False), read(prefix)
    assert (plain.order, told.order) == ("sorted", "creation")
    assert set(plain.by_name) == set(told.by_name)
    slot = told.by_name["net/conv2d/kernel/Adam_1"]
    assert (slot.slot_of, slot.slot, slot.trainable) == ("net/conv2d/kernel", "v", False)
    flow = told.by_name["net/conv2d/kernel"].dataflow
    assert flow is not None
    assert flow.consumers == ("Conv2D:1",)
    assert told.fingerprint == plain.fingerprint


def test_a_damaged_graph_beside_a_checkpoint_is_no_obstacle(tmp_path: Path) -> None:
    prefix = save(tmp_path / "m", w=[1.0])
    Path(f"{prefix}.meta").write_bytes(b"\x0a\xff\xff")
    listing = read(prefix)
    assert len(listing) == 1
    assert "left out of account" in listing.notes[0]


def test_a_graph_of_another_model_beside_a_checkpoint_changes_nothing(tmp_path: Path) -> None:
    prefix = save(tmp_path / "m", **{"net/conv2d/kernel": np.zeros((7, 7), np.float32)})
    shutil.copy(DATA / "slots-adam_to_rmsprop" / "model.ckpt.meta", f"{prefix}.meta")
    (tensor,) = read(prefix).tensors
    assert tensor.dataflow is None


def compressed(data: bytes) -> bytes:
    """Data as a snappy block of literals, with copies where it repeats four bytes."""
    out = bytearray(encode(len(data)))
    at = 0
    while at < len(data):
        if at >= 4 and data[at : at + 4] == data[at - 4 : at]:
            out += bytes((1, 4))
            at += 4
            continue
        piece = data[at : at + 50]
        end = next((i for i in range(4, len(piece)) if piece[i : i + 4] == piece[i - 4 : i]), len(piece))
        out += bytes(((end - 1) << 2,)) + piece[:end]
        at += end
    return bytes(out)


@given(st.binary(max_size=300).map(lambda data: data * 3))
def test_compressed_blocks_unpack_to_what_was_packed(data: bytes) -> None:
    assert decompress(compressed(data), 10_000) == data


def test_a_compressed_index_is_read_as_tensorflow_reads_it(tmp_path: Path) -> None:
    prefix = save(tmp_path / "c", **{f"scope/layer_{i}/kernel": np.zeros((i, 3)) for i in range(300)})
    before = listed(prefix)
    index = Path(f"{prefix}.index")
    data = index.read_bytes()
    ((_, handle),) = table._index(data)
    block = compressed(data[handle.offset : handle.offset + handle.size])
    index.write_bytes(one_block_table(block, kind=b"\x01"))
    assert listed(prefix) == by_tensorflow(str(prefix)) == before
