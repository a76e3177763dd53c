"""What several verbs share: options, notes, waiting, exit codes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from automatch.report.lines import Line, shown

if TYPE_CHECKING:
    from automatch.plan import Plan
    from automatch.tensor import Listing

__all__ = ["color_option", "exit_code", "loaded", "note", "notes_of", "pairs_of", "printed", "waiting"]

Command = TypeVar("Command", bound=Callable[..., Any])


def color_option(function: Command) -> Command:
    """The verb with `--color auto|always|never`."""
    choice = click.Choice(["auto", "always", "never"])
    text = "Colours: as the terminal can (auto, and none if NO_COLOR is set), always, or never."
    return click.option("--color", type=choice, default="auto", show_default=True, help=text)(function)


def printed(lines: Iterable[Line], color: str = "auto") -> None:
    """Nothing, after the lines have been written to stdout."""
    from automatch.report.lines import write

    wanted = {"always": True, "never": False}.get(color)
    if wanted is None and os.environ.get("NO_COLOR"):
        wanted = False
    write(lines, color=wanted)


def loaded(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file; its errors are those of `Plan.load`."""
    from automatch.plan import Plan

    return Plan.load(path)


def note(text: str) -> None:
    """Nothing, after a note to the person has been written to stderr."""
    click.echo(f"automatch: note: {shown(text)}", err=True)


def notes_of(listing: Listing) -> None:
    """Nothing, after what a reader noticed has been written to stderr."""
    for text in listing.notes:
        note(f"{listing.path or listing.format}: {text}")


def exit_code(plan: Plan) -> int:
    """3 if something is undecided, else 4 if a variable has no counterpart, else 0."""
    counts = plan.counts
    return 3 if counts.undecided else 4 if counts.unmatched else 0


def pairs_of(values: Iterable[str], targets: Mapping[str, object] | None = None) -> dict[str, str]:
    """The `TARGET=SOURCE` arguments as a dict.

    targets: the names that exist; a name may hold `=` itself, and the split that gives an existing one wins.
    """
    pairs: dict[str, str] = {}
    for value in values:
        places = [place for place, sign in enumerate(value) if sign == "="]
        if not places:
            raise click.BadParameter(f"'{value}' has no '='. Write TARGET=SOURCE.", param_hint="--pair")
        place = next((place for place in places if targets and value[:place] in targets), places[0])
        target = value[:place]
        if target in pairs:
            raise click.BadParameter(f"'{target}' is given twice.", param_hint="--pair")
        pairs[target] = value[place + 1 :]
    return pairs


Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


@contextmanager
def waiting(text: str) -> Iterator[Progress]:
    """A function to tell how far the work is; a bar appears on a terminal if it takes over a second."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    bar = _Bar(text)
    timer = threading.Timer(1.0, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield bar.update
    finally:
        timer.cancel()
        bar.close()


class _Bar:
    """A bar on stderr that appears late and leaves nothing behind."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._state: tuple[int, int | None] = (0, None)
        self._progress: Any = None
        self._closed = False
        self._lock = threading.Lock()

    def show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._closed:
                return
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(self._text, total=self._state[1], completed=self._state[0])
            self._progress.start()

    def update(self, done: int, total: int) -> None:
        self._state = (done, total)
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._progress is not None:
                self._progress.stop()
