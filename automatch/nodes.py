"""Variables of a TensorFlow graph, found by their nodes.

A node is all that is needed to set a variable, whether or not a Python object for it exists: replicas of a
distributed variable and the variables of an imported graph have none.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from threading import RLock
from typing import Any

from automatch.errors import RestoreError, UnsupportedTarget
from automatch.tensor import Shape, Tensor
from automatch.transform import Transform

__all__ = [
    "Place",
    "asked",
    "assigner",
    "assigners",
    "building",
    "initialized_check",
    "is_resource",
    "operation",
    "places",
    "read_for",
    "reads",
    "reads_slices",
    "run_in",
    "slice_spec",
    "transformed",
]

_BUILDING = RLock()
# RestoreV2 says "not supported" of these, tried with each dtype that it saves (TensorFlow 2.21), unless it is
# asked for one of the pieces that are stored: the whole tensor, or each slice of a partitioned one.
_AS_STORED = frozenset({"float16", "uint16", "uint32", "uint64", "string", "float8_e5m2", "float8_e4m3fn"})
_RESOURCE = ("VarHandleOp", "VarHandlesOp")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes: a whole variable, or one part of a partitioned one.

    name is the node's; spec is the slice of the whole as a Saver writes it (`6 4 0,2:0,4`), else empty.
    """

    name: str
    shape: Shape | None
    offset: Shape = ()
    spec: str = ""

    @property
    def cut(self) -> tuple[slice, ...]:
        """The index of this part in an array of the whole."""
        if not self.spec or self.shape is None:
            return ()
        return tuple(slice(first, first + size) for first, size in zip(self.offset, self.shape, strict=True))


def places(variable: Tensor) -> tuple[Place, ...]:
    """The nodes that make up a variable."""
    if not variable.parts or variable.shape is None:
        return (Place(variable.name, variable.shape),)
    return tuple(
        Place(part.name, part.shape, part.offset, slice_spec(variable.shape, part.offset, part.shape))
        for part in variable.parts
    )


def slice_spec(whole: Shape, offset: Shape, shape: Shape) -> str:
    """A slice of a variable as a Saver asks for it: `6 4 0,2:0,4`."""
    sizes = " ".join(map(str, whole))
    return sizes + " " + ":".join(f"{first},{size}" for first, size in zip(offset, shape, strict=True))


def reads_slices(dtype: str) -> bool:
    """Whether TensorFlow cuts and joins stored tensors of this dtype."""
    return dtype not in _AS_STORED


def reads(stored: Tensor, spec: str) -> bool:
    """Whether TensorFlow reads this slice of a stored tensor; the whole where it is empty.

    Of most dtypes it cuts and joins what is stored; of some it reads the stored pieces as they are alone.
    """
    if reads_slices(stored.dtype) or stored.shape is None:
        return True
    pieces = {place.spec for place in places(stored)}
    whole = {"", slice_spec(stored.shape, (0,) * len(stored.shape), stored.shape)}
    return spec in (pieces | whole if pieces & whole else pieces)


def asked(source: Tensor, transform: Transform, spec: str) -> str | None:
    """The slice to ask TensorFlow for where a slice of the target is wanted; None if it reads none that does.

    An empty one is the whole, to be transformed, and cut afterwards: a slice of a transformed variable is
    none of the source's.
    """
    return next((ask for ask in ([""] if transform.steps else [spec, ""]) if reads(source, ask)), None)


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
