"""A checkpoint under other names: a new index over the same data shards, and one more for changed values.

old.ckpt.index                       new.ckpt.index                       written: names, shapes, places
old.ckpt.data-00000-of-00001   ==    new.ckpt.data-00000-of-00002         linked (or copied), not read
                                     new.ckpt.data-00001-of-00002         transposed, cast: streamed

Values of a dtype that TensorFlow neither cuts nor joins have to stand in the pieces that the target has.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from automatch.moves import Move
from automatch.pieces import Place, places, reads, reads_slices
from automatch.read.bundle import Entry, Header, data_path, index_path
from automatch.read.files import damage_as_error, open_regular
from automatch.read.slices import Extent
from automatch.read.tf_types import NAME
from automatch.rewrite.entries import index_bytes
from automatch.rewrite.progress import Progress
from automatch.rewrite.stream import byte_chunks, encoded_strings, source_array, target_shape, target_view
from automatch.shards import Shards, masked
from automatch.tensor import Listing

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Draft", "Written", "write_checkpoint"]

COPIED = 16 * 2**20

_NUMBER = {name: number for number, name in NAME.items()}


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: targets whose values changed, data shards linked, and copied."""

    changed: tuple[str, ...]
    linked: int
    copied: int


class _Index(NamedTuple):
    """What an index says: tensors by name, and each (name, slice) of those in pieces."""

    entries: dict[str, Entry]
    pieces: dict[tuple[str, Extent], Entry]


@dataclass(frozen=True, slots=True)
class Draft:
    """A checkpoint with all its values, and still without its index and the final names of its data shards.

    The names of all shards say how many there are, and none may be that of another checkpoint's shard where
    this one goes: they are given last, when that is known.
    """

    place: Path
    header: Header
    index: _Index
    written: Written

    def finish(self, not_in: Container[int] = ()) -> None:
        """Names the shards, and writes the index. Raises OSError.

        not_in: numbers of shards that the checkpoint must not have; empty shards are added for that.
        """
        count = next(number for number in itertools.count(self.header.shards) if number not in not_in)
        for number in range(self.header.shards):
            _draft_path(self.place, number).rename(data_path(self.place, number, count))
        for number in range(self.header.shards, count):
            data_path(self.place, number, count).touch()
        with open(index_path(self.place), "xb") as file:
            file.write(index_bytes(replace(self.header, shards=count), *self.index))
            file.flush()
            os.fsync(file.fileno())


def _draft_path(place: Path, shard: int) -> Path:
    """A data shard's file as long as it is not known how many there will be."""
    return data_path(place, shard, 0)


def write_checkpoint(
    place: Path,
    moves: Sequence[Move],
    source: Listing,
    shards: Shards | None,
    *,
    copy: bool,
    progress: Progress,
) -> Draft:
    """What was written of the checkpoint of the prefix `place`, to be finished; nothing may stand there.

    shards: the source's data shards; None where it has no index, and all values are streamed.

    Raises:
        UnreadableFile: a tensor that has to be read is damaged, or a data shard cannot be read.
        OSError: a file cannot be written.
    """
    kept = [move for move in moves if shards is not None and _is_kept(move, shards)]
    names = {move.target.name for move in kept}
    changed = [move for move in moves if move.target.name not in names]
    old = _used(kept, shards)
    # A checkpoint has a data shard even if it holds nothing.
    streams = bool(changed) or not old
    index = _kept_entries(kept, shards, old) if shards is not None else _Index({}, {})
    progress.total = sum(move.nbytes for move in changed)
    paths = [shards.bundle.shards[shard] for shard in old] if shards is not None else []
    linked = [_link(path, _draft_path(place, i), copy, progress) for i, path in enumerate(paths)]
    header = Header(1, "little") if shards is None else shards.bundle.header
    header = replace(header, shards=len(old) + streams)
    if streams:
        with open(_draft_path(place, len(old)), "xb") as file:
            _stream(file, changed, source, shards, header, progress, index)
    written = Written(tuple(move.target.name for move in changed), sum(linked), len(linked) - sum(linked))
    return Draft(place, header, index, written)


