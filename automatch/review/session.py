"""One review from its first question to the last: the plan, what became of it, and where it is kept.

Knows nothing of HTTP: the server and the terminal both talk to it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from automatch.errors import AutomatchError, PlanConflict, PlanError
from automatch.files import locked, reason
from automatch.plan import Plan
from automatch.planfile import encode, save
from automatch.review.answers import Answer, answered
from automatch.review.page import page_data, side
from automatch.tensor import Listing

__all__ = ["Session", "summary"]

# Plans that a page can go back to with undo; each is a few MB at 10,000 variables.
_KEPT = 16


@dataclass(frozen=True, slots=True)
class _Base:
    """A plan that answers refer to, and the (target, source) pairs a person has refused on the way to it."""

    plan: Plan
    refused: frozenset[tuple[str, str]] = frozenset()


class Session:
    """A plan under review.

    path: where it is kept; source and target: its sides, where they are not files that can be read again.

    Raises:
        UnreadableFile, PlanError, PlanConflict: the plan cannot be loaded.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, source: Listing | None = None, target: Listing | None = None
    ) -> None:
        self.path = Path(path)
        self.plan = Plan.load(self.path)
        self.source = source or side(self.plan, "source")
        self.target = target or side(self.plan, "target")
        self._bases: dict[int, _Base] = {}
        self._next = 0
        # What the file held when it was last read or written here: somebody else's work is not overwritten.
        self._bytes = self._on_disk()

    def data(self) -> dict[str, Any]:
        """What the page shows of the plan as it is now on disk.

        Raises UnreadableFile, PlanError, PlanConflict: somebody else has left no plan there.
        """
        if self._on_disk() != self._bytes:
            self.plan = Plan.load(self.path)
            self._bytes = self._on_disk()
        return self._page(_Base(self.plan))

    def save(self, base: int, answers: Sequence[Answer]) -> str:
        """One line that says what was saved, after the answers to plan `base` have been written to the file.

        Raises:
            PlanConflict: the answers contradict each other. PlanError: somebody else has written the file.
            UnwritableFile: it cannot be written; the old one is as it was.
        """
        with locked(self.path):
            if self._on_disk() != self._bytes:
                raise PlanError(
                    f"'{self.path}' has been changed by somebody else since this review began. "
                    "Load the page again to see theirs, which drops what is not saved here."
                )
            plan = answered(self._base(base).plan, answers, self.source)
            save(plan, self.path)
            self.plan, self._bytes = plan, encode(plan)
        return f"Saved {self.path.name}: {summary(self.plan)}"

    def solve(self, base: int, answers: Sequence[Answer]) -> dict[str, Any]:
        """The page's data for the plan that follows: the answers are fixed, the rest is matched again.

        Nothing is written. Raises what `answered` and `suggest` raise.
        """
        from automatch.review.resolve import moves, refusals, resolve

        start = self._base(base)
        before = answered(start.plan, answers, self.source)
        refused = start.refused | refusals(before)
        after = resolve(before, self._side("source"), self._side("target"), refused)
        moved = moves(before, after)
        words = f"{len(moved)} variables moved (↻)" if len(moved) != 1 else "1 variable moved (↻)"
        message = f"Matched again: {words if moved else 'nothing moved'}. u takes it back."
        return {**self._page(_Base(after, refused)), "moved": moved, "message": message}

    def _page(self, base: _Base) -> dict[str, Any]:
        number, self._next = self._next, self._next + 1
        self._bases[number] = base
        while len(self._bases) > _KEPT:
            del self._bases[min(self._bases)]
        data = page_data(base.plan, source=self.source, target=self.target)
        return {**data, "mode": "served", "name": self.path.name, "base": number}

    def _side(self, which: str) -> Listing:
        listing = self.source if which == "source" else self.target
        if listing is None:
            record = self.plan.source if which == "source" else self.plan.target
            raise PlanError(
                f"the {which} '{record.path}' is not there, or has changed since the plan was made. "
                "Put it back where it was, or make a new plan with 'automatch suggest'."
            )
        return listing

    def plan_of(self, base: int) -> Plan:
        """The plan that answers to `base` refer to. Raises PlanConflict where it is no longer held."""
        return self._base(base).plan

    def _base(self, base: int) -> _Base:
        if base not in self._bases:
            raise PlanConflict("these answers are for a plan that is gone. Open the review again.")
        return self._bases[base]

    def _on_disk(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            return reason(error).encode()

    def largest_answer(self) -> int:
        """How many bytes the answers to every question of the plan can take: no request is larger."""
        names = [name for pair in self.plan.pairs for name in (pair.target, pair.source)]
        names += [entry.target for entry in self.plan.unmatched]
        names += [entry.source for entry in self.plan.unused]
        # A character is at most 12 bytes of JSON escapes; a source may be named once, 40 bytes around each.
        return 4096 + sum(12 * len(name) + 40 for name in names) * 2


def summary(plan: Plan) -> str:
    """The decisions of a plan in one line.

    >>> from automatch.plan import Options, Side
    >>> empty = Side(path=None, format="listing", tensors=0, fingerprint="sha256:")
    >>> summary(Plan(made_by="automatch", source=empty, target=empty, options=Options()))
    '0 to restore, 0 left to decide, 0 stay as initialised.'
    """
    counts = plan.counts
    left = counts.rejected + counts.unmatched
    return f"{counts.accepted} to restore, {counts.undecided} left to decide, {left} stay as initialised."


def decode_answers(data: Any) -> list[Answer]:
    """The answers in a message from the page. Raises PlanError for anything else."""
    try:
        return msgspec.convert(data, list[Answer])
    except (msgspec.ValidationError, AutomatchError) as error:
        raise PlanError(f"this is no list of answers: {error}. Open the review again.") from error
