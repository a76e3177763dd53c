"""SavedModel directories: the variables as a checkpoint, and what their graph says of them.

Format: tensorflow/core/protobuf/{saved_model,saved_object_graph}.proto.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from automatch.errors import UnreadableFile
from automatch.read import checkpoint, wire
from automatch.read.bundle import index_path
from automatch.read.enrich import enrich
from automatch.read.files import damage_as_error, read_whole
from automatch.read.graph import read_graph
from automatch.read.graph_variables import read_collections
from automatch.read.meta import MetaGraph, listing_of
from automatch.read.tensor_proto import read_shape
from automatch.read.tf_types import type_name
from automatch.tensor import Listing, Shape, Tensor

__all__ = ["matches", "read"]

_GRAPH = "saved_model.pb"
_LIMIT = 2**31
_MAX_OBJECTS = 2_000_000


@dataclass(frozen=True, slots=True)
class _SavedVariable:
    """What the object graph of a SavedModel says of a variable."""

    name: str
    shape: Shape | None
    dtype: int
    trainable: bool


def matches(path: Path, head: bytes) -> bool:
    """Whether the path is a SavedModel directory, or the `saved_model.pb` in it."""
    # The message begins with its version, 1, and the first graph: two marks that no other format has.
    return (path.is_dir() and (path / _GRAPH).is_file()) or head.startswith(b"\x08\x01\x12")


def read(path: Path) -> Listing:
    """The variables that a SavedModel saved, by the keys of its checkpoint. Raises UnreadableFile."""
    file = path / _GRAPH if path.is_dir() else path
    data = read_whole(file, _LIMIT)
    with damage_as_error(file, "SavedModel"):
        meta, objects = _parse(data)
        graph = listing_of(meta, None)
        variables = _variables(data, *objects) if objects else []
    prefix = file.parent / "variables" / "variables"
    if not index_path(prefix).exists():
        return _without_values(graph, variables, file)
    saved = checkpoint.read(prefix)
    listing = _with_trainable(saved, variables) if objects else enrich(saved, graph)
    return replace(listing, format="saved-model", path=str(file.parent))


def _parse(data: bytes) -> tuple[MetaGraph, tuple[int, int] | None]:
    """The first graph and where its objects lie; TensorFlow 1 wrote none."""
    place = next(((first, last) for tag, first, last in wire.fields(data) if tag == 0x12), None)
    if place is None:
        raise ValueError("it holds no graph")
    body, objects = (0, 0), None
    entries = []
    for tag, first, last in wire.fields(data, *place):
        if tag == 0x12:
            body = first, last
        elif tag == 0x22:
            entries.append((first, last))
        elif tag == 0x3A:
            objects = first, last
    return MetaGraph(read_graph(data, *body), read_collections(data, entries)), objects


def _variables(data: bytes, at: int, end: int) -> list[_SavedVariable]:
    """The variables of a SavedObjectGraph, in the order of its nodes."""
    return [
        _variable(data, start, stop)
        for tag, first, last in wire.at_most(_MAX_OBJECTS, wire.fields(data, at, end), "objects")
        if tag == 0x0A
        for inner, start, stop in wire.fields(data, first, last)
        if inner == 0x3A
    ]


def _variable(data: bytes, at: int, end: int) -> _SavedVariable:
    name, dtype, trainable = "", 0, False
    shape: Shape | None = ()
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x08:
            dtype = first
        elif tag == 0x12:
            shape = read_shape(data, first, last)
        elif tag == 0x18:
            trainable = bool(first)
        elif tag == 0x32:
            name = wire.text(data, first, last)
    return _SavedVariable(name, shape, dtype, trainable)


def _with_trainable(listing: Listing, variables: list[_SavedVariable]) -> Listing:
    """The listing with the trainable flags of the variables that have its full names."""
    flags: dict[str, set[bool]] = {}
    for variable in variables:
        flags.setdefault(variable.name, set()).add(variable.trainable)
    tensors = []
    for tensor in listing.tensors:
        found = flags.get(tensor.known_as, set())
        tensors.append(replace(tensor, trainable=next(iter(found))) if len(found) == 1 else tensor)
    return replace(listing, tensors=tuple(tensors))


def _without_values(graph: Listing, variables: list[_SavedVariable], file: Path) -> Listing:
    """The variables that the graph names, where the directory has no weights."""
    tensors = graph.tensors
    if variables:
        first = {variable.name: variable for variable in reversed(variables) if variable.name}
        tensors = tuple(
            Tensor(name, variable.shape, type_name(variable.dtype), variable.trainable)
            for name, variable in reversed(first.items())
        )
    if not tensors:
        raise UnreadableFile(
            f"'{file}' names no variables. Give a SavedModel whose weights are not frozen into it."
        )
    note = f"'{file.parent}' has no 'variables' folder: names can be matched, values cannot be restored."
    return replace(
        graph, tensors=tensors, format="saved-model", path=str(file.parent), notes=(*graph.notes, note)
    )
