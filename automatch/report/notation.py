"""A rename in one line: `{resnet_v1 => encoder}/block*/{weights => kernel}`, the rest outside."""

from __future__ import annotations

import re
from collections.abc import Sequence

from automatch.pattern import Hole, Pattern, Piece
from automatch.report.lines import Span, shown

__all__ = ["notation", "renamed"]

_WORDS = re.compile(r"\([^()]*\)|\*\*?[0-9]*(?:[+-][0-9]+)?(?::0[0-9])?|[A-Za-z]+|[0-9]+|.", re.DOTALL)


def notation(source: str, target: str) -> tuple[Span, ...]:
    """The two sides of a rule as one line, changes in braces; see `automatch.pattern` for the signs."""
    pattern = Pattern.parse(source, target)
    order = [piece.number for piece in pattern.target if isinstance(piece, Hole)]
    straight = order == sorted(set(order))
    return renamed(_text(pattern.source, straight), _text(pattern.target, straight))


def _text(pieces: Sequence[Piece], straight: bool) -> str:
    parts = []
    for piece in pieces:
        if isinstance(piece, str):
            parts.append(piece)
        elif piece.options:
            parts.append("(" + "|".join(piece.options) + ")")
        else:
            number = "" if straight else str(piece.number)
            change = (f"{piece.shift:+d}" if piece.shift else "") + (
                f":0{piece.width}" if piece.width else ""
            )
            parts.append(("**" if piece.deep else "*") + number + change)
    return "".join(parts)


def renamed(source: str, target: str) -> tuple[Span, ...]:
    """Two names as one line: steps of the path that both share once, the others as `{old => new}`.

    >>> "".join(text for text, _ in renamed("a/b/weights", "x/b/kernel"))
    '{a => x}/b/{weights => kernel}'
    """
    left, right = source.split("/"), target.split("/")
    if source == target:
        return ((shown(source), ""),)
    blocks = _blocks(left, right)
    if not any(a == b for a, b in blocks):
        return ((shown(source), "old"), (" => ", "dim"), (shown(target), "new"))
    spans: list[Span] = []
    for a, b in blocks:
        if spans:
            spans.append(("/", ""))
        spans.extend([(shown("/".join(a)), "")] if a == b else _trimmed("/".join(a), "/".join(b)))
    return tuple(spans)


def _blocks(left: list[str], right: list[str]) -> list[tuple[list[str], list[str]]]:
    """Runs of equal steps and runs of changed ones, in turn."""
    from rapidfuzz.distance import Indel

    blocks: list[tuple[list[str], list[str]]] = []
    changed = False
    for step in Indel.opcodes(left, right):
        a, b = left[step.src_start : step.src_end], right[step.dest_start : step.dest_end]
        if step.tag != "equal" and changed:
            blocks[-1] = (blocks[-1][0] + a, blocks[-1][1] + b)
        else:
            blocks.append((a, b))
        changed = step.tag != "equal"
    return blocks


def _trimmed(source: str, target: str) -> list[Span]:
    """One change; the words at either end that both share stand outside."""
    a, b = _WORDS.findall(source), _WORDS.findall(target)
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    if "/" in source + target or "." in source + target:
        # Half a step on either side of a change of path reads worse than the two paths.
        head = tail = 0
    middle = ["".join(words[head : len(words) - tail]) for words in (a, b)]
    spans = [
        ("".join(a[:head]), ""),
        ("{", "dim"),
        (middle[0], "old"),
        (" => " if middle[0] else "=> ", "dim"),
        (middle[1], "new"),
        ("}", "dim"),
        ("".join(a[len(a) - tail :]), ""),
    ]
    return [(shown(text), style) for text, style in spans if text]
