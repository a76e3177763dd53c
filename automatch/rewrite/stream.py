"""Values on their way into a file: as bytes of the target, in pieces of bounded size."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from automatch.errors import RestoreError
from automatch.moves import Move
from automatch.shards import Shards, masked
from automatch.tensor import Listing, Shape
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "byte_chunks",
    "check_dtypes",
    "encoded_strings",
    "nbytes",
    "source_array",
    "target_shape",
    "target_view",
]

CHUNK = 32 * 2**20

Cut = tuple[slice, ...]


def source_array(move: Move, source: Listing, shards: Shards | None) -> np.ndarray:
    """The verified value of a move's source: the mapped file where that can be, which takes no memory.

    Raises UnreadableFile for damaged bytes.
    """
    name = move.source.name
    if shards is not None:
        shards.verify(name)
        mapped = shards.mapped(name)
        if mapped is not None:
            return mapped
    assert source.values is not None
    return source.values(name)


def target_shape(move: Move) -> Shape:
    """The shape of the target, or of the source where a graph leaves the target's open."""
    shape = move.target.shape
    if shape is None or any(axis < 0 for axis in shape):
        return move.source.shape or ()
    return shape


def nbytes(move: Move) -> int:
    """Bytes of the target's value."""
    return (move.source.size or 0) * numpy_dtype(move.target.dtype).itemsize


def check_dtypes(moves: Iterable[Move], known: Container[str], form: str) -> None:
    """Nothing, if a form of file has every target's dtype. Raises RestoreError."""
    for move in moves:
        if move.target.dtype not in known:
            raise RestoreError(
                f"'{move.target.name}' is {move.target.dtype}, which {form} cannot hold. "
                "Reject the pair to leave it out."
            )


def target_view(move: Move, array: np.ndarray, cut: Cut = ()) -> np.ndarray:
    """The elements of the target in its row-major order, without a copy where that can be.

    cut: the index of a part of it.
    """
    view = move.transform.view(array)
    return view.reshape(target_shape(move))[cut] if cut else view


def byte_chunks(move: Move, array: np.ndarray, endian: str = "little", cut: Cut = ()) -> Iterator[np.ndarray]:
    """The bytes of the target's value in row-major order, as arrays of at most some 32 MB.

    cut: the index of a part of the target, of which alone they are.

    Raises RestoreError for a value that the conversion to the target's dtype would destroy.
    """
    import numpy as np

    dtype = numpy_dtype(move.target.dtype)
    for block in _blocks(target_view(move, array, cut)):
        move.check(block)
        values = np.ascontiguousarray(block, dtype=dtype)
        if endian != "little":
            values = values.byteswap()
        yield values.reshape(-1).view(np.uint8)


def _blocks(view: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of an array whose row-major values, one part after the other, are those of the whole."""
    if view.nbytes <= CHUNK or view.ndim == 0:
        yield view
        return
    rows = CHUNK // (view.nbytes // len(view))
    if rows == 0:
        for row in view:
            yield from _blocks(row)
    else:
        for start in range(0, len(view), rows):
            yield view[start : start + rows]


def encoded_strings(values: Iterable[bytes], endian: Literal["little", "big"]) -> tuple[bytes, int]:
    """The bytes of a string tensor as a data shard holds them, and their masked checksum.

    Lengths as varints, a checksum of the lengths as fixed integers, then the strings.
    """
    import google_crc32c

    from automatch.rewrite.table import varint

    strings = list(values)
    order = "<" if endian == "little" else ">"
    fixed = b"".join(struct.pack(order + ("I" if len(s) < 2**32 else "Q"), len(s)) for s in strings)
    mark = struct.pack(order + "I", masked(google_crc32c.value(fixed)))
    body = b"".join(strings)
    crc = google_crc32c.value(fixed + mark + body)
    return b"".join(varint(len(s)) for s in strings) + mark + body, masked(crc)
