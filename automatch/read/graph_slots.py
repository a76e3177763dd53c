"""Optimizer slots and moving averages of a graph, found by the ops that update them, whatever their names."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from automatch.read.dataflow import Flow, is_passage
from automatch.read.graph import Graph
from automatch.read.graph_variables import Variable

__all__ = ["Slot", "find_slots"]

_APPLY = re.compile(r"^(?:Resource)?(?:Sparse)?Apply(?P<optimizer>\w+?)(?:V\d)?$")
# The inputs that follow the variable in the op that applies a gradient (tensorflow/core/ops/training_ops.cc).
_SLOTS = {
    "Momentum": ("momentum",),
    "KerasMomentum": ("momentum",),
    "Adam": ("m", "v"),
    "AdaMax": ("m", "v"),
    "AdamWithAmsgrad": ("m", "v", "vhat"),
    "Adagrad": ("accumulator",),
    "ProximalAdagrad": ("accumulator",),
    "AdagradDA": ("accumulator", "squared_accumulator"),
    "Adadelta": ("accum_grad", "accum_var"),
    "Ftrl": ("accumulator", "linear"),
    "RMSProp": ("rms", "rms_momentum"),
    "CenteredRMSProp": ("rms_centered", "rms", "rms_momentum"),
    "AddSign": ("m",),
    "PowerSign": ("m",),
}
_UPDATES = re.compile(r"^Assign(Sub|Add)?(VariableOp)?$")
# A slot of a hand-written optimizer is a few ops before the assignment: 60 reach all of Adam's.
_MAX_WALK = 60


class Slot(NamedTuple):
    """The variable (by its place among the variables) that a slot belongs to, and the slot's kind."""

    owner: int
    kind: str


def find_slots(flow: Flow, variables: list[Variable]) -> dict[int, Slot]:
    """Place of each slot among the variables -> whose slot it is, and of which kind."""
    places = {variable.node: place for place, variable in enumerate(variables)}
    found: dict[int, Slot] = {}
    for finder in (_applied, _averaged, _hand_written):
        for place, slot in finder(flow, variables, places):
            owner = variables[slot.owner]
            if place != slot.owner and slot.owner not in found and variables[place].shape == owner.shape:
                found.setdefault(place, slot)
    return _kinds_by_name(found, variables)


def _kinds_by_name(slots: dict[int, Slot], variables: list[Variable]) -> dict[int, Slot]:
    """The slots, those that plain ops update with the same words as those of the optimizer's own op."""
    names = {i: _own_part(variables[i].name, variables[slot.owner].name) for i, slot in slots.items()}
    words = {names[i]: slot.kind for i, slot in slots.items() if slot.kind != names[i]}
    return {i: Slot(slot.owner, words.get(names[i], slot.kind)) for i, slot in slots.items()}


def _variable_behind(graph: Graph, i: int, places: dict[int, int]) -> int | None:
    """The place of the variable that a node is, or only hands on."""
    for _ in range(_MAX_WALK):
        if i in places:
            return places[i]
        if i < 0 or not is_passage(graph.nodes[i]) or not graph.sources[i]:
            return None
        i = graph.sources[i][0][0]
    return None


Found = Iterator[tuple[int, Slot]]


def _applied(flow: Flow, _variables: list[Variable], places: dict[int, int]) -> Found:
    """Slots of the built-in optimizers: the inputs of the op that applies the gradient."""
    graph = flow.graph
    for i, node in enumerate(graph.nodes):
        match = _APPLY.match(node.op)
        if match is None or not graph.sources[i]:
            continue
        owner = _variable_behind(graph, graph.sources[i][0][0], places)
        kinds = _SLOTS.get(match["optimizer"], ())
        for kind, (source, _) in zip(kinds, graph.sources[i][1:], strict=False):
            place = _variable_behind(graph, source, places)
            if owner is not None and place is not None:
                yield place, Slot(owner, kind)


def _averaged(flow: Flow, _variables: list[Variable], places: dict[int, int]) -> Found:
    """Moving averages of variables: `average -= (average - variable) * rate`."""
    graph = flow.graph
    for i, node in enumerate(graph.nodes):
        if node.op not in ("AssignSub", "AssignSubVariableOp") or len(graph.sources[i]) < 2:
            continue
        average = _variable_behind(graph, graph.sources[i][0][0], places)
        product = graph.sources[i][1][0]
        if average is None or product < 0 or graph.nodes[product].op != "Mul":
            continue
        for factor, _ in graph.sources[product][:2]:
            if factor >= 0 and graph.nodes[factor].op == "Sub" and len(graph.sources[factor]) == 2:
                (left, _), (right, _) = graph.sources[factor]
                owner = _variable_behind(graph, right, places)
                if owner is not None and _variable_behind(graph, left, places) == average:
                    yield average, Slot(owner, "ema")


def _hand_written(flow: Flow, variables: list[Variable], places: dict[int, int]) -> Found:
    """Slots of optimizers made of plain ops: what the new value of a trained variable is computed from.

    Breadth first, and never past the gradient: depth first gets lost in the norm over all gradients.
    """
    if flow.last_backward < 0:
        return
    graph = flow.graph
    for i in range(flow.last_backward + 1, len(graph.nodes)):
        if not _UPDATES.match(graph.nodes[i].op) or len(graph.sources[i]) < 2:
            continue
        owner = _variable_behind(graph, graph.sources[i][0][0], places)
        if owner is None or not variables[owner].trainable:
            continue
        for place in _reached(flow, graph.sources[i][1][0], places):
            variable = variables[place]
            if not variable.trainable and place != owner:
                yield place, Slot(owner, _own_part(variable.name, variables[owner].name))


def _reached(flow: Flow, start: int, places: dict[int, int]) -> Iterator[int]:
    """The variables from which a value is computed after the backward pass, nearest first."""
    graph = flow.graph
    queue, seen = deque([start]), {start}
    for _ in range(_MAX_WALK):
        if not queue:
            return
        i = queue.popleft()
        if i in places:
            yield places[i]
        # What was created before the backward pass ended leads to the gradient, unless it reads a variable.
        elif i > flow.last_backward or (i >= 0 and is_passage(graph.nodes[i])):
            for source, _ in graph.sources[i][:_MAX_WALK]:
                if source not in seen:
                    seen.add(source)
                    queue.append(source)


def _own_part(name: str, owner: str) -> str:
    """What the name of a slot adds to that of its variable, or its last word."""
    return name[len(owner) + 1 :] if name.startswith(owner + "/") else name.rpartition("/")[2]
