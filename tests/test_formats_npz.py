"""NumPy archives: headers alone are read for a listing, and no object is ever unpickled."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import suppress

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automatch.errors import UnreadableFile
from automatch.read import read


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00\\"), min_size=1, max_size=20).filter(
            lambda name: not name.endswith("/")
        ),
        arrays.arrays(
            st.sampled_from(["f2", "f4", ">f4", "f8", "i1", "<i8", "?", "c8", "u2"]),
            arrays.array_shapes(min_dims=0),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([np.savez, np.savez_compressed]),
)
def test_what_numpy_saves_is_read_back(tmp_path_factory, weights, save):
    path = tmp_path_factory.mktemp("npz") / "w.npz"
    # Passing them as keywords, NumPy would take one called `file` for its own.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if save is np.savez_compressed else 0) as archive:
        for name, array in weights.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    listing = read(path)
    assert [tensor.name for tensor in listing.tensors] == sorted(weights)
    for name, array in weights.items():
        tensor = listing.by_name[name]
        assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype.name)
        np.testing.assert_array_equal(listing.values(name), array)


def test_column_order_empty_and_bfloat16_arrays(tmp_path):
    weights = {
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "nothing": np.zeros((0, 4)),
        "brain": np.arange(3).astype(ml_dtypes.bfloat16),
    }
    np.savez(tmp_path / "w.npz", **weights)
    listing = read(tmp_path / "w.npz")
    assert listing.by_name["brain"].dtype == "bfloat16"
    for name, array in weights.items():
        np.testing.assert_array_equal(listing.values(name), array)


@pytest.mark.parametrize(
    ("names", "framework"),
    [
        (["resnet/a/kernel", "resnet/a/gamma", "resnet/a/beta"], "npz"),
        (["Dense_0/kernel", "Dense_0/bias"], "flax-npz"),
        (["layer.0.weight", "layer.0.bias"], "torch"),
    ],
)
def test_whose_layouts_it_follows_is_read_from_the_names(tmp_path, names, framework):
    np.savez(tmp_path / "w.npz", **{name: np.zeros(2) for name in names})
    assert read(tmp_path / "w.npz").framework == framework


def test_objects_and_records_are_left_out_and_said(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    np.savez(tmp_path / "w.npz", good=np.ones(2), bad=np.array([Trap()]), record=np.zeros(2, "i4,f4"))
    (tmp_path / "sprung").unlink(missing_ok=True)
    listing = read(tmp_path / "w.npz")
    assert [tensor.name for tensor in listing.tensors] == ["good"]
    assert ["'bad'" in note or "'record'" in note for note in listing.notes] == [True, True]
    assert not (tmp_path / "sprung").exists()


def header(shape: str, version: bytes = b"\x01\x00") -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        header("(-1,)"),
        header("(3"),
        header("[" * 5000),
        header("(1,)")[:20],
        b"",
        b"\x93NUMPY\x09\x09",
        header("'a'"),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path, content):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(UnreadableFile, match="damaged"):
        read(tmp_path / "w.npz")


def test_an_array_larger_than_its_bytes_is_listed_and_not_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("a.npy", header("(1000000, 1000000)"))
    listing = read(tmp_path / "w.npz")
    assert listing.tensors[0].shape == (10**6, 10**6)
    with pytest.raises(UnreadableFile, match="needs 4000000000000 bytes"):
        listing.values("a")


def test_a_member_that_would_lie_elsewhere_is_a_name_and_no_path(tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    buffer = io.BytesIO()
    np.save(buffer, np.ones(2))
    with zipfile.ZipFile(folder / "w.npz", "w") as archive:
        archive.writestr("../outside.npy", buffer.getvalue())
    listing = read(folder / "w.npz")
    listing.values("../outside")
    assert list(tmp_path.rglob("*")) == [folder, folder / "w.npz"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_damage_comes_out_as_one_error(tmp_path_factory, flips, packed):
    path = tmp_path_factory.mktemp("fuzz") / "w.npz"
    (np.savez_compressed if packed else np.savez)(path, a=np.arange(12.0), b=np.ones((2, 2), "f4"))
    data = bytearray(path.read_bytes())
    for place, byte in flips:
        data[place % len(data)] = byte
    path.write_bytes(data)
    with suppress(UnreadableFile):
        listing = read(path)
        for tensor in listing.tensors:
            listing.values(tensor.name)
