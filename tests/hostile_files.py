"""Checkpoints put together by hand, field by field, and what reading a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from automatch.errors import UnreadableFile
from automatch.read import read
from automatch.read.wire import encode
from automatch.rewrite.table import table as written
from real_files import DATA

PLAIN = DATA / "lstm-sharded_tf0.12_to_tf1.2" / "model.ckpt"


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer: a varint, or bytes with their length."""
    if isinstance(value, int):
        return encode(number << 3) + encode(value & (2**64 - 1))
    return encode(number << 3 | 2) + encode(len(value)) + value


def shape(*sizes: int) -> bytes:
    return b"".join(field(2, field(1, size)) for size in sizes)


def entry(dtype: int = 1, dims: bytes = shape(2), size: int = 8, offset: int = 0, shard: int = 0) -> bytes:
    head = field(1, dtype) + field(2, dims) + field(3, shard) + field(4, offset) + field(5, size)
    return head + b"\x35" + bytes(4)


HEADER = field(1, 1) + field(3, field(1, 1))


def index(folder: Path, *rows: tuple[bytes, bytes], header: bytes | None = HEADER) -> Path:
    """A checkpoint of an index with these rows, checksums right, and a data shard of eight bytes."""
    every = [*([(b"", header)] if header is not None else []), *rows]
    (folder / "x.index").write_bytes(written(every))
    (folder / "x.data-00000-of-00001").write_bytes(bytes(8))
    return folder / "x"


def refused(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(UnreadableFile) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600 + len(str(path))
    return message
