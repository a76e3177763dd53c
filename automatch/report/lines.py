"""Lines of a report: columns that stand still on the left, text that may wrap on the right.

Names come from files of strangers. They are shown as text alone: what would move the cursor, change the
direction of writing or hide is written as an escape, and nothing in them is taken for markup.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import IO

__all__ = ["Line", "Span", "as_text", "line", "shown", "write"]

Span = tuple[str, str]
"""Text and what it is: `old`, `new`, `head`, `dim`, `good`, `doubt`, or an empty word."""

_STYLES = {"old": "red", "new": "green", "head": "bold", "dim": "dim", "good": "green", "doubt": "yellow"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line: left stands in its columns, spans wrap beside it and are never cut."""

    left: str = ""
    spans: tuple[Span, ...] = ()

    def __str__(self) -> str:
        return (self.left + "".join(text for text, _ in self.spans)).rstrip()


def line(text: str = "", style: str = "", left: str = "") -> Line:
    """A line of one span."""
    return Line(left, ((text, style),) if text else ())


def shown(name: str) -> str:
    r"""A name as printable text.

    >>> shown("a\x1b[31m/b\u202e")
    'a\\x1b[31m/b\\u202e'
    """
    if name.isprintable():
        return name
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)


def as_text(lines: Iterable[Line]) -> str:
    """The lines as plain text, one line each, nothing wrapped."""
    return "".join(f"{line}\n" for line in lines)


def write(lines: Iterable[Line], *, color: bool | None = None, file: IO[str] | None = None) -> None:
    """Nothing, after the lines have been written: wrapped and coloured on a terminal, plain in a pipe.

    color: True for colours in any case, False for none, None for what the terminal can do.
    """
    out = file or sys.stdout
    if isinstance(out, io.TextIOWrapper):
        # A terminal that knows no ✓ gets \u2713, and not an error in the middle of a report.
        out.reconfigure(errors="backslashreplace")
    if not color and not out.isatty():
        for start in _chunks(lines):
            out.write(as_text(start))
        return
    _write_rich(lines, color, out)


def _chunks(lines: Iterable[Line], size: int = 1000) -> Iterable[list[Line]]:
    chunk: list[Line] = []
    for entry in lines:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    yield chunk


def _write_rich(lines: Iterable[Line], color: bool | None, out: IO[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=out, force_terminal=True if color else None, no_color=color is False or None, highlight=False
    )
    # Bold and dim count as colour: whoever wants none may be recording the terminal, or reading it aloud.
    styles = {} if color is False else _STYLES
    # A terminal of a few columns shows nothing well; there, it may wrap as it likes.
    width = max(console.width, 40) if out.isatty() else None
    for entry in lines:
        rows = [entry.spans] if width is None else _wrapped(entry.spans, width - len(entry.left))
        for number, row in enumerate(rows):
            left = entry.left if number == 0 else " " * len(entry.left)
            styled = Text.assemble(left, *((text, styles.get(style, "")) for text, style in row))
            console.print(styled, soft_wrap=True)


# Where a name may go on in the next line: after what parts its steps and words.
_PIECES = re.compile(r"\.?[^/ |.]+(?:[/ |]+|\.)?|[/ |.]+")


def _wrapped(spans: Sequence[Span], width: int) -> list[list[Span]]:
    """The spans in rows that fit, broken between the steps of a path where that is possible."""
    from rich.cells import cell_len, chop_cells

    rows: list[list[Span]] = [[]]
    used = 0
    for text, style in spans:
        for piece in _PIECES.findall(text):
            if used and used + cell_len(piece.rstrip()) > width:
                # A brace that opens stands with what it opens.
                opened = len(rows[-1]) > 1 and rows[-1][-1][0] == "{"
                rows.append([rows[-1].pop()] if opened else [])
                used = int(opened)
            for number, part in enumerate(chop_cells(piece, width)):
                if number:
                    rows.append([])
                    used = 0
                _append(rows[-1], part, style)
                used += cell_len(part)
    # A space at the very end of a row would make a terminal begin an empty one.
    return [[*row[:-1], (row[-1][0].rstrip(), row[-1][1])] if row else row for row in rows]


def _append(row: list[Span], text: str, style: str) -> None:
    """Text at the end of a row, in one span with what is of its style: fewer escapes to copy along."""
    if row and row[-1][1] == style:
        row[-1] = (row[-1][0] + text, style)
    else:
        row.append((text, style))
