"""Safetensors files: a JSON header with names, dtypes, shapes and offsets, then the bytes.

Format: https://github.com/huggingface/safetensors#format. Read here without the library: the header is
all there is to it, and NumPy has no bfloat16 of its own.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.errors import UnreadableFile
from automatch.layout import framework_of_names
from automatch.read.files import damage_as_error, open_regular
from automatch.tensor import Listing, Shape, Tensor
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

# The limit that the format itself sets.
_HEADER = 100_000_000

_DTYPES = {
    "BOOL": ("bool", 8), "U8": ("uint8", 8), "I8": ("int8", 8), "I16": ("int16", 16), "U16": ("uint16", 16),
    "I32": ("int32", 32), "U32": ("uint32", 32), "I64": ("int64", 64), "U64": ("uint64", 64),
    "F16": ("float16", 16), "BF16": ("bfloat16", 16), "F32": ("float32", 32), "F64": ("float64", 64),
    "C64": ("complex64", 64), "F8_E4M3": ("float8_e4m3fn", 8), "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2": ("float8_e5m2", 8), "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8), "F8_E8M0": ("float8_e8m0fnu", 8),
    "F4": ("float4_e2m1fn", 4), "F6_E2M3": ("float6_e2m3fn", 6), "F6_E3M2": ("float6_e3m2fn", 6),
}  # fmt: skip

_BITS = dict(_DTYPES.values())

# What `format` in the metadata says, in our words.
_FRAMEWORKS = {"pt": "torch", "flax": "flax", "tf": "keras2-tf"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor's place in the file."""

    dtype: str
    shape: Shape
    start: int
    end: int


def matches(_path: Path, head: bytes) -> bool:
    """Whether the file begins with a plausible header length and a JSON object."""
    return len(head) >= 10 and head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= _HEADER


def read(path: Path) -> Listing:
    """The listing of a safetensors file, sorted by name. Raises UnreadableFile."""
    with damage_as_error(path, "safetensors file"):
        entries, metadata = _header(path)
    tensors = tuple(Tensor(name, entry.shape, entry.dtype) for name, entry in sorted(entries.items()))
    framework = _FRAMEWORKS.get(str(metadata.get("format"))) or framework_of_names(tensors, "torch")

    def values(name: str) -> np.ndarray:
        return _value(path, name, entries[name])

    return Listing(tensors, "safetensors", framework, path=str(path), values=values)


def _header(path: Path) -> tuple[dict[str, _Entry], dict[str, Any]]:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > min(_HEADER, size - 8):
            raise ValueError(f"its header would have {length} bytes")
        header = json.loads(file.read(length), object_pairs_hook=_unique)
    metadata = header.pop("__metadata__", None) or {}
    entries = {name: _entry(name, fields) for name, fields in header.items()}
    _check_places(entries, size - 8 - length)
    base = 8 + length
    return {n: _Entry(e.dtype, e.shape, base + e.start, base + e.end) for n, e in entries.items()}, metadata


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has the same key twice")
    return found


def _entry(name: str, fields: dict[str, Any]) -> _Entry:
    kind, shape, (start, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
    if kind not in _DTYPES:
        raise ValueError(f"'{name}' has the unknown dtype {kind!r}")
    if not all(type(number) is int and 0 <= number < 2**62 for number in (*shape, start, end)):
        raise ValueError(f"'{name}' has an impossible shape or place")
    dtype, bits = _DTYPES[kind]
    if math.prod(shape) * bits != (end - start) * 8:
        raise ValueError(f"'{name}' of shape {list(shape)} has {end - start} bytes, which is not its size")
    return _Entry(dtype, shape, start, end)


def _check_places(entries: dict[str, _Entry], size: int) -> None:
    """The tensors lie one after the other and fill the file: no byte is two tensors' or nobody's."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != at:
            raise ValueError(f"'{name}' begins at byte {entry.start} instead of {at}")
        at = entry.end
    if at != size:
        raise ValueError(f"its tensors have {at} bytes, and {size} are there")


def _value(path: Path, name: str, entry: _Entry) -> np.ndarray:
    import numpy as np

    with damage_as_error(path, "safetensors file"):
        if _BITS[entry.dtype] < 8:
            raise UnreadableFile(
                f"'{name}' in '{path}' is packed as {entry.dtype}, which NumPy cannot hold. "
                "Unpack it before, to float16 for instance."
            )
        dtype = numpy_dtype(entry.dtype)
        with open_regular(path) as file:
            count = (entry.end - entry.start) // dtype.itemsize
            found = np.fromfile(file, dtype.newbyteorder("<"), count, offset=entry.start)
    if found.size != count:
        raise UnreadableFile(f"'{path}' ends inside '{name}'. Copy it again from where it was made.")
    return found.reshape(entry.shape)
