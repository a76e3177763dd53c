"""Whether a plan agrees with itself, and with what the two sides hold now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable

from automatch.errors import PlanConflict, PlanError, PlanIsStale
from automatch.plan import Pair, Plan, Side, Unmatched
from automatch.read.slices import check_apart
from automatch.tensor import Listing, short_type
from automatch.transform import parse

__all__ = ["REDO", "check", "some", "validate"]

REDO = "Correct it by hand, or make it anew with 'automatch suggest'."


def validate(plan: Plan, path: str = "plan") -> None:
    """Nothing, if the entries of the plan do not contradict each other.

    Raises:
        PlanConflict: all that is wrong, up to five names of each kind.
    """
    problems = [*_double_targets(plan), *_double_sources(plan), *_wrong_transforms(plan), *_wrong_rules(plan)]
    problems += [*_wrong_totals(plan), *_wrong_parts(plan)]
    if problems:
        raise PlanConflict(f"'{path}' contradicts itself: {'; '.join(problems)}. {REDO}")


def _double_targets(plan: Plan) -> Iterable[str]:
    counts = Counter([pair.target for pair in plan.pairs] + [entry.target for entry in plan.unmatched])
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        yield f"{some(twice)} in more than one entry of pairs and unmatched"
    unknown = [entry.target for entry in plan.suggestions if entry.target not in counts]
    if unknown:
        yield f"{some(unknown)} among the suggestions but not among the targets"


def _double_sources(plan: Plan) -> Iterable[str]:
    counts = Counter(pair.source for pair in plan.pairs)
    twice = {pair.source: None for pair in plan.pairs if counts[pair.source] > 1 and not pair.tied}
    if twice:
        yield f"{some(twice)} given to several targets that are not marked as tied"
    unused = Counter(entry.source for entry in plan.unused)
    both = [name for name, count in unused.items() if count > 1 or name in counts]
    if both:
        yield f"{some(both)} unused, and again in another entry"


def _wrong_transforms(plan: Plan) -> Iterable[str]:
    wrong = []
    for text in {pair.transform for pair in plan.pairs}:
        try:
            parse(text)
        except PlanError:
            wrong.append(text)
    if wrong:
        yield f"{some(sorted(wrong))} no transform (such as 'identity', 'reshape', 'transpose:1,0')"


def _wrong_rules(plan: Plan) -> Iterable[str]:
    records = Counter(record.id for record in plan.rules)
    members = Counter(pair.rule for pair in plan.pairs if pair.rule is not None)
    for record in plan.rules:
        if records[record.id] > 1 or members[record.id] != record.pairs:
            yield f"rule {record.id} is said to have {record.pairs} pairs, and has {members[record.id]}"
            return
    unknown = [str(rule) for rule in members if rule not in records]
    if unknown:
        yield f"pairs follow rule {unknown[0]}, which is not among the rules"


def _wrong_parts(plan: Plan) -> Iterable[str]:
    """Parts of the target that lie outside of their variable, or upon each other."""
    entries: tuple[Pair | Unmatched, ...] = (*plan.pairs, *plan.unmatched)
    shapes = {entry.target: entry.shape for entry in entries}
    wrong = []
    for name, parts in (plan.target.parts or {}).items():
        try:
            check_apart(shapes[name] or (), tuple(tuple(zip(*part, strict=True)) for part in parts))
        except (KeyError, ValueError):
            wrong.append(name)
    if wrong:
        yield f"the parts of {some(wrong)} are none that it can have"


def _wrong_totals(plan: Plan) -> Iterable[str]:
    targets = len(plan.pairs) + len(plan.unmatched)
    if targets != plan.target.tensors:
        yield f"it has {targets} targets in pairs and unmatched, and {plan.target.tensors} are stated"
    sources = len({pair.source for pair in plan.pairs}) + len(plan.unused)
    if sources != plan.source.tensors:
        yield f"it has {sources} sources in pairs and unused, and {plan.source.tensors} are stated"


# Control bytes, and marks that turn the direction of writing.
_UNSEEN = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def some(names: Collection[str], most: int = 5) -> str:
    """The first few names as `'a', 'b' and 3 more`, control bytes escaped."""
    shown = ", ".join(f"'{_plain(name)}'" for name in list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _plain(name: str) -> str:
    return re.sub(_UNSEEN, lambda found: repr(found[0])[1:-1], name)


def check(plan: Plan, source: Listing | None = None, target: Listing | None = None) -> None:
    """Nothing, if the plan fits the listings that are given.

    Raises:
        PlanIsStale: a side has changed; the message names the variables that differ, of both sides.
        PlanConflict: a pair names what is on neither side, or its transform cannot make the one of the other.
    """
    problems = []
    if source is not None and source.fingerprint != plan.source.fingerprint:
        problems.append(_difference(plan.source, _source_types(plan), source))
    if target is not None and target.fingerprint != plan.target.fingerprint:
        problems.append(_difference(plan.target, _target_types(plan), target))
    if problems:
        was = (plan.source.path or "SOURCE", plan.target.path or "TARGET")
        advice = f"'automatch suggest {was[0]} {was[1]}' makes a new plan"
        raise PlanIsStale(f"the plan was made for other variables: {'; '.join(problems)}. {advice}.")
    problems = [*_unknown(plan, source, target), *_misfits(plan, source, target)]
    if problems:
        raise PlanConflict(f"the plan has been changed to what cannot be: {'; '.join(problems)}. {REDO}")


def _unknown(plan: Plan, source: Listing | None, target: Listing | None) -> Iterable[str]:
    """Names that the plan has and a side with the right fingerprint has not."""
    for listing, names, side in (
        (source, _source_types(plan), "source"),
        (target, _target_types(plan), "target"),
    ):
        missing = [name for name in names if listing is not None and name not in listing.by_name]
        if missing:
            yield f"the {side} has no {some(missing)}"


def _misfits(plan: Plan, source: Listing | None, target: Listing | None) -> Iterable[str]:
    """Pairs whose transform does not make the target's shape of the source's, or that hide a cast."""
    if source is None or target is None:
        return
    for pair in plan.pairs:
        given, wanted = source.by_name.get(pair.source), target.by_name.get(pair.target)
        if given is None or wanted is None or pair.decision != "accept":
            continue
        transform = parse(pair.transform)
        if not transform.fits(given.shape, wanted.shape):
            before, after = short_type(given.dtype, given.shape), short_type(wanted.dtype, wanted.shape)
            yield f"'{pair.transform}' does not make {after} '{pair.target}' of {before} '{pair.source}'"
            return
        if given.dtype != wanted.dtype and not transform.cast:
            yield (
                f"'{pair.source}' is {given.dtype} and '{pair.target}' is {wanted.dtype}, "
                f"which '{pair.transform}' does not say (+cast does)"
            )
            return


def _target_types(plan: Plan) -> dict[str, str | None]:
    entries: list[Pair | Unmatched] = [*plan.pairs, *plan.unmatched]
    return {entry.target: short_type(entry.dtype, entry.shape) for entry in entries}


def _source_types(plan: Plan) -> dict[str, str | None]:
    """What the plan knows of the sources; of those in pairs, the type only where nothing is changed."""
    types: dict[str, str | None] = {entry.source: entry.type or None for entry in plan.unused}
    for pair in plan.pairs:
        types[pair.source] = short_type(pair.dtype, pair.shape) if pair.transform == "identity" else None
    return types


def _difference(side: Side, before: dict[str, str | None], now: Listing) -> str:
    """One clause that names what differs: 'graph.meta has 2 variables that the plan has not seen: …'."""
    types = {tensor.name: short_type(tensor.dtype, tensor.shape) for tensor in now.tensors}
    place = f"'{now.path or side.path or 'the live object'}'"
    fresh = [f"{name} {types[name]}" for name in types if name not in before]
    gone = [name for name in before if name not in types]
    other = [f"{name} {types[name]}" for name, was in before.items() if was and types.get(name, was) != was]
    clauses = [
        f"{place} {text} {some(names)}"
        for names, text in (
            (fresh, f"has {len(fresh)} that the plan has not seen,"),
            (gone, f"lacks {len(gone)} that the plan names,"),
            (other, f"has {len(other)} of another shape or dtype,"),
        )
        if names
    ]
    return "; ".join(clauses) or f"{place} has other shapes or dtypes than the plan has seen"
