"""What a plan knows of its two sides by itself, and how a source that a person names becomes a target."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from automatch.plan import Pair, Plan, Side, Unmatched
from automatch.tensor import Listing, Part, Tensor
from automatch.transform import parse
from automatch.transforms import settle

__all__ = ["Sides", "parts_of", "sources_of", "targets_of", "transform_of"]

Sides = tuple[Listing | None, Listing | None]
"""The source and the target as they are now, each None where it is not at hand."""


def sources_of(plan: Plan) -> Listing:
    """The source as far as the plan knows it: what is unused, and what pairs take as it is."""
    unused = (
        Tensor(entry.source, entry.shape, entry.dtype)
        for entry in plan.unused
        if not isinstance(entry.shape, msgspec.UnsetType) and not isinstance(entry.dtype, msgspec.UnsetType)
    )
    used = {pair.source: pair for pair in plan.pairs if pair.transform == "identity"}
    taken = (Tensor(name, pair.shape, pair.dtype) for name, pair in used.items())
    return Listing((*unused, *taken), framework=plan.source.format)


def targets_of(plan: Plan) -> Listing:
    """The target as far as the plan knows it."""
    entries: tuple[Pair | Unmatched, ...] = (*plan.pairs, *plan.unmatched)
    parts = parts_of(plan.target)
    tensors = tuple(Tensor(e.target, e.shape, e.dtype, parts=parts.get(e.target, ())) for e in entries)
    return Listing(tensors, framework=plan.target.format)


def parts_of(side: Side) -> dict[str, tuple[Part, ...]]:
    """The parts of each variable of which a plan says that it is partitioned."""
    return {
        name: tuple(Part(f"{name}/part_{i}", *place) for i, place in enumerate(places))
        for name, places in (side.parts or {}).items()
    }


def transform_of(
    plan: Plan, target: str, source: str, sides: Sides = (None, None), likely: Sequence[str] = ()
) -> str:
    """How the source that a person names becomes the target: by a likely transform, else as in `suggest`.

    Where neither the plan nor its sides know what the source is, the first that is likely, or 'identity'.

    Raises UsageError: nothing turns one shape into the other.
    """
    given, wanted = sides[0] or sources_of(plan), sides[1] or targets_of(plan)
    place_s = {tensor.name: i for i, tensor in enumerate(given.tensors)}
    place_t = {tensor.name: i for i, tensor in enumerate(wanted.tensors)}
    if source not in place_s or target not in place_t:
        return likely[0] if likely else "identity"
    s, t = place_s[source], place_t[target]
    fitting = (text for text in likely if parse(text).suits(given.tensors[s], wanted.tensors[t]))
    if (text := next(fitting, None)) is not None:
        return text
    others = {
        place_t[pair.target]: place_s[pair.source]
        for pair in plan.accepted
        if pair.target in place_t and pair.source in place_s
    }
    return settle(wanted, given, {t: s}, others)[t].text
