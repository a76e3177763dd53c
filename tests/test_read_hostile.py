"""Damaged and hostile files are refused in one line, with nothing but the one error and little memory."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from automatch.errors import UnreadableFile
from automatch.read import read, table
from automatch.read.snappy import decompress
from automatch.read.wire import encode
from hostile_files import HEADER, PLAIN, entry, field, index, refused, shape
from table_files import one_block_table, restarts


def test_a_checkpoint_of_a_big_endian_machine_is_read_as_tensorflow_reads_it(tmp_path: Path) -> None:
    data = struct.pack(">2f", 1.5, -2.0)
    value = entry()[:-4] + table.masked_crc(data).to_bytes(4, "little")
    prefix = index(tmp_path, (b"w", value), header=HEADER + field(2, 1))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    values = read(prefix).values
    assert values is not None
    assert values("w").tolist() == [1.5, -2.0]
    assert tf.train.load_checkpoint(str(prefix)).get_tensor("w").tolist() == [1.5, -2.0]


def test_the_hand_made_index_is_right_before_it_is_made_wrong(tmp_path: Path) -> None:
    listing = read(index(tmp_path, (b"w", entry())))
    assert [(t.name, t.shape, t.dtype) for t in listing.tensors] == [("w", (2,), "float32")]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\xff\xff\xff", "ends in the middle"),
        (b"", "dtype number 0"),
        (entry() + b"\x00\x00", "field without a number"),
        (field(1, 1) + field(2, shape(2)) + b"\x20\x80\x28\x08\x35" + bytes(4), "without a number"),
        (field(1, 1) + field(2, shape(2)) + b"\x20\x28\x08\x35" + bytes(4), "without a number"),
        (entry(dtype=0), "dtype number 0"),
        (entry(dtype=99), "dtype number 99"),
        (entry(dtype=101), "dtype number 101"),
        (entry(dtype=2**64 - 1), "which no stored tensor has"),
        (entry(dtype=20, dims=shape(), size=0), "dtype number 20"),
        (entry(dims=shape(-1)), "a shape that no tensor can have"),
        (entry(dims=shape(2**40, 2**40)), "a shape that no tensor can have"),
        (entry(dims=shape(*[1] * 300)), "a shape that no tensor can have"),
        (entry(dims=field(3, 1)), "a shape that no tensor can have"),
        (entry(size=7), "of shape [2] and dtype float32 has 7 bytes"),
        (entry(dims=shape(2**40), size=8), "has 8 bytes"),
        (entry(dtype=7, dims=shape(1000), size=8), "of shape [1000] and dtype string has 8 bytes"),
        (entry(shard=1), "data shard 1 of 1"),
        (entry(offset=1), "has 8 bytes, and its index needs 9"),
        (entry(offset=2**62), "its index needs"),
        (entry(offset=2**63), "of shape [2] and dtype float32"),
        (entry(size=0), "has 0 bytes"),
        (entry() + field(7, field(1, field(1, 0) + field(2, 2))), "is missing or of another dtype"),
        (entry() + field(7, field(1, field(1, 1) + field(2, 2))), "outside of its tensor"),
        (entry() + field(7, field(1, b"") + field(1, b"")), "a piece of 2 axes"),
        (entry() + field(7, field(1, field(2, 1))) * 2, "overlap"),
    ],
)
def test_entries_that_no_tensor_can_have_are_refused(tmp_path: Path, value: bytes, said: str) -> None:
    assert said in refused(index(tmp_path, (b"w", value)))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "no header entry"),
        (b"", "0 data shards"),
        (field(1, 2**40), "data shards"),
        (HEADER + field(2, 2), "newer TensorFlow"),
        (field(1, 1) + field(3, field(2, 9)), "newer TensorFlow"),
        (b"\x0b\x0b", "wire type 3"),
    ],
)
def test_headers_that_cannot_be_are_refused(tmp_path: Path, header: bytes | None, said: str) -> None:
    assert said in refused(index(tmp_path, (b"w", entry()), header=header))


def test_names_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    refused(index(tmp_path, (b"\xff\xfe", entry())))


def test_pieces_that_belong_to_nothing_are_refused(tmp_path: Path) -> None:
    assert "does not name" in refused(index(tmp_path, (b"\x00w\x00\x01\x00", entry()), (b"w", entry())))


def test_names_that_unpack_to_far_more_than_the_file_are_refused(tmp_path: Path) -> None:
    value, long = entry(), b"x" * 2**20
    block = bytes(2) + encode(len(HEADER)) + HEADER
    block += b"\x00" + encode(len(long)) + encode(len(value)) + long + value
    for i in range(1000):
        # Each name is the long one and two bytes more, and takes five bytes and its value in the file.
        block += encode(len(long)) + b"\x02" + encode(len(value)) + i.to_bytes(2, "big") + value
    prefix = index(tmp_path, (b"w", value))
    Path(f"{prefix}.index").write_bytes(one_block_table(block + restarts(0)))
    assert "more room than" in refused(prefix)


def test_a_name_of_a_megabyte_is_a_name(tmp_path: Path) -> None:
    listing = read(index(tmp_path, (b"x" * 2**20, entry())))
    assert len(listing.tensors[0].name) == 2**20


def test_handles_outside_of_the_file_are_refused(tmp_path: Path) -> None:
    prefix = index(tmp_path, (b"w", entry()))
    path = Path(f"{prefix}.index")
    footer = (encode(0) + encode(5) + encode(2**62) + encode(2**40)).ljust(40, b"\x00") + table.MAGIC
    path.write_bytes(path.read_bytes()[:-48] + footer)
    assert "outside the file" in refused(prefix)


def test_a_compressed_block_says_no_more_than_it_may() -> None:
    with pytest.raises(ValueError, match="more than 1000"):
        decompress(encode(2**31) + b"\x00a", 1000)
    with pytest.raises(ValueError, match="before its start"):
        decompress(encode(8) + b"\x01\x04", 1000)


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello\n" * 50, bytes(5000)]
)
@pytest.mark.parametrize("name", ["x.index", "x.meta", "x", "saved_model.pb", "checkpoint"])
def test_foreign_files_are_refused_under_any_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert str(tmp_path) in refused(tmp_path / name)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "y.index")
    os.mkfifo(tmp_path / "z.meta")
    shutil.copy(f"{PLAIN}.index", tmp_path / "z.index")
    (tmp_path / "empty").mkdir()
    assert "not a regular file" in refused(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "y")
    assert "does not exist" in refused(tmp_path / "nothing")
    assert "directory without a checkpoint" in refused(tmp_path / "empty")
    assert len(read(tmp_path / "z")) == 5


@pytest.mark.parametrize("address", ["gs://bucket/model.ckpt", "https://host/x.safetensors", "s3://b/k"])
def test_an_address_is_said_to_be_one_as_it_was_given(address: str) -> None:
    with pytest.raises(UnreadableFile, match=f"^'{address}' is an address.*Copy it here"):
        read(address)


def test_an_unreadable_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused(loop)
    refused(tmp_path / ("n" * 5000))
    refused(tmp_path / "a\x00b")


def test_a_cyclic_graph_is_read(tmp_path: Path) -> None:
    nodes = [
        field(1, b"w") + field(2, b"VarHandleOp") + field(5, field(1, b"dtype") + field(2, field(6, 1))),
        *(
            field(1, b"n%d" % i) + field(2, b"Identity") + field(3, b"n%d" % ((i + 1) % 50)) + field(3, b"w")
            for i in range(50)
        ),
    ]
    path = tmp_path / "cycle.pb"
    path.write_bytes(b"".join(field(1, node) for node in nodes))
    assert [t.name for t in read(path).tensors] == ["w"]


def test_functions_that_call_each_other_end(tmp_path: Path) -> None:
    def function(name: bytes, callee: bytes) -> bytes:
        signature = field(1, name) + field(2, field(1, b"x"))
        call = field(1, b"c") + field(2, b"PartitionedCall") + field(3, b"x")
        return field(1, signature) + field(
            3, call + field(5, field(1, b"f") + field(2, field(10, field(1, callee))))
        )

    variable = (
        field(1, b"w") + field(2, b"VarHandleOp") + field(5, field(1, b"dtype") + field(2, field(6, 1)))
    )
    call = field(1, b"c") + field(2, b"PartitionedCall") + field(3, b"w")
    call += field(5, field(1, b"f") + field(2, field(10, field(1, b"f"))))
    library = field(1, function(b"f", b"g")) + field(1, function(b"g", b"f"))
    path = tmp_path / "calls.pb"
    path.write_bytes(field(1, variable) + field(1, call) + field(2, library))
    assert [t.name for t in read(path).tensors] == ["w"]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b'{"automatch_listing": 1, "tensors": ' + b"[" * 100_000),
        lambda path: path.write_bytes(b'{"automatch_listing": 1, "tensors": [["a", [1], 3]]}'),
        lambda path: path.write_bytes(b'{"automatch_listing": 1, "tensors": [["a", [-7], "int8"]]}'),
        lambda path: path.write_bytes(b'{"automatch_listing": 1, "tensors": [["a", [], ""], ["a", [], ""]]}'),
        lambda path: path.write_bytes(b'{"automatch_listing": 2, "tensors": []}'),
        lambda path: path.write_bytes(b'{"automatch_listing": 1}'),
        lambda path: path.write_bytes(b'{"automatch_plan": 1}'),
        lambda path: path.write_bytes(b'{"\xff": 1}'),
        lambda path: path.write_bytes(b"node { name: "),
        lambda path: path.write_bytes(b"meta_info_def {} graph_def { node { nonsense: 3 } }"),
    ],
)
def test_wrong_listings_and_texts_are_refused(tmp_path: Path, make: Callable[[Path], int]) -> None:
    make(tmp_path / "wrong")
    refused(tmp_path / "wrong")


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a\x02\x12\x00" * 2**20,
        field(1, b"\x0a\x01a\x12\x01b") * 2**20 + b"\x0a\x02\x12\x00",
        field(1, b"\x0a\x01a\x12\x01b" + b"\x1a\x00" * 2**22) * 2,
        field(2, field(1, b"\x0a\x01a\x12\x01b")) + b"\x22\x00" * 2**25,
        b"\x08\x01" + field(2, field(7, b"\x0a\x00" * 2**25)),
    ],
    ids=["nodes without names", "nodes", "edges", "collections", "objects"],
)
def test_files_of_the_smallest_fields_take_little_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bomb").write_bytes(content)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "from automatch.read import read\nfrom automatch.errors import UnreadableFile\n"
        "try: read(sys.argv[1])\nexcept UnreadableFile as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "bomb")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    assert "more than" in said or "without a name" in said or "no node" in said


def test_memory_stays_small_for_a_file_that_promises_much(tmp_path: Path) -> None:
    folded = field(1, 1) + field(2, shape(2**20, 2**20)) + field(5, struct.pack("<f", 1.0))
    constant = (
        field(1, b"big") + field(2, b"Const") + field(5, field(1, b"value") + field(2, field(8, folded)))
    )
    (tmp_path / "bomb.pb").write_bytes(field(1, constant))
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "from automatch.read import read\n"
        "listing = read(sys.argv[1]); assert listing.values('big').shape == (2**20, 2**20)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "bomb.pb")], check=True, timeout=120)
