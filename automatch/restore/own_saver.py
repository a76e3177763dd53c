"""Values into a session by the nodes of the graph's own Saver, fed with the source's names.

A finalized graph that a Scaffold has given a Saver can read a checkpoint as fast as that Saver does, without
a new node: what its RestoreV2 reads is decided by constants, and a constant can be fed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from automatch.moves import Move
from automatch.nodes import assigners, read_for, run_in
from automatch.pieces import Place, places, reads, slice_spec
from automatch.tensor import Tensor

__all__ = ["OwnSaver", "own_saver"]


@dataclass(frozen=True, slots=True)
class OwnSaver:
    """Names of the assignments to run, and what to feed by tensor name beside the prefix.

    prefix: the name of the tensor that holds the checkpoint's prefix.
    """

    run: tuple[str, ...]
    prefix: str
    feed: Mapping[str, list[bytes]]

    def restore(self, session: Any, prefix: str, checks: Sequence[Any]) -> list[bool]:
        """The values of `checks`, after everything has been read and then assigned in one run.

        Raises:
            tensorflow.errors.OpError: reading failed; no variable has changed.
        """
        graph = session.graph
        operations = [graph.get_operation_by_name(name) for name in self.run]
        _, found = run_in(session, [operations, list(checks)], {self.prefix: prefix, **self.feed})
        return [bool(value) for value in found]


# Only names are kept, as for nodes of our own; the last call's moves again need none of it anew.
_LAST: WeakKeyDictionary[Any, tuple[Sequence[Move], OwnSaver | None]] = WeakKeyDictionary()


def own_saver(graph: Any, moves: Sequence[Move]) -> OwnSaver | None:
    """The Saver that can make all of the moves, None if the graph has none.

    It has to read with a single node, since of several one may fail after another's values are assigned.

    Raises UnsupportedTarget for a variable that cannot be set in this graph at all.
    """
    last = _LAST.get(graph)
    if last is None or last[0] is not moves:
        last = _LAST[graph] = moves, _found(graph, moves)
    return last[1]


def _found(graph: Any, moves: Sequence[Move]) -> OwnSaver | None:
    if not moves or any(move.transform.steps or move.transform.cast for move in moves):
        return None
    asked = [(move.source, place) for move in moves for place in places(move.target)]
    if not all(reads(source, place.spec) for source, place in asked):
        return None
    ways: list[dict[Any, tuple[int, Any]]] = []
    readers: set[Any] = set()
    for _, place in asked:
        ways.append(_ways(graph, place))
        readers = readers.intersection(ways[-1]) if len(ways) > 1 else set(ways[-1])
        if not readers:
            return None
    for reader in sorted(readers, key=lambda operation: str(operation.name)):
        chosen = [way[reader] for way in ways]
        wanted = {
            index: (source.name, place.spec)
            for (source, place), (index, _) in zip(asked, chosen, strict=True)
        }
        rest = _fillers(reader, [source for source, _ in asked], wanted)
        if rest is None:
            continue
        every = [(wanted | rest)[index] for index in range(len(reader.outputs))]
        prefix, names, slices = (tensor.name for tensor in reader.inputs)
        feed = {
            names: [name.encode("utf-8", "surrogateescape") for name, _ in every],
            slices: [spec.encode() for _, spec in every],
        }
        return OwnSaver(_together(graph, [assign for _, assign in chosen]), prefix, feed)
    return None


def _together(graph: Any, assigns: Sequence[Any]) -> tuple[str, ...]:
    """What to run for all assignments: the one node that stands for them, since a session asks after each."""
    every = set(assigns)
    for operation in graph.get_operations():
        if operation.type == "NoOp" and every == set(operation.control_inputs):
            return (str(operation.name),)
    return tuple(assign.name for assign in assigns)


def _ways(graph: Any, place: Place) -> dict[Any, tuple[int, Any]]:
    """RestoreV2 -> which of its outputs is assigned to a variable, and by which node."""
    found = {}
    for assign in assigners(graph, place):
        read = read_for(assign)
        if read is not None:
            found[read.op] = read.value_index, assign
    return found


def _fillers(
    reader: Any, sources: Sequence[Tensor], wanted: Mapping[int, object]
) -> dict[int, tuple[str, str]] | None:
    """What the outputs that nothing is assigned from read: as little as there is of their dtype.

    None where no source has that dtype.
    """
    least: dict[str, Tensor] = {}
    for source in sorted(sources, key=lambda tensor: tensor.size or 0):
        least.setdefault(source.dtype, source)
    found = {}
    for index, output in enumerate(reader.outputs):
        if index in wanted:
            continue
        smallest = least.get(output.dtype.name)
        if smallest is None:
            return None
        found[index] = smallest.name, _one_element(smallest)
    return found


def _one_element(source: Tensor) -> str:
    """One element as a slice to ask RestoreV2 for; a piece as it is stored where it reads no less."""
    axes = len(source.shape or ())
    one = slice_spec(source.shape, (0,) * axes, (1,) * axes) if source.shape and source.size else ""
    return one if reads(source, one) else places(source)[0].spec
