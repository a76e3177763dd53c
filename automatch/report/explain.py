"""Why a pair is proposed: the parts of its score, its rule with the votes for it, its runners-up."""

from __future__ import annotations

from collections.abc import Iterator

from automatch.decide import select
from automatch.plan import Pair, Plan, Unmatched
from automatch.report.lines import Line, line, shown
from automatch.report.notation import notation
from automatch.tensor import short_type

__all__ = ["explain"]

# Pairs that are explained one by one; of more, the rest is listed.
MOST = 5


def explain(plan: Plan, what: str) -> Iterator[Line]:
    """The lines that explain what a word means in a plan: `#2`, a name of either side, or a glob.

    Raises:
        PlanConflict: it means nothing in this plan.
    """
    alone = [entry for entry in plan.unmatched if entry.target == what]
    unused = [entry for entry in plan.unused if entry.source == what]
    if alone:
        yield from _unmatched(plan, alone[0])
    elif unused:
        yield line(shown(unused[0].source), "head")
        if unused[0].type:
            yield line(unused[0].type, left="    ")
        yield line(f"no target takes it: {shown(unused[0].why)}", left="    ")
    else:
        yield from _pairs(plan, select(plan, what), what)


def _unmatched(plan: Plan, entry: Unmatched) -> Iterator[Line]:
    yield line(f"{shown(entry.target)}  <-  nothing", "head")
    yield line(short_type(entry.dtype, entry.shape), left="    ")
    yield line(f"it stays as initialised: {shown(entry.why)}", left="    ")
    for suggestion in plan.suggestions:
        if suggestion.target == entry.target:
            sources = " + ".join(shown(source) for source in suggestion.sources)
            yield line(f"it could be made: {shown(suggestion.how)} of {sources}", left="    ")


def _pairs(plan: Plan, pairs: tuple[Pair, ...], what: str) -> Iterator[Line]:
    if what.startswith("#") and len(pairs) > 1:
        yield from _rule(plan, pairs)
        doubtful = min(pairs, key=lambda pair: (pair.score, pair.margin))
        yield line()
        yield line("The most doubtful of them:", "dim")
        yield from _pair(plan, doubtful)
        return
    for position, pair in enumerate(pairs[:MOST]):
        if position:
            yield line()
        yield from _pair(plan, pair)
    if len(pairs) > MOST:
        yield line()
        yield line(f"and {len(pairs) - MOST:,} more:", "dim")
        for pair in pairs[MOST:]:
            yield line(f"{shown(pair.target)}  <-  {shown(pair.source)}", left=f"    {pair.score:.2f}  ")


def _rule(plan: Plan, pairs: tuple[Pair, ...]) -> Iterator[Line]:
    for record in plan.rules:
        members = [pair for pair in pairs if pair.rule == record.id]
        if members:
            yield Line(f"#{record.id}  ", notation(record.from_, record.to))
            yield line(_votes(members), "dim", left="    ")
            for pair in members:
                text = f"{shown(pair.target)}  <-  {shown(pair.source)}"
                yield line(text, left=f"    {pair.score:.2f}  {_MARKS[pair.decision]}  ")


_MARKS = {"accept": "✓", "reject": "-", "undecided": "?"}
_STATES = {"accept": "accepted", "reject": "rejected", "undecided": "to decide"}


def _votes(members: list[Pair]) -> str:
    scores = [pair.score for pair in members]
    counts = [
        f"{sum(pair.decision == decision for pair in members):,} {state}"
        for decision, state in _STATES.items()
        if any(pair.decision == decision for pair in members)
    ]
    noun = "variable" if len(members) == 1 else "variables"
    return f"{len(members):,} {noun}: {', '.join(counts)}; scores {min(scores):.2f} to {max(scores):.2f}"


def _pair(plan: Plan, pair: Pair) -> Iterator[Line]:
    yield line(f"{shown(pair.target)}  <-  {shown(pair.source)}", "head")
    by = {"score": "by its score", "rule": "by a rule", "person": "by a person"}[pair.by]
    state = "to decide" if pair.decision == "undecided" else f"{_STATES[pair.decision]} {by}"
    yield line(f"{short_type(pair.dtype, pair.shape)}, values: {shown(pair.transform)}; {state}", left="    ")
    if pair.why:
        yield line(shown(pair.why), left="    ")
    yield from _sum(pair)
    yield from _follows(plan, pair)
    if pair.decision == "undecided" or pair.alternatives:
        yield line("instead", left="    ")
        for number, other in enumerate(pair.alternatives, start=1):
            taken = f"   taken by {shown(other.taken_by)}" if other.taken_by else ""
            yield line(f"{shown(other.source)}{taken}", left=f"      {number}  {other.score:.2f}  ")
        yield line("none: leave as initialised", left="      n        ")


def _sum(pair: Pair) -> Iterator[Line]:
    """The parts of the score, one a line, and their sum."""
    width = max((len(shown(label)) for label, _ in pair.evidence), default=5)
    for label, value in pair.evidence:
        bar = "#" * round(abs(value) * 40)
        yield line(bar, "good" if value > 0 else "old", left=f"      {shown(label):<{width}}  {value:+.2f}  ")
    left = f"      {'score':<{width}}   {pair.score:.2f}  "
    yield line(f"margin to the next {pair.margin:.2f}", "dim", left=left)


def _follows(plan: Plan, pair: Pair) -> Iterator[Line]:
    """The rule that the pair follows, with how many others do."""
    record = next((rule for rule in plan.rules if rule.id == pair.rule), None)
    if record is None:
        return
    members = [other for other in plan.pairs if other.rule == record.id]
    if len(members) > 1:
        yield Line(f"    rule #{record.id}  ", notation(record.from_, record.to))
        yield line(_votes(members), "dim", left="      ")
    if pair.group:
        together = [other for other in plan.pairs if other.group == pair.group]
        yield line(f"one answer decides {len(together):,} variables", "dim", left="      ")
