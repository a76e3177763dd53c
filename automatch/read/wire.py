"""Protocol buffer messages read field by field, without a schema and without copies.

A field is its tag (`number << 3 | wire type`) and two integers: the value and -1 for a varint, start and end
in the buffer for everything else. Comparing whole tags makes a field of the wrong wire type an unknown one,
as protocol buffers have it. (https://protobuf.dev/programming-guides/encoding)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["Field", "at_most", "encode", "fields", "map_entry", "packed", "signed", "text", "varint"]

Field = tuple[int, int, int]

_Item = TypeVar("_Item")


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """An unsigned varint and the place after it. Raises ValueError when it does not end before `end`."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number longer than 64 bits")
    raise ValueError("it ends in the middle of a number")


def encode(value: int) -> bytes:
    """An unsigned number as a varint."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes((*digits, value))


def fields(data: bytes, at: int = 0, end: int | None = None) -> Iterator[Field]:
    """The fields of the message in data[at:end]. Raises ValueError where the bytes are no message."""
    end = len(data) if end is None else end
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = varint(data, at - 1, end)
        kind = tag & 7
        if kind == 2:
            length = data[at] if at < end else 128
            if length > 127:
                length, at = varint(data, at, end)
            else:
                at += 1
            start, at = at, at + length
        elif kind == 0:
            value, at = varint(data, at, end)
            if tag < 8:
                raise ValueError("a field without a number")
            yield tag, value, -1
            continue
        elif kind in (1, 5):
            start, at = at, at + (8 if kind == 1 else 4)
        else:
            raise ValueError(f"a field of unknown wire type {kind}")
        if at > end or tag < 8:
            raise ValueError("a field reaches beyond its message")
        yield tag, start, at


def at_most(limit: int, items: Iterable[_Item], what: str) -> Iterator[_Item]:
    """The items, as long as there are at most `limit`: a field may take two bytes, an object two hundred.

    Raises ValueError at the first one too many.
    """
    for count, item in enumerate(items):
        if count >= limit:
            raise ValueError(f"it holds more than {limit} {what}")
        yield item


def packed(data: bytes, at: int, end: int) -> Iterator[int]:
    """The varints that lie one after the other in data[at:end]."""
    while at < end:
        value, at = varint(data, at, end)
        yield value


def text(data: bytes, start: int, end: int) -> str:
    """A UTF-8 field. Raises UnicodeDecodeError."""
    return str(data[start:end], "utf-8")


def signed(value: int) -> int:
    """A varint read as int64."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def map_entry(data: bytes, at: int, end: int) -> tuple[str, int, int]:
    """Key, and start and end of the value, of one entry of a map from strings to messages."""
    key, start, stop = "", end, end
    for tag, first, last in fields(data, at, end):
        if tag == 0x0A:
            key = text(data, first, last)
        elif tag == 0x12:
            start, stop = first, last
    return key, start, stop
