"""What was decided is fixed; the rest is matched again with what was learnt from it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from automatch.plan import Pair, Plan
from automatch.tensor import Listing

__all__ = ["moves", "refusals", "resolve"]


def refusals(plan: Plan) -> frozenset[tuple[str, str]]:
    """The (target, source) pairs that a person has refused in this plan."""
    return frozenset((p.target, p.source) for p in plan.pairs if p.by == "person" and p.decision == "reject")


def resolve(plan: Plan, source: Listing, target: Listing, refused: Collection[tuple[str, str]] = ()) -> Plan:
    """A new plan: what a person accepted stands, what a person refused does not come back, the rest is new.

    refused: further (target, source) pairs that may not come back.

    Raises what `automatch.suggest` raises.
    """
    from automatch.suggest import suggest

    accepted = {p.target: p.source for p in plan.pairs if p.by == "person" and p.decision == "accept"}
    refused = {*refused, *refusals(plan)}
    fresh = suggest(
        source,
        target,
        min_score=plan.options.min_score,
        exclude=plan.options.exclude,
        pairs=accepted,
        forbidden=tuple(sorted(refused - accepted.items())),
        use_ema=plan.options.use_ema,
        values=plan.options.values is True,
    )
    # The sides are the same files, however they were handed in.
    return msgspec.structs.replace(_kept(plan, fresh, refused), source=plan.source, target=plan.target)


def _kept(plan: Plan, fresh: Plan, refused: Collection[tuple[str, str]]) -> Plan:
    """The new plan with the person's transforms and reasons, which only the old one knows."""
    before = {pair.target: pair for pair in plan.pairs if pair.by == "person" and pair.decision == "accept"}
    pairs = []
    for pair in fresh.pairs:
        if (pair.target, pair.source) in refused and pair.target not in before:
            # Nothing better was found; what was refused once is not asked again.
            pairs.append(msgspec.structs.replace(pair, decision="reject", by="person"))
        else:
            pairs.append(_as_before(pair, before.get(pair.target)))
    return msgspec.structs.replace(fresh, pairs=tuple(pairs))


def _as_before(pair: Pair, before: Pair | None) -> Pair:
    if before is None or before.source != pair.source:
        return pair
    return msgspec.structs.replace(
        pair,
        transform=before.transform,
        alternatives=pair.alternatives or before.alternatives,
        group=before.group,
        why=before.why,
        decision="accept",
        by="person",
    )


def moves(before: Plan, after: Plan) -> list[dict[str, Any]]:
    """The targets whose source is another than before; None stands for no counterpart."""
    old = {pair.target: pair.source for pair in before.pairs}
    new = {pair.target: pair.source for pair in after.pairs}
    names = dict.fromkeys([*old, *new])
    return [
        {"target": name, "before": old.get(name), "after": new.get(name)}
        for name in names
        if old.get(name) != new.get(name)
    ]
