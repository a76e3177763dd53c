"""What was decided is fixed; the rest is matched again with what was learnt from it."""

from __future__ import annotations

from typing import Any

import msgspec

from automatch.plan import Pair, Plan
from automatch.tensor import Listing

__all__ = ["moves", "resolve"]


def resolve(plan: Plan, source: Listing, target: Listing) -> Plan:
    """A new plan in which what a person accepted stands, what a person refused does not come back, and the rest is new.

    Raises what `automatch.suggest` raises.
    """
    from automatch.suggest import suggest

    decided = [pair for pair in plan.pairs if pair.by == "person"]
    accepted = {pair.target: pair.source for pair in decided if pair.decision == "accept"}
    refused = {(pair.target, pair.source): pair for pair in decided if pair.decision == "reject"}
    fresh = suggest(
        source,
        target,
        min_score=plan.options.min_score,
        exclude=plan.options.exclude,
        pairs=accepted,
        forbidden=tuple(refused),
        use_ema=plan.options.use_ema,
    )
    # The sides are the same files, however they were handed in.
    return msgspec.structs.replace(_kept(plan, fresh), source=plan.source, target=plan.target)


def _kept(plan: Plan, fresh: Plan) -> Plan:
    """The new plan with the person's transforms and reasons, which only the old one knows."""
    before = {pair.target: pair for pair in plan.pairs if pair.by == "person" and pair.decision == "accept"}
    pairs = [_as_before(pair, before.get(pair.target)) for pair in fresh.pairs]
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
    """The targets whose source is another than before, with the source before and after; None stands for no counterpart."""
    old = {pair.target: pair.source for pair in before.pairs}
    new = {pair.target: pair.source for pair in after.pairs}
    names = dict.fromkeys([*old, *new])
    return [
        {"target": name, "before": old.get(name), "after": new.get(name)}
        for name in names
        if old.get(name) != new.get(name)
    ]
