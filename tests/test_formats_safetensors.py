"""Safetensors files, alone and in shards, against the library that writes them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from automatch.errors import UnreadableFile
from automatch.read import read

ARRAYS = {
    "encoder.weight": np.arange(12, dtype="f4").reshape(3, 4),
    "encoder.bias": np.arange(3, dtype="f8"),
    "counter": np.array(7, "i8"),
    "mask": np.array([True, False]),
    "nothing": np.zeros((0, 5), "f2"),
    "brain": np.arange(4).astype(ml_dtypes.bfloat16),
    "eight": np.arange(4).astype(ml_dtypes.float8_e4m3fn),
}


def raw(path: Path, header: object, data: bytes = b"") -> Path:
    """A file with that header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_names_shapes_dtypes_and_values_are_those_that_the_library_wrote(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(ARRAYS, path, metadata={"format": "pt"})
    listing = read(path)
    assert [tensor.name for tensor in listing.tensors] == sorted(ARRAYS)
    assert (listing.format, listing.framework, listing.order) == ("safetensors", "torch", "sorted")
    for name, array in ARRAYS.items():
        tensor = listing.by_name[name]
        assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype.name)
        found = listing.values(name)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("names", "metadata", "framework"),
    [
        (("a.weight",), None, "torch"),
        (("Dense_0/kernel", "Dense_0/bias"), {"format": "flax"}, "flax"),
        (("linear/w", "linear/b"), None, "haiku"),
        (("model/layer/kernel:0",), {"format": "tf"}, "keras2-tf"),
    ],
)
def test_whose_layouts_it_follows_is_read_from_metadata_or_names(tmp_path, names, metadata, framework):
    save_file({name: np.zeros(2) for name in names}, tmp_path / "m", metadata=metadata)
    assert read(tmp_path / "m").framework == framework


def test_shards_are_one_listing(tmp_path):
    save_file({"b": np.ones(2)}, tmp_path / "1.safetensors")
    save_file({"a": np.zeros(3)}, tmp_path / "2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"b": "1.safetensors", "a": "2.safetensors"}}))
    listing = read(index)
    assert [tensor.name for tensor in listing.tensors] == ["a", "b"]
    np.testing.assert_array_equal(listing.values("b"), np.ones(2))


@pytest.mark.parametrize(
    ("weight_map", "reason"),
    [
        ({"b": "2.safetensors"}, "'.*2.safetensors' is missing"),
        ({"c": "1.safetensors"}, "looks for 'c' in '1.safetensors'"),
        ({"b": "../1.safetensors"}, "not beside the index"),
        ({"b": "/etc/passwd"}, "not beside the index"),
        ({}, "names no shards"),
    ],
)
def test_an_index_that_points_nowhere_is_refused(tmp_path, weight_map, reason):
    save_file({"b": np.ones(2)}, tmp_path / "1.safetensors")
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(UnreadableFile, match=reason):
        read(index)


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": entry([2], 0, 4)}, "not its size"),
        ({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}, "'b' begins at byte 4 instead of 8"),
        ({"a": entry([1], 0, 4)}, "4 bytes, and 8 are there"),
        ({"a": entry([2], 4, 12)}, "begins at byte 4"),
        ({"a": entry([2], 0, 8, "F33")}, "unknown dtype 'F33'"),
        ({"a": entry([-2], 0, 8)}, "impossible shape"),
        ({"a": entry([2**63, 2**63], 0, 8)}, "impossible shape"),
        ({"a": entry([True, 2], 0, 8)}, "impossible shape"),
        (b'{"a": {}, "a": {}}', "same key twice"),
        (b"{" + b'"a":[' * 200_000, "damaged"),
        (b'{"a', "damaged"),
        ([1], "damaged|no format"),
    ],
)
def test_a_header_that_does_not_fit_its_file_is_refused_as_the_library_does(tmp_path, header, reason):
    path = raw(tmp_path / "bad", header, bytes(8))
    with pytest.raises(UnreadableFile, match=reason):
        read(path)
    with pytest.raises(SafetensorError):
        safe_open(path, "np")


def test_a_header_longer_than_its_file_allocates_nothing(tmp_path):
    path = tmp_path / "bad"
    path.write_bytes(struct.pack("<Q", 99_000_000) + b"{}")
    with pytest.raises(UnreadableFile, match="header would have 99000000 bytes"):
        read(path)


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 200), st.integers(0, 255))
def test_damage_is_refused_or_seen_by_no_one(tmp_path_factory, tail, place, byte):
    path = tmp_path_factory.mktemp("fuzz") / "m"
    save_file({"a.weight": np.arange(4.0), "b": np.ones(3, "f4")}, path)
    data = bytearray(path.read_bytes() + tail)
    data[place % len(data)] = byte
    path.write_bytes(data)
    try:
        listing = read(path)
        values = {tensor.name: listing.values(tensor.name) for tensor in listing.tensors}
    except UnreadableFile:
        return
    with safe_open(path, "np") as library:
        assert set(library.keys()) == set(values)
