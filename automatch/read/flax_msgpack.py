"""Flax's own files: a MessagePack tree whose arrays are extension objects, stepped over and read on demand.

Format: https://github.com/msgpack/msgpack/blob/master/spec.md; Flax packs `(shape, dtype name, bytes)` into
an extension of type 1 (arrays) or 3 (scalars), and cuts arrays over a gigabyte into a dictionary of chunks.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from automatch.errors import PlanConflict
from automatch.layout import framework_of_names
from automatch.read.files import damage_as_error, open_regular
from automatch.read.trees import leaves, named
from automatch.tensor import Listing, Shape
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

_KIND = "Flax file"
_DEEPEST = 64
_ARRAYS = (1, 3)
_CHUNKED = "__msgpack_chunked_array__"

# First byte -> form of the length that follows, by family.
_MAPS = {0xDE: ">H", 0xDF: ">I"}
_LISTS = {0xDC: ">H", 0xDD: ">I"}
_TEXTS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_EXTENSIONS = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_NUMBERS = {
    0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


@dataclass(frozen=True, slots=True)
class _Array:
    """Shape and dtype of an array, and where its bytes lie; of each piece where it is in pieces."""

    shape: Shape
    dtype: str
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A run of bytes that was stepped over."""

    start: int
    length: int


class _Steps:
    """Reads a file object by object, and steps over whatever is bulky."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    def take(self, form: str) -> Any:
        data = self._file.read(struct.calcsize(form))
        return struct.unpack(form, data)[0]

    def skip(self, length: int) -> _Bytes:
        start = self._file.tell()
        if start + length > self._size:
            raise ValueError("it ends inside an array")
        self._file.seek(length, os.SEEK_CUR)
        return _Bytes(start, length)

    def text(self, length: int) -> str:
        self.skip(length)
        self._file.seek(-length, os.SEEK_CUR)
        return self._file.read(length).decode("utf-8", "surrogateescape")

    def read(self, depth: int = 0) -> Any:
        """The next object: dictionaries keep only what holds arrays."""
        if depth > _DEEPEST:
            raise ValueError(f"it is nested deeper than {_DEEPEST}")
        first = self.take(">B")
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 256
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            return self.take(_NUMBERS[first])
        if first < 0x90 or first in _MAPS:
            return self.mapping(self._count(first, 0x80, _MAPS), depth)
        if first < 0xA0 or first in _LISTS:
            return self.sequence(self._count(first, 0x90, _LISTS), depth)
        if first < 0xC0 or first in _TEXTS:
            return self.text(self._count(first, 0xA0, _TEXTS))
        if first in _BYTES:
            return self.skip(self.take(_BYTES[first]))
        length = _FIXED_EXTENSIONS.get(first) or self.take(_EXTENSIONS[first])
        return self.extension(length, depth)

    def _count(self, first: int, base: int, forms: dict[int, str]) -> int:
        return int(self.take(forms[first])) if first in forms else first - base

    def mapping(self, count: int, depth: int) -> Any:
        found: dict[str, Any] = {}
        for _ in range(count):
            key, value = self.read(depth + 1), self.read(depth + 1)
            if str(key) in found:
                raise ValueError(f"it has the key '{key}' twice")
            # What holds no array is dropped at once: a file of empty dictionaries would fill the memory.
            if isinstance(value, (_Array, dict)) or (isinstance(value, int) and count <= _DEEPEST):
                found[str(key)] = value
        return _joined(found) if _CHUNKED in found else found or None

    def sequence(self, count: int, depth: int) -> Any:
        items = ((str(index), self.read(depth + 1)) for index in range(count))
        return {index: item for index, item in items if isinstance(item, (_Array, dict))} or None

    def extension(self, length: int, depth: int) -> _Array | None:
        kind = self.take(">b")
        after = self.skip(length)
        if kind not in _ARRAYS:
            return None
        self._file.seek(after.start)
        if self.take(">B") != 0x93:
            raise ValueError("an array in it has no shape, dtype and bytes")
        shape, dtype, content = self._shape(), self.read(depth + 1), self.read(depth + 1)
        array = _array(shape, dtype, content)
        if self._file.tell() != after.start + length:
            raise ValueError("an array in it is longer or shorter than said")
        return array

    def _shape(self) -> Shape:
        first = self.take(">B")
        return tuple(self.read(_DEEPEST) for _ in range(self._count(first, 0x90, _LISTS)))


def _array(shape: Any, dtype: Any, content: Any) -> _Array:
    """Checks what an extension object says of itself. Raises ValueError."""
    if not isinstance(content, _Bytes) or not isinstance(dtype, str):
        raise ValueError("an array in it has no shape, dtype and bytes")
    if not all(isinstance(axis, int) and axis >= 0 for axis in shape):
        raise ValueError(f"an array in it has the shape {shape}")
    try:
        size = math.prod(shape) * numpy_dtype(dtype).itemsize
    except PlanConflict as error:
        raise ValueError(f"an array in it has the unknown dtype {dtype!r}") from error
    if size != content.length:
        raise ValueError(f"an array of shape {shape} in it has {content.length} bytes, which is not its size")
    return _Array(shape, dtype, ((content.start, content.length),))


def _joined(found: dict[str, Any]) -> _Array:
    """The array that a dictionary of chunks stands for. Raises ValueError."""
    sizes, chunks = found.get("shape"), found.get("chunks")
    if not isinstance(sizes, dict) or not isinstance(chunks, dict):
        raise ValueError("an array in chunks in it is damaged")
    shape = tuple(sizes[str(axis)] for axis in range(len(sizes)))
    pieces = [chunks[str(index)] for index in range(len(chunks))]
    if not pieces or not all(isinstance(piece, _Array) for piece in pieces):
        raise ValueError("an array in chunks in it is damaged")
    if sum(math.prod(piece.shape) for piece in pieces) != math.prod(shape):
        raise ValueError(f"the chunks of an array in it do not make the shape {shape}")
    return _Array(shape, pieces[0].dtype, tuple(place for piece in pieces for place in piece.places))


def matches(_path: Path, head: bytes) -> bool:
    """Whether the file begins with a dictionary whose first key is a text."""
    header = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x80 < head[0] < 0x90 else 0) if head else 0
    key = head[header : header + 1]
    if not header or not key or not (0xA0 < key[0] < 0xC0 or key[0] == 0xD9):
        return False
    text = (
        head[header + 1 : header + 1 + (key[0] & 0x1F)]
        if key[0] < 0xC0
        else head[header + 2 :][: head[header + 1]]
    )
    return text.isascii() and text.decode("ascii").isprintable()


def read(path: Path) -> Listing:
    """The listing of a Flax MessagePack file, sorted by name. Raises UnreadableFile."""
    with damage_as_error(path, _KIND), open_regular(path) as file:
        tree = _Steps(file).read()
        found = list(leaves(tree, _leaf, _children))
        if not found:
            raise ValueError("it holds no arrays")
        tensors, arrays = named(found, "/")

    def values(name: str) -> np.ndarray:
        with damage_as_error(path, _KIND):
            return _value(path, arrays[name])

    ordered = tuple(sorted(tensors, key=lambda tensor: tensor.name))
    framework = framework_of_names(ordered, "flax")
    return Listing(ordered, "flax-msgpack", framework, path=str(path), values=values)


def _leaf(node: Any) -> tuple[Shape, str, _Array] | None:
    return (node.shape, node.dtype, node) if isinstance(node, _Array) else None


def _children(node: Any) -> list[tuple[str | None, Any]]:
    return list(node.items()) if isinstance(node, dict) else []


def _value(path: Path, array: _Array) -> np.ndarray:
    import numpy as np

    with open_regular(path) as file:
        pieces = []
        for start, length in array.places:
            file.seek(start)
            pieces.append(file.read(length))
    return np.frombuffer(b"".join(pieces), numpy_dtype(array.dtype)).reshape(array.shape)
