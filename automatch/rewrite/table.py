"""The sorted string table of a checkpoint's index, written; `automatch.read.table` has the format."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from automatch.read.table import FOOTER_SIZE, MAGIC, masked_crc

__all__ = ["table", "varint"]

# TensorFlow writes blocks of 256 KiB with a restart point every 16 entries.
_BLOCK = 256 * 1024
_RESTART = 16


def table(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The bytes of a table of these keys and values; keys must ascend strictly, compared as bytes."""
    out = bytearray()
    index: list[tuple[bytes, bytes]] = []
    block = _Block()
    for key, value in rows:
        block.add(key, value)
        if block.size >= _BLOCK:
            index.append((block.last, _place(out, block.finished())))
            block = _Block()
    if block.size or not index:
        index.append((block.last, _place(out, block.finished())))
    meta = _place(out, _Block().finished())
    # In the index each entry is found by binary search: every one is a restart point.
    top = _Block(restart=1)
    for key, handle in index:
        top.add(key, handle)
    handles = meta + _place(out, top.finished())
    out += handles.ljust(FOOTER_SIZE - len(MAGIC), b"\x00") + MAGIC
    return bytes(out)


def varint(number: int) -> bytes:
    """An unsigned number in groups of seven bits, lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _place(out: bytearray, block: bytes) -> bytes:
    """The handle of a block, after it has been written without compression, with its checksum."""
    handle = varint(len(out)) + varint(len(block))
    block += b"\x00"
    out += block + struct.pack("<I", masked_crc(block))
    return handle


class _Block:
    """Entries whose keys leave out what they share with the key before."""

    def __init__(self, restart: int = _RESTART) -> None:
        self.last = b""
        self._bytes = bytearray()
        self._restarts = [0]
        self._every = restart
        self._count = 0

    @property
    def size(self) -> int:
        return len(self._bytes)

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._count and self._count % self._every == 0:
            self._restarts.append(len(self._bytes))
        elif self._count:
            shared = _shared(self.last, key)
        self._bytes += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self.last = key
        self._count += 1

    def finished(self) -> bytes:
        return bytes(self._bytes) + struct.pack(
            f"<{len(self._restarts) + 1}I", *self._restarts, len(self._restarts)
        )


def _shared(one: bytes, other: bytes) -> int:
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(i for i in range(most) if one[i] != other[i])
