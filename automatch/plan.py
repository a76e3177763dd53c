"""The record that a person reviews: which source tensor goes to which target variable, and who said so.

    suggest ──> Plan ──> decide, take ──> restore, apply, export
                 │ save, load
             model.plan.json

Plans do not change: whatever decides gives back a new one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

if TYPE_CHECKING:
    from automatch.known import Sides
    from automatch.tensor import Listing

__all__ = [
    "Alternative",
    "By",
    "Counts",
    "Decision",
    "Options",
    "Pair",
    "Plan",
    "RuleRecord",
    "Side",
    "Suggestion",
    "Unmatched",
    "Unused",
]

Decision = Literal["accept", "reject", "undecided"]
By = Literal["score", "rule", "person"]

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Margin = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Axes = tuple[Annotated[int, msgspec.Meta(ge=-1)], ...]


class Side(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side of a plan: where it came from and what it held.

    parts: the partitioned variables, with offset and shape of each part; left out where there are none, and
        by who did not know.
    """

    path: str | None
    format: str
    tensors: Count
    fingerprint: str
    parts: dict[str, tuple[tuple[Axes, Axes], ...]] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, listing: Listing) -> Side:
        """The side that a listing is of."""
        path = None if listing.path is None else os.fspath(listing.path)
        parts = {t.name: tuple((p.offset, p.shape) for p in t.parts) for t in listing.tensors if t.parts}
        return cls(path, listing.format, len(listing), listing.fingerprint, parts or msgspec.UNSET)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """The options a plan was made with; `values` stands there only where values were asked."""

    min_score: Probability = 0.8
    exclude: tuple[str, ...] = ()
    use_ema: bool = False
    values: bool | msgspec.UnsetType = msgspec.UNSET


class RuleRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A rename rule: rewriting `from` gives `to` for exactly `pairs` pairs (notation: rules.py)."""

    id: int
    from_: str
    to: str
    pairs: Count


class Alternative(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A runner-up of a pair; `taken_by` is the target that has this source in the plan."""

    source: str
    score: Probability
    taken_by: str | None = None
    transform: str = "identity"


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A target variable and the source tensor proposed for it.

    evidence: parts of the score, `(label, value)`; the values add up to the score.
    why: one sentence that says what speaks against the pair, or who chose it.
    group: pairs of one question, which one answer decides, share this word.
    tied: other targets take this source as well: they are one variable under several names, or a person has
        given it to all of them.
    """

    target: str
    source: str
    shape: Axes | None
    dtype: str
    transform: str
    score: Probability
    margin: Margin
    rule: int | None
    decision: Decision
    by: By
    alternatives: tuple[Alternative, ...] = ()
    evidence: tuple[tuple[str, float], ...] = ()
    why: str = ""
    group: str = ""
    tied: bool = False


class Unmatched(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A target variable without counterpart, and why."""

    target: str
    shape: Axes | None
    dtype: str
    why: str


class Unused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source tensor that no target takes, and why; shape and dtype, where whoever wrote this knew them."""

    source: str
    why: str
    shape: Axes | msgspec.UnsetType | None = msgspec.UNSET
    dtype: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def type(self) -> str:
        """`f32[2,3]`; an empty word where it is not known."""
        from automatch.tensor import short_type

        if isinstance(self.dtype, msgspec.UnsetType) or isinstance(self.shape, msgspec.UnsetType):
            return ""
        return short_type(self.dtype, self.shape)


class Suggestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fused or split tensor: `how` says what would have to be done, `concat axis 0` for instance."""

    target: str
    sources: tuple[str, ...]
    how: str


