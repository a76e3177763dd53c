"""The variables of a graph: its nodes, and what its collections say of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from automatch.read import wire
from automatch.read.graph import Graph
from automatch.read.tf_types import type_name
from automatch.tensor import Shape

__all__ = ["VARIABLE_OPS", "Collections", "SliceInfo", "Variable", "find_variables", "read_collections"]

VARIABLE_OPS = frozenset({"Variable", "VariableV2", "VarHandleOp"})
# Those of metrics and of input pipelines: a Saver leaves them alone.
_LOCAL = ("local_variables", "metric_variables")


@dataclass(frozen=True, slots=True)
class SliceInfo:
    """The place of a piece in its partitioned variable, whose name is full_name."""

    full_name: str
    whole: Shape
    offset: Shape
    shape: Shape


@dataclass(frozen=True, slots=True)
class VariableDef:
    """What a collection says of a variable: names without `:0`."""

    name: str
    initializer: str
    slice_info: SliceInfo | None = None


@dataclass(frozen=True)
class Collections:
    """Variables by collection; the others (`saveable_objects`, …) are of no use here."""

    variables: dict[str, list[VariableDef]] = field(default_factory=dict)

    def names(self, *keys: str) -> set[str]:
        """The names of the variables in these collections."""
        return {variable.name for key in keys for variable in self.variables.get(key, ())}


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that could be restored; node and initializer are indices in the graph."""

    node: int
    name: str
    shape: Shape | None
    dtype: str
    trainable: bool | None
    initializer: int | None
    slice_info: SliceInfo | None


def find_variables(graph: Graph, collections: Collections) -> tuple[list[Variable], int]:
    """The variables in the order of their creation, and how many local ones were left out.

    A variable need not be in a collection: copies on further devices are in none.
    Raises ValueError where a collection names a variable that the graph has not.
    """
    known = {variable.name: variable for group in collections.variables.values() for variable in group}
    missing = collections.names("variables", "trainable_variables") - graph.index.keys()
    if missing:
        raise ValueError(f"its collections name a variable '{min(missing)}' that is not in its graph")
    local = collections.names(*_LOCAL) - collections.names("variables")
    trainable = collections.names("trainable_variables")
    found = []
    left_out = 0
    for i, node in enumerate(graph.nodes):
        if node.op not in VARIABLE_OPS:
            continue
        if node.name in local:
            left_out += 1
            continue
        listed = known.get(node.name)
        found.append(
            Variable(
                i,
                node.name,
                graph.shape(node),
                type_name(graph.number(node, "dtype") or 0),
                node.name in trainable if listed and trainable else None,
                graph.index.get(listed.initializer) if listed else None,
                listed.slice_info if listed else None,
            )
        )
    return found, left_out


def read_collections(data: bytes, entries: list[tuple[int, int]]) -> Collections:
    """The collections of variables among the entries of a MetaGraphDef's collection_def."""
    found = {}
    for at, end in entries:
        key, first, last = wire.map_entry(data, at, end)
        if key.endswith("variables"):
            found[key] = [
                _variable_def(data, *place)
                for tag, start, stop in wire.fields(data, first, last)
                if tag == 0x12
                for inner, *place in wire.fields(data, start, stop)
                if inner == 0x0A
            ]
    return Collections(found)


def _variable_def(data: bytes, at: int, end: int) -> VariableDef:
    name = initializer = ""
    info = None
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x0A:
            name = wire.text(data, first, last).partition(":")[0]
        elif tag == 0x12:
            initializer = wire.text(data, first, last).partition(":")[0]
        elif tag == 0x22:
            info = _slice_info(data, first, last)
    return VariableDef(name, initializer, info)


def _slice_info(data: bytes, at: int, end: int) -> SliceInfo:
    name = ""
    numbers: dict[int, list[int]] = {0x12: [], 0x1A: [], 0x22: []}
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x0A:
            name = wire.text(data, first, last)
        elif tag in numbers:
            numbers[tag] += wire.packed(data, first, last)
        elif last == -1 and tag | 2 in numbers:
            numbers[tag | 2].append(first)
    whole, offset, shape = (
        tuple(wire.signed(number) for number in numbers[tag]) for tag in (0x12, 0x1A, 0x22)
    )
    if not len(whole) == len(offset) == len(shape):
        raise ValueError(f"a piece of '{name}' has a place that does not fit its shape")
    return SliceInfo(name, whole, offset, shape)
