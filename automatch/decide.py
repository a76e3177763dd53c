"""Decisions of a person, each giving a new plan."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from automatch.errors import PlanConflict
from automatch.plan import Alternative, By, Decision, Pair, Plan, RuleRecord, Unmatched, Unused
from automatch.plancheck import some

if TYPE_CHECKING:
    from automatch.known import Sides

__all__ = ["closest", "decide", "select", "take"]


def select(plan: Plan, selection: str | Iterable[str]) -> tuple[Pair, ...]:
    """The pairs that a selection means, in the order of the target.

    selection: `#2`, the pairs of rule 2 and those that the same answer decides; a name of a target or source;
        a glob over target names (`encoder/*`, where `*` also crosses slashes); or several of these.

    Raises:
        PlanConflict: one of them means nothing in this plan.
    """
    words = [selection] if isinstance(selection, str) else list(selection)
    chosen: set[str] = set()
    by_target = {pair.target: pair for pair in plan.pairs}
    for word in words:
        found = [word] if word in by_target else _find(plan, word)
        if not found:
            raise PlanConflict(_nothing(plan, word))
        chosen.update(found)
    return tuple(pair for pair in plan.pairs if pair.target in chosen)


def _find(plan: Plan, word: str) -> list[str]:
    sources = [pair.target for pair in plan.pairs if pair.source == word]
    if sources:
        return sources
    if rule := re.fullmatch(r"#(\d{1,9})", word):
        members = [pair for pair in plan.pairs if pair.rule == int(rule[1])]
        groups = {pair.group for pair in members} - {""}
        return [pair.target for pair in plan.pairs if pair.rule == int(rule[1]) or pair.group in groups]
    matches = re.compile(fnmatch.translate(word)).match
    return [pair.target for pair in plan.pairs if matches(pair.target)]


def _nothing(plan: Plan, word: str) -> str:
    if word in {entry.target for entry in plan.unmatched}:
        return f"'{word}' has no counterpart: there is nothing to accept or reject. Give it one with take."
    if re.fullmatch(r"#\d+", word):
        return f"the plan has no rule {word}, only {len(plan.rules)} rules. 'automatch show PLAN' lists them."
    names = [pair.target for pair in plan.pairs] + [pair.source for pair in plan.pairs]
    return f"nothing in the plan is called '{word}'.{closest(word, names)}"


def closest(word: str, names: Iterable[str]) -> str:
    """A sentence with the names most like a word, or where to look for one."""
    # Comparing 100,000 long names takes seconds; those that share the last word are likelier.
    pool = list(dict.fromkeys(names))
    if len(pool) > 2000:
        leaf = re.split(r"[/.]", word)[-1]
        pool = [name for name in pool if name.endswith(leaf)][:2000] or pool[:2000]
    near = difflib.get_close_matches(word, pool, n=3, cutoff=0.5)
    return f" Did you mean {some(near)}?" if near else " 'automatch inspect FILE' lists the names."


def decide(plan: Plan, selection: str | Iterable[str], decision: Decision, *, by: By = "person") -> Plan:
    """The plan with a decision for every selected pair; see `Plan.decide`."""
    chosen = {pair.target for pair in select(plan, selection)}
    pairs = [
        msgspec.structs.replace(pair, decision=decision, by=by) if pair.target in chosen else pair
        for pair in plan.pairs
    ]
    return msgspec.structs.replace(plan, pairs=tuple(pairs))


@dataclass
class _Change:
    """What taking another source does to the entries of a plan; None removes a pair."""

    pairs: dict[str, Pair | None] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)
    freed: list[Unused] = field(default_factory=list)


def take(
    plan: Plan,
    target: str,
    source: str,
    *,
    swap: bool = False,
    transform: str | None = None,
    tied: Collection[str] = (),
    sides: Sides = (None, None),
) -> Plan:
    """The plan in which a person gives target another source; see `Plan.take`."""
    pairs = {pair.target: pair for pair in plan.pairs}
    current = pairs.get(target)
    holders = [pair for pair in plan.pairs if pair.source == source]
    _check_names(plan, target, source, known=bool(holders))
    if current is not None and current.source == source:
        return _confirmed(plan, current, sides)
    # What several have is one more's as well, and nobody's to give up.
    holder = holders[0] if len(holders) == 1 and holders[0].target not in tied else None
    if holder is not None and not swap:
        raise PlanConflict(f"'{source}' is taken by '{holder.target}'. Pass swap=True to exchange the two.")
    chosen = _chosen(plan, target, source, transform, sides)
    change = _Change({target: chosen})
    if holder is not None:
        _dispossess(change, holder, current)
    if current is not None and not _still_held(plan, change, current):
        change.freed.append(_freed(plan, current, sides))
    return _apply(plan, change, chosen)


def _check_names(plan: Plan, target: str, source: str, *, known: bool) -> None:
    targets = [pair.target for pair in plan.pairs] + [entry.target for entry in plan.unmatched]
    if target not in targets:
        raise PlanConflict(f"the target has no variable '{target}'.{closest(target, targets)}")
    unused = [entry.source for entry in plan.unused]
    if not known and source not in unused:
        names = unused + [pair.source for pair in plan.pairs]
        raise PlanConflict(f"the source has no tensor '{source}'.{closest(source, names)}")


def _confirmed(plan: Plan, pair: Pair, sides: Sides) -> Plan:
    """The plan with a pair accepted, by another transform where its own cannot be."""
    from automatch.known import transform_of

    text = transform_of(plan, pair.target, pair.source, sides, [pair.transform])
    pairs = [msgspec.structs.replace(it, transform=text) if it is pair else it for it in plan.pairs]
    return decide(msgspec.structs.replace(plan, pairs=tuple(pairs)), [pair.target], "accept")


def _chosen(plan: Plan, target: str, source: str, transform: str | None, sides: Sides) -> Pair:
    """The new pair: the transform is the runner-up's, or that of a pair of the same kind, or what fits."""
    from automatch.known import transform_of

    entries: list[Pair | Unmatched] = [*plan.pairs, *plan.unmatched]
    base = next(entry for entry in entries if entry.target == target)
    runner_up = None
    if isinstance(base, Pair):
        runner_up = next((other for other in base.alternatives if other.source == source), None)
    likely = [] if runner_up is None else [runner_up.transform]
    kind = source, base.shape, base.dtype
    likely += [pair.transform for pair in plan.pairs if (pair.source, pair.shape, pair.dtype) == kind]
    others: tuple[Alternative, ...] = ()
    if isinstance(base, Pair):
        old = Alternative(base.source, base.score, transform=base.transform)
        others = (old, *(other for other in base.alternatives if other.source != source))
    return Pair(
        target=target,
        source=source,
        shape=base.shape,
        dtype=base.dtype,
        transform=transform or transform_of(plan, target, source, sides, likely),
        score=runner_up.score if runner_up else 0.0,
        margin=0.0,
        rule=None,
        decision="accept",
        by="person",
        alternatives=others,
        why="chosen by a person",
    )


