"""Values into variables that hold their value themselves: eager TensorFlow, Keras, replicas of a strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from automatch.errors import RestoreError
from automatch.moves import Move
from automatch.restore.staging import Stage

__all__ = ["restore_eagerly"]

# Old values are kept up to this size, so that whatever stops a restore half way can be undone.
KEPT = 96 * 2**20


def restore_eagerly(variables: Mapping[str, Any], moves: Sequence[Move], stage: Stage) -> None:
    """Nothing, after every move has been made.

    Each value is verified before the first variable changes; after that only the machine itself can fail, for
    want of memory or by an interrupt. The old values of models up to 96 MB are put back even then. Those of
    larger ones are not: they would need as much memory as the model. Beside the variables themselves a
    restore holds one value at a time, twice, and what it has kept of a source that it cannot map.

    Raises:
        UnreadableFile: a value is damaged; no variable has changed.
        RestoreError: a cast would destroy a value; no variable has changed. Or a variable did not take its
            value; the message says what became of the others.
    """
    setters = {move.target.name: _setter(variables[move.target.name]) for move in moves}
    stage.verify(moves)
    undo: list[tuple[Callable[[Any], None], Any]] = []
    undoable = sum(move.nbytes for move in moves) <= KEPT
    for number, move in enumerate(moves):
        assign = setters[move.target.name]
        try:
            if undoable:
                undo.append((assign, _current(variables[move.target.name])))
            assign(stage.value(move))
        except BaseException as error:
            for put_back, old in reversed(undo):
                put_back(old)
            if isinstance(error, Exception):
                raise RestoreError(_what_failed(move, moves[:number], undoable, error)) from error
            raise


def _what_failed(move: Move, done: Sequence[Move], undoable: bool, error: Exception) -> str:
    failed = f"'{move.target.name}' did not take the value of '{move.source.name}': {error}."
    if undoable or not done:
        return f"{failed} Every variable has its old value."
    return f"{failed} {len(done)} others have their new values already; restore again when the cause is gone."


def _setter(variable: Any) -> Callable[[Any], None]:
    """A function that sets the variable to an array."""
    inner = _inner(variable)
    # A distributed variable has no handle to ask for inside its strategy's scope.
    if _is_distributed(inner) or getattr(inner, "handle", None) is None:
        return lambda value: _assign(inner, value)
    return _raw_setter(inner)


def _assign(variable: Any, value: Any) -> None:
    variable.assign(value)


def _raw_setter(variable: Any) -> Callable[[Any], None]:
    """A setter past the Python around a resource variable; shape and dtype have been checked."""
    import tensorflow as tf

    handle = variable.handle
    return lambda value: tf.raw_ops.AssignVariableOp(resource=handle, value=value)


def _inner(variable: Any) -> Any:
    """TensorFlow's variable inside a Keras 3 variable; any other as it is."""
    if not hasattr(variable, "path"):
        return variable
    inner = variable.value
    return inner if hasattr(inner, "assign") else variable


def _current(variable: Any) -> Any:
    inner = _inner(variable)
    if hasattr(inner, "read_value"):
        return inner.read_value()
    import numpy as np

    return np.array(inner)


def _is_distributed(variable: Any) -> bool:
    import tensorflow as tf

    return isinstance(variable, tf.distribute.DistributedValues)
