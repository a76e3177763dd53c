"""The index of a V2 checkpoint (a tensor bundle): which tensor lies where in which data shard.

TensorFlow ends the whole process on entries that are well-formed as bytes and absurd as tensors, so
everything is checked here before it is asked to open the file.
Format: tensorflow/core/protobuf/tensor_bundle.proto and tensorflow/core/util/tensor_bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Literal, NamedTuple

from automatch.errors import UnreadableFile
from automatch.read import wire
from automatch.read.files import damage_as_error, read_whole
from automatch.read.slices import Extent, check_apart, read_extent, slice_key
from automatch.read.table import Rows, rows
from automatch.read.tensor_proto import read_shape
from automatch.read.tf_types import ITEM_SIZE, NAME, STRING
from automatch.tensor import Shape

__all__ = ["Bundle", "Entry", "Header", "data_path", "index_path", "read_bundle"]

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"

# 2 GiB of index would describe some thirty million tensors.
_LIMIT = 2**31
_MAX_SHARDS = 2**20
_MAX_PIECES = 100_000


class Entry(NamedTuple):
    """One tensor of a bundle; a tuple because there may be a hundred thousand.

    dtype is TensorFlow's number. The bytes lie at offset:offset + size of shard; crc is their masked crc32c.
    slices are the pieces of a partitioned variable; they have entries of their own, and this one no bytes.
    """

    dtype: int
    shape: Shape
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    slices: tuple[Extent, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """The entry under the empty key."""

    shards: int
    endian: Literal["little", "big"]
    min_consumer: int = 0


@dataclass(frozen=True)
class Bundle:
    """A checked index.

    entries: the tensors by name, in the order of the file, which is sorted by bytes; pieces: the entry
    of each (name, slice) of the partitioned ones; rows: the table as it is, keys to serialised entries;
    needed: how many bytes each data shard that is used has to have.
    """

    prefix: Path
    header: Header
    entries: Mapping[str, Entry]
    pieces: Mapping[tuple[str, Extent], Entry]
    rows: Rows
    needed: Mapping[int, int]

    @cached_property
    def missing(self) -> tuple[Path, ...]:
        """The data shards that tensors lie in and that are not there."""
        return tuple(path for path in self.shards.values() if not path.exists())

    @cached_property
    def shards(self) -> dict[int, Path]:
        """The files of the data shards that are used, by number."""
        return {shard: data_path(self.prefix, shard, self.header.shards) for shard in sorted(self.needed)}


def index_path(prefix: Path) -> Path:
    """The index file of a checkpoint prefix."""
    return prefix.parent / f"{prefix.name}.index"


def data_path(prefix: Path, shard: int, shards: int) -> Path:
    """The file of a data shard of a checkpoint prefix."""
    return prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}")


def read_bundle(prefix: Path) -> Bundle:
    """The index of a checkpoint prefix, every field checked, and the sizes of the data shards that are there.

    Raises UnreadableFile.
    """
    path = index_path(prefix)
    data = read_whole(path, _LIMIT)
    with damage_as_error(path, "checkpoint index"):
        bundle = _parse(prefix, rows(data))
    _check_shards(bundle)
    return bundle


def _parse(prefix: Path, table: Rows) -> Bundle:
    if not table or table[0][0]:
        raise ValueError("it has no header entry")
    header = _header(table[0][1])
    entries: dict[str, Entry] = {}
    pieces: dict[bytes, Entry] = {}
    known: dict[bytes, _Kind] = {}
    needed: dict[int, int] = {}
    for key, value in table[1:]:
        entry = _fast_entry(value, known) or _entry(value)
        if entry.shard >= header.shards:
            raise ValueError(f"an entry names data shard {entry.shard} of {header.shards}")
        if not entry.slices:
            needed[entry.shard] = max(needed.get(entry.shard, 0), entry.offset + entry.size)
        if key[0]:
            entries[key.decode()] = entry
        else:
            pieces[key] = entry
    return Bundle(prefix, header, entries, _assign_pieces(entries, pieces), table, needed)


def _header(value: bytes) -> Header:
    shards, endian, consumer = 0, 0, 0
    for tag, first, last in wire.fields(value):
        if tag == 0x08:
            shards = first
        elif tag == 0x10:
            endian = first
        elif tag == 0x1A:
            consumer = next((number for tag, number, _ in wire.fields(value, first, last) if tag == 0x10), 0)
    if not 0 < shards <= _MAX_SHARDS:
        raise ValueError(f"it says it has {shards} data shards")
    if endian > 1 or consumer > 1:
        raise ValueError("it was written for a newer TensorFlow than is known here")
    return Header(shards, "big" if endian else "little", consumer)


class _Kind(NamedTuple):
    """What the entries of all tensors of one dtype and shape have in common, and the bytes that say so."""

    dtype: int
    shape: Shape
    size: int
    tail: bytes


def _fast_entry(value: bytes, known: dict[bytes, _Kind]) -> Entry | None:
    """The entry of an ordinary tensor of the first shard, or None where the long way has to be taken.

    The tensors of a model share few pairs of dtype and shape; their bytes are equal and decoded once. What is
    left is `0x20 offset`, then the size, which follows from dtype and shape, then `0x35` and the checksum.
    """
    if len(value) < 9 or value[0] != 0x08 or value[2] != 0x12 or value[3] > 127:
        return None
    cut = 4 + value[3]
    kind = known.get(value[:cut]) or _learn(value[:cut], known)
    if kind is None:
        return None
    end = len(value) - 4 - len(kind.tail)
    if value[end:-4] != kind.tail or (end > cut and value[cut] != 0x20):
        return None
    offset = shift = 0
    byte = 0 if end == cut else 128
    for byte in value[cut + 1 : end]:
        offset |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    # One whole number, neither cut off nor followed by anything.
    if byte > 127 or shift != 7 * max(end - cut - 1, 0):
        return None
    return Entry(kind.dtype, kind.shape, 0, offset, kind.size, int.from_bytes(value[-4:], "little"))


def _learn(head: bytes, known: dict[bytes, _Kind]) -> _Kind | None:
    """The kind of the tensors whose entries begin with these bytes; None where their sizes vary."""
    dtype, shape, *_ = _entry(head, sized=False)
    if dtype not in ITEM_SIZE:
        return None
    size = prod(shape) * ITEM_SIZE[dtype]
    tail = b"\x28" + wire.encode(size) if size else b""
    known[head] = _Kind(dtype, shape, size, tail + b"\x35")
    return known[head]


def _entry(value: bytes, *, sized: bool = True) -> Entry:
    """The entry that bytes hold. Raises ValueError for one that no tensor can have."""
    known: dict[int, int] = {}
    shape: Shape = ()
    slices: list[Extent] = []
    for tag, first, last in wire.fields(value):
        if tag == 0x12:
            shape = _stored_shape(value, first, last)
        elif tag == 0x3A:
            slices.append(read_extent(value, first, last))
        elif tag == 0x35:
            known[tag] = int.from_bytes(value[first:last], "little")
        elif last == -1:
            known[tag] = first
    dtype = known.get(0x08, 0)
    if dtype not in NAME or NAME[dtype] == "resource":
        raise ValueError(f"an entry has dtype number {dtype}, which no stored tensor has")
    shard, offset, size, crc = (known.get(tag, 0) for tag in (0x18, 0x20, 0x28, 0x35))
    entry = Entry(dtype, shape, shard, offset, size, crc, tuple(slices))
    if len(slices) > _MAX_PIECES:
        raise ValueError(f"a tensor in more than {_MAX_PIECES} pieces")
    if sized and not slices:
        _check_size(entry)
    return entry


def _stored_shape(value: bytes, at: int, end: int) -> Shape:
    shape = read_shape(value, at, end)
    if shape is None or any(axis < 0 for axis in shape):
        raise ValueError("an entry has a shape that no tensor can have")
    return shape


def _check_size(entry: Entry) -> None:
    elements = prod(entry.shape)
    width = ITEM_SIZE.get(entry.dtype)
    # A string takes a length of at least one byte, and all of them together a checksum of four.
    fits = (
        entry.size >= elements + 4
        if entry.dtype == STRING
        else width is None or elements * width == entry.size
    )
    if not fits or entry.offset + entry.size >= 2**63:
        raise ValueError(
            f"an entry of shape {list(entry.shape)} and dtype {NAME[entry.dtype]} has {entry.size} bytes"
        )


def _assign_pieces(
    entries: Mapping[str, Entry], pieces: dict[bytes, Entry]
) -> dict[tuple[str, Extent], Entry]:
    """The entries of all slices by name and slice; each has to belong to a partitioned tensor."""
    assigned = {}
    for name, entry in entries.items():
        if not entry.slices:
            continue
        check_apart(entry.shape, entry.slices)
        for extent in entry.slices:
            piece = pieces.pop(slice_key(name, extent), None)
            if piece is None or piece.dtype != entry.dtype or piece.slices:
                raise ValueError(f"a piece of '{name}' is missing or of another dtype")
            assigned[name, extent] = piece
    if pieces:
        raise ValueError("it holds pieces of tensors that it does not name")
    return assigned


def _check_shards(bundle: Bundle) -> None:
    """Raises UnreadableFile where a data shard that is there is shorter than its tensors need."""
    for shard, path in bundle.shards.items():
        if path.exists():
            if not path.is_file():
                raise UnreadableFile(f"'{path}' is not a regular file. Give the path of a file on disk.")
            size = path.stat().st_size
            if size < bundle.needed[shard]:
                raise UnreadableFile(
                    f"'{path}' has {size} bytes, and its index needs {bundle.needed[shard]}. "
                    "Copy both again from where they were made."
                )
