"""A rename in one line: `{resnet_v1 => encoder}/block*/{weights => kernel}`, the rest outside."""

from __future__ import annotations

import re
from collections.abc import Sequence

from automatch.pattern import Hole, Pattern, Piece, shared_start
from automatch.report.lines import Span, shown

__all__ = ["is_table", "notation", "renamed"]

_WORDS = re.compile(r"\([^()]*\)|\*\*?[0-9]*(?:[+-][0-9]+)?(?::0[0-9])?|[A-Za-z]+|[0-9]+|.", re.DOTALL)


_LAST_NUMBER = re.compile(r"(.*?)(0|[1-9][0-9]{0,8})", re.DOTALL)
# More words than this are a table: the first two and the last of them show how it goes on.
MOST_WORDS = 6


def notation(source: str, target: str, *, whole: bool = False) -> tuple[Span, ...]:
    """The two sides of a rule as one line, changes in braces; see `automatch.pattern` for the signs.

    whole: tables are written out, where otherwise their beginning and end stand for them.
    """
    pattern = Pattern.parse(source, target)
    order = [piece.number for piece in pattern.target if isinstance(piece, Hole)]
    straight = order == sorted(set(order))
    spans = _changes(*(_steps(side, straight, whole) for side in (pattern.source, pattern.target)))
    entries = 0 if whole else _entries(pattern)
    return (*spans, (f"   a table of {entries:,}", "dim")) if entries else spans


def is_table(source: str, target: str) -> bool:
    """Whether a rule is one that `notation` shows the ends of, unless it is asked for the whole."""
    return _entries(Pattern.parse(source, target)) > 0


def _entries(pattern: Pattern) -> int:
    """Of the choices with too many words for a line, the words of the longest."""
    holes = [piece for piece in (*pattern.source, *pattern.target) if isinstance(piece, Hole)]
    return max((len(hole.options) for hole in holes if len(_parts(hole.options)[1]) > MOST_WORDS), default=0)


def _steps(pieces: Sequence[Piece], straight: bool, whole: bool) -> list[str]:
    """One side as the steps of its path; a choice is one step, whatever it holds."""
    steps = [""]
    for piece in pieces:
        first, *more = piece.split("/") if isinstance(piece, str) else [_hole(piece, straight, whole)]
        steps[-1] += first
        steps += more
    return steps


def _hole(piece: Hole, straight: bool, whole: bool) -> str:
    if piece.options:
        return _choice(piece.options, whole)
    number = "" if straight else str(piece.number)
    change = (f"{piece.shift:+d}" if piece.shift else "") + (f":0{piece.width}" if piece.width else "")
    return ("**" if piece.deep else "*") + number + change


def _choice(words: tuple[str, ...], whole: bool) -> str:
    """`(a|b|c)`; of a table, what all words begin with once, and the ends of the rest: `conv(1|3|…|188)`."""
    head, parts = _parts(words)
    if whole or len(words) <= MOST_WORDS:
        return "(" + "|".join(words) + ")"
    if len(parts) > MOST_WORDS:
        first, second, *_, last = (word[len(head) :] for word in words)
        parts = [first, second, "…", last]
    return f"{head}({'|'.join(parts)})"


def _parts(words: tuple[str, ...]) -> tuple[str, list[str]]:
    """What all words begin with, and the rests, those that count on as one: `0-3`, `5-11`."""
    head = shared_start(words) if words else ""
    # Half a word, half a number or half a step before the brackets would be misread.
    while head and any(_halved(head[-1], word[len(head) : len(head) + 1]) for word in words):
        head = head[:-1]
    if any("/" in word[len(head) :] or "." in word[len(head) :] for word in words):
        head = head[: max(head.rfind("/"), head.rfind(".")) + 1]
    rows: list[list[str]] = []
    for word in words:
        rest = word[len(head) :]
        if rows and rest == _next(rows[-1][-1]):
            rows[-1].append(rest)
        else:
            rows.append([rest])
    return head, [part for row in rows for part in ([f"{row[0]}-{row[-1]}"] if len(row) > 2 else row)]


def _halved(before: str, after: str) -> bool:
    return (before.isalpha() and after.isalpha()) or (before.isdigit() and after.isdigit())


def _next(word: str) -> str | None:
    """The word that counts on: `_8` after `_7`."""
    found = _LAST_NUMBER.fullmatch(word)
    return f"{found[1]}{int(found[2]) + 1}" if found else None


def renamed(source: str, target: str) -> tuple[Span, ...]:
    """Two names as one line: steps of the path that both share once, the others as `{old => new}`.

    >>> "".join(text for text, _ in renamed("a/b/weights", "x/b/kernel"))
    '{a => x}/b/{weights => kernel}'
    """
    return _changes(source.split("/"), target.split("/"))


def _changes(left: list[str], right: list[str]) -> tuple[Span, ...]:
    if left == right:
        return ((shown("/".join(left)), ""),)
    blocks = _blocks(left, right)
    if not any(a == b for a, b in blocks):
        return ((shown("/".join(left)), "old"), (" => ", "dim"), (shown("/".join(right)), "new"))
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
