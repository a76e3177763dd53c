"""A listing file says all that is known of the tensors, and stands for the file it was made from."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automatch.read import read
from automatch.read.listing import dumps, loads
from automatch.tensor import Dataflow, Listing, Part, Tensor
from real_files import DATA

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SHAPES = st.lists(st.integers(-1, 2**40), max_size=4).map(tuple)
SIZES = st.lists(st.integers(0, 2**40), max_size=3).map(tuple)
FLOWS = st.builds(
    Dataflow,
    st.sampled_from([None, "zeros", "ones", "constant", "random"]),
    st.lists(NAMES, max_size=3).map(tuple),
    st.none() | st.integers(0, 10**6),
).filter(lambda flow: flow != Dataflow())
TENSORS = st.builds(
    Tensor,
    name=NAMES,
    shape=st.none() | SHAPES,
    dtype=st.sampled_from(["float32", "bfloat16", "string"]),
    trainable=st.none() | st.booleans(),
    slot_of=st.none() | NAMES,
    slot=st.none() | NAMES,
    full_name=st.none() | NAMES,
    parts=st.lists(st.builds(Part, NAMES, SIZES, SIZES), max_size=2).map(tuple),
    dataflow=st.none() | FLOWS,
)
LISTINGS = st.builds(
    Listing,
    st.lists(TENSORS, max_size=5, unique_by=lambda tensor: tensor.name).map(tuple),
    format=NAMES,
    framework=NAMES,
    order=st.sampled_from(["creation", "sorted"]),
    notes=st.lists(NAMES, max_size=2).map(tuple),
    saveables=st.lists(NAMES, max_size=2).map(tuple),
)


@given(LISTINGS)
def test_a_listing_comes_back_as_it_was_written(listing: Listing) -> None:
    assert loads(dumps(listing).encode(), "x") == replace(listing, path="x")


@given(LISTINGS)
def test_a_listing_has_one_tensor_a_line_as_its_readers_expect(listing: Listing) -> None:
    text = dumps(listing)
    assert json.loads(text)["tensors"] == [
        [t.name, None if t.shape is None else list(t.shape), t.dtype] for t in listing.tensors
    ]
    assert len(text.split("\n")) >= len(listing)


def test_a_minimal_listing_is_enough(tmp_path: Path) -> None:
    (tmp_path / "least.json").write_text('\n {"automatch_listing": 1, "tensors": [["w", [2, 3], "float32"]]}')
    listing = read(tmp_path / "least.json")
    assert listing.tensors == (Tensor("w", (2, 3), "float32"),)
    assert (listing.framework, listing.order, listing.values) == ("tf1", "sorted", None)


@pytest.mark.parametrize("name", ["mirrored-strategy_single_to_2-replicas", "partition_full_to_3-parts"])
def test_a_graph_and_its_listing_are_the_same_to_the_matcher(tmp_path: Path, name: str) -> None:
    graph = read(DATA / name / "graph.meta")
    (tmp_path / "graph.json").write_text(dumps(graph))
    listing = read(tmp_path / "graph.json")
    assert listing == replace(graph, path=listing.path)
    assert listing.fingerprint == graph.fingerprint


def test_reading_imports_neither_tensorflow_nor_numpy() -> None:
    code = (
        "import sys\nfrom automatch.read import read\n"
        f"read({str(DATA / 'partition_full_to_3-parts' / 'graph.meta')!r})\n"
        f"read({str(DATA / 'partition_3-parts_to_full_resource' / 'model.ckpt')!r})\n"
        f"read({str(DATA / 'keras_k3-object_to_tf1-graph' / 'model.ckpt')!r})\n"
        "print(*sorted({'tensorflow', 'numpy', 'scipy', 'networkx', 'h5py', 'torch'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == ""
