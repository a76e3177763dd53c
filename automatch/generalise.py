"""Which wider rename patterns a few narrow ones could be special cases of."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from automatch.pattern import Hole, Pattern, Piece

__all__ = ["Rule", "Template", "candidates"]

# Words, numbers, and the characters that part them.
_WORDS = re.compile(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]", re.DOTALL)

# Up to so many templates, so many of the shared stretches of two names are tried open or closed in every
# combination, the longest first. 100,000 names without any rule take seconds with one, minutes with seven.
_PATIENCE = ((400, 7), (5000, 3), (math.inf, 1))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rename rule and the pairs that follow it, as indices into the pairs that were folded."""

    pattern: Pattern
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A narrow pattern, the pairs it came from, and their label."""

    pattern: Pattern
    members: tuple[int, ...]
    label: Hashable


def candidates(templates: Sequence[Template]) -> list[tuple[Pattern, frozenset[int]]]:
    """Patterns that several templates could share, with the templates' indices: widest cover first.

    Among patterns that cover the same, the one with fewer open places comes first, then the longer text.
    """
    most = next(stretches for count, stretches in _PATIENCE if len(templates) <= count)
    cover: dict[tuple[Hashable, Pattern], set[int]] = defaultdict(set)
    for number, template in enumerate(templates):
        for pattern in set(_wider(template.pattern, most)):
            cover[template.label, pattern].add(number)
    wide = [(pattern, frozenset(parts)) for (_, pattern), parts in cover.items() if len(parts) > 1]

    def rank(entry: tuple[Pattern, frozenset[int]]) -> tuple[int, int, int, int, tuple[str, str]]:
        pattern, parts = entry
        variables = sum(len(templates[number].members) for number in parts)
        text = sum(len(piece) for piece in pattern.source if isinstance(piece, str))
        return (-len(parts), -variables, pattern.holes, -text, pattern.text())

    return sorted(wide, key=rank)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Tokens, either shared by both sides (source is target) or changed."""

    source: tuple[Piece, ...]
    target: tuple[Piece, ...]
    shared: bool


def _wider(pattern: Pattern, most: int) -> Iterator[Pattern]:
    """Patterns with one or more of the shared stretches left open."""
    stretches = _stretches(_tokens(pattern.source), _tokens(pattern.target))
    shared = [i for i, stretch in enumerate(stretches) if stretch.shared and _openings(stretch)]
    shared = sorted(sorted(shared, key=lambda i: (-len(stretches[i].source), i))[:most])
    choices = [(None, *_openings(stretches[i])) for i in shared]
    total = 1
    for options in choices:
        total *= len(options)
    while total > 2 << most:
        # Of a stretch with many openings, keep closed and wholly open.
        longest = max(range(len(choices)), key=lambda k: len(choices[k]))
        if len(choices[longest]) <= 2:
            break
        total = total // len(choices[longest]) * 2
        choices[longest] = choices[longest][:2]
    for chosen in product(*choices):
        opened = _opened(stretches, dict(zip(shared, chosen, strict=True))) if any(chosen) else None
        if opened is not None:
            yield opened


def _tokens(pieces: Sequence[Piece]) -> list[Piece]:
    tokens: list[Piece] = []
    for piece in pieces:
        tokens.extend([piece] if isinstance(piece, Hole) else _WORDS.findall(piece))
    return tokens


def _stretches(source: list[Piece], target: list[Piece]) -> list[_Stretch]:
    """The two token rows, parted into what they share and what differs."""
    from rapidfuzz.distance import Indel

    stretches: list[_Stretch] = []
    for step in Indel.opcodes(source, target):
        left = tuple(source[step.src_start : step.src_end])
        right = tuple(target[step.dest_start : step.dest_end])
        shared = step.tag == "equal"
        if stretches and not shared and not stretches[-1].shared:
            last = stretches.pop()
            left, right = last.source + left, last.target + right
        stretches.append(_Stretch(left, right, shared))
    return stretches


Opening = tuple[tuple[int, int], ...]
"""Spans of a shared stretch that are left open, as token ranges."""


def _openings(stretch: _Stretch) -> list[Opening]:
    """The ways to leave a shared stretch open: all of it but the separators at its ends; its last word."""
    words = [i for i, token in enumerate(stretch.source) if isinstance(token, Hole) or token.isalnum()]
    if not words:
        return []
    openings: list[Opening] = [((words[0], words[-1] + 1),)]
    slashes = [i for i, token in enumerate(stretch.source) if token in ("/", ".")]
    if slashes and slashes[-1] < words[-1]:
        openings.append(((slashes[-1] + 1, words[-1] + 1),))
    if slashes and slashes[0] > words[0]:
        openings.append(((words[0], slashes[0]),))
    return openings


def _opened(stretches: list[_Stretch], chosen: dict[int, Opening | None]) -> Pattern | None:
    """The pattern with the chosen spans as holes; None where two would touch, or one has lost its source."""
    source: list[Piece] = []
    target: list[Piece] = []
    fresh = 0
    for index, stretch in enumerate(stretches):
        left, right = list(stretch.source), list(stretch.target)
        for start, end in reversed(chosen.get(index) or ()):
            span = left[start:end]
            fresh -= 1
            hole = Hole(fresh, deep=any(token in ("/", ".") for token in span if isinstance(token, str)))
            left[start:end] = [hole]
            right[start:end] = [hole]
        source += left
        target += right
    touching = any(isinstance(a, Hole) and isinstance(b, Hole) for a, b in pairwise(source))
    # A number inside an open span is taken by it; where the other side names it elsewhere, it is lost.
    known = {piece.number for piece in source if isinstance(piece, Hole)}
    lost = any(isinstance(piece, Hole) and piece.number not in known for piece in target)
    return None if touching or lost else Pattern.of(source, target)
