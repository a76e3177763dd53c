"""What taking another answer means for those that have its sources."""

from __future__ import annotations

from collections.abc import Mapping

from automatch.report.ways import Way

__all__ = ["rivals", "swapped"]


def rivals(way: Way, holders: Mapping[str, str]) -> list[tuple[str, str]]:
    """(other target, target that wants its source) for every source of the way that another target has.

    holders: source -> target that has it and was not refused it.
    """
    found = [(holders.get(source), target) for target, source in way.sources.items()]
    return [(other, target) for other, target in found if other and other not in way.sources]


def swapped(
    way: Way, now: Mapping[str, str | None], holders: Mapping[str, str], *, swap: bool
) -> dict[str, str | None]:
    """Target -> source after the way was taken; former holders get what was given up for theirs, or None."""
    after: dict[str, str | None] = dict(way.sources)
    taken = set(way.sources.values())
    given_up = {target: now[target] for target in way.sources if now[target] not in taken}
    for other, target in rivals(way, holders):
        after[other] = given_up.pop(target, None) if swap else None
    return after
