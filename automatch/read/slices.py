"""Slices of partitioned variables: their place in the whole, and the key a checkpoint keeps them under."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import prod

from automatch.read import wire
from automatch.tensor import Shape

__all__ = ["Extent", "check_apart", "is_whole", "placed", "read_extent", "slice_key"]

Extent = tuple[tuple[int, int], ...]
"""Start and length per axis; length -1 stands for the whole axis."""

# Beyond this many pieces cut along several axes, comparing all pairs would take too long.
_MAX_GRID = 64


def read_extent(data: bytes, at: int, end: int) -> Extent:
    """The TensorSliceProto in data[at:end]. Raises ValueError for damage."""
    axes = []
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x0A:
            known = {tag: wire.signed(number) for tag, number, _ in wire.fields(data, first, last)}
            axes.append((known.get(0x08, 0), known.get(0x10, -1)))
    return tuple(axes)


def placed(extent: Extent, whole: Shape) -> tuple[Shape, Shape]:
    """Offset and shape of a slice of a tensor of shape `whole`. Raises ValueError where it lies outside."""
    if len(extent) != len(whole):
        raise ValueError(f"a piece of {len(extent)} axes of a tensor of {len(whole)}")
    shape = tuple(size if length == -1 else length for (_, length), size in zip(extent, whole, strict=True))
    offset = tuple(start for start, _ in extent)
    if any(
        start < 0 or length < 0 or start + length > size
        for start, length, size in zip(offset, shape, whole, strict=True)
    ):
        raise ValueError(f"a piece lies outside of its tensor of shape {list(whole)}")
    return offset, shape


def check_apart(whole: Shape, extents: tuple[Extent, ...]) -> None:
    """Raises ValueError unless the slices lie inside a tensor of shape `whole` and apart from each other."""
    boxes = sorted(placed(extent, whole) for extent in extents)
    full = [box for box in boxes if prod(box[1])]
    cut = [axis for axis, size in enumerate(whole) if any(shape[axis] != size for _, shape in full)]
    if len(cut) <= 1:
        # Cut along one axis, as partitioners do: sorted by offset, neighbours tell.
        pairs = list(pairwise(full))
    elif len(full) <= _MAX_GRID:
        pairs = list(combinations(full, 2))
    else:
        raise ValueError(f"a tensor in {len(full)} pieces along several axes")
    if any(_overlap(one, other) for one, other in pairs):
        raise ValueError(f"pieces of a tensor of shape {list(whole)} overlap")


def is_whole(whole: Shape, extents: tuple[Extent, ...]) -> bool:
    """Whether slices that lie apart make up the whole tensor.

    They need not: TensorFlow saves the slots of a partitioned variable inside a scope each under a name of
    its own, as a tensor of which all other pieces are missing.
    """
    return sum(prod(placed(extent, whole)[1]) for extent in extents) == prod(whole)


def _overlap(one: tuple[Shape, Shape], other: tuple[Shape, Shape]) -> bool:
    return all(
        start < begin + length and begin < start + size
        for start, size, begin, length in zip(*one, *other, strict=True)
    )


def slice_key(name: str, extent: Extent) -> bytes:
    """The key of a slice in a checkpoint's table.

    It is in the ordered code of tensorflow/core/lib/strings/ordered_code.h: bytes sort as what they encode.
    """
    # Byte 255 would be escaped too, but no UTF-8 has it.
    escaped = name.encode().replace(b"\x00", b"\x00\xff")
    numbers = b"".join(_ordered(number) for axis in extent for number in axis)
    return b"\x00" + escaped + b"\x00\x01" + _counted(len(extent)) + numbers


def _counted(number: int) -> bytes:
    digits = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes([len(digits)]) + digits


def _ordered(number: int) -> bytes:
    """A signed number in ordered code: its leading ones count its bytes, as in UTF-8."""
    bits = (number if number >= 0 else ~number).bit_length()
    length = bits // 7 + 1
    header = ((1 << length) - 1) << 7 * length
    return ((number & (1 << 8 * length) - 1) ^ header).to_bytes(length, "big")
