"""A target's names, shapes and dtypes, without what only matching needs."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from automatch.read import live
from automatch.read.graph_variables import VARIABLE_OPS
from automatch.tensor import Listing

__all__ = ["outline", "saveables"]

# By graph: how many nodes it had, and what was found. A graph only grows: a later call looks at the new
# nodes alone; of a restore's own none is a variable.
_KNOWN: WeakKeyDictionary[Any, tuple[int, Listing]] = WeakKeyDictionary()


def outline(target: Any, *, slots: bool = False) -> Listing:
    """The listing of a target as `read` gives it, less its evidence; slots are told only if asked for.

    Raises UnsupportedTarget.
    """
    graph = live.graph_of(target)
    if slots or graph is None:
        return live.read(target, evidence=slots)
    count, listing = _KNOWN.get(graph, (0, None))
    nodes = graph.get_operations()
    if listing is None or any(node.type in VARIABLE_OPS for node in nodes[count:]):
        listing = live.read(target, evidence=False)
    _KNOWN[graph] = (len(nodes), listing)
    return listing


def saveables(target: Any) -> list[str]:
    """Names of what a graph's Saver would handle besides variables."""
    graph = live.graph_of(target)
    return [] if graph is None else [str(item.name) for item in graph.get_collection("saveable_objects")]
