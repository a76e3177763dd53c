"""Values into a session by feeding the variables' own assignments.

No node is added, so that the graph may be finalized. Arrays of any origin can be fed. Values go in batches,
since those of a batch are in memory beside the ones that they replace; TensorFlow takes them without a copy.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from automatch.moves import Move
from automatch.nodes import assigner, run_in
from automatch.pieces import Place, places
from automatch.restore.staging import Stage

if TYPE_CHECKING:
    import numpy as np

__all__ = ["restore_by_feeding"]

# Each new set of nodes to run costs TensorFlow an optimisation of the whole graph: with 3,000 variables of
# 400 MB, batches of 8, 32 and 128 MB took 10.4, 4.5 and 3.8 s of CPU; one of everything 4.5 s.
BATCH = 136 * 2**20

# Graphs whose variables have been fed: from then on their values lie where the next ones can go.
_FED: WeakSet[Any] = WeakSet()


def restore_by_feeding(
    session: Any, moves: Sequence[Move], stage: Stage, checks: Sequence[Any]
) -> list[bool]:
    """The values of `checks`, after all moves have been made in batches.

    Every value is verified before the first is set.

    Raises:
        UnreadableFile: a value is damaged; no variable has changed.
        RestoreError: a cast would destroy a value; none has changed.
        UnsupportedTarget: a variable cannot be set in this graph; none has changed.
    """
    steps = [
        _Step(move, place, assigner(session.graph, place)) for move in moves for place in places(move.target)
    ]
    stage.verify(moves)
    found: list[bool] = []
    asked = list(checks)
    for operations, feed in _batches(steps, stage):
        # What is asked does not depend on what is set, and a run of its own would cost one more optimisation.
        found += run_in(session, [operations, asked], feed)[1]
        asked = []
        # Else it would stay until the next one is made.
        feed.clear()
        if session.graph not in _FED:
            _give_back()
    _FED.add(session.graph)
    if asked:
        found += run_in(session, asked, {})
    return [bool(value) for value in found]


def _give_back() -> None:
    """Memory that has been freed, back to the system.

    glibc keeps what is freed of the values that TensorFlow has made itself, and finds no place there for the
    new ones: all of them would be in memory beside each other, 320 MB more for 3,000 variables of 400 MB.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


class _Step(NamedTuple):
    """One place with the node that sets it."""

    move: Move
    place: Place
    operation: Any


def _batches(steps: Iterable[_Step], stage: Stage) -> Iterator[tuple[list[Any], dict[str, np.ndarray]]]:
    """Assignments to run with the values to feed, by tensor name.

    Variables may share the tensor of their initial value; two such never come in the same batch.
    """
    operations: list[Any] = []
    feed: dict[str, np.ndarray] = {}
    size = 0
    for move, members in groupby(steps, key=attrgetter("move")):
        value = stage.value(move, aligned=True)
        for step in members:
            key = step.operation.inputs[1].name
            part = value[step.place.cut] if step.place.cut else value
            if operations and (size + part.nbytes > BATCH or key in feed):
                yield operations, feed
                operations, feed, size = [], {}, 0
            operations.append(step.operation)
            feed[key] = part
            size += part.nbytes
    if operations:
        yield operations, feed
