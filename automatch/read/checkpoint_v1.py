"""The first checkpoint format: one table a file, names and shapes in its first row, values in the others.

`tf.compat.v1.train.Saver(write_version=SaverDef.V1)` still writes it; TensorFlow before 0.12 had no other.
Format: tensorflow/core/util/saved_tensor_slice.proto.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.errors import UnreadableFile
from automatch.read import wire
from automatch.read.files import damage_as_error, open_regular
from automatch.read.slices import Extent, check_apart, is_whole, placed, read_extent, slice_key
from automatch.read.table import Buffer, find_row, first_row
from automatch.read.tensor_proto import read_shape, tensor_span
from automatch.read.tf_types import NAME, OPAQUE, numpy_dtype
from automatch.tensor import Listing, Shape, Tensor, Values

if TYPE_CHECKING:
    import numpy as np

__all__ = ["files_of", "is_v1", "read"]

_SHARD = re.compile(r"-(\d{5}|\?{5})-of-(\d{5})$")
_MAX_SHARDS = 100_000
_MAX_TENSORS = 2_000_000


@dataclass(frozen=True, slots=True)
class _Saved:
    """One tensor of a file: what the first row says of it, and the file."""

    shape: Shape
    dtype: int
    pieces: tuple[tuple[Extent, Path], ...]


def is_v1(path: Path) -> bool:
    """Whether a table is a checkpoint of the first format. Raises UnreadableFile for a damaged one."""
    with _mapped(path) as data:
        key, value = first_row(data)
        return not key and value[:1] == b"\x0a"


def files_of(path: Path) -> list[Path]:
    """The files a path of the first format stands for: itself, or the shards of `x` or `x-?????-of-00002`."""
    if path.is_file() and not _SHARD.search(path.name):
        return [path] if path.stat().st_size else []
    prefix = _SHARD.sub("", path.name)
    if not path.parent.is_dir():
        return []
    shards = sorted(
        path.parent.glob(escape(prefix) + "-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]")
    )
    return shards[:_MAX_SHARDS]


def read(path: Path) -> Listing:
    """The listing of a checkpoint of the first format, sorted by name. Raises UnreadableFile."""
    saved: dict[str, _Saved] = {}
    files = files_of(path)
    for file in files:
        with _mapped(file) as data:
            _collect(saved, _meta(data), file)
    with damage_as_error(path, "checkpoint"):
        for tensor in saved.values():
            check_apart(tensor.shape, tuple(extent for extent, _ in tensor.pieces))
    names = sorted(saved, key=lambda name: name.encode())
    return Listing(
        tuple(Tensor(name, saved[name].shape, NAME[saved[name].dtype]) for name in names),
        format="tf-checkpoint-v1",
        path=str(path),
        values=_values(saved),
    )


@contextmanager
def _mapped(path: Path) -> Iterator[Buffer]:
    """The file as memory that is read when touched: it holds all the weights."""
    with (
        damage_as_error(path, "checkpoint"),
        open_regular(path) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        yield data


def _meta(data: Buffer) -> list[tuple[str, Shape, int, list[Extent]]]:
    """Name, shape, dtype and slices of each tensor of a file."""
    key, value = first_row(data)
    if key:
        raise ValueError("its first row is not its table of contents")
    return [
        _slice_meta(value, first, last)
        for tag, at, end in wire.fields(value)
        if tag == 0x0A
        for inner, first, last in wire.at_most(_MAX_TENSORS, wire.fields(value, at, end), "tensors")
        if inner == 0x0A
    ]


def _slice_meta(value: bytes, at: int, end: int) -> tuple[str, Shape, int, list[Extent]]:
    name, dtype = "", 0
    shape: Shape = ()
    extents: list[Extent] = []
    for tag, first, last in wire.fields(value, at, end):
        if tag == 0x0A:
            name = wire.text(value, first, last)
        elif tag == 0x12:
            shape = read_shape(value, first, last) or ()
        elif tag == 0x18:
            dtype = first
        elif tag == 0x22:
            extents.append(read_extent(value, first, last))
    if any(axis < 0 for axis in shape) or dtype not in NAME or dtype in OPAQUE:
        raise ValueError(f"'{name}' has a shape or dtype that no stored tensor has")
    return name, shape, dtype, extents


def _collect(saved: dict[str, _Saved], found: list[tuple[str, Shape, int, list[Extent]]], file: Path) -> None:
    for name, shape, dtype, extents in found:
        known = saved.get(name, _Saved(shape, dtype, ()))
        if (known.shape, known.dtype) != (shape, dtype):
            raise ValueError(f"'{name}' has two shapes or dtypes")
        saved[name] = _Saved(shape, dtype, known.pieces + tuple((extent, file) for extent in extents))


def _values(saved: dict[str, _Saved]) -> Values:
    def value(name: str) -> np.ndarray[Any, Any]:
        import numpy as np

        tensor = saved[name]
        if not is_whole(tensor.shape, tuple(extent for extent, _ in tensor.pieces)):
            raise UnreadableFile(f"the checkpoint holds only a part of '{name}'. Leave it out.")
        whole = np.empty(tensor.shape, numpy_dtype(tensor.dtype))
        for extent, file in tensor.pieces:
            offset, shape = placed(extent, tensor.shape)
            place = tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))
            with _mapped(file) as data:
                whole[place] = _piece(data, name, extent, tensor.dtype, shape)
        return whole

    return value


def _piece(data: Buffer, name: str, extent: Extent, dtype: int, shape: Shape) -> np.ndarray[Any, Any]:
    row = find_row(data, slice_key(name, extent))
    if row is None:
        raise ValueError(f"the values of '{name}' are missing")
    for tag, at, end in wire.fields(row):
        if tag == 0x12:
            for inner, first, last in wire.fields(row, at, end):
                if inner == 0x1A:
                    return tensor_span(row, first, last).value(dtype, shape)
    raise ValueError(f"the values of '{name}' are missing")