def _is_kept(move: Move, shards: Shards) -> bool:
    """True where the stored bytes are the target's, whatever its name; its shape too, if not partitioned."""
    shape = move.source.shape or ()
    if move.source.dtype != move.target.dtype or move.transform.moves_values(shape):
        return False
    if shards.bundle.entries[move.source.name].slices and move.transform.steps:
        return False
    return all(reads(move.source, place.spec) for place in places(move.target))


def _used(kept: Sequence[Move], shards: Shards | None) -> list[int]:
    """The numbers of the data shards that hold bytes of the kept tensors."""
    if shards is None:
        return []
    names = {move.source.name for move in kept}
    whole = {shards.bundle.entries[name].shard for name in names if not shards.bundle.entries[name].slices}
    return sorted(whole | {piece.shard for (name, _), piece in shards.bundle.pieces.items() if name in names})


def _kept_entries(kept: Sequence[Move], shards: Shards, old: Sequence[int]) -> _Index:
    """Entries and pieces of the kept tensors under their new names, in the new numbers of their shards."""
    entries: dict[str, Entry] = {}
    pieces: dict[tuple[str, Extent], Entry] = {}
    numbers = {shard: new for new, shard in enumerate(old)}
    for move in kept:
        entry = shards.bundle.entries[move.source.name]
        if entry.slices:
            entries[move.target.name] = entry
        else:
            entries[move.target.name] = entry._replace(shape=target_shape(move), shard=numbers[entry.shard])
        for extent in entry.slices:
            piece = shards.bundle.pieces[move.source.name, extent]
            pieces[move.target.name, extent] = piece._replace(shard=numbers[piece.shard])
    return _Index(entries, pieces)


def _link(old: Path, new: Path, copy: bool, progress: Progress) -> bool:
    """Whether the file could be linked; else it has been copied."""
    if not copy:
        try:
            # The file itself, not a symbolic link to it, which would dangle when the old one is moved.
            os.link(os.path.realpath(old), new)
        except OSError:
            # Another file system, or one without links.
            pass
        else:
            return True
    progress.total += old.stat().st_size
    with open(new, "xb") as target:
        for chunk in _chunks(old):
            target.write(chunk)
            progress.step(len(chunk))
    return False


def _chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a data shard. Raises UnreadableFile, so that it is not mistaken for what is written."""
    with damage_as_error(path, "data shard"), open_regular(path) as file:
        while chunk := file.read(COPIED):
            yield chunk


def _pieces(move: Move) -> tuple[Place, ...]:
    """The pieces to write the target in: one where TensorFlow cuts them itself, as it does most dtypes."""
    return places(replace(move.target, parts=() if reads_slices(move.target.dtype) else move.target.parts))


def _stream(
    file: BinaryIO,
    moves: Sequence[Move],
    source: Listing,
    shards: Shards | None,
    header: Header,
    progress: Progress,
    index: _Index,
) -> None:
    """Nothing, after the values of the moves' targets have been written to the file, the last shard.

    index: gets their entries.
    """
    for move in moves:
        array = source_array(move, source, shards)
        name, whole = move.target.name, Entry(_NUMBER[move.target.dtype], target_shape(move))
        slices = []
        for place in _pieces(move):
            offset = file.tell()
            crc = _write(file, move, array, place, header.endian, progress)
            size = file.tell() - offset
            entry = whole._replace(shard=header.shards - 1, offset=offset, size=size, crc=crc)
            if place.shape is not None and place.spec:
                slices.append(tuple(zip(place.offset, place.shape, strict=True)))
                index.pieces[name, slices[-1]] = entry._replace(shape=place.shape)
            else:
                index.entries[name] = entry
        if slices:
            index.entries[name] = whole._replace(slices=tuple(slices))
    file.flush()
    os.fsync(file.fileno())


def _write(
    file: BinaryIO,
    move: Move,
    array: np.ndarray,
    place: Place,
    endian: Literal["little", "big"],
    progress: Progress,
) -> int:
    """The masked checksum of the bytes written."""
    import google_crc32c

    if move.target.dtype == "string":
        data, mark = encoded_strings(target_view(move, array, place.cut).reshape(-1), endian)
        file.write(data)
        return mark
    crc = 0
    for chunk in byte_chunks(move, array, endian, place.cut):
        crc = google_crc32c.extend(crc, chunk)
        file.write(chunk.data)
        progress.step(chunk.nbytes)
    return masked(crc)
