"""The whole story on one page: read both sides, match them, fold the pairs into rules, write down a plan."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

import msgspec

from automatch.cycles import uncollected
from automatch.decide import closest
from automatch.errors import PlanError, UsageError
from automatch.evidence.values import hinted
from automatch.match import match
from automatch.matching import Match, Matching
from automatch.plan import Alternative, Options, Pair, Plan, RuleRecord, Side, Suggestion, Unmatched, Unused
from automatch.read import read
from automatch.rules import Mark, fold
from automatch.shapes import named
from automatch.tensor import Listing, Tensor
from automatch.transform import parse
from automatch.version import VERSION

__all__ = ["suggest"]

# Rules that one answer decides: more than so many are put together.
MOST_OF_A_QUESTION = 3


@uncollected()
def suggest(
    source: Any,
    target: Any,
    *,
    min_score: float = 0.8,
    exclude: Collection[str] = (),
    pairs: Mapping[str, str] | None = None,
    forbidden: Collection[tuple[str, str]] = (),
    use_ema: bool = False,
    values: bool = False,
) -> Plan:
    """The proposed mapping from the tensors of source to the variables of target, as a plan to review.

    source, target: paths, listings, sessions, graphs, models, lists of variables.
    min_score: pairs of this score and above are accepted, the rest wait for a decision.
    exclude: globs over target names (`*` crosses slashes); what they match stays as it is.
    pairs: target name -> source name, decided by a person; several targets may have one source.
    forbidden: (target name, source name) pairs that a person has refused.
    use_ema: moving averages are the source of the variables they shadow.
    values: vectors whose names give no role are read, to tell scales and variances from offsets and means.

    Raises:
        UnreadableFile, UnsupportedTarget: a side cannot be read.
        UsageError: an option names what does not exist, or a pair whose shapes no transform brings together.
    """
    if not 0 <= min_score <= 1:
        raise UsageError(f"min_score is {min_score}, and scores lie between 0 and 1. Take 0.8, for instance.")
    # One glob by itself would be taken for its letters, and `*` among them excludes everything.
    globs = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    left, right = read(source), read(target)
    fixed = dict(pairs or {})
    _check_pairs(fixed, left, right)
    excluded = _excluded(right, globs, fixed)
    asked = right.without(set(excluded)) if excluded else right
    sides = (hinted(left), hinted(asked)) if values else (left, asked)
    matching = match(*sides, fixed=fixed, forbidden=forbidden, use_ema=use_ema)
    proposed = _pairs(matching, left, asked, fixed, min_score)
    rules, ruled = _ruled(proposed, left, right)
    return Plan(
        made_by=f"automatch {VERSION}",
        source=Side.of(left),
        target=Side.of(right),
        options=Options(min_score, globs, use_ema, values or msgspec.UNSET),
        rules=rules,
        pairs=ruled,
        unmatched=_unmatched(matching, asked, right, excluded),
        unused=tuple(_unused(left.tensors[i], why) for i, why in sorted(matching.unused.items())),
        suggestions=tuple(
            Suggestion(asked.tensors[s.target].name, tuple(left.tensors[i].name for i in s.sources), s.how)
            for s in matching.suggestions
        ),
    )


def _check_pairs(fixed: Mapping[str, str], source: Listing, target: Listing) -> None:
    for wanted, given in fixed.items():
        for name, listing, side in ((wanted, target, "target"), (given, source, "source")):
            if name not in listing.by_name:
                raise UsageError(f"the {side} has no '{name}'.{closest(name, listing.by_name)}")
        named(source.by_name[given], target.by_name[wanted], source.framework, target.framework)


def _excluded(target: Listing, globs: Collection[str], fixed: Mapping[str, str]) -> dict[str, str]:
    """The excluded target names, each with the glob that excludes it."""
    excluded = {}
    for tensor in target.tensors:
        glob = next((glob for glob in globs if fnmatchcase(tensor.name, glob)), None)
        if glob is not None:
            excluded[tensor.name] = glob
    both = next((name for name in fixed if name in excluded), None)
    if both is not None:
        raise UsageError(
            f"'{both}' is given a source and excluded by '{excluded[both]}'. Leave one of them out."
        )
    return excluded


def _pairs(
    matching: Matching, source: Listing, target: Listing, fixed: Mapping[str, str], min_score: float
) -> list[Pair]:
    """The pairs in the order of the target, with the decision that their score gives them."""
    uses = Counter(found.source for found in matching.matches)
    holders = {source.tensors[m.source].name: target.tensors[m.target].name for m in matching.matches}
    pairs = []
    for found in sorted(matching.matches, key=lambda found: found.target):
        wanted, given = target.tensors[found.target], source.tensors[found.source]
        score = _score(found, given, wanted)
        by_person = wanted.name in fixed
        accepted = by_person or score >= min_score
        pairs.append(
            Pair(
                target=wanted.name,
                source=given.name,
                shape=wanted.shape,
                dtype=wanted.dtype,
                transform=found.transform,
                score=score,
                margin=_down(max(-1.0, min(found.margin, 1.0))),
                rule=None,
                decision="accept" if accepted else "undecided",
                by="person" if by_person else "score",
                alternatives=() if accepted else _alternatives(found, source, wanted, holders),
                evidence=_shares(found.evidence, score) if score < 1 else (),
                why=found.doubt,
                group=found.question,
                tied=uses[found.source] > 1,
            )
        )
    return pairs


def _down(value: float) -> float:
    """A value rounded down to two places; the inner rounding keeps 0.29 from becoming 0.28."""
    return math.floor(round(value * 100, 6)) / 100


def _score(found: Match, source: Tensor, target: Tensor) -> float:
    """The score rounded down; 1.0 is kept for what is identical on both sides."""
    same = (source.name, source.shape, source.dtype) == (target.name, target.shape, target.dtype)
    return _down(found.score) if same else min(_down(found.score), 0.99)


@lru_cache(maxsize=4096)  # repeated layers share their evidence
def _shares(evidence: tuple[tuple[str, float], ...], score: float) -> tuple[tuple[str, float], ...]:
    """The parts in hundredths, adding up to the score: what rounding loses goes to the largest rests."""
    if not evidence:
        return ()
    cents = [math.floor(round(value * 100, 6)) for _, value in evidence]
    rests = [value * 100 - cent for (_, value), cent in zip(evidence, cents, strict=True)]
    missing = round(score * 100) - sum(cents)
    order = sorted(range(len(cents)), key=lambda i: (-rests[i], i))
    for step in range(abs(missing)):
        place = order[step % len(order)] if missing > 0 else order[-1 - step % len(order)]
        cents[place] += 1 if missing > 0 else -1
    return tuple((label, cent / 100) for (label, _), cent in zip(evidence, cents, strict=True))


def _alternatives(
    found: Match, source: Listing, wanted: Tensor, holders: Mapping[str, str]
) -> tuple[Alternative, ...]:
    others = []
    for runner_up in found.runners_up:
        given = source.tensors[runner_up.source]
        transform = _transform(given, wanted, found.transform)
        if transform is not None:
            score = min(_down(runner_up.score), 0.99)
            others.append(Alternative(given.name, score, holders.get(given.name), transform))
    return tuple(others)


def _transform(source: Tensor, target: Tensor, like: str) -> str | None:
    """How a runner-up would become the target: as the chosen source does, else as it is, else reshaped."""
    cast = "+cast" if source.dtype != target.dtype else ""
    for text in (like.removesuffix("+cast"), "identity", "reshape"):
        try:
            if parse(text + cast).fits(source.shape, target.shape):
                return text + cast
        except PlanError:
            continue
    return None


def _label(pair: Pair) -> tuple[str, str]:
    """Pairs under one label may share a rule: accepted ones, and those with the same kind of doubt."""
    # Doubts that differ in the names and numbers they mention are of one kind.
    doubt = "" if pair.decision == "accept" else re.sub(r"'[^']*'|\d+(?:\.\d+)?", "…", pair.why)
    return pair.decision, doubt


def _mark(pair: Pair) -> Mark | None:
    if pair.decision == "accept":
        return Mark("accepted")
    return Mark(pair.group, MOST_OF_A_QUESTION) if pair.group else None


def _ruled(
    pairs: list[Pair], source: Listing, target: Listing
) -> tuple[tuple[RuleRecord, ...], tuple[Pair, ...]]:
    """The rules, numbered from the most doubtful on and then by size, and the pairs that follow them."""
    rules = fold(
        [(pair.source, pair.target) for pair in pairs],
        [tensor.name for tensor in source.tensors],
        [tensor.name for tensor in target.tensors],
        [_label(pair) for pair in pairs],
        # What is accepted is read together, and so is what one answer decides.
        [_mark(pair) for pair in pairs],
    )

    def rank(members: tuple[int, ...]) -> tuple[float, float, int, int]:
        doubtful = [pairs[m] for m in members if pairs[m].decision == "undecided"]
        if not doubtful:
            return (2.0, 2.0, -len(members), members[0])
        return (
            min(pair.score for pair in doubtful),
            min(pair.margin for pair in doubtful),
            -len(members),
            members[0],
        )

    records = []
    for number, rule in enumerate(sorted(rules, key=lambda rule: rank(rule.members)), start=1):
        records.append(RuleRecord(number, *rule.pattern.text(), len(rule.members)))
        for member in rule.members:
            pairs[member] = msgspec.structs.replace(pairs[member], rule=number)
    return tuple(records), tuple(pairs)


def _unused(tensor: Tensor, why: str) -> Unused:
    return Unused(tensor.name, why, tensor.shape, tensor.dtype)


def _unmatched(
    matching: Matching, asked: Listing, target: Listing, excluded: Mapping[str, str]
) -> tuple[Unmatched, ...]:
    """What has no counterpart, in the order of the target, and why."""
    whys = {asked.tensors[i].name: why for i, why in matching.unmatched.items()}
    whys |= {name: f"excluded by --exclude '{glob}'" for name, glob in excluded.items()}
    return tuple(
        Unmatched(tensor.name, tensor.shape, tensor.dtype, whys[tensor.name])
        for tensor in target.tensors
        if tensor.name in whys
    )
