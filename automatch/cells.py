"""Recurrent layers: which variables are theirs, and in which order each framework keeps their gates."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from automatch.names import parse
from automatch.tensor import Listing, Tensor

__all__ = ["Cell", "cells"]


@dataclass(frozen=True, slots=True)
class Cell:
    """How a recurrent layer keeps its gates along the last (PyTorch: first) axis.

    order: i input, f forget, c candidate, o output; z update, r reset, h candidate.
    added: what the layer adds to the bias of its forget gate whenever it runs.
    """

    kind: str
    order: str
    added: int = 0


# Keras: keras/src/layers/rnn. PyTorch: the docs of nn.LSTM and nn.GRU. Fused: tf.nn.rnn_cell, its block
# cells and Haiku's LSTM; their GRU keeps its candidate apart and calls the update gate u.
_KERAS = {4: Cell("LSTM", "i, f, c, o"), 3: Cell("GRU", "z, r, h")}
_TORCH = {4: Cell("LSTM", "i, f, c, o"), 3: Cell("GRU", "r, z, h")}
_FUSED = {"lstm": Cell("LSTM", "i, c, f, o", 1), "gru": Cell("GRU", "r, z")}

_TORCH_LEAF = re.compile(r"(?:weight|bias)_[ih]h(_l\d+)?(_reverse)?")
# Flax keeps each gate in a layer of its own (ii, hi, if, hf, …), so that there is no order. Haiku's GRU has
# the update gate the other way round (1 - z), which no order tells.
_GATE_ALONE = re.compile(r"[ih][fgionrz]")
_HAIKU_GRU = frozenset({"w_i", "w_h"})
_FUSED_LEAVES = frozenset({"kernel", "bias", "biases", "weights", "matrix", "w", "b"})


def cells(listing: Listing) -> Mapping[str, Cell]:
    """The variables of recurrent layers by name, with the way in which the layer keeps its gates."""
    scopes: dict[tuple[str, ...], dict[str, Tensor]] = defaultdict(dict)
    for tensor in listing.tensors:
        if tensor.slot is None and tensor.shape:
            components = parse(tensor.known_as).components or ("",)
            scopes[components[:-1]][components[-1]] = tensor
    found: dict[str, Cell] = {}
    for scope, leaves in scopes.items():
        found |= _keras(leaves) or _torch(leaves) or _fused(scope, leaves)
    return found


def _keras(leaves: Mapping[str, Tensor]) -> dict[str, Cell]:
    """A recurrent kernel is units x gates, and stands in Keras' layers only."""
    recurrent = leaves.get("recurrent_kernel")
    cell = _by_gates(recurrent, 0, _KERAS)
    names = ("kernel", "recurrent_kernel", "bias")
    return {leaves[leaf].name: cell for leaf in names if cell and leaf in leaves}


def _torch(leaves: Mapping[str, Tensor]) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for leaf, tensor in leaves.items():
        if _TORCH_LEAF.fullmatch(leaf):
            recurrent = leaves.get(leaf.replace("bias_", "weight_").replace("_ih", "_hh"))
            cell = _by_gates(recurrent, 1, _TORCH)
            found |= {tensor.name: cell} if cell else {}
    return found


def _fused(scope: tuple[str, ...], leaves: Mapping[str, Tensor]) -> dict[str, Cell]:
    """One kernel for input and state together, in a scope that says what it is."""
    words = {word for part in scope[-2:] for word in parse(part).words}
    cell = next((cell for word, cell in _FUSED.items() if word in words), None)
    if cell is None or leaves.keys() & _HAIKU_GRU or _GATE_ALONE.fullmatch(scope[-1]):
        return {}
    return {tensor.name: cell for leaf, tensor in leaves.items() if leaf.lower() in _FUSED_LEAVES}


def _by_gates(recurrent: Tensor | None, units: int, table: Mapping[int, Cell]) -> Cell | None:
    """The cell with as many gates as the recurrent kernel has blocks; `units` is the axis of the units."""
    if (
        recurrent is None
        or recurrent.shape is None
        or len(recurrent.shape) != 2
        or recurrent.shape[units] < 1
    ):
        return None
    gates, rest = divmod(recurrent.shape[1 - units], recurrent.shape[units])
    return table.get(gates) if rest == 0 else None
