"""Frozen graphs: a GraphDef whose variables have become constants, with their values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.read.dataflow import Flow, describe_flow
from automatch.read.files import damage_as_error
from automatch.read.graph import Graph
from automatch.read.graph_variables import Variable
from automatch.read.tensor_proto import TensorSpan
from automatch.read.tf_types import NAME, OPAQUE
from automatch.tensor import Listing, Tensor, Values

if TYPE_CHECKING:
    import numpy as np

__all__ = ["listing_of"]


def listing_of(graph: Graph, path: Path) -> Listing:
    """The constants of a graph without variables, in the order of the file, with values.

    Small ones of shapes, axes and padding are listed too: nothing in the file tells them from weights.
    Raises ValueError for a constant that contradicts itself.
    """
    flow = Flow(graph)
    spans: dict[str, TensorSpan] = {}
    tensors = []
    for i, node in enumerate(graph.nodes):
        span = graph.constant(node) if node.op == "Const" else None
        if span is None or span.dtype in OPAQUE or span.dtype not in NAME:
            continue
        variable = Variable(i, node.name, span.shape, NAME[span.dtype], None, None, None)
        spans[node.name] = span
        tensors.append(Tensor(node.name, span.shape, variable.dtype, dataflow=describe_flow(flow, variable)))
    note = "The graph is frozen: its constants are listed, those that are no weights among them."
    return Listing(
        tuple(tensors),
        format="tf-graph",
        order="creation",
        path=str(path),
        notes=(note,),
        values=_values(spans, path),
    )


def _values(spans: dict[str, TensorSpan], path: Path) -> Values:
    def value(name: str) -> np.ndarray[Any, Any]:
        with damage_as_error(path, "graph"):
            return spans[name].value()

    return value
