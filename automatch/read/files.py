"""Opening files that come from strangers: regular files only, bounded reads, one line when it fails."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from automatch.errors import UnreadableFile

__all__ = ["HEAD", "bytes_of", "cannot_open", "damage_as_error", "first_bytes", "open_regular", "read_whole"]

HEAD = 64
"""How many first bytes a reader is shown to recognise its format."""

# What decoding damaged bytes raises when no check of ours has seen the damage before.
_DAMAGE = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
)


def open_regular(path: Path) -> BinaryIO:
    """The file opened for reading, unless it is a pipe, a device or a directory.

    Raises UnreadableFile; never blocks on a named pipe.
    """
    try:
        # O_NONBLOCK: opening a named pipe would wait for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise UnreadableFile(cannot_open(path, error)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UnreadableFile(f"'{path}' is not a regular file. Give the path of a file on disk.")
    return os.fdopen(handle, "rb")


def cannot_open(path: Path, error: Exception) -> str:
    """What is said of a path that the system does not open."""
    if isinstance(error, FileNotFoundError):
        return (
            f"'{path}' does not exist. Check the path; a checkpoint is named by its prefix, without '.index'."
        )
    reason = getattr(error, "strerror", None) or str(error)
    return f"'{path}' cannot be opened: {reason}. Check the path and its permissions."


def first_bytes(path: Path) -> bytes:
    """The first bytes of a file, empty where there is no file of that very name or it is a directory."""
    if not path.exists() or path.is_dir():
        return b""
    with open_regular(path) as file:
        return file.read(HEAD)


def bytes_of(path: Path, start: int, length: int) -> bytes:
    """At most `length` bytes from `start` of a regular file. Raises UnreadableFile."""
    with open_regular(path) as file:
        file.seek(start)
        return file.read(length)


def read_whole(path: Path, limit: int) -> bytes:
    """All bytes of a regular file of at most `limit` bytes. Raises UnreadableFile."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise UnreadableFile(
                f"'{path}' has {size} bytes, and a file of its kind is read up to {limit}. "
                "Check that it is the file you mean."
            )
        try:
            return file.read(size)
        except MemoryError as error:
            raise UnreadableFile(f"'{path}' has {size} bytes, more than there is memory for.") from error
        except OSError as error:
            raise UnreadableFile(cannot_open(path, error)) from error


@contextmanager
def damage_as_error(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever decoding the damaged bytes of a file raises into one UnreadableFile."""
    try:
        yield
    except _DAMAGE as error:
        reason = str(error) if isinstance(error, ValueError) else ""
        if isinstance(error, UnicodeError):
            reason = "it holds names that are not UTF-8"
        what = f"damaged, or no {kind}{': ' + reason if reason else ''}"
        raise UnreadableFile(f"'{path}' is {what}. Copy it again from where it was made.") from error
    except OSError as error:
        raise UnreadableFile(cannot_open(path, error)) from error
