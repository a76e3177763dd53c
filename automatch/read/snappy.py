"""Snappy blocks decoded; old TensorFlow versions and other writers compress checkpoint indices with it.

Format: https://github.com/google/snappy/blob/main/format_description.txt
"""

from __future__ import annotations

from automatch.read.wire import varint

__all__ = ["decompress"]


def decompress(data: bytes, limit: int) -> bytes:
    """The decompressed bytes, of at most `limit`. Raises ValueError for damage or more than that."""
    size, at = varint(data, 0, min(5, len(data)))
    if size > limit:
        raise ValueError(f"a compressed block of {size} bytes, more than {limit}")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        length, offset, at = _element(data, tag, at + 1)
        if offset == 0 and not tag & 3:
            out += data[at : at + length]
            at += length
        elif 0 < offset <= len(out):
            # A copy may overlap what it writes: it repeats the last `offset` bytes.
            piece = out[len(out) - offset :][:length]
            out += (piece * (length // len(piece) + 1))[:length]
        else:
            raise ValueError("a compressed block refers to bytes before its start")
        if len(out) > size:
            break
    if at > len(data) or len(out) != size:
        raise ValueError("a compressed block has another length than it says")
    return bytes(out)


def _element(data: bytes, tag: int, at: int) -> tuple[int, int, int]:
    """Length, offset (0 for a literal) and the place after the header of one element."""
    kind = tag & 3
    if kind == 0:
        length = tag >> 2
        if length < 60:
            return length + 1, 0, at
        extra = length - 59
        return int.from_bytes(data[at : at + extra], "little") + 1, 0, at + extra
    if kind == 1:
        return (tag >> 2 & 7) + 4, tag >> 5 << 8 | data[at], at + 1
    width = 2 if kind == 2 else 4
    return (tag >> 2) + 1, int.from_bytes(data[at : at + width], "little"), at + width
