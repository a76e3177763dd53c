"""A TensorFlow graph as nodes and edges, read from a GraphDef; attributes are decoded when asked for.

Format: tensorflow/core/framework/{graph,node_def,attr_value,function}.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from automatch.read import wire
from automatch.read.tensor_proto import TensorSpan, read_shape, tensor_span
from automatch.tensor import Shape

__all__ = ["Edge", "Graph", "Node", "read_graph"]

# A large language model with its optimizer has thirty thousand nodes.
_MAX_NODES = 1_000_000
_MAX_EDGES = 8_000_000
# Name, op and inputs of one node; a Saver of a hundred thousand variables has four million bytes of inputs.
_MAX_HEAD = 2**24
_ATTRIBUTE = 0x2A

Edge = tuple[int, int]
"""Index of a node, and the number of its input or output."""


class Node(NamedTuple):
    """One operation, a tuple because there may be many; its attributes lie at start:end."""

    name: str
    op: str
    inputs: list[str]
    start: int
    end: int


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of the file, which is the order in which they were created.

    data: the bytes that the nodes were read from; functions: where in them the bodies of functions
    lie, by name; bodies: those that have been read already.
    """

    data: bytes
    nodes: list[Node]
    functions: dict[str, tuple[int, int]]
    bodies: dict[str, FunctionBody] = field(default_factory=dict)

    @cached_property
    def index(self) -> dict[str, int]:
        """Index of each node by name."""
        return {node.name: i for i, node in enumerate(self.nodes)}

    @cached_property
    def sources(self) -> list[list[Edge]]:
        """For each node what feeds its inputs, control inputs left out.

        An input from a node that is not there is (-1, 0).
        """
        index = self.index
        found = []
        for node in self.nodes:
            edges = []
            for name in node.inputs:
                source = index.get(name)
                if source is not None:
                    edges.append((source, 0))
                elif name[:1] != "^":
                    head, _, port = name.rpartition(":")
                    edges.append(
                        (index.get(head.partition(":")[0], -1), int(port) if port.isdecimal() else 0)
                    )
            found.append(edges)
        return found

    @cached_property
    def consumers(self) -> list[list[Edge]]:
        """For each node the nodes that read it, with the number of the input they read it by."""
        found: list[list[Edge]] = [[] for _ in self.nodes]
        for i, edges in enumerate(self.sources):
            for slot, (source, _) in enumerate(edges):
                if source >= 0:
                    found[source].append((i, slot))
        return found

    def attribute(self, node: Node, name: str) -> tuple[int, int] | None:
        """Where the value of an attribute lies, or None where the node has it not."""
        wanted = name.encode()
        for tag, at, end in wire.fields(self.data, node.start, node.end):
            # An entry of the map starts with its key: tag, length, bytes.
            if tag == _ATTRIBUTE and self.data[at + 2 : at + 2 + self.data[at + 1]] == wanted:
                _, start, stop = wire.map_entry(self.data, at, end)
                return start, stop
        return None

    def number(self, node: Node, name: str) -> int | None:
        """An attribute that is an integer, a boolean or a dtype."""
        place = self.attribute(node, name)
        for tag, value, _ in wire.fields(self.data, *place) if place else ():
            if tag in (0x18, 0x28, 0x30):
                return value
        return None

    def text(self, node: Node, name: str) -> str | None:
        """An attribute that is a string, or the name of a function."""
        place = self.attribute(node, name)
        for tag, first, last in wire.fields(self.data, *place) if place else ():
            if tag == 0x12:
                return wire.text(self.data, first, last)
            if tag == 0x52:
                names = [
                    wire.text(self.data, a, b) for t, a, b in wire.fields(self.data, first, last) if t == 0x0A
                ]
                return names[0] if names else None
        return None

    def _texts(self, at: int, end: int) -> Iterator[str]:
        for tag, first, last in wire.fields(self.data, at, end):
            if tag == 0x0A:
                yield wire.text(self.data, first, last)

    def shape(self, node: Node, name: str = "shape") -> Shape | None:
        """An attribute that is a shape, None where the rank is open. Raises ValueError for an absurd one."""
        place = self.attribute(node, name)
        for tag, first, last in wire.fields(self.data, *place) if place else ():
            if tag == 0x3A:
                return read_shape(self.data, first, last)
        return None

    def constant(self, node: Node) -> TensorSpan | None:
        """The tensor that a Const node holds."""
        place = self.attribute(node, "value")
        for tag, first, last in wire.fields(self.data, *place) if place else ():
            if tag == 0x42:
                return tensor_span(self.data, first, last)
        return None

    def body(self, name: str) -> FunctionBody | None:
        """The body of a function of the graph's library."""
        place = self.functions.get(name)
        if place and name not in self.bodies:
            self.bodies[name] = _read_body(self, *place)
        return self.bodies.get(name)


