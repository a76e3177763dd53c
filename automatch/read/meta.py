"""Graphs on disk: a MetaGraphDef (`.meta`) or a plain GraphDef, and the variables in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from automatch.read import frozen as constants
from automatch.read import wire
from automatch.read.dataflow import Flow, describe_flow
from automatch.read.files import damage_as_error, read_whole
from automatch.read.graph import Graph, read_graph
from automatch.read.graph_slots import find_slots
from automatch.read.graph_variables import Collections, SliceInfo, Variable, find_variables, read_collections
from automatch.read.saver_keys import find_saver_keys
from automatch.read.slices import check_apart, is_whole
from automatch.tensor import Listing, Part, Tensor

__all__ = ["MetaGraph", "listing_of", "matches", "parse", "read"]

# Protocol buffers end at 2 GiB; a graph of that size is made of constants, and nobody's `.meta` is.
_LIMIT = 2**31
_MAX_COLLECTIONS = 100_000


@dataclass(frozen=True)
class MetaGraph:
    """A graph with its collections; a plain GraphDef has none."""

    graph: Graph
    collections: Collections


def matches(_path: Path, head: bytes) -> bool:
    """Whether the first bytes are those of a MetaGraphDef or a GraphDef: a message in field 1 or 2."""
    return head[:1] in (b"\x0a", b"\x12") and _looks_like_message(head)


def read(path: Path) -> Listing:
    """The listing of the variables of a graph, in order of creation. Raises UnreadableFile."""
    data = read_whole(path, _LIMIT)
    with damage_as_error(path, "graph"):
        meta = parse(data)
        listing = listing_of(meta, str(path))
        frozen = not listing.tensors and any(node.op == "Const" for node in meta.graph.nodes)
        return (
            constants.listing_of(meta.graph, path) if frozen and not meta.collections.variables else listing
        )


def _looks_like_message(head: bytes) -> bool:
    """Whether the first field holds another message or a name, and is not text that begins with a newline."""
    try:
        length, at = wire.varint(head, 1, len(head))
    except ValueError:
        return False
    return length > 0 and head[at : at + 1] in (b"\x0a", b"\x12", b"\x22", b"\x2a", b"\x30")


def parse(data: bytes) -> MetaGraph:
    """The graph in the bytes of a MetaGraphDef or a GraphDef. Raises ValueError where they hold neither."""
    if _is_graph_def(data):
        graph, collections = read_graph(data), Collections()
    else:
        found = list(wire.at_most(_MAX_COLLECTIONS, wire.fields(data), "collections"))
        body = next(((first, last) for tag, first, last in found if tag == 0x12), (0, 0))
        graph = read_graph(data, *body)
        collections = read_collections(data, [(first, last) for tag, first, last in found if tag == 0x22])
    if not graph.nodes:
        raise ValueError("it holds no nodes")
    return MetaGraph(graph, collections)


def _is_graph_def(data: bytes) -> bool:
    """Whether field 1 holds nodes, with an op's name in field 2, or what a MetaGraphDef says of itself."""
    head = wire.at_most(_MAX_COLLECTIONS, wire.fields(data), "collections")
    firsts = list(islice(((first, last) for tag, first, last in head if tag == 0x0A), 2))
    if len(firsts) != 1:
        return bool(firsts)
    op = next((data[a:b] for tag, a, b in wire.fields(data, *firsts[0]) if tag == 0x12), b"\x0a")
    return op[:1].isalpha() or op[:1] == b"_"


def listing_of(meta: MetaGraph, path: str | None) -> Listing:
    """The variables of a graph with all the evidence that it holds; pieces of partitioned ones are joined.

    Raises ValueError for a graph that contradicts itself.
    """
    variables, left_out = find_variables(meta.graph, meta.collections)
    names = _listed_names(variables)
    tensors = _joined(_tensors(meta.graph, variables, names), variables, names)
    # A key that several variables take has been computed, as the mean over replicas is.
    known = {tensor.name for tensor in tensors}
    asked = find_saver_keys(meta.graph)
    keys = [key.key for key in asked if len(key.variables) != 1 and key.key not in known]
    notes = []
    if left_out:
        notes.append(f"{left_out} local variables (such as metrics) are left out: no Saver restores them.")
    if not variables:
        notes.append("The graph has no variables.")
    return Listing(
        tuple(tensors),
        format="tf-meta" if meta.collections.variables else "tf-graph",
        order="creation",
        path=path,
        notes=tuple(notes),
        saveables=tuple(keys),
    )


def _tensors(graph: Graph, variables: list[Variable], names: list[str]) -> list[Tensor]:
    """A tensor for each variable; a slot refers to its variable by its name in `names`."""
    flow = Flow(graph)
    slots = find_slots(flow, variables)
    tensors = []
    for place, variable in enumerate(variables):
        slot = slots.get(place)
        tensors.append(
            Tensor(
                variable.name,
                variable.shape,
                variable.dtype,
                variable.trainable,
                names[slot.owner] if slot else None,
                slot.kind if slot else None,
                dataflow=describe_flow(flow, variable),
            )
        )
    return tensors


def _listed_names(variables: list[Variable]) -> list[str]:
    """The name of each variable; of a piece that of the partitioned variable, if all pieces are there."""
    groups: dict[str, list[SliceInfo]] = {}
    for variable in variables:
        if variable.slice_info:
            groups.setdefault(variable.slice_info.full_name, []).append(variable.slice_info)
    whole = {name for name, pieces in groups.items() if _is_partition(pieces)}
    infos = [(variable.name, variable.slice_info) for variable in variables]
    return [info.full_name if info and info.full_name in whole else name for name, info in infos]


def _is_partition(pieces: list[SliceInfo]) -> bool:
    whole = pieces[0].whole
    extents = tuple(tuple(zip(piece.offset, piece.shape, strict=True)) for piece in pieces)
    try:
        check_apart(whole, extents)
    except ValueError:
        return False
    return is_whole(whole, extents)


def _joined(tensors: list[Tensor], variables: list[Variable], names: list[str]) -> list[Tensor]:
    """The tensors with the pieces of each partitioned variable as one, in the place of its first piece."""
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        groups.setdefault(name, []).append(i)
    return [_join(name, [(tensors[i], variables[i]) for i in group]) for name, group in groups.items()]


def _join(name: str, pieces: list[tuple[Tensor, Variable]]) -> Tensor:
    tensor, variable = pieces[0]
    if variable.slice_info is None or name == variable.name:
        return tensor
    places = [(piece.name, v.slice_info) for piece, v in pieces if v.slice_info]
    parts = sorted((Part(part, p.offset, p.shape) for part, p in places), key=lambda part: part.offset)
    return replace(tensor, name=name, shape=variable.slice_info.whole, parts=tuple(parts))
