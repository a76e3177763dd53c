"""Values on their way into variables: bytes and casts are verified before the first value is handed out.

Between verifying and handing out no more than a part of the values is kept in memory; a checkpoint's data is
mapped instead, and what else does not fit is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automatch.moves import Move
from automatch.shards import has_shards, shards_of
from automatch.tensor import Listing

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Stage", "opened_by_tensorflow"]

KEPT = 96 * 2**20

# Bytes; the most that a build of TensorFlow asks for.
ALIGNMENT = 64


class Stage:
    """Values of a source's tensors, transformed for their targets."""

    def __init__(self, source: Listing) -> None:
        assert source.values is not None
        self._read = source.values
        self._shards = shards_of(source)
        self.prefix = opened_by_tensorflow(source)
        self._kept: dict[str, np.ndarray] = {}

    def verify(self, moves: Sequence[Move]) -> None:
        """Nothing, after each value has been read, found whole, and found to fit into its target's dtype.

        Raises UnreadableFile for a damaged value, with the names of tensor and file, RestoreError for one
        that a cast would destroy.
        """
        room = KEPT
        for name in dict.fromkeys(move.source.name for move in moves):
            if self._shards is not None:
                self._shards.verify(name)
                continue
            value = self._read(name)
            if value.nbytes <= room:
                self._kept[name] = value
                room -= value.nbytes
        for move in moves:
            if move.narrows:
                move.check(self._source(move.source.name))

    def value(self, move: Move, *, aligned: bool = False) -> np.ndarray:
        """The value that the target of a move is to have, in memory that nothing else holds.

        TensorFlow takes an aligned array as it is for a variable's memory; a mapped one would bring its file
        with it, and one of the caller's whatever the caller does to it later.

        aligned: make it such an array. For one value at a time it does not pay: what the variable held before
            would be too small a place for the next, so that all of them would come to new memory.
        """
        import numpy as np

        array = self._source(move.source.name)
        shape = move.target.shape
        if shape is None or any(axis < 0 for axis in shape):
            shape = array.shape
        made = move.transform.apply(array, shape, move.target.dtype)
        return _aligned(made) if aligned and not made.dtype.hasobject else np.array(made, order="C")

    def _source(self, name: str) -> np.ndarray:
        if name in self._kept:
            return self._kept[name]
        mapped = self._shards.mapped(name) if self._shards is not None else None
        return self._read(name) if mapped is None else mapped


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy that TensorFlow need not copy again."""
    import numpy as np

    room = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -room.__array_interface__["data"][0] % ALIGNMENT
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def opened_by_tensorflow(source: Listing) -> str | None:
    """The prefix of a checkpoint that TensorFlow reads by itself, else None: its names must be no glob."""
    if not has_shards(source) or source.path is None or any(letter in source.path for letter in "*?[]\\"):
        return None
    return source.path
