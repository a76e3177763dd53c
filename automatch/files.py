"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from automatch.errors import UnwritableFile

__all__ = ["reason", "write_whole"]


def reason(error: OSError) -> str:
    """The operating system's own words for an error, in lower case: 'no space left on device'."""
    return (error.strerror or str(error)).lower()


def write_whole(path: str | os.PathLike[str], data: bytes) -> Path:
    """The path, after its content has been replaced by data in one step.

    A reader, or a machine that stops half way, meets the old file or the new one, never a mixture. A device
    or a pipe is written to as it stands.

    Raises:
        UnwritableFile: the folder is missing or read-only, the disk is full, the path is a folder.
    """
    # A link is followed: whoever linked the plan to another place wants that place to be written.
    place = Path(os.path.realpath(path))
    try:
        if place.exists() and not place.is_file():
            if place.is_dir():
                raise UnwritableFile(f"'{path}' is a folder. Name a file to write.")
            place.write_bytes(data)
        else:
            _replace(place, data)
    except OSError as error:
        raise UnwritableFile(
            f"cannot write '{path}': {reason(error)}. Name another place with -o, or make room there."
        ) from error
    return Path(path)


def _replace(place: Path, data: bytes) -> None:
    temporary = place.with_name(f".{place.name[:100]}.{secrets.token_hex(6)}.tmp")
    # Not tempfile: its files are private to their owner, and a plan is for colleagues.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            temporary.chmod(stat.S_IMODE(place.stat().st_mode))
        temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
