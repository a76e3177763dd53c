"""A plan, a checkpoint and a target brought together and checked; a repeated call finds that done."""

from __future__ import annotations

import os
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from automatch.errors import RestoreError
from automatch.moves import Moves, collect
from automatch.plan import Plan
from automatch.plancheck import validate
from automatch.read import read
from automatch.read.bundle import index_path
from automatch.read.live import graph_of
from automatch.restore.outline import outline
from automatch.tensor import Listing

__all__ = ["Prepared", "prepare", "with_values"]

Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size and time of change of each file of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Both sides, and the moves between them."""

    source: Listing
    target: Listing
    moves: Moves


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call was prepared from."""

    plan: Plan
    target: Listing
    stamp: Stamp
    options: tuple[bool, bool]

    def is_same(self, other: _Call) -> bool:
        same = self.plan is other.plan and self.target is other.target and self.options == other.options
        return same and bool(self.stamp) and self.stamp == other.stamp


# The last call for each graph: training loops restore the same checkpoint again and again, and reading and
# checking 3,000 names would cost half as much as their 400 MB.
_LAST: WeakKeyDictionary[Any, tuple[_Call, Prepared]] = WeakKeyDictionary()


def prepare(target: Any, source: Any, plan: Plan, *, cast: bool, slots: bool) -> Prepared:
    """Both sides with the moves of the plan's accepted pairs, everything checked that can be without values.

    Raises:
        PlanIsStale: the plan was made for other variables. PlanConflict: it contradicts itself.
        UnreadableFile: the source is missing, damaged or foreign.
        RestoreError: a pair cannot be moved, or the source has no values.
    """
    here = outline(target, slots=not slots)
    call = _Call(plan, here, _stamp(source), (cast, slots))
    graph = graph_of(target)
    known = None if graph is None else _LAST.get(graph)
    if known is not None and known[0].is_same(call):
        return known[1]
    there = with_values(source)
    # A plan from a file has been held against itself when it was read; one made in Python has not.
    validate(plan)
    plan.check(there, here)
    prepared = Prepared(there, here, collect(plan, there, here, cast=cast, slots=slots, strict=True))
    if graph is not None:
        _LAST[graph] = (call, prepared)
    return prepared


def with_values(source: Any) -> Listing:
    """The listing of a source. Raises RestoreError where it has names only."""
    listing = read(source)
    if listing.values is None:
        reasons = " ".join(listing.notes) or f"A {listing.format} holds names, not values."
        raise RestoreError(
            f"there are no values to restore in '{listing.path or listing.format}'. {reasons} "
            "Give the checkpoint with its data."
        )
    return listing


def _stamp(source: Any) -> Stamp:
    """What tells that a checkpoint is still the same; empty for any other source."""
    if not isinstance(source, (str, os.PathLike)):
        return ()
    prefix = Path(os.fspath(source))
    index = index_path(prefix)
    if not index.is_file():
        return ()
    files = [index, *sorted(prefix.parent.glob(escape(prefix.name) + ".data-*"))]
    try:
        states = [(path, path.stat()) for path in files]
    except OSError:
        # A link to what is no longer there: reading says so.
        return ()
    return tuple((str(path), state.st_ino, state.st_size, state.st_mtime_ns) for path, state in states)
