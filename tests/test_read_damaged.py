"""Damage of any kind to files of any kind: the file is read, or refused with the one error."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automatch.errors import UnreadableFile
from automatch.read import read, table
from automatch.read.wire import encode
from automatch.rewrite.table import table as written
from hostile_files import PLAIN, field, shape
from real_files import DATA

PARTED = DATA / "partition_3-parts_to_full_resource" / "model.ckpt"
OBJECTS = DATA / "keras_k3-savedmodel-export_to_tf1-graph" / "model.ckpt"
GRAPH = DATA / "layer-inserted_same-shapes" / "graph.meta"

BUDGET = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def kept_or_refused(path: Path) -> None:
    """Reads a file, its values and all; nothing but UnreadableFile may come out."""
    try:
        listing = read(path)
        for tensor in listing.tensors:
            if listing.values is not None:
                listing.values(tensor.name)
    except UnreadableFile:
        pass


def damaged(data: bytes, draw: st.DataObject) -> bytes:
    """The data with some bytes changed, cut out, doubled or cut off."""
    hurt = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, max(len(hurt) - 1, 0)))
        kind = draw.draw(st.sampled_from(["flip", "set", "cut", "double", "end"]))
        if kind == "flip":
            hurt[at : at + 1] = bytes([hurt[at] ^ 1 << draw.draw(st.integers(0, 7))]) if hurt else b""
        elif kind == "set":
            hurt[at : at + 1] = draw.draw(st.sampled_from([b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff" * 10]))
        elif kind == "cut":
            del hurt[at : at + draw.draw(st.integers(1, 40))]
        elif kind == "double":
            hurt[at:at] = hurt[at : at + draw.draw(st.integers(1, 40))]
        else:
            del hurt[at:]
    return bytes(hurt)


@pytest.mark.parametrize("prefix", [PLAIN, PARTED, OBJECTS], ids=lambda path: path.parent.name)
@BUDGET
@given(draw=st.data())
def test_damage_to_the_rows_of_an_index_is_refused_or_harmless(
    tmp_path: Path, prefix: Path, draw: st.DataObject
) -> None:
    rows = table.rows(Path(f"{prefix}.index").read_bytes())
    place = draw.draw(st.integers(0, len(rows) - 1))
    key, value = rows[place]
    change_key = draw.draw(st.booleans()) and place > 0
    rows[place] = (damaged(key, draw), value) if change_key else (key, damaged(value, draw))
    target = tmp_path / "hurt"
    Path(f"{target}.index").write_bytes(written(sorted(dict(rows).items())))
    shard = Path(f"{target}.data-00000-of-00001")
    if not shard.exists():
        shutil.copy(f"{prefix}.data-00000-of-00001", shard)
    kept_or_refused(target)


@BUDGET
@given(draw=st.data())
def test_damage_to_an_index_or_a_shard_is_refused_or_harmless(tmp_path: Path, draw: st.DataObject) -> None:
    target = tmp_path / "hurt"
    for end in (".index", ".data-00000-of-00001"):
        data = Path(f"{OBJECTS}{end}").read_bytes()
        Path(f"{target}{end}").write_bytes(damaged(data, draw) if draw.draw(st.booleans()) else data)
    kept_or_refused(target)


@BUDGET
@given(draw=st.data())
def test_damage_to_a_graph_is_refused_or_harmless(tmp_path: Path, draw: st.DataObject) -> None:
    path = tmp_path / "hurt.meta"
    path.write_bytes(damaged(GRAPH.read_bytes(), draw))
    kept_or_refused(path)


MESSAGES: st.SearchStrategy[bytes] = st.recursive(
    st.binary(max_size=8)
    | st.sampled_from([b"w", b"w:0", b"VarHandleOp", b"Const", b"While", b"shape", b"\x07"]),
    lambda inner: st.lists(
        st.builds(field, st.integers(1, 9), st.one_of(inner, st.integers(0, 2**64 - 1))), max_size=6
    ).map(b"".join),
    max_leaves=30,
)


@BUDGET
@given(content=MESSAGES, first=st.sampled_from([b"\x0a", b"\x12", b"\x08\x01\x12"]))
def test_messages_of_any_content_are_refused_or_read(tmp_path: Path, content: bytes, first: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(first + encode(len(content)) + content)
    kept_or_refused(path)


@BUDGET
@given(draw=st.data())
def test_damage_to_the_first_format_is_refused_or_harmless(tmp_path: Path, draw: st.DataObject) -> None:
    tensor = field(1, b"w") + field(2, shape(2)) + field(3, 1) + field(4, field(1, b""))
    meta = field(1, field(1, tensor))
    data = field(2, field(1, b"w") + field(3, field(5, struct.pack("<2f", 1, 2))))
    key = b"\x00w\x00\x01\x01\x01\x80\x7f"
    path = tmp_path / "v1"
    rows = [(b"", meta), (key, data)]
    path.write_bytes(written(rows))
    values = read(path).values
    assert values is not None
    assert values("w").tolist() == [1.0, 2.0]
    place = draw.draw(st.integers(0, 1))
    rows[place] = (rows[place][0], damaged(rows[place][1], draw))
    path.write_bytes(written(rows))
    kept_or_refused(path)
