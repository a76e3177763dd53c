"""Values into a session by RestoreV2: one node a task reads everything, names are fed.

The nodes are built once for a graph and a set of moves; later calls, from any checkpoint whose tensors have
the same shapes and dtypes, add none. Each task of a cluster reads its own variables, as its Saver would.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

from automatch.moves import Move
from automatch.nodes import building, is_resource, operation, run_in, transformed
from automatch.pieces import Place, asked, places
from automatch.tensor import Shape
from automatch.transform import Transform

__all__ = ["can_read", "restore_by_nodes"]


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Everything about setting one place that is built into the graph; spec is the slice to be read."""

    place: Place
    spec: str
    dtype: str
    shape: Shape
    whole: Shape | None
    transform: Transform


@dataclass(frozen=True, slots=True)
class _Program:
    """Names of the built nodes: what to run, and what to feed: the prefix, and each reader's tensor names."""

    run: str
    prefix: str
    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]


# One node reads its tensors one after the other; several read at the same time. More than there are cores
# only take them from each other.
READERS = min(4, os.cpu_count() or 1)
SHARE = 8 * 2**20

# Only names are kept: holding the nodes would hold the graph, which then would never be forgotten.
_PROGRAMS: WeakKeyDictionary[Any, dict[tuple[_Assignment, ...], _Program]] = WeakKeyDictionary()
# What the last call for a graph came to: the same moves again need none of it anew.
_LAST: WeakKeyDictionary[Any, tuple[Sequence[Move], _Program, list[list[bytes]]]] = WeakKeyDictionary()


def can_read(moves: Sequence[Move]) -> bool:
    """Whether TensorFlow reads all that the moves need; of some dtypes it joins no slices."""
    return all(
        asked(move.source, move.transform, place.spec) is not None
        for move in moves
        for place in places(move.target)
    )


def restore_by_nodes(session: Any, prefix: str, moves: Sequence[Move], checks: Sequence[Any]) -> list[bool]:
    """The values of `checks`, after all moves have been made in one run.

    prefix: a checkpoint that TensorFlow opens; its index and data shards have been checked.
    moves: such as it can read.

    Raises:
        tensorflow.errors.OpError: reading failed; no variable has changed.
    """
    program, names = _prepared(session.graph, moves)
    feed: dict[Any, Any] = {program.prefix: prefix, **dict(zip(program.names, names, strict=True))}
    run = session.graph.get_operation_by_name(program.run)
    _, found = run_in(session, [run, list(checks)], feed)
    return [bool(value) for value in found]


def _prepared(graph: Any, moves: Sequence[Move]) -> tuple[_Program, list[list[bytes]]]:
    """The program for the moves, and the tensor names that each of its readers is fed."""
    last = _LAST.get(graph)
    if last is not None and last[0] is moves:
        return last[1:]
    pairs = [(move.source.name, _assignment(move, place)) for move in moves for place in places(move.target)]
    program = _program(graph, tuple(assignment for _, assignment in pairs))
    encoded = [name.encode("utf-8", "surrogateescape") for name, _ in pairs]
    names = [[encoded[index] for index in members] for members in program.members]
    _LAST[graph] = (moves, program, names)
    return program, names


def _assignment(move: Move, place: Place) -> _Assignment:
    source, spec = move.source, asked(move.source, move.transform, place.spec)
    assert spec is not None
    return _Assignment(place, spec, source.dtype, source.shape or (), move.target.shape, move.transform)


def _program(graph: Any, assignments: tuple[_Assignment, ...]) -> _Program:
    programs = _PROGRAMS.setdefault(graph, {})
    if assignments not in programs:
        with building(graph):
            # Another thread may have built it while this one waited.
            if assignments not in programs:
                programs[assignments] = _build(graph, assignments)
    return programs[assignments]


def _build(graph: Any, assignments: Sequence[_Assignment]) -> _Program:
    import tensorflow as tf

    prefix = tf.compat.v1.placeholder(tf.string, [], name="prefix")
    readers = [
        (task, share)
        for task, members in _by_task(graph, assignments)
        for share in _shares(assignments, members)
    ]
    names: list[str] = []
    values: dict[int, Any] = {}
    for task, members in readers:
        with tf.device(task):
            placeholder, read = _reader(prefix, [assignments[index] for index in members])
        names.append(placeholder.name)
        values.update(zip(members, read, strict=True))
    # Where several nodes read, one may fail after another has read: nothing is assigned before all have.
    reads = {value.op.name: value.op for value in values.values()}
    barrier = [tf.group(*reads.values(), name="read")] if len(readers) > 1 else []
    with graph.control_dependencies(barrier):
        done = _assigned(graph, [(assignments[index], value) for index, value in values.items()])
    run = tf.group(*done, name="restore")
    return _Program(run.name, prefix.name, tuple(names), tuple(members for _, members in readers))


