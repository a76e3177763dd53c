"""Entries of a checkpoint's index, written: `automatch.read.bundle` has the format."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from automatch.read.bundle import Entry, Header
from automatch.read.slices import Extent, slice_key
from automatch.rewrite.table import table, varint

__all__ = ["index_bytes"]


def index_bytes(
    header: Header, entries: Mapping[str, Entry], pieces: Mapping[tuple[str, Extent], Entry]
) -> bytes:
    """The index file of a checkpoint with these tensors, and these pieces of the partitioned ones."""
    rows = {name.encode(): _entry(entry) for name, entry in entries.items()}
    rows |= {slice_key(name, extent): _entry(entry) for (name, extent), entry in pieces.items()}
    # TensorFlow lists a table with unsorted keys, and then does not find what it has listed.
    return table([(b"", _header(header)), *sorted(rows.items())])


def _header(header: Header) -> bytes:
    endian = _number(2, 1) if header.endian == "big" else b""
    version = _number(1, 1) + (_number(2, header.min_consumer) if header.min_consumer else b"")
    return _number(1, header.shards) + endian + _message(3, version)


def _entry(entry: Entry) -> bytes:
    numbers = ((3, entry.shard), (4, entry.offset), (5, entry.size))
    return (
        _number(1, entry.dtype)
        + _message(2, b"".join(_message(2, _number(1, axis)) for axis in entry.shape))
        + b"".join(_number(tag, number) for tag, number in numbers if number)
        + (b"\x35" + struct.pack("<I", entry.crc) if entry.crc else b"")
        + b"".join(_message(7, _extent(extent)) for extent in entry.slices)
    )


def _extent(extent: Extent) -> bytes:
    axes = []
    for start, length in extent:
        known = _number(1, start) if start else b""
        # No length stands for the whole axis.
        axes.append(_message(1, known + (_number(2, length) if length >= 0 else b"")))
    return b"".join(axes)


def _number(tag: int, number: int) -> bytes:
    return varint(tag << 3) + varint(number)


def _message(tag: int, content: bytes) -> bytes:
    return varint(tag << 3 | 2) + varint(len(content)) + content
