"""Zip archives read in place: members are looked up, never unpacked under a name of theirs.

The archive's directory is read once, by `zipfile`; members are then read by their place in the file, so that
a thousand values do not read the directory a thousand times.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from automatch.errors import UnreadableFile
from automatch.read.files import damage_as_error, open_regular

__all__ = ["Directory", "beginning", "check_size", "content", "directory", "members", "part", "seekable"]

Directory = dict[str, zipfile.ZipInfo]

_MARK = b"PK\x03\x04"
# Weights are hardly ever packed tighter than 20 times, and deflate reaches 1,032 times at most; half a
# gigabyte is no harm either way.
_SHRUNK = 20
_UNPACKED = 512 * 2**20

# Packing makes nothing longer than by a few bytes a block.
_SLACK = 1024

_DAMAGE = (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError)


class _Window(io.RawIOBase):
    """A stretch of a file as a file of its own; closing it closes the whole."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def close(self) -> None:
        self._file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._start + self._at)
        data = self._file.read(min(len(buffer), max(0, self._length - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def directory(path: Path) -> Directory:
    """The members of an archive by name. Raises UnreadableFile, also for a name that is there twice."""
    with damage_as_error(path, "archive"), open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
        except _DAMAGE as error:
            raise ValueError(str(error)) from error
    found = {info.filename: info for info in infos}
    if len(found) < len(infos):
        raise UnreadableFile(f"'{path}' has two members of one name. Copy it again from where it was made.")
    return found


def members(path: Path, head: bytes) -> frozenset[str]:
    """The names in a file that begins like an archive; empty where it cannot be read as one."""
    if not head.startswith(_MARK):
        return frozenset()
    try:
        return frozenset(directory(path))
    except UnreadableFile:
        return frozenset()


def check_size(info: zipfile.ZipInfo, limit: int | None = None) -> None:
    """Raises ValueError for a member of more bytes than the limit, or than are likely for its packed size."""
    if info.file_size > (max(_UNPACKED, _SHRUNK * info.compress_size) if limit is None else limit):
        sizes = f"from {info.compress_size} to {info.file_size} bytes"
        raise ValueError(f"'{info.filename}' in it unpacks {sizes}")


def content(path: Path, info: zipfile.ZipInfo, limit: int | None = None) -> bytes:
    """All bytes of a member, checked against its checksum. Raises ValueError for damage or too many."""
    check_size(info, limit)
    with open_regular(path) as file:
        file.seek(_start(file, info))
        data = file.read(min(info.compress_size, os.fstat(file.fileno()).st_size))
    if info.compress_type == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, info.file_size + 1)
        except zlib.error as error:
            raise ValueError(f"'{info.filename}' in it cannot be unpacked: {error}") from error
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise ValueError(f"'{info.filename}' in it does not fit its checksum")
    return data


def part(path: Path, info: zipfile.ZipInfo, start: int, length: int) -> bytes:
    """`length` bytes from `start` of a member, read alone and unchecked where it is not packed."""
    if start + length > info.file_size:
        raise ValueError(f"'{info.filename}' in it has only {info.file_size} bytes")
    if info.compress_type != zipfile.ZIP_STORED or length == info.file_size:
        return content(path, info)[start : start + length]
    with open_regular(path) as file:
        file.seek(_start(file, info) + start)
        return file.read(length)


def beginning(path: Path, info: zipfile.ZipInfo, length: int) -> bytes:
    """The first bytes of a member, at most `length`, without unpacking the rest. Raises ValueError."""
    with open_regular(path) as file:
        file.seek(_start(file, info))
        data = file.read(min(info.compress_size, length + _SLACK))
    if info.compress_type == zipfile.ZIP_STORED:
        return data[:length]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, length)
    except zlib.error as error:
        raise ValueError(f"'{info.filename}' in it cannot be unpacked: {error}") from error


def seekable(path: Path, info: zipfile.ZipInfo) -> BinaryIO:
    """A member as a file to be read in any order; to be closed."""
    if info.compress_type != zipfile.ZIP_STORED:
        return io.BytesIO(content(path, info))
    file = open_regular(path)
    return cast(BinaryIO, io.BufferedReader(_Window(file, _start(file, info), info.file_size)))


def _start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin: behind its local header, name and extra field. Raises ValueError."""
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"'{info.filename}' in it is encrypted or packed in an uncommon way")
    file.seek(info.header_offset)
    header = file.read(30)
    if header[:4] != _MARK:
        raise ValueError(f"'{info.filename}' in it is not where the directory says")
    name, extra = struct.unpack("<HH", header[26:])
    return info.header_offset + 30 + int(name) + int(extra)
