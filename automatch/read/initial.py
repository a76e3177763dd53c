"""How a variable is initialized: with zeros, ones, another constant, or at random."""

from __future__ import annotations

import re
from collections import deque

from automatch.read import wire
from automatch.read.graph import Graph, Node
from automatch.read.graph_variables import Variable
from automatch.read.tensor_proto import TensorSpan

__all__ = ["assigned_value", "initial_kind"]

_RANDOM = re.compile(r"Random(?!.*Dataset)|TruncatedNormal|Multinomial|^Qr$|^QrV")
_ASSIGN = frozenset({"Assign", "AssignVariableOp"})
_MAX_WALK = 60

# One, as the dtypes of weights write it; zero is all zero bytes in every one of them.
_ONES = frozenset(
    bytes.fromhex(text)
    for text in ("0000803f", "000000000000f03f", "003c", "803f", "01000000", "0100000000000000", "0100", "01")
)


def initial_kind(graph: Graph, variable: Variable) -> str | None:
    """`random`, `zeros`, `ones` or `constant`, or None where the graph does not say."""
    value = assigned_value(graph, variable)
    if value is None:
        return None
    constants: list[str | None] = []
    queue, seen = deque([value]), {value}
    for _ in range(_MAX_WALK):
        if not queue:
            break
        i = queue.popleft()
        node = graph.nodes[i]
        if _RANDOM.search(node.op):
            return "random"
        kind = _constant_kind(graph, node, i)
        if kind:
            constants.append(kind)
            continue
        for source, _ in graph.sources[i][:_MAX_WALK]:
            if source >= 0 and source not in seen:
                seen.add(source)
                queue.append(source)
    # Several constants mean arithmetic; what comes out of that is some constant.
    return constants[0] if len(constants) == 1 else "constant" if constants and not queue else None


def assigned_value(graph: Graph, variable: Variable) -> int | None:
    """Index of the node whose output the variable is initialized with."""
    assign = variable.initializer
    if assign is None or graph.nodes[assign].op not in _ASSIGN:
        readers = graph.consumers[variable.node]
        assign = min((i for i, slot in readers if slot == 0 and _assigns(graph, i)), default=None)
    if assign is None or len(graph.sources[assign]) < 2:
        return None
    source = graph.sources[assign][1][0]
    return source if source >= 0 else None


def _assigns(graph: Graph, i: int) -> bool:
    """Whether a node assigns something other than what a checkpoint holds."""
    node = graph.nodes[i]
    if node.op not in _ASSIGN or len(graph.sources[i]) < 2:
        return False
    source = graph.sources[i][1][0]
    for _ in range(_MAX_WALK):
        if source < 0 or graph.nodes[source].op != "Identity" or not graph.sources[source]:
            break
        source = graph.sources[source][0][0]
    return source >= 0 and not graph.nodes[source].op.startswith("Restore")


def _constant_kind(graph: Graph, node: Node, i: int) -> str | None:
    if node.op in ("ZerosLike", "OnesLike"):
        return node.op[:-4].lower()
    if node.op == "Fill" and len(graph.sources[i]) > 1:
        filler = graph.sources[i][1][0]
        if filler >= 0:
            i, node = filler, graph.nodes[filler]
    if node.op != "Const":
        return None
    span = graph.constant(node)
    return None if span is None else _uniform(span)


def _uniform(span: TensorSpan) -> str:
    """The kind of a constant by its bytes: not worth importing numpy for."""
    for tag, first, last in wire.fields(span.data, span.start, span.end):
        if tag < 0x22 or (tag & 7 == 0 and tag < 0x38):
            continue
        if last == -1:
            return _kind_of_number(first, half=tag | 2 == 0x6A)
        data = span.data[first:last]
        if tag in (0x3A, 0x52, 0x5A, 0x6A, 0x82, 0x8A):
            numbers = wire.packed(span.data, first, last)
            number = next(numbers, 0)
            same = all(other == number for other in numbers)
            return _kind_of_number(number, half=tag == 0x6A) if same else "constant"
        if not data.strip(b"\x00"):
            return "zeros"
        return "ones" if any(data == one * (len(data) // len(one)) for one in _ONES) else "constant"
    return "zeros"


def _kind_of_number(number: int, *, half: bool) -> str:
    if number == 0:
        return "zeros"
    return "ones" if number in ((0x3C00, 0x3F80) if half else (1,)) else "constant"
