"""The variables that a piece of code creates.

To restore a part of a model, or all of it but a part, one has to know which variables that part made. The
order of a graph's collections does not tell; TensorFlow's own hook into variable creation does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["Created", "track_variables"]


class Created(list[Any]):
    """Variables in the order in which they were created: a list that a `Saver` or `restore` takes."""

    @property
    def names(self) -> list[str]:
        """Their names, without the `:0` of the tensor."""
        return [_name(variable) for variable in self]

    def __contains__(self, variable: object) -> bool:
        # By identity: `==` of two variables compares their values.
        return any(variable is member for member in self)


@contextmanager
def track_variables() -> Iterator[Created]:
    """A list that fills with the variables created inside the `with` block, eagerly or in any graph.

    A variable that existed before and is only reused was not created inside; a partitioned one counts by its
    parts. Local variables, such as the counters of `tf.compat.v1.metrics`, are left out, since no checkpoint
    holds them. Blocks may be nested: the outer one sees what the inner one sees. Other
    threads are not followed.

        with automatch.track_variables() as created:
            logits = head(features)
        body = [v for v in tf.compat.v1.global_variables() if v not in created]
    """
    import tensorflow as tf

    watch = _Watch()
    with _following_graphs(watch), watch.following(tf.compat.v1.get_default_graph()):
        yield watch.created


class _Watch:
    """What one `with` block has seen, in each graph that was the default one meanwhile."""

    def __init__(self) -> None:
        self.created = Created()
        self.thread = threading.get_ident()
        self._followed: list[Any] = []

    @contextmanager
    def following(self, graph: Any) -> Iterator[None]:
        """Follows creation in the default graph: once, however often it is entered."""
        import tensorflow as tf

        if any(graph is known for known in self._followed):
            yield
            return
        before = {id(variable) for variable in _collected(graph)}
        self._followed.append(graph)
        try:
            # The hook belongs to the graph that is the default one when it is set.
            with tf.variable_creator_scope(self._create):
                yield
        finally:
            self._followed.remove(graph)
            self._add_imported(graph, before)

    def _create(self, next_creator: Any, **arguments: Any) -> Any:
        variable = next_creator(**arguments)
        if not _is_local(arguments.get("collections")):
            self.created.append(variable)
        return variable

    def _add_imported(self, graph: Any, before: set[int]) -> None:
        """Adds what an imported graph brought along, which the hook is not told of."""
        known = before | {id(variable) for variable in self.created}
        names = set(self.created.names)
        for variable in _collected(graph):
            if id(variable) not in known and _name(variable) not in names:
                self.created.append(variable)


_WATCHES: list[_Watch] = []
_LOCK = threading.Lock()


@contextmanager
def _following_graphs(watch: _Watch) -> Iterator[None]:
    """Has the watch follow each graph that is entered; the hook itself is not handed on to other graphs."""
    import tensorflow as tf

    with _LOCK:
        if not _WATCHES:
            _FollowedGraphs.plain = tf.Graph.as_default
            tf.Graph.as_default = _FollowedGraphs.as_default
        _WATCHES.append(watch)
    try:
        yield
    finally:
        with _LOCK:
            _WATCHES.remove(watch)
            if not _WATCHES:
                tf.Graph.as_default = _FollowedGraphs.plain


class _FollowedGraphs:
    """Stands in for `tf.Graph.as_default` while any block is open."""

    plain: Any = None

    @staticmethod
    @contextmanager
    def as_default(graph: Any) -> Iterator[Any]:
        with ExitStack() as stack:
            entered = stack.enter_context(_FollowedGraphs.plain(graph))
            # A function's graph has been handed the hook by the graph that it is called in.
            for watch in [] if graph.building_function else list(_WATCHES):
                if watch.thread == threading.get_ident():
                    stack.enter_context(watch.following(graph))
            yield entered


def _collected(graph: Any) -> list[Any]:
    variables: list[Any] = graph.get_collection("variables")
    return variables


def _name(variable: Any) -> str:
    return str(variable.name).removesuffix(":0")


def _is_local(collections: Any) -> bool:
    names = list(collections or ())
    return "local_variables" in names and "variables" not in names
