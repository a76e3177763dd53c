"""The call behind `automatch apply`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec import UNSET

from automatch.errors import PlanError, RestoreError, UnreadableFile, UsageError
from automatch.known import targets_of
from automatch.moves import Move, collect, source_of
from automatch.plan import Plan
from automatch.rewrite.checkpoint import Written, write_checkpoint
from automatch.rewrite.place import check_free, moved_into, prefix
from automatch.rewrite.progress import Progress, Report
from automatch.rewrite.weights import FORMS, writer
from automatch.shards import shards_of
from automatch.tensor import Listing

__all__ = ["Rewritten", "apply"]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What `apply` wrote; `str()` is one line.

    path: the prefix of the checkpoint. written: the target names in it. changed: those among them whose
    values had to be written anew. missing: target names that it does not hold. linked, copied: data shards.
    """

    path: Path
    written: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    linked: int
    copied: int

    def __str__(self) -> str:
        parts = [f"wrote {len(self.written)} tensors to '{self.path}'"]
        for count, what in ((self.linked, "linked"), (self.copied, "copied")):
            if count:
                parts.append(f"{count} data shard{'s' if count > 1 else ''} {what}")
        if self.changed:
            parts.append(f"{len(self.changed)} tensors with changed values")
        if self.missing:
            parts.append(f"{len(self.missing)} variables of the target are not in it")
        return "automatch: " + "; ".join(parts)


def apply(
    plan: Plan | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    source: Any = None,
    copy: bool = False,
    force: bool = False,
    skip_undecided: bool = False,
    progress: Report | None = None,
    to: str = "checkpoint",
) -> Rewritten:
    """What was written: a checkpoint `out` with the accepted pairs under the target's names.

    An unmodified Saver of the target restores it. Where only names change, the data shards are hard links to
    the source's; changed values stream into one more, and so do values in other parts than the target's, if
    TensorFlow could not cut or join them.

    source: where the values are, if no longer where the plan says.
    copy: copy the data shards. force: replace what is there. skip_undecided: leave undecided pairs out.
    progress: called with bytes done and bytes in all. to: `checkpoint`,
        `safetensors`, `npz`, or `keras-h5` for a target that is a `.weights.h5` or `.h5` file of Keras.

    Raises:
        UsageError: an unknown `to`.
        PlanError: pairs are undecided. PlanIsStale: the source is not the one of the plan.
        UnreadableFile: the source is missing or damaged. RestoreError: a pair cannot be carried out.
        UnwritableFile: `out` stands already, or does when all is written, or cannot be written. What stands
            there is as it was.
    """
    if to != "checkpoint" and to not in FORMS:
        raise UsageError(
            f"there is no form '{to}' to write. Take 'checkpoint', {' or '.join(map(repr, FORMS))}."
        )
    agreed = plan if isinstance(plan, Plan) else Plan.load(plan)
    _check_decided(agreed, skip_undecided=skip_undecided)
    listing = _with_values(_source(agreed, source))
    targets = targets_of(agreed)
    moves = collect(agreed, listing, targets, cast=True, slots=True, strict=True).moves
    if not _knows_parts(agreed):
        moves = tuple(_partitioned_alike(move) for move in moves)
    place = prefix(out)
    check_free(place, force=force)
    steps = Progress(progress, sum(move.nbytes for move in moves))
    shards = shards_of(listing)
    with moved_into(place, force=force) as files:
        if to == "checkpoint":
            draft = write_checkpoint(files.path, moves, listing, shards, copy=copy, progress=steps)
            files.finish, written = draft.finish, draft.written
        else:
            writer(to, agreed.target.format)(files.path, moves, listing, steps)
            written = Written(tuple(move.target.name for move in moves), 0, 0)
    names = tuple(move.target.name for move in moves)
    known = set(names)
    missing = tuple(t.name for t in targets.tensors if t.name not in known)
    return Rewritten(place, names, written.changed, missing, written.linked, written.copied)


def _check_decided(plan: Plan, *, skip_undecided: bool) -> None:
    waiting = [pair.target for pair in plan.pairs if pair.decision == "undecided"]
    if waiting and not skip_undecided:
        raise PlanError(
            f"{len(waiting)} pairs of the plan are undecided, '{waiting[0]}' for one. "
            "Decide them with 'automatch review', or leave them out with --skip-undecided."
        )


def _source(plan: Plan, source: Any) -> Listing:
    """The listing of the source. Raises as `source_of`, and says how to name another place than the plan."""
    try:
        return source_of(plan, source)
    except UnreadableFile as error:
        if source is not None:
            raise
        raise UnreadableFile(
            f"{error} If it lies elsewhere than the plan says, name it with --source, or source=…."
        ) from error


def _knows_parts(plan: Plan) -> bool:
    """Whether a plan says how its target is partitioned; a mere list of names need not."""
    if plan.target.parts is not UNSET:
        return True
    return plan.source.parts is not UNSET and plan.target.format != "listing"


def _partitioned_alike(move: Move) -> Move:
    """The move to a target of which nothing says how it is partitioned: as the source, if it is as large."""
    if move.transform.steps:
        return move
    return replace(move, target=replace(move.target, parts=move.source.parts))


def _with_values(listing: Listing) -> Listing:
    """The listing itself. Raises RestoreError where it has names only."""
    if listing.values is None:
        why = " ".join(listing.notes) or "It holds names only."
        raise RestoreError(f"'{listing.path or listing.format}' has no values to write. {why}")
    return listing