def _dispossess(change: _Change, holder: Pair, current: Pair | None) -> None:
    """The former holder gets the other's old source where it fits, else nothing."""
    if current is not None and (current.shape, current.dtype) == (holder.shape, holder.dtype):
        change.pairs[holder.target] = msgspec.structs.replace(
            holder,
            source=current.source,
            transform=current.transform,
            score=0.0,
            margin=0.0,
            rule=None,
            decision="accept",
            by="person",
            evidence=(),
            why="exchanged by a person",
        )
        return
    change.pairs[holder.target] = None
    why = f"a person gave its source '{holder.source}' to another variable"
    change.unmatched.append(Unmatched(holder.target, holder.shape, holder.dtype, why))


def _freed(plan: Plan, pair: Pair, sides: Sides) -> Unused:
    """The source of a pair as one that nobody has now, with its type where that is known."""
    from automatch.known import sources_of

    tensor = (sides[0] or sources_of(plan)).by_name.get(pair.source)
    why = f"a person gave '{pair.target}' another source"
    if tensor is None:
        return Unused(pair.source, why)
    return Unused(pair.source, why, tensor.shape, tensor.dtype)


def _still_held(plan: Plan, change: _Change, current: Pair) -> bool:
    after = (change.pairs.get(pair.target, pair) for pair in plan.pairs)
    return any(pair is not None and pair.source == current.source for pair in after)


def _apply(plan: Plan, change: _Change, chosen: Pair) -> Plan:
    after = [change.pairs.get(pair.target, pair) for pair in plan.pairs]
    pairs = [pair for pair in after if pair is not None]
    if all(pair.target != chosen.target for pair in pairs):
        pairs.append(chosen)
    unmatched = [entry for entry in plan.unmatched if entry.target != chosen.target] + change.unmatched
    taken = {pair.source for pair in pairs}
    unused = [entry for entry in plan.unused if entry.source not in taken] + change.freed
    suggestions = [entry for entry in plan.suggestions if entry.target != chosen.target]
    return msgspec.structs.replace(
        plan,
        rules=_recounted(plan.rules, pairs),
        pairs=tuple(_told(_tied(pairs))),
        unmatched=tuple(unmatched),
        unused=tuple(unused),
        suggestions=tuple(suggestions),
    )


def _recounted(rules: Iterable[RuleRecord], pairs: Iterable[Pair]) -> tuple[RuleRecord, ...]:
    """The rules that still have members; a pair that a person took out follows none."""
    counts: dict[int, int] = {}
    for pair in pairs:
        if pair.rule is not None:
            counts[pair.rule] = counts.get(pair.rule, 0) + 1
    replaced: Callable[..., RuleRecord] = msgspec.structs.replace
    return tuple(replaced(rule, pairs=counts[rule.id]) for rule in rules if rule.id in counts)


def _tied(pairs: list[Pair]) -> list[Pair]:
    """The pairs, marked where they share a source."""
    uses = Counter(pair.source for pair in pairs)
    return [msgspec.structs.replace(pair, tied=uses[pair.source] > 1) for pair in pairs]


def _told(pairs: list[Pair]) -> Iterable[Pair]:
    """The pairs with `taken_by` of their runners-up brought up to date."""
    holders = {pair.source: pair.target for pair in pairs}
    for pair in pairs:
        others = tuple(
            msgspec.structs.replace(other, taken_by=holders.get(other.source)) for other in pair.alternatives
        )
        yield pair if others == pair.alternatives else msgspec.structs.replace(pair, alternatives=others)
