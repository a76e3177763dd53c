"""Files and live objects -> listings.

One module reads one format. It offers `matches(path, head)`, which looks at the first bytes of the file
(none for a directory, or for a checkpoint prefix) or into the directory, and `read(path)`. The first that
matches reads; file endings decide nothing. Values come on demand, through `Listing.values`.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from automatch.errors import UnreadableFile
from automatch.read.files import first_bytes
from automatch.tensor import Listing

__all__ = ["read"]


class _Reader(Protocol):
    def matches(self, path: Path, head: bytes) -> bool: ...

    def read(self, path: Path) -> Listing: ...


# In the order in which they are asked: those with a sure mark in the first bytes come first.
_READERS = (
    "listing",
    "checkpoint",
    "meta",
)


def read(thing: Any, *, beside: bool = True) -> Listing:
    """The listing of a path, of a live object (session, graph, model, variables), or a listing as it is.

    beside: use the graph that a Saver wrote beside a checkpoint (`<prefix>.meta`) for what the
    checkpoint does not know: creation order, trainable, slots, dataflow.
    Raises UnreadableFile for a file, UnsupportedTarget for an object without variables.
    """
    if isinstance(thing, Listing):
        return thing
    if not isinstance(thing, (str, os.PathLike)):
        from automatch.read import live

        return live.read(thing)
    return _read_path(Path(os.fspath(thing)))


def _read_path(path: Path) -> Listing:
    head = first_bytes(path)
    for name in _READERS:
        reader = cast(_Reader, import_module(f"automatch.read.{name}"))
        if reader.matches(path, head):
            return reader.read(path)
    raise UnreadableFile(_unknown(path, head))


def _unknown(path: Path, head: bytes) -> str:
    if not path.exists():
        return f"'{path}' does not exist, neither as a file nor as a checkpoint prefix. Check the path."
    if path.is_dir():
        return f"'{path}' is a directory without a checkpoint or model that automatch reads. Give the file or prefix itself."
    if not head:
        return f"'{path}' is empty. Copy it again from where it was made."
    return (
        f"'{path}' is of no format that automatch reads (it begins with {head[:8].hex(' ')}). "
        "Give a checkpoint prefix, a .meta, a SavedModel, a weights file or a listing."
    )
