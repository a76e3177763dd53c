"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from automatch.errors import UnwritableFile

__all__ = ["beside", "is_address", "locked", "reason", "write_whole"]

# Whoever holds a lock reads and writes one small file.
SECONDS_TO_WAIT = 30.0
# What is younger may have been made a moment ago, by somebody who is about to lock it.
SECONDS_TO_LOCK = 60.0


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether it says where something is on another machine: `gs://…`, `https://…`."""
    return re.match("[a-z][a-z0-9+.-]+://", os.fspath(path), re.IGNORECASE) is not None


def reason(error: OSError) -> str:
    """The operating system's own words for an error, in lower case: 'no space left on device'."""
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Nobody else who asks for the same file meanwhile goes on before this is left.

    The lock is on the folder: a file that is replaced takes its lock along. Where the system has no such
    locks, there is none.

    Raises:
        UnwritableFile: somebody else holds it for too long.
    """
    with contextlib.ExitStack() as held:
        with contextlib.suppress(ImportError, OSError):
            handle = os.open(Path(os.path.realpath(path)).parent, os.O_RDONLY)
            held.callback(os.close, handle)
            _wait_for(handle, path)
        yield


def _wait_for(handle: int, path: str | os.PathLike[str]) -> None:
    import fcntl

    until = time.monotonic() + SECONDS_TO_WAIT
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise UnwritableFile(
                    f"'{path}' is being written by another process, which does not come to an end. "
                    "Try again when it has."
                ) from None
            time.sleep(0.01)


def write_whole(path: str | os.PathLike[str], data: bytes) -> Path:
    """The path, after its content has been replaced by data in one step.

    A reader, or a machine that stops half way, meets the old file or the new one, never a mixture. A device
    or a pipe is written to as it stands.

    Raises:
        UnwritableFile: the folder is missing or read-only, the disk is full, the path is a folder.
    """
    given = Path(path)
    try:
        if given.is_dir():
            raise UnwritableFile(f"'{path}' is a folder. Name a file to write.")
        # Behind /dev/stdout may be a file that a shell has open; another in its place would be lost.
        if (given.is_absolute() and given.parts[1] in ("dev", "proc")) or (
            given.exists() and not given.is_file()
        ):
            given.write_bytes(data)
        else:
            # A link is followed: whoever linked the plan to another place wants that place to be written.
            _replace(Path(os.path.realpath(given)), data)
    except OSError as error:
        raise UnwritableFile(
            f"cannot write '{path}': {reason(error)}. Name another place with -o, or make room there."
        ) from error
    return given


def _replace(place: Path, data: bytes) -> None:
    # Not tempfile: its files are private to their owner, and a plan is for colleagues.
    with beside(place, lambda path: path.touch(exist_ok=False)) as temporary:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            temporary.chmod(stat.S_IMODE(place.stat().st_mode))
        temporary.replace(place)


@contextlib.contextmanager
def beside(place: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """A hidden path beside a place, made by `make`, to put together what then replaces the place.

    It is gone in the end; and if the block ends well, so is what killed processes have left of theirs.
    """
    name = f".{place.name[:100]}."
    path = place.with_name(f"{name}{secrets.token_hex(6)}.tmp")
    try:
        make(path)
        with _kept(path):
            yield path
        _sweep(place.parent, re.compile(re.escape(name) + "[0-9a-f]{12}[.]tmp"))
    finally:
        _remove(path)


@contextlib.contextmanager
def _kept(path: Path) -> Iterator[bool]:
    """Whether the path is locked until the block ends; the lock ends with its process, however that ends."""
    with contextlib.ExitStack() as held:
        locked = False
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            held.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        yield locked


def _sweep(folder: Path, left: re.Pattern[str]) -> None:
    """Removes what has such a name, if it is of some age and nobody keeps it."""
    with contextlib.suppress(OSError):
        for path in [entry for entry in folder.iterdir() if left.fullmatch(entry.name)]:
            if time.time() - path.lstat().st_mtime > SECONDS_TO_LOCK:
                with _kept(path) as ours:
                    if ours:
                        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
