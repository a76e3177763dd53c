"""Whether two variables can be one at all, and whether they play the same part: shape, dtype, role, graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from automatch.describe import Features
from automatch.evidence.values import HINTS
from automatch.shapes import fitting
from automatch.tensor import Dataflow, Tensor

__all__ = ["IMPOSSIBLE", "Block", "blocks", "kinds"]

Matrix = npt.NDArray[np.float32]
Block = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Rows and columns of variables that have one number of elements."""

IMPOSSIBLE = -np.inf

_SAME_ROLE = 1.5
_OTHER_ROLE = -6.0
# Roles that codebases mix up: what one calls an embedding another calls weights.
_MIXED = {
    frozenset(("kernel", "embedding")): -0.7,
    frozenset(("bias", "offset")): -2.0,
    frozenset(("scale", "kernel")): -1.0,
}
_RESHAPED = -0.5
# Vectors beside kernels of other sizes belong to other layers, whatever their names say.
_OTHER_LAYER = -3.0
# A layer has as many outputs as its bias is long, whichever of its kernel's axes these are.
_OTHER_OUTPUTS = -2.0
# A scale with an offset beside it is a normalisation's, and one alone scales a branch, or is one without.
_OTHER_SCALE = -2.0
_SAME_START, _OTHER_START = 0.5, -1.0
_SAME_READER, _OTHER_READER = 1.0, -1.0
_FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))
_INTEGERS = frozenset(
    ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "int4", "uint4")
)


def blocks(target: Features, source: Features) -> list[Block]:
    """The variables of both sides by number of elements, where both have some."""
    rows, columns = _by_size(target), _by_size(source)
    return [
        (np.array(rows[size], np.intp), np.array(columns[size], np.intp)) for size in rows if size in columns
    ]


def _by_size(side: Features) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for i, size in enumerate(side.sizes):
        if size >= 0:
            found[size].append(i)
    return found


def kinds(target: Features, source: Features, in_blocks: Sequence[Block]) -> Matrix:
    """Weights of dtype, shape, role and graph; minus infinity where no transform fits."""
    weights = np.full((len(target), len(source)), IMPOSSIBLE, np.float32)
    for rows, columns in in_blocks:
        # Within a block only a few kinds of variable differ, so each pair of kinds is weighed once.
        for these, those in product(_alike(target, rows), _alike(source, columns)):
            t, s = these[0], those[0]
            weight = _fit(source.tensors[s], target.tensors[t], source.framework, target.framework)
            if weight > IMPOSSIBLE:
                weight += _role(target.roles[t], source.roles[s])
                if {target.beside[t], source.beside[s]} == {"kernel", "norm"}:
                    weight = min(weight, _OTHER_ROLE)
                if target.roles[t] == source.roles[s] == "scale" and target.shifted[t] != source.shifted[s]:
                    weight += _OTHER_SCALE
                sizes = _kernel_size(target, t), _kernel_size(source, s)
                if None not in sizes and sizes[0] != sizes[1]:
                    weight += _OTHER_LAYER
                outputs = target.outputs.get(t), source.outputs.get(s)
                if None not in outputs and outputs[0] != outputs[1]:
                    weight += _OTHER_OUTPUTS
                weight += _graph(target.tensors[t].dataflow, source.tensors[s].dataflow)
            weights[np.ix_(these, those)] = weight
    return weights


def _alike(side: Features, members: npt.NDArray[np.intp]) -> list[list[int]]:
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i in map(int, members):
        tensor = side.tensors[i]
        flow = tensor.dataflow
        graph = None if flow is None else (flow.initializer, flow.consumers)
        layer = side.beside[i], _kernel_size(side, i), side.shifted[i], side.outputs.get(i)
        groups[tensor.shape, tensor.dtype, side.roles[i], layer, graph].append(i)
    return list(groups.values())


def _kernel_size(side: Features, i: int) -> int | None:
    """The number of elements of the kernel that a vector goes with, where its scope holds one."""
    kernel = side.own_kernels.get(i)
    return None if kernel is None else side.sizes[kernel]


def _fit(source: Tensor, target: Tensor, source_framework: str, target_framework: str) -> float:
    ways = fitting(source, target, source_framework, target_framework)
    if not ways:
        return IMPOSSIBLE
    reshaped = all(text == "reshape" for text, _ in ways)
    return _dtype(source.dtype, target.dtype) + (_RESHAPED if reshaped else 0.0)


def _dtype(source: str, target: str) -> float:
    if source == target:
        return 0.0
    if {source, target} <= _FLOATS:
        return -0.5
    return -1.0 if {source, target} <= _INTEGERS else IMPOSSIBLE


def _role(role: str, other: str) -> float:
    if not role or not other:
        return 0.0
    for hint, known in ((role, other), (other, role)):
        if hint in HINTS:
            return HINTS[hint].get(known, 0.0)
    return _SAME_ROLE if role == other else _MIXED.get(frozenset((role, other)), _OTHER_ROLE)


def _graph(flow: Dataflow | None, other: Dataflow | None) -> float:
    """Two graphs that start and read a variable alike agree; soft, since layers are rewritten."""
    if flow is None or other is None:
        return 0.0
    weight = 0.0
    if flow.initializer and other.initializer:
        weight += _SAME_START if flow.initializer == other.initializer else _OTHER_START
    if flow.consumers and other.consumers:
        weight += _SAME_READER if set(flow.consumers) & set(other.consumers) else _OTHER_READER
    return weight
