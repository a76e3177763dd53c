"""Values of a checkpoint's tensors, read from its data shards, each checked against its checksum."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automatch.errors import UnreadableFile
from automatch.read.bundle import Bundle, Entry, data_path, index_path
from automatch.read.files import damage_as_error, open_regular
from automatch.read.slices import is_whole, placed
from automatch.read.table import masked_crc
from automatch.read.tf_types import NAME, OPAQUE, STRING, numpy_dtype
from automatch.read.wire import varint

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BundleValues", "string_scalar"]


@dataclass(frozen=True, slots=True)
class BundleValues:
    """What reads a checkpoint's tensors, and its index, for who reads them in another way."""

    bundle: Bundle

    def __call__(self, name: str) -> np.ndarray[Any, Any]:
        """The tensor of a name: a read-only array, for strings one of bytes objects.

        Raises UnreadableFile where a shard is missing or its bytes do not fit their checksum, KeyError for
        a name that the checkpoint has not.
        """
        entry = self.bundle.entries[name]
        if entry.dtype in OPAQUE:
            raise UnreadableFile(
                f"'{name}' is a {NAME[entry.dtype]}. Leave it out; only TensorFlow reads such."
            )
        if entry.slices:
            return _assemble(self.bundle, name, entry)
        return _stored(self.bundle, name, entry)


def string_scalar(bundle: Bundle, name: str) -> bytes:
    """The bytes of a scalar string tensor, without numpy. Raises UnreadableFile."""
    entry = bundle.entries[name]
    with damage_as_error(_path(bundle, entry), "data shard"):
        if entry.dtype != STRING or entry.shape:
            raise ValueError(f"'{name}' is no scalar string")
        return _strings(_bytes(bundle, name, entry), 1, entry.crc, bundle.header.endian)[0]


def _assemble(bundle: Bundle, name: str, entry: Entry) -> np.ndarray[Any, Any]:
    import numpy as np

    if not is_whole(entry.shape, entry.slices):
        raise UnreadableFile(
            f"'{index_path(bundle.prefix)}' holds only a part of '{name}' {list(entry.shape)}. "
            "Leave it out, or save the checkpoint with all of it."
        )
    whole = np.empty(entry.shape, numpy_dtype(entry.dtype))
    for extent in entry.slices:
        offset, shape = placed(extent, entry.shape)
        place = tuple(slice(start, start + size) for start, size in zip(offset, shape, strict=True))
        part = _stored(bundle, name, bundle.pieces[name, extent])
        if part.shape != shape:
            raise UnreadableFile(
                f"'{index_path(bundle.prefix)}' holds a piece of '{name}' of shape {list(part.shape)} "
                f"where one of {list(shape)} belongs. Copy the checkpoint again from where it was made."
            )
        whole[place] = part
    return whole


def _stored(bundle: Bundle, name: str, entry: Entry) -> np.ndarray[Any, Any]:
    import numpy as np

    data = _bytes(bundle, name, entry)
    endian = bundle.header.endian
    with damage_as_error(_path(bundle, entry), "data shard"):
        if entry.dtype == STRING:
            array = np.empty(entry.shape, object)
            array.reshape(-1)[:] = _strings(data, array.size, entry.crc, endian)
            return array
        if masked_crc(data) != entry.crc:
            raise ValueError(f"the bytes of '{name}' do not fit their checksum")
        array = np.frombuffer(data, numpy_dtype(entry.dtype)).reshape(entry.shape)
        return array if endian == sys.byteorder else array.byteswap()


def _path(bundle: Bundle, entry: Entry) -> Path:
    return data_path(bundle.prefix, entry.shard, bundle.header.shards)


def _bytes(bundle: Bundle, name: str, entry: Entry) -> bytes:
    path = _path(bundle, entry)
    with damage_as_error(path, "data shard"), open_regular(path) as file:
        file.seek(entry.offset)
        data = file.read(entry.size)
        if len(data) != entry.size:
            raise ValueError(f"it ends before '{name}' does")
        return data


def _strings(data: bytes, count: int, crc: int, endian: Literal["little", "big"]) -> list[bytes]:
    """The strings of a tensor: their lengths as varints, a checksum of the lengths, then the bytes.

    The checksums go over each length as a fixed integer, not over the varints.
    """
    lengths, at = [], 0
    for _ in range(count):
        length, at = varint(data, at, len(data))
        lengths.append(length)
    order = "<" if endian == "little" else ">"
    checked = b"".join(struct.pack(order + ("I" if size < 2**32 else "Q"), size) for size in lengths)
    mark = data[at : at + 4]
    at += 4
    if at + sum(lengths) != len(data):
        raise ValueError("the lengths of its strings do not fit")
    if masked_crc(checked).to_bytes(4, endian) != mark or masked_crc(checked + mark + data[at:]) != crc:
        raise ValueError("its strings do not fit their checksum")
    found = []
    for size in lengths:
        found.append(data[at : at + size])
        at += size
    return found
