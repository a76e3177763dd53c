"""Pickled dictionaries of arrays are read as what they are, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automatch.errors import UnreadableFile
from automatch.read import read
from model_files import FOREIGN

ARRAYS = arrays.arrays(
    st.sampled_from(["f2", "f4", ">f4", "f8", "i1", "<i8", "?", "c8", "u2"]),
    arrays.array_shapes(min_dims=0, max_side=4),
)
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def pickled(path: Path, thing: object, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    path.write_bytes(pickle.dumps(thing, protocol))
    return path


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=20), ARRAYS, min_size=1, max_size=4),
    st.sampled_from(PROTOCOLS),
)
def test_what_python_pickles_is_read_back(tmp_path_factory, weights, protocol):
    listing = read(pickled(tmp_path_factory.mktemp("pickle") / "w.pkl", weights, protocol))
    assert [tensor.name for tensor in listing.tensors] == sorted(weights)
    for name, array in weights.items():
        tensor = listing.by_name[name]
        assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype.name)
        np.testing.assert_array_equal(listing.values(name), array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_large_arrays_column_order_bfloat16_and_numbers(tmp_path, protocol):
    weights = {
        "large": np.arange(30_000, dtype="f4").reshape(100, 300),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "brain": np.arange(3).astype(ml_dtypes.bfloat16),
        "one": np.float32(3),
        "nothing": np.zeros((0, 4)),
    }
    listing = read(pickled(tmp_path / "w.pkl", weights, protocol))
    assert listing.by_name["brain"].dtype == "bfloat16"
    assert (listing.format, listing.framework, listing.order) == ("pickle", "npz", "sorted")
    for name, value in weights.items():
        np.testing.assert_array_equal(listing.values(name), value)


def test_a_state_dict_of_arrays_is_pytorchs_in_its_order(tmp_path):
    state = {"fc.weight": np.ones((2, 3)), "fc.bias": np.ones(2), "a.weight": np.ones(4)}
    listing = read(pickled(tmp_path / "w.pkl", {"model": state, "epoch": 3}))
    assert [tensor.name for tensor in listing.tensors] == list(state)
    assert (listing.framework, listing.order) == ("torch", "creation")


def test_arrays_of_jax_are_read_without_it():
    listing = read(FOREIGN / "jax.pkl")
    assert [(tensor.name, tensor.dtype) for tensor in listing.tensors] == [
        ("linear/b", "bfloat16"),
        ("linear/w", "float32"),
    ]
    assert listing.framework == "haiku"


def test_a_npy_file_of_one_dictionary_is_read_and_one_of_an_array_has_no_names(tmp_path):
    layers = {
        "conv1_1": [np.ones((3, 3, 3, 64), "f4"), np.zeros(64, "f4")],
        "fc8": {"weights": np.ones(2000)},
    }
    np.save(tmp_path / "w.npy", layers)
    listing = read(tmp_path / "w.npy")
    assert [tensor.name for tensor in listing.tensors] == ["conv1_1/0", "conv1_1/1", "fc8/weights"]
    np.testing.assert_array_equal(listing.values("conv1_1/0"), layers["conv1_1"][0])
    np.save(tmp_path / "one.npy", np.ones(3))
    for one in (tmp_path / "one.npy", pickled(tmp_path / "one.pkl", np.ones(3))):
        with pytest.raises(UnreadableFile, match=r"one array and no names. Put arrays into an \.npz file"):
            read(one)


# What Python 2 writes: its strings are bytes.
PYTHON_2 = (
    b"\x80\x02}q\x00U\x01wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04"
    b"U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\tU\x02f4q\nK\x00K\x01\x87q\x0bRq\x0c(K\x03"
    b"U\x01<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x08\x00\x00\x80\xbf\x00\x00\x80?q\x0ftq\x10bs."
)


def test_a_pickle_of_python_2_is_read_unless_it_is_text(tmp_path):
    (tmp_path / "w.pkl").write_bytes(PYTHON_2)
    np.testing.assert_array_equal(read(tmp_path / "w.pkl").values("w"), [-1, 1])
    (tmp_path / "w.pkl").write_bytes(b"(dp0\nS'w'\np1\nS'\\x80\\xbf'\np2\ns.")
    with pytest.raises(
        UnreadableFile, match=r"Load it where it was made, and save its weights with numpy\.savez"
    ):
        read(tmp_path / "w.pkl")


def test_objects_are_left_aside_and_nothing_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    path = pickled(tmp_path / "w.pkl", {"trap": Trap(), "w": np.ones(2), "words": np.array(["a"])})
    path.write_bytes(pickle.dumps({"trap": Trap(), "w": np.ones(2), "words": np.array(["a"])}))
    assert [tensor.name for tensor in read(path).tensors] == ["w"]
    with pytest.raises(UnreadableFile, match="without arrays that can be read"):
        read(pickled(tmp_path / "none.pkl", {"trap": Trap()}))
    assert not (tmp_path / "sprung").exists()


# {"w": a tensor of two}, as Python pickles it: the storage is bytes that PyTorch would have to load.
TORCH_INSIDE = (
    b"\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nU\x04PK\x03\x04\x85R"
    b"K\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs."
)


def test_tensors_of_pytorch_pickled_without_its_save_are_refused_in_a_line(tmp_path):
    (tmp_path / "w.pkl").write_bytes(TORCH_INSIDE)
    with pytest.raises(
        UnreadableFile, match=r"without running it.*save its weights with .*torch\.save"
    ) as said:
        read(tmp_path / "w.pkl")
    assert "\n" not in str(said.value)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=6),
    st.sampled_from(PROTOCOLS),
    st.integers(0, 600),
)
@example(flips=[(12, 92)], protocol=0, kept=34)  # an escape that is none
def test_damage_comes_out_as_one_error(tmp_path_factory, flips, protocol, kept):
    path = tmp_path_factory.mktemp("fuzz") / "w.pkl"
    data = bytearray(pickle.dumps({"a": np.arange(12.0), "b": np.ones((2, 2), "f4")}, protocol))
    for place, byte in flips:
        data[place % len(data)] = byte
    path.write_bytes(data[: kept + 1])
    with suppress(UnreadableFile):
        listing = read(path)
        for tensor in listing.tensors:
            listing.values(tensor.name)