@dataclass(frozen=True)
class FunctionBody:
    """The nodes of a function, and the names of its arguments, which its nodes read like nodes."""

    graph: Graph
    arguments: list[str]


def read_graph(data: bytes, at: int = 0, end: int | None = None) -> Graph:
    """The GraphDef in data[at:end]. Raises ValueError where the bytes are none."""
    nodes: list[Node] = []
    functions: dict[str, tuple[int, int]] = {}
    edges = 0
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x0A:
            node = _node(data, first, last)
            nodes.append(node)
            edges += len(node.inputs)
            if len(nodes) > _MAX_NODES or edges > _MAX_EDGES:
                raise ValueError(f"it holds more than {_MAX_NODES} nodes or {_MAX_EDGES} edges")
        elif tag == 0x12:
            functions |= _library(data, first, last)
    return Graph(data, nodes, functions)


def _node(data: bytes, at: int, end: int) -> Node:
    """The node in data[at:end].

    Written out, and left at the first attribute, for the one message that there are so many of: with
    `wire.fields` to the end it takes three times as long. Fields are written in the order of their numbers,
    attributes after name, op, inputs and device.
    """
    name = op = ""
    inputs: list[str] = []
    limit = at + _MAX_HEAD
    while at < end:
        tag, length = data[at], data[at + 1]
        if tag == _ATTRIBUTE:
            break
        first = at + 2
        if length > 127:
            length, first = wire.varint(data, at + 1, end)
        at = first + length
        if at > end or tag & 7 != 2 or at > limit:
            raise ValueError("a node that is no node")
        if tag == 0x1A:
            inputs.append(str(data[first:at], "utf-8"))
        elif tag == 0x0A:
            name = str(data[first:at], "utf-8")
        elif tag == 0x12:
            op = str(data[first:at], "utf-8")
    if not name or not op:
        raise ValueError("a node without a name or an op")
    return Node(name, op, inputs, at, end)


def _library(data: bytes, at: int, end: int) -> dict[str, tuple[int, int]]:
    """Name of each function, and where it lies."""
    found = {}
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x0A:
            signature = next(((a, b) for t, a, b in wire.fields(data, first, last) if t == 0x0A), (0, 0))
            name = next((wire.text(data, a, b) for t, a, b in wire.fields(data, *signature) if t == 0x0A), "")
            found[name] = first, last
    return found


def _read_body(graph: Graph, at: int, end: int) -> FunctionBody:
    data = graph.data
    nodes = []
    arguments: list[str] = []
    for tag, first, last in wire.at_most(_MAX_NODES, wire.fields(data, at, end), "nodes in a function"):
        if tag == 0x0A:
            arguments = list(_arguments(data, first, last))
        elif tag == 0x1A:
            nodes.append(_node(data, first, last))
    places = [Node(name, "_Arg", [], at, at) for name in arguments]
    return FunctionBody(Graph(data, places + nodes, graph.functions, graph.bodies), arguments)


def _arguments(data: bytes, at: int, end: int) -> Iterator[str]:
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x12:
            yield next((wire.text(data, a, b) for t, a, b in wire.fields(data, first, last) if t == 0x0A), "")
