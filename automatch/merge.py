"""Rules that differ in one step of the path, as one with a choice: `{query|key}` to `{q_proj|k_proj}`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from automatch.generalise import Rule
from automatch.pattern import Hole, Pattern, Piece

__all__ = ["merged"]

# A choice of more words than this takes longer to read than the lines it replaces.
MOST_OPTIONS = 4
# All layers but one: the numbers of the others still read as one line.
MOST_NUMBERS = 12
# Beyond this many rules there is no summary to save.
MANY = 400

Steps = tuple[tuple[Piece, ...], ...]
Key = tuple[Steps, int, Steps, int, str]
Exact = Callable[[Pattern], list[int] | None]
Gaps = Callable[[Pattern], Iterator[tuple[Key, str, str]]]
Most = Callable[[tuple[str, ...], tuple[str, ...]], int]


@dataclass(frozen=True, slots=True)
class _Ways:
    """How rules are merged: see `merged`."""

    rewritten: Exact
    gaps: Gaps
    most: Most


def merged(
    rules: Iterable[Rule],
    labels: Sequence[Hashable],
    rewritten: Exact,
    gaps: Gaps | None = None,
    most: Most | None = None,
    enough: int = 0,
) -> list[Rule]:
    """The rules, those merged that differ in one place and stay exact.

    rewritten: the pairs that a pattern makes over all names, sorted; None where it makes a wrong one.
    gaps: where a pattern may differ from others; left out, in one plain step of the path on either side.
    most: how many words may stand in such a place; left out, as many as are read at a glance.
    enough: so few rules are left as they are.
    """
    current = list(rules)
    refused: set[Pattern] = set()
    ways = _Ways(rewritten, gaps or _gaps, most or _most)
    while enough < len(current) <= MANY:
        fresh, replaced = _pass(current, labels, ways, refused)
        if not fresh:
            break
        current = fresh + [rule for rule in current if rule.members not in replaced]
    return current


def _pass(
    rules: list[Rule], labels: Sequence[Hashable], ways: _Ways, refused: set[Pattern]
) -> tuple[list[Rule], set[tuple[int, ...]]]:
    """Merged rules, and the members of those that they replace; groups that replace most come first."""
    groups: dict[tuple[Hashable, Key], list[_Gap]] = defaultdict(list)
    for rule in rules:
        for key, source, target in ways.gaps(rule.pattern):
            groups[labels[rule.members[0]], key].append((rule, source, target))
    fresh: list[Rule] = []
    replaced: set[tuple[int, ...]] = set()
    wide = [(key, gaps) for (_, key), gaps in groups.items() if len(gaps) > 1]
    for key, gaps in sorted(wide, key=lambda group: -len(group[1])):
        members = {rule.members for rule, _, _ in gaps}
        pattern = _choice(key, gaps, ways.most) if replaced.isdisjoint(members) else None
        if pattern is None or pattern in refused:
            continue
        together = tuple(sorted(member for part in members for member in part))
        if ways.rewritten(pattern) == list(together):
            fresh.append(Rule(pattern, together))
            replaced |= members
        else:
            refused.add(pattern)
    return fresh, replaced


_Gap = tuple[Rule, str, str]


def _gaps(pattern: Pattern) -> Iterator[tuple[Key, str, str]]:
    """Each way to take one plain step out of either side: what is left, and the two steps."""
    left, right = _steps(pattern.source), _steps(pattern.target)
    for i, source in enumerate(left):
        for j, target in enumerate(right):
            if not (_is_word(source) and _is_word(target)):
                continue
            here, there = str(source[0]), str(target[0])
            # Single names that differ in the middle have little in common, unless all are plain or counted.
            kind = (
                "any" if pattern.holes or (i == len(left) - 1 and j == len(right) - 1) else _kind(here, there)
            )
            if kind:
                yield (left[:i] + left[i + 1 :], i, right[:j] + right[j + 1 :], j, kind), here, there


def _kind(source: str, target: str) -> str:
    counts = len(_numbers(source)), len(_numbers(target))
    return {(0, 0): "plain", (1, 1): "counted"}.get(counts, "")


def _is_word(step: tuple[Piece, ...]) -> bool:
    return len(step) == 1 and isinstance(step[0], str) and step[0] not in ("/", ".")


def _numbers(word: str) -> list[str]:
    return re.findall("[0-9]+", word)


def _steps(pieces: tuple[Piece, ...]) -> Steps:
    """Pieces as the steps of a path, the separators being steps of their own."""
    steps: list[tuple[Piece, ...]] = []
    open_step: list[Piece] = []
    for piece in pieces:
        for part in [piece] if isinstance(piece, Hole) else re.split(r"([/.])", piece):
            if part in ("/", "."):
                steps += [tuple(open_step), (part,)]
                open_step = []
            elif part != "":
                open_step.append(part)
    return (*steps, tuple(open_step))


def _choice(key: Key, entries: list[_Gap], most: Most) -> Pattern | None:
    """The pattern with a choice where the entries differ; None where that would say too much."""
    entries = sorted(entries, key=lambda entry: entry[0].members)
    sources = tuple(source for _, source, _ in entries)
    targets = tuple(target for _, _, target in entries)
    if len(entries) > most(sources, targets) or len(set(sources)) < len(sources):
        return None
    if len({rule.members for rule, _, _ in entries}) < len(entries):
        return None
    left, i, right, j, _ = key
    before = [*left[:i], (Hole(0, options=sources),), *left[i:]]
    after = [*right[:j], (Hole(0, options=targets),), *right[j:]]
    return Pattern.of([p for step in before for p in step], [p for step in after for p in step])


def _most(sources: tuple[str, ...], targets: tuple[str, ...]) -> int:
    """How many options may stand in one choice: none if they are numbers that do not run alike."""
    if len({re.sub("[0-9]+", "0", word) for word in sources}) == len(sources):
        return MOST_OPTIONS
    left, right = ([_numbers(word) for word in words] for words in (sources, targets))
    if any(len(numbers) != 1 for numbers in left + right):
        return 0
    shifts = {int(there[0]) - int(here[0]) for here, there in zip(left, right, strict=True)}
    return MOST_NUMBERS if len(shifts) == 1 else 0
