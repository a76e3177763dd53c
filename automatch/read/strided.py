"""Arrays as views of storages: a place in a run of bytes, with a stride for each axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automatch.tensor import Shape
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Fetch", "Strided", "laid_out"]

Fetch = Callable[[str, int, int], bytes]
"""`length` bytes from `start` of the storage with a key."""

# Axes of stride 0 make an array of any size from one element; beyond this only if the storage is as large.
_SPREAD = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Strided:
    """An array in a storage; offset and strides count elements. Equal ones are the same tensor."""

    key: str
    dtype: str
    elements: int
    offset: int
    shape: Shape
    strides: Shape

    @property
    def extent(self) -> int:
        """Elements of the storage from the array's first to its last; ValueError if not all there."""
        count = 1
        for axis in self.shape:
            count *= axis
        if count == 0:
            return 0
        extent = 1 + sum((axis - 1) * stride for axis, stride in zip(self.shape, self.strides, strict=True))
        if min(self.offset, extent, *self.strides, 0) < 0 or self.offset + extent > self.elements:
            raise ValueError(f"a tensor of shape {list(self.shape)} reaches beyond its storage")
        if count > max(self.elements, _SPREAD):
            raise ValueError(f"a tensor of shape {list(self.shape)} repeats {self.elements} elements")
        return extent


def laid_out(array: Strided, fetch: Fetch, *, big_endian: bool) -> np.ndarray:
    """The array's values, in row-major order. Raises ValueError where they are not all there."""
    import numpy as np

    dtype = numpy_dtype(array.dtype)
    extent = array.extent
    data = fetch(array.key, array.offset * dtype.itemsize, extent * dtype.itemsize) if extent else b""
    if len(data) != extent * dtype.itemsize:
        raise ValueError(f"{extent} elements of storage '{array.key}' are needed, and less is there")
    # The types of ml_dtypes know no other byte order than the machine's.
    plain = dtype.kind in "biufc"
    if big_endian and not plain:
        data = np.frombuffer(data, f">u{dtype.itemsize}").astype(f"<u{dtype.itemsize}").tobytes()
    stored = dtype.newbyteorder(">" if big_endian else "<") if plain else dtype
    strides = [stride * dtype.itemsize for stride in array.strides]
    return np.ascontiguousarray(np.ndarray(array.shape, stored, data, 0, strides), dtype)
