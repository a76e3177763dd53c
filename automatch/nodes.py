"""Variables of a TensorFlow graph, found by their nodes.

A node is all that is needed to set a variable, whether or not a Python object for it exists: replicas of a
distributed variable and the variables of an imported graph have none.
"""

from __future__ import annotations

from contextlib import ExitStack
from threading import RLock
from typing import Any

from automatch.errors import RestoreError, UnsupportedTarget
from automatch.pieces import Place
from automatch.tensor import Shape
from automatch.transform import Transform

__all__ = [
    "assigner",
    "assigners",
    "building",
    "initialized_check",
    "is_resource",
    "operation",
    "read_for",
    "run_in",
    "transformed",
]

_BUILDING = RLock()
_RESOURCE = ("VarHandleOp", "VarHandlesOp")


def operation(graph: Any, name: str) -> Any:
    """The node of a variable. Raises UnsupportedTarget if the graph has none."""
    try:
        return graph.get_operation_by_name(name)
    except KeyError:
        raise UnsupportedTarget(
            f"the graph has no variable node '{name}'. Make the plan from this session or its graph."
        ) from None


def is_resource(node: Any) -> bool:
    """True for a resource variable, False for a ref variable."""
    return node.type in _RESOURCE


def assigner(graph: Any, place: Place) -> Any:
    """A node that assigns to a variable: feeding its second input sets any value.

    That of a Saver where there is one, else the initializer. TensorFlow optimises what leads to a fed value
    too, and that is next to nothing for a Saver's.

    Raises UnsupportedTarget where the graph has no such node that does nothing else.
    """
    found = assigners(graph, place)
    return next((assign for assign in found if read_for(assign) is not None), found[0])


def assigners(graph: Any, place: Place) -> list[Any]:
    """The nodes that assign to a variable and do nothing else: its initializer, and one of each Saver.

    Raises UnsupportedTarget where the graph has none.
    """
    node = operation(graph, place.name)
    kind = "AssignVariableOp" if is_resource(node) else "Assign"
    found = [
        consumer
        for consumer in _consumers(node)
        if consumer.type == kind and consumer.inputs[0] is node.outputs[0] and not consumer.control_inputs
    ]
    if not found:
        raise UnsupportedTarget(
            f"variable '{place.name}' has no assignment in the finalized graph, so that its value cannot be "
            "set. Restore before the graph is finalized."
        )
    return found


def read_for(assign: Any) -> Any | None:
    """The output of a Saver's RestoreV2 whose value a node assigns as it is; None if it assigns another."""
    value = assign.inputs[1]
    value = value.op.inputs[0] if value.op.type == "Identity" else value
    return value if value.op.type == "RestoreV2" else None


def initialized_check(graph: Any, name: str) -> Any | None:
    """A tensor that says whether the variable has a value; None where the graph has none and is finalized."""
    node = operation(graph, name)
    found = _check_of(node)
    return _new_check(graph, node) if found is None and not graph.finalized else found


def _check_of(node: Any) -> Any | None:
    kind = "VarIsInitializedOp" if is_resource(node) else "IsVariableInitialized"
    return next((consumer.outputs[0] for consumer in _consumers(node) if consumer.type == kind), None)


def _new_check(graph: Any, node: Any) -> Any:
    import tensorflow as tf

    with building(graph), tf.device(node.device):
        # Another thread may have made it while this one waited.
        found = _check_of(node)
        if found is not None:
            return found
        if is_resource(node):
            return tf.raw_ops.VarIsInitializedOp(resource=node.outputs[0])
        return tf.raw_ops.IsVariableInitialized(ref=node.outputs[0])


def _consumers(node: Any) -> list[Any]:
    consumers: list[Any] = node.outputs[0].consumers()
    return consumers


def building(graph: Any) -> Any:
    """A context in which new nodes stand by themselves, whatever contexts the caller is in.

    One thread at a time: TensorFlow's graphs are not made to be built by several.
    """
    import tensorflow as tf

    stack = ExitStack()
    stack.enter_context(_BUILDING)
    stack.enter_context(graph.as_default())
    stack.enter_context(graph.control_dependencies(None))
    stack.enter_context(tf.device(None))
    stack.enter_context(tf.name_scope("automatch_restore/"))
    return stack


def transformed(tensor: Any, transform: Transform, shape: Shape | None) -> Any:
    """The tensor after the steps of a transform, in its implied shape where `shape` is fully known."""
    import tensorflow as tf

    for step in transform.steps:
        if step.axes is not None:
            tensor = (tf.transpose if step.kind == "transpose" else tf.reshape)(tensor, step.axes)
    reshapes = any(step.kind == "reshape" for step in transform.steps)
    known = shape is not None and all(axis >= 0 for axis in shape)
    return tf.reshape(tensor, shape) if reshapes and known else tensor


def run_in(session: Any, fetches: Any, feed: dict[Any, Any]) -> Any:
    """What a session gives for the fetches; the hooks of a monitored session do not take it for a step.

    Raises RestoreError for a session that is closed.
    """
    try:
        if hasattr(session, "run_step_fn"):
            return session.run_step_fn(lambda step_context: step_context.session.run(fetches, feed))
        return session.run(fetches, feed)
    except RuntimeError as error:
        raise RestoreError(
            f"the session cannot be used: {str(error).rstrip('.').lower()}. Restore while it is open."
        ) from error
