"""What a graph tells of a variable by what is done with it: its initializer, who reads it, and how deep.

The rules were tried on graphs of convolutional, recurrent and attention models, with reference and resource
variables, written by TensorFlow 0.12 to 2.21; the same layer built by another library may read its variables
by other ops, so this is evidence and no proof.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from automatch.read.graph import Edge, Graph, Node
from automatch.read.graph_variables import Variable
from automatch.read.initial import initial_kind
from automatch.tensor import Dataflow

__all__ = ["ASSIGN", "Flow", "describe_flow", "is_passage"]

_PASSAGE = frozenset(
    {
        *("Identity", "RefIdentity", "IdentityN", "ReadVariableOp", "Snapshot", "DeepCopy", "StopGradient"),
        *(
            "Enter",
            "RefEnter",
            "Exit",
            "RefExit",
            "Switch",
            "RefSwitch",
            "Merge",
            "RefMerge",
            "NextIteration",
        ),
        *("Cast", "Reshape", "Transpose", "ExpandDims", "Squeeze", "PlaceholderWithDefault"),
        *("Concat", "ConcatV2", "Split", "SplitV", "Pack", "Unpack"),
    }
)
"""Ops that hand on what they read, in another form: who reads them reads the variable."""

ASSIGN = frozenset({"Assign", "AssignVariableOp"})
_BOOKKEEPING = re.compile(
    r"^(Assign(VariableOp)?|(Resource)?(Sparse)?Apply\w+|Save\w*|MergeV2Checkpoints"
    r"|VarIsInitializedOp|IsVariableInitialized|DestroyResourceOp|VariableShape|Shape|Size|Rank|L2Loss"
    r"|\w*Summary(V2)?|OptionalFromValue|NoOp|Assert|Print(V2)?|CheckNumerics)$"
)
# `tf.gradients` opens this scope; nothing created from the first one on belongs to the forward pass.
_BACKWARD = re.compile(r"(^|/)(gradients|gradient_tape)(_\d+)?/")
_CALLS = frozenset(
    {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf"}
)
_BODY = {"While": ("body",), "StatelessWhile": ("body",), "If": ("then_branch", "else_branch")}
_BODY["StatelessIf"] = _BODY["If"]

# Of a variable that many towers or steps read, the first readers say enough.
_MAX_EDGES = 2000
_MAX_CALLS = 6


@dataclass(frozen=True)
class Flow:
    """A graph with what its walks share."""

    graph: Graph

    @cached_property
    def cut(self) -> int:
        """Index of the first node of the backward pass; the number of nodes where there is none."""
        nodes = self.graph.nodes
        return next((i for i, node in enumerate(nodes) if _BACKWARD.search(node.name)), len(nodes))

    @cached_property
    def last_backward(self) -> int:
        """Index of the last node of the backward pass; -1 where there is none."""
        nodes = self.graph.nodes
        return next((i for i in range(len(nodes) - 1, -1, -1) if _BACKWARD.search(nodes[i].name)), -1)

    @cached_property
    def _sorted(self) -> list[int]:
        return list(_topological(self.graph.sources, self.cut))

    @cached_property
    def levels(self) -> list[int]:
        """For each node of the forward pass the number of real ops on the longest path to it."""
        sources = self.graph.sources
        levels = [0] * self.cut
        for i in self._sorted:
            own = 0 if is_passage(self.graph.nodes[i]) else 1
            levels[i] = own + max(
                (levels[source] for source, _ in sources[i] if 0 <= source < self.cut), default=0
            )
        return levels

    @cached_property
    def places(self) -> list[int]:
        """For each node of the forward pass its place in the order in which Keras lists a model's layers.

        The farther from the output, the earlier; what is equally far goes as the output's inputs lead to it.
        Source: `Functional` of Keras, which sorts its layers by depth and then by order of traversal.
        """
        met = self._traversed()
        order = sorted(range(self.cut), key=lambda i: (-self.heights[i], met[i]))
        places = [0] * self.cut
        for place, i in enumerate(order):
            places[i] = place
        return places

    @cached_property
    def heights(self) -> list[int]:
        """For each node of the forward pass the number of real ops on the longest path to an output."""
        heights = [0] * self.cut
        for i in reversed(self._sorted):
            above = heights[i] + (0 if is_passage(self.graph.nodes[i]) else 1)
            for source, _ in self.graph.sources[i]:
                if 0 <= source < self.cut:
                    heights[source] = max(heights[source], above)
        return heights

    def _traversed(self) -> list[int]:
        """When a walk from the outputs, deepest first, along the inputs as they stand, meets each node."""
        met = [-1] * self.cut
        count = 0
        stack = sorted((i for i in range(self.cut) if not self.heights[i]), key=lambda i: self.levels[i])
        while stack:
            i = stack.pop()
            if met[i] < 0:
                met[i], count = count, count + 1
                stack.extend(
                    source for source, _ in reversed(self.graph.sources[i]) if 0 <= source < self.cut
                )
        return met


def is_passage(node: Node) -> bool:
    """Whether an op only hands on what it reads."""
    return node.op in _PASSAGE


def describe_flow(flow: Flow, variable: Variable) -> Dataflow:
    """The initializer, the consumers and the places of a variable."""
    graph = flow.graph
    budget = iter(range(_MAX_EDGES))
    consumers = list(_readers(graph, variable.node, budget))
    # Of a copy on a second device or a second model, all may have been created after the first gradient.
    forward = [edge for edge in consumers if edge[0] < flow.cut] or [
        edge for edge in consumers if not _BACKWARD.search(graph.nodes[edge[0]].name)
    ]
    names = {name for edge in forward for name in _consumer_names(graph, edge, _MAX_CALLS, budget)}
    readers = [i for i, _ in forward if i < flow.cut]
    return Dataflow(
        initial_kind(graph, variable),
        tuple(sorted(names)),
        min((flow.levels[i] for i in readers), default=None),
        min((flow.places[i] for i in readers), default=None),
    )


def _readers(graph: Graph, start: int, budget: Iterator[int]) -> Iterator[Edge]:
    """The first real ops, with the input by which they read what a node puts out.

    Each edge looked at takes one from the budget, which all walks for one variable share.
    """
    seen = {start}
    queue = deque([start])
    while queue:
        for edge in graph.consumers[queue.popleft()]:
            if next(budget, None) is None:
                return
            node = graph.nodes[edge[0]]
            if is_passage(node):
                if edge[0] not in seen:
                    seen.add(edge[0])
                    queue.append(edge[0])
            elif not _BOOKKEEPING.match(node.op):
                yield edge


def _consumer_names(graph: Graph, edge: Edge, calls: int, budget: Iterator[int]) -> list[str]:
    """`Op:input` of a reader, or of the readers inside the function that it calls."""
    node = graph.nodes[edge[0]]
    if calls and node.op in _CALLS:
        argument = edge[1] - (1 if node.op.endswith("If") else 0)
        functions = [graph.text(node, key) or "" for key in _BODY.get(node.op, ("f",))]
        return [name for function in functions for name in _inside(graph, function, argument, calls, budget)]
    if calls and node.op in graph.functions:
        inside = list(_inside(graph, node.op, edge[1], calls, budget))
        # A function that only hands on, such as one that only defines its own gradient.
        readers = _readers(graph, edge[0], budget)
        return inside or [
            name for reader in readers for name in _consumer_names(graph, reader, calls - 1, budget)
        ]
    statistic = _statistic(graph, edge[0]) if node.op.startswith("AssignSub") and edge[1] == 0 else None
    return [f"{plain_op(node.op)}:{edge[1]}", *([statistic] if statistic else [])]


def _statistic(graph: Graph, update: int) -> str | None:
    """The normalisation input that a moving statistic serves, by its update `x -= (x - batch) * rate`."""
    for product, _ in graph.sources[update][1:2]:
        for difference, _ in graph.sources[product][:2] if product >= 0 else ():
            if difference >= 0 and graph.nodes[difference].op == "Sub":
                for source, port in graph.sources[difference][1:2]:
                    return _normalisation_input(graph, source, port)
    return None


def _normalisation_input(graph: Graph, source: int, port: int) -> str | None:
    for _ in range(_MAX_CALLS):
        if source < 0:
            return None
        node = graph.nodes[source]
        if node.op.startswith("FusedBatchNorm"):
            # Outputs 1 and 2 are the batch's mean and variance, inputs 3 and 4 the moving ones.
            return f"{plain_op(node.op)}:{port + 2}" if port in (1, 2) else None
        if not is_passage(node) or not graph.sources[source]:
            return None
        source, port = graph.sources[source][0]
    return None


def _inside(graph: Graph, function: str, argument: int, calls: int, budget: Iterator[int]) -> Iterator[str]:
    """The readers of an argument inside a function."""
    body = graph.body(function)
    if body is not None and 0 <= argument < len(body.arguments):
        for edge in _readers(body.graph, argument, budget):
            yield from _consumer_names(body.graph, edge, calls - 1, budget)


def plain_op(op: str) -> str:
    """An op's name without its version and without its kind of variable, which say nothing of its meaning.

    >>> plain_op("FusedBatchNormV3"), plain_op("ResourceGather"), plain_op("AssignSubVariableOp")
    ('FusedBatchNorm', 'Gather', 'AssignSub')
    """
    return re.sub(r"V\d$", "", op).removeprefix("Resource").removesuffix("VariableOp") or op


def _topological(sources: list[list[Edge]], end: int) -> Iterator[int]:
    """The nodes before `end`, each after those it reads; the nodes of loops come last, as they stand."""
    waiting = [0] * end
    readers: list[list[int]] = [[] for _ in range(end)]
    ordered = True
    for i in range(end):
        for source, _ in sources[i]:
            if 0 <= source < end:
                readers[source].append(i)
                waiting[i] += 1
                ordered = ordered and source < i
    if ordered:
        yield from range(end)
        return
    ready = deque(i for i in range(end) if not waiting[i])
    done = [False] * end
    while ready:
        i = ready.popleft()
        done[i] = True
        yield i
        for reader in readers[i]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    yield from (i for i in range(end) if not done[i])
