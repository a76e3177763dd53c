"""What the Savers of a graph ask a checkpoint for: keys, and the variables that they fill."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from automatch.read import wire
from automatch.read.graph import Edge, Graph

__all__ = ["SaverKey", "find_saver_keys"]

_MAX_WALK = 20
_MAX_KEYS = 4_000_000
# Inputs before the tensors: file, names, slices; the oldest ops had no slices.
_SAVES = {"SaveV2": 3, "SaveSlices": 3, "Save": 2}
_RESTORES = {"RestoreV2": 3, "RestoreSlice": 3, "Restore": 2}
_VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp"})
_ASSIGNS = frozenset({"Assign", "AssignVariableOp"})
# What a Saver puts between what it reads and the variable that takes it.
_PASSES = frozenset({"Identity", "Cast", "Reshape", "EnsureShape"})


@dataclass(frozen=True, slots=True)
class SaverKey:
    """A key of a checkpoint, and the variables that take it: none for a table, several for replicas.

    piece: `whole shape, then start,length of each axis`, as the Saver writes it; empty for a whole tensor.
    """

    key: str
    piece: str
    variables: tuple[str, ...]


def find_saver_keys(graph: Graph) -> list[SaverKey]:
    """The keys that the graph's own Savers ask a checkpoint for, in their order, each once.

    They are read from the ops that restore; a graph that has none tells them by the ops that save.
    """
    found: dict[tuple[str, str], dict[str, None]] = {}
    restores = _own_restores(graph)
    keys = _restored(graph, restores) if restores else _saved(graph)
    for name, piece, variables in wire.at_most(_MAX_KEYS, keys, "keys of Savers"):
        found.setdefault((name, piece), {}).update(dict.fromkeys(variables))
    return [SaverKey(name, piece, tuple(variables)) for (name, piece), variables in found.items()]


def _ops(graph: Graph, kinds: dict[str, int]) -> list[int]:
    return [i for i, node in enumerate(graph.nodes) if len(graph.sources[i]) >= kinds.get(node.op, 2**31)]


def _own_restores(graph: Graph) -> list[int]:
    """The ops that read a file which is told when they run, or to which the graph saves.

    An op that reads another file always gives a variable its first value, under the names of that file.
    """
    files = [graph.sources[i][0][0] for i in _ops(graph, _SAVES)]
    saved = set(files)
    while files:
        # The files of a sharded save are made out of the one name.
        above = {source for source, _ in graph.sources[files.pop()] if source >= 0} - saved
        saved |= above
        files += above
    reads = [(i, graph.sources[i][0][0]) for i in _ops(graph, _RESTORES)]
    return [i for i, file in reads if file in saved or (file >= 0 and graph.nodes[file].op != "Const")]


def _restored(graph: Graph, restores: list[int]) -> Iterator[tuple[str, str, list[str]]]:
    """Key, piece and variables of everything that the ops read."""
    for i, names, pieces in _named(graph, restores, _RESTORES):
        takers: dict[int, list[Edge]] = defaultdict(list)
        for reader, slot in graph.consumers[i]:
            takers[graph.sources[reader][slot][1]].append((reader, slot))
        for k, (name, piece) in enumerate(zip(names, pieces, strict=True)):
            yield name, piece, list(_assigned(graph, takers[k]))


def _assigned(graph: Graph, takers: list[Edge]) -> Iterator[str]:
    """Variables to which a tensor is assigned by one of those that read it."""
    waiting = takers[::-1]
    while waiting:
        i, slot = waiting.pop()
        op = graph.nodes[i].op
        if op in _ASSIGNS and slot == 1:
            variable = _variable(graph, graph.sources[i][0][0])
            if variable is not None:
                yield variable
        elif op in _PASSES and slot == 0:
            waiting += graph.consumers[i][::-1]


def _saved(graph: Graph) -> Iterator[tuple[str, str, list[str]]]:
    """Key, piece and variable of everything that the graph's Savers save."""
    for i, names, pieces in _named(graph, _ops(graph, _SAVES), _SAVES):
        tensors = graph.sources[i][_SAVES[graph.nodes[i].op] :]
        for k, (name, piece) in enumerate(zip(names, pieces, strict=True)):
            variable = _variable(graph, tensors[k][0]) if k < len(tensors) else None
            yield name, piece, [] if variable is None else [variable]


def _named(graph: Graph, ops: list[int], kinds: dict[str, int]) -> Iterator[tuple[int, list[str], list[str]]]:
    """Each of the ops with its keys and as many pieces."""
    strings: dict[int, list[str]] = {}
    for i in ops:
        inputs = graph.sources[i][1 : kinds[graph.nodes[i].op]]
        for source, _ in inputs:
            if source not in strings:
                strings[source] = _strings(graph, source)
        names, pieces = ([*(strings[source] for source, _ in inputs), []])[:2]
        yield i, names, (pieces + [""] * len(names))[: len(names)]


def _strings(graph: Graph, i: int) -> list[str]:
    span = graph.constant(graph.nodes[i]) if i >= 0 else None
    return [] if span is None else list(_string_values(span.data, span.start, span.end))


def _string_values(data: bytes, start: int, end: int) -> Iterator[str]:
    for tag, first, last in wire.fields(data, start, end):
        if tag == 0x42:
            yield wire.text(data, first, last)


def _variable(graph: Graph, i: int) -> str | None:
    """The variable that a node is, or reads as it is."""
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
