"""Many names in a line: `neck/**`, `**/Momentum`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Folded", "fold_names"]

# More groups than this under one reason say less than their common name.
MOST_GROUPS = 6


@dataclass(frozen=True, slots=True)
class Folded:
    """Names, a pattern that they all match, and why they are where they are."""

    names: tuple[str, ...]
    pattern: str
    why: str

    @property
    def count(self) -> int:
        """How many names."""
        return len(self.names)


def fold_names(entries: Iterable[tuple[str, str]]) -> list[Folded]:
    """The `(name, why)` entries by reason and place, most names first; the counts add up to the entries."""
    reasons: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, why in entries:
        # Reasons that differ in the names and numbers they mention are one reason.
        reasons[re.sub(r"'[^']*'|\d+(?:\.\d+)?", "…", why)].append((name, why))
    folded = []
    for members in reasons.values():
        for part in _parts([name for name, _ in members]):
            whys = {why for name, why in members if name in part}
            why = next(why for name, why in members if name in part)
            text = why if len(whys) == 1 else f"{why}; the others alike"
            folded.append(Folded(tuple(part), _pattern(list(part)), text))
    return sorted(folded, key=lambda entry: (-entry.count, entry.pattern))


def _parts(names: list[str]) -> list[dict[str, None]]:
    """The names in as few groups as have a scope or a last step in common."""
    if len(names) == 1 or _pattern(names) != "**":
        return [dict.fromkeys(names)]
    for place in (0, -1):
        groups: dict[str, dict[str, None]] = defaultdict(dict)
        for name in names:
            groups[_steps(name)[place]][name] = None
        if len(groups) <= MOST_GROUPS:
            return list(groups.values())
    return [dict.fromkeys(names)]


def _steps(name: str) -> list[str]:
    return re.split(r"(?<=[^/])[/]", name)


def _pattern(names: Sequence[str]) -> str:
    """The steps that all names begin and end with, and `**` for what is between."""
    if len(names) == 1:
        return names[0]
    split = [_steps(name) for name in names]
    shortest = min(len(steps) for steps in split)
    head = _shared(split, range(shortest - 1))
    tail = _shared(split, range(-1, head - shortest, -1))
    first = split[0]
    return "/".join([*first[:head], "**", *first[len(first) - tail :]])


def _shared(split: list[list[str]], places: range) -> int:
    """How many of these places hold the same step in all names, counted until the first that does not."""
    count = 0
    for place in places:
        if len({steps[place] for steps in split}) > 1:
            break
        count += 1
    return count