def _by_task(graph: Any, assignments: Sequence[_Assignment]) -> list[tuple[str, tuple[int, ...]]]:
    """The CPU of each task with the indices of the assignments to variables that live there."""
    import tensorflow as tf

    def task(index: int) -> str:
        device = operation(graph, assignments[index].place.name).device
        cpu = tf.DeviceSpec.from_string(device).replace(device_type="CPU", device_index=0)
        return str(cpu.to_string())

    indices = sorted(range(len(assignments)), key=task)
    return [(device, tuple(members)) for device, members in groupby(indices, key=task)]


def _shares(assignments: Sequence[_Assignment], members: Sequence[int]) -> list[tuple[int, ...]]:
    """The members in parts of about equal size, for nodes that read at the same time."""
    sizes = [prod(assignments[index].shape) for index in members]
    total = sum(sizes)
    count = min(READERS, 1 + total // SHARE)
    shares: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for index, size in zip(members, sizes, strict=True):
        shares[min(before * count // max(total, 1), count - 1)].append(index)
        before += size
    return [tuple(share) for share in shares if share]


def _reader(prefix: Any, assignments: Iterable[_Assignment]) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    wanted = list(assignments)
    names = tf.compat.v1.placeholder(tf.string, [len(wanted)], name="tensor_names")
    tensors = tf.raw_ops.RestoreV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[assignment.spec for assignment in wanted],
        dtypes=[tf.as_dtype(assignment.dtype) for assignment in wanted],
    )
    read = [_value(assignment, tensor) for assignment, tensor in zip(wanted, tensors, strict=True)]
    return names, read


def _value(assignment: _Assignment, tensor: Any) -> Any:
    """The tensor transformed and cut to the part of the variable that it is for."""
    # Without a known shape an assignment to a resource variable would accept any.
    if assignment.spec:
        tensor.set_shape(assignment.place.shape)
        return tensor
    tensor.set_shape(assignment.shape)
    tensor = transformed(tensor, assignment.transform, assignment.whole)
    return tensor[assignment.place.cut] if assignment.place.cut else tensor


def _assigned(graph: Any, pairs: Sequence[tuple[_Assignment, Any]]) -> list[Any]:
    """The nodes that give each variable its value, all in one import.

    Made one by one, they would go through all of the Python around an operation.
    """
    import tensorflow as tf

    nodes: list[Any] = []
    inputs: dict[str, Any] = {}
    for index, (assignment, value) in enumerate(pairs):
        variable = operation(graph, assignment.place.name)
        names = f"variable_{index}:0", f"value_{index}:0"
        inputs.update(zip(names, (variable.outputs[0], _cast(variable, value, assignment)), strict=True))
        nodes.append(_assign(variable, index, names))
    wanted = [node.name for node in nodes]
    description = tf.compat.v1.GraphDef(node=nodes)
    done: list[Any] = tf.graph_util.import_graph_def(
        description, input_map=inputs, return_elements=wanted, name="assign"
    )
    return done


def _assign(variable: Any, index: int, inputs: Sequence[str]) -> Any:
    """The description of an assignment, on the variable's device."""
    import tensorflow as tf

    kind, key = ("AssignVariableOp", "dtype") if is_resource(variable) else ("Assign", "T")
    node = tf.compat.v1.NodeDef(name=f"assign_{index}", op=kind, input=inputs, device=variable.device)
    node.attr[key].type = _dtype(variable).as_datatype_enum
    return node


def _cast(variable: Any, value: Any, assignment: _Assignment) -> Any:
    import tensorflow as tf

    if not assignment.transform.cast:
        return value
    with tf.device(variable.device):
        return tf.cast(value, _dtype(variable))


def _dtype(variable: Any) -> Any:
    """The dtype of a variable's value."""
    import tensorflow as tf

    return tf.as_dtype(variable.get_attr("dtype")).base_dtype
