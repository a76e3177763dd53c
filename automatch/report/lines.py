"""Lines of a report: columns that stand still on the left, text that may wrap on the right.

Names come from files of strangers. They are shown as text alone: what would move the cursor, change the
direction of writing or hide is written as an escape, and nothing in them is taken for markup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
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
    from rich.table import Table
    from rich.text import Text

    tty = out.isatty()
    console = Console(
        file=out, force_terminal=True if color else None, no_color=color is False or None, highlight=False
    )
    for entry in lines:
        text = Text.assemble(
            *((text, _STYLES.get(style, "")) for text, style in entry.spans), overflow="fold"
        )
        if not tty:
            console.print(Text(entry.left).append_text(text), soft_wrap=True)
        elif not entry.left:
            console.print(text)
        else:
            grid = Table.grid(padding=0)
            grid.add_column(width=len(entry.left), no_wrap=True)
            grid.add_column(overflow="fold")
            grid.add_row(Text(entry.left), text)
            console.print(grid)
