"""The bytes of a checkpoint's tensors, mapped rather than read, and checked where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from math import prod
from pathlib import Path
from sys import byteorder
from typing import TYPE_CHECKING, Any

from automatch.errors import UnreadableFile
from automatch.read.bundle import Bundle, Entry, data_path, read_bundle
from automatch.read.files import damage_as_error, open_regular
from automatch.read.tf_types import ITEM_SIZE, numpy_dtype
from automatch.read.values import BundleValues

if TYPE_CHECKING:
    import numpy as np

    from automatch.tensor import Listing

__all__ = ["Shards", "has_shards", "masked", "shards_of"]

_STEP = 8 * 2**20


def shards_of(listing: Listing) -> Shards | None:
    """The data shards behind a listing; None where it is no checkpoint with an index."""
    if not has_shards(listing) or listing.path is None:
        return None
    known = listing.values
    return Shards(known.bundle if isinstance(known, BundleValues) else read_bundle(Path(listing.path)))


def has_shards(listing: Listing) -> bool:
    """True for a checkpoint with an index over data shards."""
    return listing.format in ("tf-checkpoint", "tf-object-checkpoint")


class Shards:
    """The data shards of a checked index."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._value = BundleValues(bundle)

    @cached_property
    def _maps(self) -> dict[int, np.ndarray]:
        return {shard: _map(path) for shard, path in self.bundle.shards.items()}

    def path(self, entry: Entry) -> Path:
        """The file that the bytes of an entry lie in."""
        return data_path(self.bundle.prefix, entry.shard, self.bundle.header.shards)

    def is_plain(self, entry: Entry) -> bool:
        """True where the bytes are the array: in one piece, of fixed width, in this machine's order."""
        return not entry.slices and entry.dtype in ITEM_SIZE and self.bundle.header.endian == byteorder

    def verify(self, name: str) -> None:
        """Nothing, if the bytes of a tensor fit its checksum. Raises UnreadableFile with tensor and file."""
        entry = self.bundle.entries[name]
        if self.is_plain(entry):
            self._verify(name, entry)
        else:
            self._value(name)

    def mapped(self, name: str) -> np.ndarray | None:
        """The tensor over the mapped file, not verified; None where its bytes are not the array."""
        entry = self.bundle.entries[name]
        if not self.is_plain(entry):
            return None
        return self._bytes(entry).view(numpy_dtype(entry.dtype)).reshape(entry.shape)

    def _bytes(self, entry: Entry) -> np.ndarray:
        import numpy as np

        if not prod(entry.shape):
            return np.empty(0, np.uint8)
        return self._maps[entry.shard][entry.offset : entry.offset + entry.size]

    def _verify(self, name: str, entry: Entry) -> None:
        import google_crc32c

        crc = 0
        for chunk in _chunks(self._bytes(entry)):
            crc = google_crc32c.extend(crc, chunk)
        if masked(crc) != entry.crc:
            raise UnreadableFile(
                f"'{self.path(entry)}' is damaged: the bytes of '{name}' do not fit their checksum. "
                "Copy it again from where it was made."
            )


def _map(path: Path) -> np.ndarray:
    """The bytes of a file, mapped. Raises UnreadableFile."""
    import numpy as np

    with damage_as_error(path, "data shard"), open_regular(path) as file:
        # What is empty cannot be mapped.
        empty = not os.fstat(file.fileno()).st_size
        return np.empty(0, np.uint8) if empty else np.asarray(np.memmap(file, np.uint8, "r"))


def masked(crc: int) -> int:
    """A crc32c as checkpoints store it: rotated and shifted."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _chunks(data: Any) -> Iterator[Any]:
    for start in range(0, len(data), _STEP):
        yield data[start : start + _STEP]
