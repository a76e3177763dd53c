"""The call behind `automatch apply`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automatch.errors import PlanError, RestoreError, UnwritableFile, UsageError
from automatch.files import beside, reason
from automatch.moves import collect, source_of, targets_of
from automatch.plan import Plan
from automatch.rewrite.checkpoint import Written, write_checkpoint
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
    the source's; changed values stream into one more.

    source: where the values are, if no longer where the plan says.
    copy: copy the data shards. force: replace what is there. skip_undecided: leave undecided pairs out.
    progress: called with bytes done and bytes in all. to: `checkpoint`,
        `safetensors`, `npz`, or `keras-h5` for a target that is a `.weights.h5` or `.h5` file of Keras.

    Raises:
        UsageError: an unknown `to`.
        PlanError: pairs are undecided. PlanIsStale: the source is not the one of the plan.
        UnreadableFile: the source is missing or damaged. RestoreError: a pair cannot be carried out.
        UnwritableFile: `out` stands already or cannot be written. What stood there is as it was.
    """
    if to != "checkpoint" and to not in FORMS:
        raise UsageError(
            f"there is no form '{to}' to write. Take 'checkpoint', {' or '.join(map(repr, FORMS))}."
        )
    agreed = plan if isinstance(plan, Plan) else Plan.load(plan)
    _check_decided(agreed, skip_undecided=skip_undecided)
    listing = _with_values(source_of(agreed, source))
    targets = targets_of(agreed)
    moves = collect(agreed, listing, targets, cast=True, slots=True, strict=True).moves
    place = _free(Path(out), force=force)
    with _moved_into_place(place) as folder:
        if to == "checkpoint":
            steps = Progress(progress)
            shards = shards_of(listing)
            counts = _counts(place)
            written = write_checkpoint(
                folder / place.name, moves, listing, shards, copy=copy, progress=steps, not_in=counts
            )
        else:
            steps = Progress(progress, sum(move.nbytes for move in moves))
            writer(to, agreed.target.format)(folder / place.name, moves, listing, steps)
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


def _with_values(listing: Listing) -> Listing:
    """The listing itself. Raises RestoreError where it has names only."""
    if listing.values is None:
        why = " ".join(listing.notes) or "It holds names only."
        raise RestoreError(f"'{listing.path or listing.format}' has no values to write. {why}")
    return listing


def _free(out: Path, *, force: bool) -> Path:
    """The prefix to write. Raises UnwritableFile where something stands there."""
    place = out.with_name(out.name.removesuffix(".index"))
    if not place.name or not place.parent.is_dir():
        raise UnwritableFile(f"'{place.parent}' is no folder. Make it first, or name another place with -o.")
    standing = _files(place.parent, place.name)
    if standing and not force:
        raise UnwritableFile(
            f"'{standing[0]}' stands already. Name another place with -o, or replace it with --force."
        )
    return place


def _files(folder: Path, name: str) -> list[Path]:
    """The files of the checkpoint of a name, the index first, and a file of that very name."""
    shard = re.compile(re.escape(name) + r"(\.(index|data-\d{5,}-of-\d{5,}))?")
    return sorted(
        (path for path in folder.iterdir() if shard.fullmatch(path.name) and not path.is_dir()), reverse=True
    )


def _counts(place: Path) -> set[int]:
    """The numbers of shards in the names of the data shards that stand at a place."""
    shards = (path.name for path in _files(place.parent, place.name) if ".data-" in path.name)
    return {int(name.rpartition("-")[2]) for name in shards}


@contextmanager
def _moved_into_place(place: Path) -> Iterator[Path]:
    """A folder beside the place, whose files come to stand there together when the block ends well.

    What stood there is as it was if anything fails.
    """
    try:
        with beside(place, Path.mkdir) as folder:
            yield folder
            _exchange(place, folder)
    except OSError as error:
        raise UnwritableFile(
            f"cannot write '{place}': {reason(error)}. Name another place with -o, or make room there."
        ) from error


def _exchange(place: Path, folder: Path) -> None:
    """Move the folder's files to the place, and away what else stands there.

    Data shards come first, under names that none there has; the index, which says how many there are,
    replaces the old one in a single step. Stopped in between, the old checkpoint or the new one is whole.
    """
    standing = _files(place.parent, place.name)
    first, *shards = _files(folder, place.name)
    placed: list[Path] = []
    try:
        for path in shards:
            placed.append(place.parent / path.name)
            path.rename(placed[-1])
        first.replace(place.parent / first.name)
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        raise
    for path in standing:
        if path.name != first.name:
            # The new checkpoint stands, whether or not the old one's data can be removed.
            with suppress(OSError):
                path.unlink()
