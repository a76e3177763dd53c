"""The sorted string table that every TensorFlow checkpoint index is: keys and values in checksummed blocks.

    block  = entries, restart offsets (uint32 each), their number (uint32)
    entry  = varint shared, varint unshared, varint value length, the unshared end of the key, value
    block on disk = block, 1 byte compression (0 none, 1 snappy), masked crc32c of both
    footer = handles (varint offset, varint size) of the meta index and the index, zeros to 40 bytes, magic

Format: https://github.com/google/leveldb/blob/main/doc/table_format.md
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from automatch.read.snappy import decompress
from automatch.read.wire import varint

__all__ = [
    "FOOTER_SIZE",
    "MAGIC",
    "TRAILER_SIZE",
    "Handle",
    "Rows",
    "first_row",
    "is_table",
    "masked_crc",
    "rows",
]

MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_SIZE = 48
TRAILER_SIZE = 5

Rows = list[tuple[bytes, bytes]]

# A table that unpacks to more than this times its size is no index that anybody wrote in earnest.
_EXPANSION = 16
_SMALL = 64 * 2**20
# Of the largest models known, each has fewer tensors by far.
_MAX_ROWS = 2_000_000


class Buffer(Protocol):
    """Bytes or a memory map: what has a length and can be sliced into bytes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Handle:
    """Where a block lies, without its trailer."""

    offset: int
    size: int


def is_table(tail: bytes) -> bool:
    """Whether the last bytes of a file are a table's."""
    return tail.endswith(MAGIC)


def masked_crc(data: bytes) -> int:
    """The masked crc32c that tables and checkpoints store: rotated and shifted, as LevelDB does."""
    import google_crc32c

    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def rows(data: Buffer) -> Rows:
    """All keys and values, strictly ascending. Raises ValueError for anything that is not exactly a table."""
    budget = _SMALL + _EXPANSION * len(data)
    found: Rows = []
    last = b""
    for separator, handle in _index(data):
        block = _rows_at(data, handle, budget)
        if block and found and block[0][0] <= last:
            raise ValueError("its keys are not in order")
        if block and block[-1][0] > separator:
            raise ValueError("its index does not fit its keys")
        found += block
        if len(found) > _MAX_ROWS:
            raise ValueError(f"it names more than {_MAX_ROWS} tensors")
        last = separator
        budget -= sum(len(key) + len(value) for key, value in block)
    return found


def first_row(data: Buffer) -> tuple[bytes, bytes]:
    """The first key and value, without reading the rest. Raises ValueError where there is none."""
    for _, handle in _index(data):
        for row in _rows_at(data, handle, _SMALL + handle.size):
            return row
    raise ValueError("it holds nothing")


def find_row(data: Buffer, key: bytes) -> bytes | None:
    """The value of a key, reading one block; None if there is none. Raises ValueError for damage."""
    for separator, handle in _index(data):
        if separator >= key:
            return dict(_rows_at(data, handle, _SMALL + handle.size)).get(key)
    return None


def _index(data: Buffer) -> Iterator[tuple[bytes, Handle]]:
    """Separator and handle of each data block, in order and apart from each other."""
    end = len(data) - FOOTER_SIZE
    footer = data[max(end, 0) : len(data)]
    if end < 0 or not is_table(footer):
        raise ValueError("it does not end as an index does")
    _, at = _handle(footer, 0, end)
    handle, at = _handle(footer, at, end)
    if any(footer[at:40]):
        raise ValueError("its last bytes are not those of an index")
    place = 0
    for separator, value in _rows_at(data, handle, _SMALL + len(data)):
        block, at = _handle(value, 0, end)
        if at != len(value) or block.offset < place:
            raise ValueError("its blocks overlap")
        place = block.offset + block.size + TRAILER_SIZE
        yield separator, block


def _handle(data: bytes, at: int, end: int) -> tuple[Handle, int]:
    offset, at = varint(data, at, min(at + 10, len(data)))
    size, at = varint(data, at, min(at + 10, len(data)))
    if offset + size + TRAILER_SIZE > end:
        raise ValueError("a block lies outside the file")
    return Handle(offset, size), at


def _rows_at(data: Buffer, handle: Handle, budget: int) -> Rows:
    return _entries(_block(data, handle, budget), budget)


def _block(data: Buffer, handle: Handle, limit: int) -> bytes:
    """The bytes of a block, its checksum verified and decompressed."""
    stop = handle.offset + handle.size
    raw = data[handle.offset : stop + 1]
    if masked_crc(raw) != int.from_bytes(data[stop + 1 : stop + TRAILER_SIZE], "little"):
        raise ValueError("a block has another checksum than it says")
    kind = raw[-1]
    if kind == 0:
        return raw[:-1]
    if kind == 1:
        return decompress(raw[:-1], limit)
    raise ValueError(f"a block is compressed in an unknown way ({kind})")


def _entries(block: bytes, budget: int) -> Rows:
    """Keys and values of one block, checked to ascend and to agree with its restart points."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * count
    if end < 0 or len(block) < 4:
        raise ValueError("a block is shorter than it says")
    found: Rows = []
    whole = {0}
    key, at = b"", 0
    while at < end:
        start = at
        shared, unshared, length = block[at], block[at + 1], block[at + 2]
        if (shared | unshared | length) < 128:
            at += 3
        else:
            shared, at = varint(block, at, end)
            unshared, at = varint(block, at, end)
            length, at = varint(block, at, end)
        middle = at + unshared
        after = middle + length
        if shared > len(key) or after > end:
            raise ValueError("an entry reaches beyond its block")
        new = key[:shared] + block[at:middle]
        if new <= key and found:
            raise ValueError("its keys are not in order")
        if not shared:
            whole.add(start)
        key, at = new, after
        found.append((key, block[middle:after]))
        budget -= len(key)
        if budget < 0:
            raise ValueError("its names take more room than any real index needs")
    if not whole.issuperset(struct.unpack(f"<{count}I", block[end:-4])):
        raise ValueError("a block's restart points do not fit its entries")
    return found
