"""Flax and Orbax: files that those libraries wrote, read without them; the same trees in memory."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.errors import UnreadableFile, UnsupportedTarget
from automatch.read import read

FOREIGN = Path(__file__).parent / "files" / "foreign"
VARIABLES = {
    "batch_stats/BatchNorm_0/mean": (4,), "batch_stats/BatchNorm_0/var": (4,),
    "params/BatchNorm_0/bias": (4,),
    "params/BatchNorm_0/scale": (4,), "params/Conv_0/bias": (4,), "params/Conv_0/kernel": (3, 3, 3, 4),
    "params/Dense_0/bias": (2,), "params/Dense_0/kernel": (4, 2),
}  # fmt: skip
PARAMS = {
    name.removeprefix("params/"): shape for name, shape in VARIABLES.items() if name.startswith("params/")
}


@pytest.mark.parametrize("file", ["variables.msgpack", "orbax_apart", "orbax_packed", "orbax_zarr3"])
def test_variables_in_collections_keep_their_paths_and_have_the_modules_name_beside(file):
    listing = read(FOREIGN / file)
    assert {tensor.name: tensor.shape for tensor in listing.tensors} == VARIABLES
    for place, tensor in enumerate(listing.tensors):
        assert tensor.full_name == tensor.name.partition("/")[2]
        assert tensor.trainable is tensor.name.startswith("params/")
        value = listing.values(tensor.name)
        assert value.dtype == tensor.dtype == "float32"
        np.testing.assert_array_equal(value, np.arange(value.size).reshape(tensor.shape) + 100 * place)
    assert (listing.framework, listing.order) == ("flax", "sorted")


def test_arrays_in_chunks_are_put_together_and_params_alone_are_the_model():
    listing = read(FOREIGN / "chunks.msgpack")
    assert {tensor.name: tensor.shape for tensor in listing.tensors} == PARAMS
    kernel = listing.values("Conv_0/kernel")
    assert kernel.dtype == ml_dtypes.bfloat16
    expected = (np.arange(108, dtype="f4").reshape(3, 3, 3, 4) + 500).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(kernel, expected)


def test_optimizer_state_belongs_to_the_variables_whose_paths_it_repeats():
    listing = read(FOREIGN / "training.msgpack")
    assert {tensor.name for tensor in listing.tensors if tensor.slot is None} == set(PARAMS)
    moment = listing.by_name["opt_state/0/mu/Conv_0/kernel"]
    assert (moment.slot, moment.slot_of) == ("mu", "Conv_0/kernel")
    assert listing.by_name["opt_state/0/count"].slot == "count"


@pytest.mark.parametrize("file", ["orbax_packed", "orbax_apart"])
def test_the_sentence_without_tensorstore_says_which_extra_to_install(monkeypatch, file):
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(UnreadableFile, match=r"pip install 'automatch\[orbax\]'"):
        _value_of_first(FOREIGN / file)


def _value_of_first(path):
    listing = read(path)
    return listing.values(listing.tensors[0].name)


def test_names_and_shapes_of_arrays_that_lie_apart_need_no_tensorstore(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    assert {tensor.name: tensor.shape for tensor in read(FOREIGN / "orbax_apart").tensors} == VARIABLES


def test_of_numbered_steps_the_last_is_read_and_said(tmp_path):
    for step in ("9", "10"):
        shutil.copytree(FOREIGN / "orbax_apart", tmp_path / step / "default")
    (note,) = read(tmp_path).notes
    assert str(tmp_path / "10" / "default") in note


def test_an_array_of_zarr_that_claims_terabytes_is_refused(tmp_path):
    shutil.copytree(FOREIGN / "orbax_apart", tmp_path / "m")
    description = tmp_path / "m" / "params.Dense_0.bias" / ".zarray"
    description.write_text(description.read_text().replace('"shape":[2]', '"shape":[1000000000000]'))
    listing = read(tmp_path / "m")
    with pytest.raises(UnreadableFile, match="claims 4000000000000 bytes"):
        listing.values("params/Dense_0/bias")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["variables.msgpack", "chunks.msgpack", "training.msgpack"]), st.data())
def test_damage_comes_out_as_one_error(tmp_path_factory, file, data):
    content = bytearray((FOREIGN / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / file
    path.write_bytes(
        content[: data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content
    )
    with suppress(UnreadableFile):
        listing = read(path)
        for tensor in listing.tensors:
            listing.values(tensor.name)


@pytest.mark.parametrize(
    "content",
    [
        b"\x81\xa1a" * 5000,
        b"\x81\xa1a" + b"\x91" * 5000,
        b"\xdf\xff\xff\xff\xff\xa1a\xc0",
        b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
        b"\x81\xa1a\xdb\xff\xff\xff\xff",
        b"\x81\xa1a\x80",
    ],
    ids=["deep-map", "deep-list", "long-map", "long-array", "long-text", "no-array"],
)
def test_a_tree_made_to_exhaust_the_machine_is_refused(tmp_path, content):
    path = tmp_path / "m.msgpack"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="damaged"):
        read(path)


def test_nested_dictionaries_of_arrays_are_read_as_they_are_in_memory():
    weights = {
        "gpt/block0": {"w": np.ones((2, 3), "f4"), "b": np.arange(3)},
        "gpt/head": {"w": np.ones((3, 1))},
    }
    listing = read(weights)
    assert [tensor.name for tensor in listing.tensors] == ["gpt/block0/b", "gpt/block0/w", "gpt/head/w"]
    assert (listing.framework, listing.path) == ("haiku", "<arrays>")
    np.testing.assert_array_equal(listing.values("gpt/block0/b"), np.arange(3))


def test_an_array_under_two_names_is_noted():
    table = np.ones((3, 2))
    (note,) = read({"embed": {"embedding": table}, "head": {"kernel": table}}).notes
    assert "'embed/embedding' = 'head/kernel'" in note


def test_two_arrays_of_one_name_are_refused():
    with pytest.raises(UnsupportedTarget, match="two tensors in it have the name 'a/b'"):
        read({"a": {"b": np.ones(1)}, "a/b": np.ones(2)})