class Counts(msgspec.Struct, frozen=True):
    """How many targets are in which state; the first four add up to all targets."""

    accepted: int
    undecided: int
    rejected: int
    unmatched: int
    unused: int


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A proposed mapping from source tensors to target variables, with decisions."""

    automatch_plan: Literal[1] = 1
    made_by: str
    source: Side
    target: Side
    options: Options
    rules: tuple[RuleRecord, ...] = ()
    pairs: tuple[Pair, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    unused: tuple[Unused, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()

    @property
    def accepted(self) -> tuple[Pair, ...]:
        """The pairs that would be restored, in the order of the target."""
        return tuple(pair for pair in self.pairs if pair.decision == "accept")

    @property
    def undecided(self) -> tuple[Pair, ...]:
        """The pairs that wait for a decision, in the order of the target."""
        return tuple(pair for pair in self.pairs if pair.decision == "undecided")

    @property
    def counts(self) -> Counts:
        """How many targets are accepted, undecided, rejected and unmatched, and how many sources unused."""
        accepted, undecided = len(self.accepted), len(self.undecided)
        rejected = len(self.pairs) - accepted - undecided
        return Counts(accepted, undecided, rejected, len(self.unmatched), len(self.unused))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """The plan in a file.

        Raises:
            UnreadableFile: there is no such file, or it cannot be read.
            PlanError: it is no plan; the message says where.
            PlanConflict: its entries contradict each other.
        """
        from automatch.planfile import load

        return load(path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """The path, after the plan has been written there whole; the same plan gives the same bytes.

        Raises:
            UnwritableFile: the file cannot be written; an old one is as it was.
        """
        from automatch.planfile import save

        return save(self, path)

    def to_json(self) -> str:
        """The plan as the text that `save` writes."""
        from automatch.planfile import encode

        return encode(self).decode("utf-8")

    def decide(self, selection: str | Iterable[str], decision: Decision, *, by: By = "person") -> Plan:
        """The plan with a decision for every selected pair.

        selection: `#2` (a rule, and what one answer decides with it), a name of either side, a glob over
            target names, or several of these.

        Raises:
            PlanConflict: nothing in the plan is called so.
        """
        from automatch.decide import decide

        return decide(self, selection, decision, by=by)

    def take(
        self,
        target: str,
        source: str,
        *,
        swap: bool = False,
        transform: str | None = None,
        tied: Collection[str] = (),
        sides: Sides = (None, None),
    ) -> Plan:
        """The plan in which a person gives target another source.

        swap: another target that has that source gets this one's old source if the types agree, else none.
            Where several have it, target has it as well.
        transform: how the source becomes the target; left out, what is known of the two says.
        tied: targets that keep that source, if they have it.
        sides: the source and the target, where at hand, to know of the two what the plan does not say.

        Raises:
            PlanConflict: an unknown name, or a source that is taken while swap is False.
            UsageError: nothing turns the shape of the source into that of the target.
        """
        from automatch.decide import take

        return take(self, target, source, swap=swap, transform=transform, tied=tied, sides=sides)

    def check(self, source: Listing | None = None, target: Listing | None = None) -> None:
        """Nothing, if the plan fits what the two sides hold now.

        Raises:
            PlanIsStale: a side has changed; the message names the variables that differ.
        """
        from automatch.plancheck import check

        check(self, source, target)

    def review(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        open_browser: bool = True,
        source: Listing | None = None,
        target: Listing | None = None,
    ) -> Plan:
        """The plan with the decisions that a person saved on a local page in the browser.

        Returns when the page says done, or at Ctrl-C (in a notebook: interrupt the cell).

        path: the file that Save writes, the plan as it is first; left out, the plan is in no file afterwards.
        source, target: the two sides, where the plan was made from live objects; needed to match again only.

        Raises:
            UnwritableFile: the file cannot be written.
        """
        from automatch.review import review

        return review(self, path, open_browser=open_browser, source=source, target=target)

    def __str__(self) -> str:
        from automatch.report.lines import as_text
        from automatch.report.plan import report

        return as_text(report(self)).rstrip()

    def _repr_html_(self) -> str:
        from automatch.report.html import plan_html

        return plan_html(self)

    def var_list(self, graph: Any = None) -> dict[str, Any]:
        """The accepted pairs as `{name in the checkpoint: variable}`, for `tf.compat.v1.train.Saver`.

        graph: a `tf.Graph`; left out, the default graph.

        Raises:
            PlanConflict: a pair changes values, which a Saver cannot do.
        """
        from automatch.saver import var_list

        result: dict[str, Any] = var_list(self, graph)
        return result

    def assignment_map(self) -> dict[str, str]:
        """The accepted pairs as `{name in the checkpoint: name in the graph}`, for `init_from_checkpoint`.

        Raises:
            PlanConflict: a pair changes values, which `init_from_checkpoint` cannot do.
        """
        from automatch.saver import assignment_map

        result: dict[str, str] = assignment_map(self)
        return result
