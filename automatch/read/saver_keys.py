"""What the Savers of a graph ask a checkpoint for: keys, and the variables that they fill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from automatch.read import wire
from automatch.read.graph import Graph

__all__ = ["SaverKey", "find_saver_keys"]

_MAX_WALK = 20
_MAX_KEYS = 4_000_000
# Inputs before the tensors: file, names, slices; the oldest op had no slices.
_SAVES = {"SaveV2": 3, "SaveSlices": 3, "Save": 2}
_VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})


@dataclass(frozen=True, slots=True)
class SaverKey:
    """A key of a checkpoint, and the variable saved under it, None for what is no variable.

    piece: `whole shape, then start,length of each axis`, as the Saver writes it; empty for a whole tensor.
    """

    key: str
    piece: str
    variable: str | None


def find_saver_keys(graph: Graph) -> list[SaverKey]:
    """The keys that the graph's own Savers write, in their order, each once."""
    found: dict[tuple[str, str], SaverKey] = {}
    for name, piece, source in wire.at_most(_MAX_KEYS, _saved(graph), "keys of Savers"):
        if (name, piece) not in found:
            found[name, piece] = SaverKey(name, piece, _saved_variable(graph, source))
    return list(found.values())


def _saved(graph: Graph) -> Iterator[tuple[str, str, int]]:
    """Key, piece and node of everything that the graph's Savers save."""
    strings: dict[int, list[str]] = {}
    for i, node in enumerate(graph.nodes):
        before = _SAVES.get(node.op)
        inputs = graph.sources[i]
        if before is None or len(inputs) < before:
            continue
        for source, _ in inputs[1:before]:
            if source not in strings:
                strings[source] = _strings(graph, source)
        pieces = strings[inputs[2][0]] if before > 2 else []
        for k, name in enumerate(strings[inputs[1][0]]):
            source = inputs[before + k][0] if before + k < len(inputs) else -1
            yield name, pieces[k] if k < len(pieces) else "", source


def _strings(graph: Graph, i: int) -> list[str]:
    span = graph.constant(graph.nodes[i]) if i >= 0 else None
    return [] if span is None else list(_string_values(span.data, span.start, span.end))


def _string_values(data: bytes, start: int, end: int) -> Iterator[str]:
    for tag, first, last in wire.fields(data, start, end):
        if tag == 0x42:
            yield wire.text(data, first, last)


def _saved_variable(graph: Graph, i: int) -> str | None:
    for _ in range(_MAX_WALK):
        if i < 0:
            return None
        node = graph.nodes[i]
        if node.op in _VARIABLES:
            return node.name
        if node.op not in ("Identity", "ReadVariableOp") or not graph.sources[i]:
            return None
        i = graph.sources[i][0][0]
    return None
