"""What values are restored into, and by which way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from automatch.errors import RestoreError, UnsupportedTarget
from automatch.moves import Move
from automatch.nodes import initialized_check, operation, run_in
from automatch.pieces import places
from automatch.read.live import graph_of, named_variables
from automatch.restore.eager import restore_eagerly
from automatch.restore.feed import restore_by_feeding
from automatch.restore.own_saver import own_saver
from automatch.restore.session import can_read, restore_by_nodes
from automatch.restore.staging import Stage, opened_by_tensorflow
from automatch.tensor import Listing, Tensor

__all__ = ["Sink", "sink_for"]


class Sink(Protocol):
    """A target's variables as a place to put values."""

    def restore(self, moves: Sequence[Move], source: Listing, left: Sequence[Tensor]) -> list[str]:
        """The names of those in `left` that have no value, after all moves have been made.

        Of a partitioned variable those of its parts, as `report_uninitialized_variables` has them.
        """
        ...


def sink_for(target: Any) -> Sink:
    """Where values for a target go. Raises UnsupportedTarget for a graph without a session."""
    if graph_of(target) is not None:
        return SessionSink(target if hasattr(target, "run") else _default_session(target))
    variables = named_variables(target)
    nodes = {name: node for name, variable in variables.items() if (node := _node(variable)) is not None}
    if not nodes:
        return EagerSink(variables)
    return SessionSink(_default_session(None), nodes)


def _node(variable: Any) -> str | None:
    """The name of the node of a variable in a graph; None for an eager one."""
    inner = variable.value if hasattr(variable, "path") else variable
    if hasattr(inner, "partitions"):
        return str(inner.name)
    try:
        return str(inner.op.name)
    except (AttributeError, ValueError):
        return None


def _default_session(graph: Any) -> Any:
    import tensorflow as tf

    session = tf.compat.v1.get_default_session()
    if session is None or (graph is not None and session.graph is not graph):
        raise UnsupportedTarget(
            "variables of a graph have their values in a session, and none is given. "
            "Pass the session as the target, or make it the default one with 'with session.as_default():'."
        )
    return session


class EagerSink:
    """Variables that hold their value themselves."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables

    def restore(self, moves: Sequence[Move], source: Listing, left: Sequence[Tensor]) -> list[str]:
        """See Sink."""
        del left
        restore_eagerly(self._variables, moves, Stage(source))
        return []


class SessionSink:
    """Variables of a graph, with their values in a session.

    nodes: names of the nodes of variables that the listing has under names of its own.
    """

    def __init__(self, session: Any, nodes: dict[str, str] | None = None) -> None:
        self._session = session
        self._graph = session.graph
        self._nodes = nodes or {}

    def restore(self, moves: Sequence[Move], source: Listing, left: Sequence[Tensor]) -> list[str]:
        """See Sink."""
        if self._nodes:
            moves = [replace(move, target=self._renamed(move.target)) for move in moves]
        asked = [
            (place.name if tensor.parts else tensor.name, place.name)
            for tensor in left
            for place in places(self._renamed(tensor))
        ]
        checks = {node: initialized_check(self._graph, node) for _, node in asked}
        known = {node: check for node, check in checks.items() if check is not None}
        found = dict(zip(known, self._run(moves, source, list(known.values())), strict=True))
        lacking = {node for node in checks if not (found[node] if node in found else self._has_value(node))}
        return [name for name, node in asked if node in lacking]

    def _renamed(self, tensor: Tensor) -> Tensor:
        node = self._nodes.get(tensor.name)
        return tensor if node is None else replace(tensor, name=node)

    def _run(self, moves: Sequence[Move], source: Listing, checks: Sequence[Any]) -> list[bool]:
        prefix = opened_by_tensorflow(source)
        own = own_saver(self._graph, moves) if prefix is not None and self._graph.finalized else None
        if prefix is None or (own is None and (self._graph.finalized or not can_read(moves))):
            return restore_by_feeding(self._session, moves, Stage(source), checks)
        # TensorFlow converts whatever comes: what may not fit has to be looked at before.
        if narrowing := [move for move in moves if move.narrows]:
            Stage(source).verify(narrowing)
        import tensorflow as tf

        try:
            if own is not None:
                return own.restore(self._session, prefix, checks)
            return restore_by_nodes(self._session, prefix, moves, checks)
        except tf.errors.OpError as error:
            # TensorFlow names the file at most; the bytes themselves tell which tensor it was.
            Stage(source).verify(moves)
            raise RestoreError(f"TensorFlow could not restore from '{prefix}': {error.message}") from error

    def _has_value(self, node: str) -> bool:
        """Whether a variable of a finalized graph has a value, where no node says so: by reading it."""
        import tensorflow as tf

        variable = operation(self._graph, node)
        readers = [reader for reader in variable.outputs[0].consumers() if reader.type == "Identity"]
        try:
            run_in(self._session, readers[0] if readers else variable.outputs[0], {})
        except tf.errors.FailedPreconditionError:
            return False
        return True
