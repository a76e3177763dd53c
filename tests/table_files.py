"""Tables put together by hand, block by block."""

from __future__ import annotations

from automatch.read.table import MAGIC, masked_crc
from automatch.read.wire import encode

EMPTY = bytes(4) + b"\x01" + bytes(3)


def restarts(*offsets: int) -> bytes:
    """The end of a block: where entries with whole keys begin, and how many there are."""
    return b"".join(at.to_bytes(4, "little") for at in (*offsets, len(offsets)))


def one_block_table(block: bytes, kind: bytes = b"\x00", separator: bytes = b"\xfe") -> bytes:
    """A table of one data block, with its checksum right; kind is how the block is compressed."""
    out = bytearray()

    def placed(content: bytes, kind: bytes = b"\x00") -> bytes:
        handle = encode(len(out)) + encode(len(content))
        out.extend(content + kind + masked_crc(content + kind).to_bytes(4, "little"))
        return handle

    data = placed(block, kind)
    meta = placed(EMPTY)
    entry = encode(0) + encode(len(separator)) + encode(len(data)) + separator + data
    handles = meta + placed(entry + restarts(0))
    return bytes(out) + handles.ljust(40, b"\x00") + MAGIC
