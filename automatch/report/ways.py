"""What else the variables of a question could take: the same change of name is one answer for all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from automatch.plan import Alternative, Pair
from automatch.report.groups import pattern

__all__ = ["Way", "ways"]

_WORD = re.compile(r"\d+|[^\W\d_]+|.", re.DOTALL)
_STEP = re.compile(r"[^/.]+|[/.]")
_Change = tuple[object, object, object]
"""What goes, what comes, and under what words where that is a number."""


@dataclass
class Way:
    """One other answer to a question: target -> source for as many of its pairs as it fits.

    exchange: the one line that names it where its pairs give each other what they have.
    """

    sources: dict[str, str] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    exchange: str = ""

    @property
    def score(self) -> float:
        """The mean of the runners-up's scores."""
        return sum(self.scores) / len(self.scores)

    @property
    def name(self) -> str:
        """The sources as one name, `*` where they differ; `{a <=> b}` where two change places."""
        return self.exchange or pattern(self.sources.values())


def ways(pairs: Collection[Pair], now: Mapping[str, str | None], most: int = 9) -> list[Way]:
    """The other answers, those that fit most pairs first.

    The same change of name is one answer: what takes `shortcut` for `conv3` in block 1 takes it in block 2;
    and where `conv3` takes `shortcut` in return, both are one.
    What fits less than half of the pairs is no answer to their question; split, each pair has its own.
    now: target -> the source it has at present.
    """
    found: dict[_Change, Way] = {}
    for pair in pairs:
        present = now[pair.target]
        for other in (Alternative(pair.source, pair.score), *pair.alternatives):
            if other.source == present:
                continue
            way = found.setdefault(_change(present or "", other.source), Way())
            if pair.target not in way.sources:
                way.sources[pair.target] = other.source
                way.scores.append(other.score)
    fitting = [way for way in _joined(found, now) if 2 * len(way.sources) >= len(pairs)]
    return sorted(fitting, key=lambda way: (-len(way.sources), -way.score))[:most]


def _joined(found: dict[_Change, Way], now: Mapping[str, str | None]) -> list[Way]:
    """The ways; two that are each other's return are one, which changes places."""
    joined = []
    for change, way in found.items():
        back = found.get((change[1], change[0], change[2]))
        if back is None or back is way or not _exchanged(way, back, now):
            joined.append(way)
        elif not way.exchange and not back.exchange:
            text = _exchange(pattern(now[target] or "" for target in way.sources), way.name)
            way.exchange = back.exchange = text
            joined.append(Way({**way.sources, **back.sources}, way.scores + back.scores, text))
    return joined


def _exchanged(way: Way, back: Way, now: Mapping[str, str | None]) -> bool:
    """Whether each takes just what the other gives up."""
    sides = ((way, back), (back, way))
    return all({now[target] for target in a.sources} == set(b.sources.values()) for a, b in sides)


def _exchange(one: str, other: str) -> str:
    """Two names in one line, the steps that change places in braces."""
    a, b = _STEP.findall(one), _STEP.findall(other)
    start = _common(a, b)
    end = _common(a[start:][::-1], b[start:][::-1])
    middle = " <=> ".join("".join(steps[start : len(steps) - end]) for steps in (a, b))
    return "".join(a[:start]) + "{" + middle + "}" + "".join(a[len(a) - end :])


def _change(before: str, after: str) -> _Change:
    """The words that differ; for a number alone, how far it moved and under what words."""
    a, b = _WORD.findall(before), _WORD.findall(after)
    start = _common(a, b)
    end = _common(a[start:][::-1], b[start:][::-1])
    gone, come = a[start : len(a) - end], b[start : len(b) - end]
    if len(gone) == len(come) == 1 and gone[0].isdigit() and come[0].isdigit():
        step = int(come[0]) - int(gone[0])
        return max(-step, 0), max(step, 0), tuple(word for word in a[:start] if not word.isdigit())
    return tuple(gone), tuple(come), ()


def _common(a: list[str], b: list[str]) -> int:
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(a, b, strict=False)))
