"""What the matcher answers: pairs with their reasons, and what has no counterpart.

Everything refers to tensors by their index in the two listings; rows are targets, columns are sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ManyToOne", "Match", "Matching", "RunnerUp", "Standing"]


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """Another source that the target could take, with the score it would have had."""

    source: int
    score: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What the score of a pair is made of: its features, and a doubt that nothing outvotes ('' for none)."""

    features: Mapping[str, float]
    doubt: str


@dataclass(frozen=True, slots=True)
class Match:
    """A target variable and the source proposed for it.

    score: probability in 0..1 that the pair and its transform are right.
    margin: score less the best other candidate's.
    evidence: `(label, value)` parts that add up to the score.
    doubt: one sentence that says what speaks against it or cannot be told apart; empty where nothing does.
    question: pairs that one answer decides share this word (a group that could be swapped as a whole).
    standing: what the score was made of (slots have their variable's); None where a rule gave the score.
    """

    target: int
    source: int
    transform: str
    score: float
    margin: float
    evidence: tuple[tuple[str, float], ...] = ()
    runners_up: tuple[RunnerUp, ...] = ()
    doubt: str = ""
    question: str = ""
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class ManyToOne:
    """A target that would be made of several sources, or of a piece of one."""

    target: int
    sources: tuple[int, ...]
    how: str


@dataclass(frozen=True, slots=True)
class Matching:
    """The matcher's whole answer.

    unmatched: target index -> why it has no counterpart; unused: source index -> why no target takes it.
    """

    matches: tuple[Match, ...] = ()
    unmatched: dict[int, str] = field(default_factory=dict)
    unused: dict[int, str] = field(default_factory=dict)
    suggestions: tuple[ManyToOne, ...] = ()
