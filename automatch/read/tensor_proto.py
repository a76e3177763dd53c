"""Tensors written into messages (TensorProto): constants of a graph, values of the first checkpoint format.

Format: tensorflow/core/framework/tensor.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from automatch.read import wire
from automatch.read.tf_types import NAME, OPAQUE, STRING, numpy_dtype
from automatch.tensor import Shape

if TYPE_CHECKING:
    import numpy as np

__all__ = ["TensorSpan", "read_shape", "tensor_span"]

# Tags of the fields of typed values: fixed width in the file, and the format of one element.
_FIXED = {0x2A: "<f4", 0x32: "<f8", 0x4A: "<f4", 0x62: "<f8"}
_VARINTS = frozenset({0x3A, 0x52, 0x5A, 0x6A, 0x82, 0x8A})
_CONTENT = 0x22
_STRINGS = 0x42
_HALF = 0x6A
_MAX_DIMS = 254
_MAX_PACKED = 64 * 2**20


@dataclass(frozen=True, slots=True)
class TensorSpan:
    """A TensorProto where it lies in the file: dtype and shape decoded, the value on demand."""

    data: bytes
    start: int
    end: int
    dtype: int
    shape: Shape

    def value(self, dtype: int | None = None, shape: Shape | None = None) -> np.ndarray[Any, Any]:
        """The tensor as an array, read-only where values repeat.

        dtype and shape: for messages that leave them to the context. Raises ValueError where they do not fit.
        """
        import numpy as np

        kind = dtype or self.dtype
        shape = self.shape if shape is None else shape
        found = _values(self, kind)
        wanted = prod(shape)
        if found.size == wanted:
            return found.reshape(shape)
        if found.size > wanted or any(axis < 0 for axis in shape):
            raise ValueError(f"a constant of shape {list(shape)} with {found.size} values")
        if found.size > 1:
            # The last value stands for all that follow.
            padded = np.empty(wanted, found.dtype)
            padded[: found.size], padded[found.size :] = found, found[-1]
            return padded.reshape(shape)
        return np.broadcast_to(found if found.size else np.zeros(1, numpy_dtype(kind)), shape)


def tensor_span(data: bytes, at: int, end: int) -> TensorSpan:
    """The TensorProto in data[at:end]. Raises ValueError for a shape or dtype that no tensor has."""
    dtype = 0
    shape: Shape = ()
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x08:
            dtype = first
        elif tag == 0x12:
            shape = read_shape(data, first, last) or ()
    return TensorSpan(data, at, end, dtype, shape)


def read_shape(data: bytes, at: int, end: int) -> Shape | None:
    """The TensorShapeProto in data[at:end], -1 for an open axis; None where the rank is unknown.

    Raises ValueError for more axes than a tensor can have, or sizes that no number of bytes can hold.
    """
    sizes = []
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x18 and first:
            return None
        if tag == 0x12:
            axis = 0
            for inner, number, _ in wire.fields(data, first, last):
                if inner == 0x08:
                    axis = wire.signed(number)
            sizes.append(axis)
    if (
        len(sizes) > _MAX_DIMS
        or any(axis < -1 for axis in sizes)
        or prod(abs(axis) for axis in sizes) >= 2**63
    ):
        raise ValueError("a shape that no tensor can have")
    return tuple(sizes)


def _values(span: TensorSpan, dtype: int) -> np.ndarray[Any, Any]:
    """The values that the message holds, one after the other."""
    import numpy as np

    if dtype in OPAQUE or dtype not in NAME:
        raise ValueError(f"a constant of dtype number {dtype}, which has no value to read")
    found = list(wire.fields(span.data, span.start, span.end))
    if dtype == STRING:
        strings = [span.data[first:last] for tag, first, last in found if tag == _STRINGS]
        array = np.empty(len(strings), object)
        array[:] = strings
        return array
    kind = numpy_dtype(dtype)
    chunks = [chunk for field in found if (chunk := _chunk(span.data, field, kind)) is not None]
    flat = np.concatenate(chunks) if chunks else np.empty(0, kind)
    if kind.kind == "c" and flat.dtype.kind == "f":
        # Complex values are written as real and imaginary parts in turn.
        return flat.view(kind)
    return flat.astype(kind, copy=False)


def _chunk(data: bytes, field: wire.Field, kind: np.dtype[Any]) -> np.ndarray[Any, Any] | None:
    """The values in one field, None where it holds something else."""
    import numpy as np

    written, first, last = field
    # A repeated number has one tag when packed and another when not; both ways of writing it are in use.
    tag = written & ~7 | 2 if last == -1 or written & 7 in (1, 5) else written
    if tag == _CONTENT and last > first:
        return np.frombuffer(data[first:last], kind.newbyteorder("<")).astype(kind, copy=False)
    if tag in _FIXED:
        return np.frombuffer(data[first:last], _FIXED[tag])
    if tag in _VARINTS:
        numbers = [first] if last == -1 else list(_unpacked(data, first, last))
        return _from_varints(numbers, kind, half=tag == _HALF)
    return None


def _unpacked(data: bytes, first: int, last: int) -> Iterator[int]:
    """Packed numbers; as objects they take forty times the room."""
    if last - first > _MAX_PACKED:
        raise ValueError(f"a constant of {last - first} bytes of packed numbers")
    return wire.packed(data, first, last)


def _from_varints(numbers: list[int], kind: np.dtype[Any], *, half: bool) -> np.ndarray[Any, Any]:
    """Integers and booleans as themselves, two-byte floats as the bits they are written as."""
    import numpy as np

    if half:
        return np.frombuffer(
            struct.pack(f"<{len(numbers)}H", *(n & 0xFFFF for n in numbers)), kind.newbyteorder("<")
        )
    if kind.kind == "u":
        return np.array(numbers, np.uint64)
    return np.array([wire.signed(number) for number in numbers], np.int64)
