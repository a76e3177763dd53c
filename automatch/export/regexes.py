"""A plan's rules as regular expressions, exact over all names that the plan knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from automatch.pattern import Hole, Pattern, Piece, rewriter
from automatch.plan import Plan, Unmatched

__all__ = ["literal", "ruled"]

# A rule with choices becomes one line a combination; where there are more, the names themselves are shorter.
MOST_COMBINATIONS = 16


def literal(value: str) -> str:
    """A Python literal of a name, double quotes, everything but plain ASCII escaped."""
    return '"' + value.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def ruled(plan: Plan, *, inverse: bool) -> tuple[list[str], list[tuple[str, str | None]]]:
    """Lines of `(regex, replacement)`, and the names that they get wrong with what is right.

    inverse: from target names to source names.

    The first line that matches counts, so that narrow rules go first. Whoever runs the code has no list of
    the names that are to be left alone; these must not match, or be named with None.
    """
    want: dict[str, str | None] = {}
    for pair in plan.pairs:
        here, there = (pair.target, pair.source) if inverse else (pair.source, pair.target)
        want[here] = there if pair.decision == "accept" else want.get(here)
    for entry in plan.unmatched if inverse else plan.unused:
        want[entry.target if isinstance(entry, Unmatched) else entry.source] = None
    made: dict[str, str] = {}
    lines: list[str] = []
    for record in sorted(plan.rules, key=lambda record: (record.pairs, record.id)):
        pattern = Pattern.parse(record.from_, record.to)
        turned = pattern.inverse() if inverse else pattern
        hits = _hits(turned, want, made) if turned else {}
        if turned and hits:
            made |= hits
            lines += _rule_lines(turned, sum(want[name] == there for name, there in hits.items()))
    return lines, [(name, right) for name, right in want.items() if made.get(name) != right]


def _hits(pattern: Pattern, want: Mapping[str, str | None], made: Mapping[str, str]) -> dict[str, str]:
    """What a pattern makes of the names that no line before it matches; nothing if it is not worth a line."""
    combinations = 1
    for piece in pattern.source:
        combinations *= len(piece.options) or 1 if isinstance(piece, Hole) else 1
    if pattern.holes == 0 or combinations > MOST_COMBINATIONS:
        return {}
    rewrite = rewriter(pattern)
    hits = {name: there for name in want if name not in made and (there := rewrite(name)) is not None}
    wrong = sum(want[name] != there for name, there in hits.items())
    return hits if wrong <= (len(hits) - wrong) // 4 else {}


def _rule_lines(pattern: Pattern, count: int) -> Iterator[str]:
    comment = f"  # {count:,} variable{'' if count == 1 else 's'}"
    for position, (regex, replacement) in enumerate(_regexes(pattern)):
        yield f"    ({regex}, {replacement}),{'' if position else comment}"


def _regexes(pattern: Pattern) -> Iterator[tuple[str, str]]:
    """The pattern as `(regex, replacement)` in Python; one a combination of its choices."""
    choices = {piece.number: piece for piece in pattern.source if isinstance(piece, Hole) and piece.options}
    translated = {piece.number: piece.options for piece in pattern.target if isinstance(piece, Hole)}
    for picked in product(*(range(len(choice.options)) for choice in choices.values())):
        source_words = {n: c.options[i] for (n, c), i in zip(choices.items(), picked, strict=True)}
        target_words = {n: translated[n][i] for n, i in zip(choices, picked, strict=True) if n in translated}
        plain = Pattern.of(
            [_settled(piece, source_words) for piece in pattern.source],
            [_settled(piece, target_words) for piece in pattern.target],
        )
        yield _raw(plain.regex), _replacement(plain)


def _settled(piece: Piece, words: dict[int, str]) -> Piece:
    return words[piece.number] if isinstance(piece, Hole) and piece.number in words else piece


def _replacement(pattern: Pattern) -> str:
    r"""`r"h\1/kernel"`, or a function where a number shifts: `lambda m: f"h{int(m[1]) - 1}/kernel"`."""
    if not any(isinstance(piece, Hole) and pattern.counts(piece) for piece in pattern.target):
        parts = [
            f"\\g<{piece.number}>" if isinstance(piece, Hole) else piece.replace("\\", "\\\\")
            for piece in pattern.target
        ]
        return _raw("".join(parts))
    parts = []
    for piece in pattern.target:
        if isinstance(piece, str):
            parts.append(literal(piece)[1:-1].replace("{", "{{").replace("}", "}}"))
        else:
            shift = f" {'+' if piece.shift > 0 else '-'} {abs(piece.shift)}" if piece.shift else ""
            form = f":0{piece.width}d" if piece.width else ""
            counted = f"{{int(m[{piece.number}]){shift}{form}}}"
            parts.append(counted if pattern.counts(piece) else f"{{m[{piece.number}]}}")
    return 'lambda m: f"' + "".join(parts) + '"'


def _raw(text: str) -> str:
    """A raw literal where one can hold the text, else an escaped one."""
    plain = text.isascii() and text.isprintable() and '"' not in text and not text.endswith("\\")
    return f'r"{text}"' if plain else ascii(text)
