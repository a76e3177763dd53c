"""A person's answers put into a plan, all at once, so that sources can change places."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable

import msgspec

from automatch.errors import PlanConflict
from automatch.plan import Alternative, Decision, Pair, Plan, RuleRecord, Suggestion, Unmatched, Unused
from automatch.planfile import some
from automatch.tensor import Listing, short_type
from automatch.transform import parse

__all__ = ["Answer", "answered"]

_LEFT = "a person gave its source to another variable"
_FREED = "a person gave its target another source"
_CHOSEN = "chosen by a person"


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What a target gets, as `[target, source or null, decision]`; null leaves it without counterpart."""

    target: str
    source: str | None
    decision: Decision


def answered(plan: Plan, answers: Iterable[Answer], source: Listing | None = None) -> Plan:
    """The plan with all answers in it, each marked as a person's.

    `Plan.take` answers one question after the other; here the answers hold together, so that a cycle of
    sources needs no order. Takes one pass over the plan, however many the answers.

    source: the source's listing where at hand, to find out a choice whose shape does not fit.

    Raises:
        PlanConflict: an unknown name, a source given twice, or one that cannot become its target.
    """
    given = {answer.target: answer for answer in answers}
    _check_names(plan, given)
    before = {pair.target: pair for pair in plan.pairs}
    pairs = [after for pair in plan.pairs if (after := _after(pair, given.get(pair.target)))]
    met = (
        entry for entry in plan.unmatched if entry.target in given and given[entry.target].source is not None
    )
    pairs += [_chosen(_blank(entry), given[entry.target]) for entry in met]
    pairs = list(_with_transforms(plan, pairs))
    _check_sources(pairs)
    if source is not None:
        _check_shapes([pair for pair in pairs if pair != before.get(pair.target)], source)
    return _assembled(plan, pairs)


def _check_names(plan: Plan, given: dict[str, Answer]) -> None:
    targets = {pair.target for pair in plan.pairs} | {entry.target for entry in plan.unmatched}
    sources = {pair.source for pair in plan.pairs} | {entry.source for entry in plan.unused}
    strangers = [name for name in given if name not in targets]
    strangers += [name for answer in given.values() if (name := answer.source) and name not in sources]
    if strangers:
        raise PlanConflict(f"the plan does not know {some(strangers)}. Answer for names that stand in it.")


def _after(pair: Pair, answer: Answer | None) -> Pair | None:
    if answer is None:
        return pair
    if answer.source is None:
        return None
    if answer.source == pair.source:
        return msgspec.structs.replace(pair, decision=answer.decision, by="person")
    return _chosen(pair, answer)


def _chosen(pair: Pair, answer: Answer) -> Pair:
    """The pair with another source; the one before stays as a runner-up, to be taken again."""
    taken = next((entry for entry in pair.alternatives if entry.source == answer.source), None)
    # Interned, for msgspec leaves a default out only where it is the very object.
    transform = sys.intern(pair.transform)
    before = (Alternative(pair.source, pair.score, transform=transform),) if pair.source else ()
    return msgspec.structs.replace(
        pair,
        source=answer.source,
        transform=taken.transform if taken else "",
        score=taken.score if taken else 0.0,
        margin=0.0,
        rule=None,
        decision=answer.decision,
        by="person",
        alternatives=before + tuple(entry for entry in pair.alternatives if entry is not taken),
        evidence=(),
        why=_CHOSEN,
        tied=False,
    )


def _blank(entry: Unmatched) -> Pair:
    return Pair(entry.target, "", entry.shape, entry.dtype, "", 0.0, 0.0, None, "undecided", "person")


def _with_transforms(plan: Plan, pairs: list[Pair]) -> Iterable[Pair]:
    """Where no runner-up says how a source becomes its target: as it became one of the same shape before."""
    holders = {pair.source: pair for pair in plan.pairs}
    for pair in pairs:
        if pair.transform:
            yield pair
            continue
        holder = holders.get(pair.source)
        alike = holder is not None and holder.shape == pair.shape and holder.dtype == pair.dtype
        yield msgspec.structs.replace(pair, transform=holder.transform if holder and alike else "identity")


def _check_sources(pairs: list[Pair]) -> None:
    counts = Counter(pair.source for pair in pairs)
    twice = [pair for pair in pairs if counts[pair.source] > 1 and not pair.tied]
    if twice:
        takers = [pair.target for pair in pairs if pair.source == twice[0].source]
        raise PlanConflict(
            f"'{twice[0].source}' is given to {some(takers)}. Give each of them a source of its own, or none."
        )


def _check_shapes(pairs: list[Pair], source: Listing) -> None:
    wrong = []
    for pair in pairs:
        tensor = source.by_name.get(pair.source)
        if tensor is not None and not parse(pair.transform).fits(tensor.shape, pair.shape):
            types = short_type(tensor.dtype, tensor.shape), short_type(pair.dtype, pair.shape)
            wrong.append(f"{pair.source} {types[0]} for {pair.target} {types[1]}")
    if wrong:
        raise PlanConflict(f"the shapes do not agree: {some(wrong)}. Choose other sources, or none.")


def _assembled(plan: Plan, pairs: list[Pair]) -> Plan:
    met, taken = {pair.target for pair in pairs}, {pair.source for pair in pairs}
    free = [entry for entry in plan.unused if entry.source not in taken]
    left = [Unmatched(p.target, p.shape, p.dtype, _LEFT) for p in plan.pairs if p.target not in met]
    freed = dict.fromkeys(pair.source for pair in plan.pairs if pair.source not in taken)
    return msgspec.structs.replace(
        plan,
        pairs=tuple(_told(pairs)),
        unmatched=(*(entry for entry in plan.unmatched if entry.target not in met), *left),
        unused=(*free, *(Unused(name, _FREED) for name in freed)),
        rules=tuple(_recounted(plan.rules, pairs)),
        suggestions=tuple(_open(plan.suggestions, met)),
    )


def _told(pairs: list[Pair]) -> Iterable[Pair]:
    """The pairs, their runners-up knowing who has them now."""
    holders = {pair.source: pair.target for pair in pairs}
    for pair in pairs:
        others = tuple(_known(entry, holders.get(entry.source)) for entry in pair.alternatives)
        yield pair if others == pair.alternatives else msgspec.structs.replace(pair, alternatives=others)


def _known(entry: Alternative, holder: str | None) -> Alternative:
    return entry if entry.taken_by == holder else msgspec.structs.replace(entry, taken_by=holder)


def _recounted(rules: Iterable[RuleRecord], pairs: list[Pair]) -> Iterable[RuleRecord]:
    """The rules that still have pairs."""
    counts = Counter(pair.rule for pair in pairs)
    for rule in rules:
        if counts[rule.id]:
            yield msgspec.structs.replace(rule, pairs=counts[rule.id])


def _open(suggestions: Iterable[Suggestion], met: Collection[str]) -> Iterable[Suggestion]:
    return (entry for entry in suggestions if entry.target not in met)
