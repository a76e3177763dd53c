"""The record that a person reviews: load, save, check, decide.

The file is JSON with one pair a line, in the order of the target, without time stamps: the same
inputs give the same bytes, and a plan in version control has small diffs.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Alternative", "Decision", "Options", "Pair", "Plan", "RuleRecord", "Side", "Suggestion", "Unmatched", "Unused"]

Decision = Literal["accept", "reject", "undecided"]
By = Literal["score", "rule", "person"]


class Side(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One side of a plan: where it came from and what it held."""

    path: str | None
    format: str
    tensors: int
    fingerprint: str


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """The options a plan was made with."""

    min_score: float = 0.8
    exclude: tuple[str, ...] = ()
    use_ema: bool = False


class RuleRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A rename rule: rewriting `from` gives `to` for exactly `pairs` pairs."""

    id: int
    from_: str
    to: str
    pairs: int


class Alternative(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A runner-up of a pair; `taken_by` is the target that has this source in the plan."""

    source: str
    score: float
    taken_by: str | None = None


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A target variable and the source tensor proposed for it.

    evidence: parts of the score, `(label, value)`; the values add up to the score.
    """

    target: str
    source: str
    shape: tuple[int, ...] | None
    dtype: str
    transform: str
    score: float
    margin: float
    rule: int | None
    decision: Decision
    by: By
    alternatives: tuple[Alternative, ...] = ()
    evidence: tuple[tuple[str, float], ...] = ()
    why: str = ""
    group: str = ""


class Unmatched(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A target variable without counterpart, and why."""

    target: str
    shape: tuple[int, ...] | None
    dtype: str
    why: str


class Unused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A source tensor that no target takes, and why."""

    source: str
    why: str


class Suggestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fused or split tensor: `how` says what would have to be done, `concat axis 0` for instance."""

    target: str
    sources: tuple[str, ...]
    how: str


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
