"""What else a target could take, and what taking it means for the others."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from automatch.plan import Alternative, Pair
from automatch.report.groups import pattern

__all__ = ["Way", "rivals", "swapped", "ways"]

_WORD = re.compile(r"\d+|[^\W\d_]+|.", re.DOTALL)


@dataclass
class Way:
    """One other answer to a question: target -> source for as many of its pairs as it fits."""

    sources: dict[str, str] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The mean of the runners-up's scores."""
        return sum(self.scores) / len(self.scores)

    @property
    def name(self) -> str:
        """The sources as one name, `*` where they differ."""
        return pattern(self.sources.values())


def ways(pairs: Collection[Pair], now: Mapping[str, str | None], most: int = 9) -> list[Way]:
    """The other answers, those that fit most pairs first.

    The same change of name is one answer: what takes `shortcut` for `conv3` in block 1 takes it in block 2.
    What fits less than half of the pairs is no answer to their question; split, each pair has its own.
    now: target -> the source it has at present.
    """
    found: dict[object, Way] = {}
    for pair in pairs:
        present = now[pair.target]
        for other in (Alternative(pair.source, pair.score), *pair.alternatives):
            if other.source == present:
                continue
            way = found.setdefault(_change(present or "", other.source), Way())
            if pair.target not in way.sources:
                way.sources[pair.target] = other.source
                way.scores.append(other.score)
    fitting = [way for way in found.values() if 2 * len(way.sources) >= len(pairs)]
    return sorted(fitting, key=lambda way: (-len(way.sources), -way.score))[:most]


def _change(before: str, after: str) -> object:
    """The words that differ; for a number alone, how far it moved and under what words."""
    a, b = _WORD.findall(before), _WORD.findall(after)
    start = _common(a, b)
    end = _common(a[start:][::-1], b[start:][::-1])
    gone, come = a[start : len(a) - end], b[start : len(b) - end]
    if len(gone) == len(come) == 1 and gone[0].isdigit() and come[0].isdigit():
        return tuple(word for word in a[:start] if not word.isdigit()), int(come[0]) - int(gone[0])
    return tuple(gone), tuple(come)


def _common(a: list[str], b: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(a, b, strict=False)))


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
    given_up = {target: now[target] for target in way.sources if now[target] not in way.sources.values()}
    for other, target in rivals(way, holders):
        after[other] = given_up.pop(target, None) if swap else None
    return after
