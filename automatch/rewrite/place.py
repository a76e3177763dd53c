"""Where new files come to stand, together and whole: what stands there is never lost, whoever put it there.

Files are put together in a hidden folder beside their place, which may take hours, and are then moved, which
takes a moment. What stands at the place is looked up in that moment, under a lock that every automatch takes.
Others take none, a training job for one: no file is ever given a name that another has.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from automatch.errors import UnwritableFile
from automatch.files import beside, is_address, locked, reason

__all__ = ["Files", "check_free", "moved_into", "prefix"]


@dataclass(slots=True)
class Files:
    """New files on their way.

    path: what they are written as. finish: is called when they are about to be moved, with the numbers of
    shards in the names of the data shards that stand at the place.
    """

    path: Path
    finish: Callable[[Collection[int]], None] | None = None


def prefix(out: str | os.PathLike[str]) -> Path:
    """The prefix, or the file, that is to be written. Raises UnwritableFile for a folder, or in none."""
    given = os.fspath(out).removesuffix(".index")
    if is_address(given):
        raise UnwritableFile(
            f"'{given}' is an address, and only files on a disk are written. "
            "Name a place here with -o, and copy it there."
        )
    if os.path.split(given)[1] in ("", os.curdir, os.pardir):
        raise UnwritableFile(
            f"'{given or os.curdir}' is a folder. Name the prefix of the checkpoint to write in it, or the "
            f"file: '{Path(given, 'renamed.ckpt')}' for instance."
        )
    place = Path(given)
    if not place.parent.is_dir():
        raise UnwritableFile(f"'{place.parent}' is no folder. Make it first, or name another place with -o.")
    return place


def check_free(place: Path, *, force: bool) -> list[Path]:
    """What stands at a place, and may be replaced. Raises UnwritableFile where it may not."""
    standing = _files(place.parent, place.name)
    if standing and not force:
        raise _stands(standing[0])
    return standing


@contextmanager
def moved_into(place: Path, *, force: bool) -> Iterator[Files]:
    """Files, to be written, that come to stand at a place together when the block ends well.

    force: what stands there goes; else nothing may stand there, when the block begins or when it ends.

    Raises:
        UnwritableFile: something stands there, or a file cannot be written. What stands there is as it was.
    """
    try:
        with beside(place, Path.mkdir) as folder:
            files = Files(folder / place.name)
            yield files
            with locked(place):
                standing = check_free(place, force=force)
                if files.finish is not None:
                    files.finish(_counts(standing))
                _exchange(place, folder, standing)
    except OSError as error:
        raise UnwritableFile(
            f"cannot write '{place}': {reason(error)}. Name another place with -o, or make room there."
        ) from error


def _stands(path: Path) -> UnwritableFile:
    return UnwritableFile(f"'{path}' stands already. Name another place with -o, or replace it with --force.")


def _files(folder: Path, name: str) -> list[Path]:
    """The files of the checkpoint of a name, the index first, and a file of that very name."""
    shard = re.compile(re.escape(name) + r"(\.(index|data-\d{5,}-of-\d{5,}))?")
    return sorted(
        (path for path in folder.iterdir() if shard.fullmatch(path.name) and not path.is_dir()), reverse=True
    )


def _counts(files: Collection[Path]) -> set[int]:
    """The numbers of shards in the names of data shards."""
    return {int(path.name.rpartition("-")[2]) for path in files if ".data-" in path.name}


def _exchange(place: Path, folder: Path, standing: Collection[Path]) -> None:
    """Move the folder's files to the place, and away what else stands there.

    Data shards come first, under names that none there has; the index, which says how many there are,
    replaces the old one in a single step. Stopped in between, the old checkpoint or the new one is whole.
    """
    first, *shards = _files(folder, place.name)
    head, ours = place.parent / first.name, first.stat()
    placed: dict[Path, os.stat_result] = {}
    try:
        for path in (*shards, first):
            to = place.parent / path.name
            placed[to] = path.stat()
            if to in standing:
                path.replace(to)
            else:
                _put(path, to)
    except BaseException as error:
        if isinstance(error, UnwritableFile):
            # That one is another's, even if it is a link to the same file.
            placed.popitem()
        if not _is(head, ours):
            for path, state in placed.items():
                if _is(path, state):
                    path.unlink()
        raise
    for path in standing:
        # The new checkpoint stands, whether or not the old one's data can be removed.
        if path not in placed and _is(head, ours):
            with suppress(OSError):
                path.unlink()


def _put(path: Path, place: Path) -> None:
    """Gives a file its place. Raises UnwritableFile where another is, which a rename would replace."""
    try:
        os.link(path, place)
    except OSError as error:
        if os.path.lexists(place) and not place.is_dir():
            raise _stands(place) from error
        # A file system without links: the lock has to do.
        path.rename(place)


def _is(path: Path, state: os.stat_result) -> bool:
    """Whether a path is still that of a certain file."""
    with suppress(OSError):
        return os.path.samestat(path.lstat(), state)
    return False
