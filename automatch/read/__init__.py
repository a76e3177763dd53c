"""Files and live objects -> listings.

One module reads one format. It offers `matches(path, head)`, which looks at the first bytes of the file
(none for a directory, or for a checkpoint prefix) or into the directory, and `read(path)`. The first that
matches reads; file endings decide nothing. Values come on demand, through `Listing.values`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from automatch.errors import UnreadableFile
from automatch.files import is_address
from automatch.read.enrich import enrich
from automatch.read.files import cannot_open, first_bytes, open_regular
from automatch.tensor import Listing

__all__ = ["enrich", "read"]


class _Reader(Protocol):
    def matches(self, path: Path, head: bytes) -> bool: ...

    def read(self, path: Path) -> Listing: ...


_CHECKPOINTS = ("tf-checkpoint", "tf-checkpoint-v1")

# In the order in which they are asked: those with a sure mark in the first bytes come first.
_READERS = (
    "safetensors",
    "sharded",
    "listing",
    "torch_pickle",
    "npz",
    "numpy_pickle",
    "keras_weights",
    "keras_h5",
    "flax_msgpack",
    "saved_model",
    "checkpoint",
    "orbax",
    "meta",
    "graph_text",
)
_JSON = (b"{", b" ", b"\t", b"\n", b"\r")
# What a file has to begin with for a reader to be asked at all: the others need not be imported.
_MARKS = {
    "sharded": _JSON,
    "listing": _JSON,
    "torch_pickle": (b"PK", b"\x80"),
    "npz": (b"PK",),
    "numpy_pickle": (b"\x93NUMPY", b"\x80", b"(", b"}", b"c"),
    "keras_weights": (b"PK", b"\x89HDF"),
    "keras_h5": (b"\x89HDF",),
    "flax_msgpack": (*(bytes([first]) for first in range(0x81, 0x90)), b"\xde", b"\xdf"),
}
# gzip, bzip2, xz, Zstandard, 7z and zip; tar has its mark behind the name of its first member.
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"PK\x03\x04")
_TAR_MARK = 257
# PyTorch's first format was a tar of these. A first member's name may stand behind a header of its own.
_TORCH_TAR = (b"storages\0", b"tensors\0", b"pickle\0", b"sys_info\0")
_TAR_START = 2048


def read(thing: Any, *, beside: bool = True) -> Listing:
    """The listing of a path, of a live object (session, graph, model, variables), or a listing as it is.

    beside: use the graph that a Saver wrote beside a checkpoint (`<prefix>.meta`) for what the
    checkpoint does not know: creation order, trainable, slots, dataflow.
    Raises UnreadableFile for a file, UnsupportedTarget for an object without variables.
    """
    if isinstance(thing, Listing):
        return thing
    if not isinstance(thing, (str, os.PathLike)):
        from automatch.read import arrays, live

        return arrays.read(thing) if arrays.matches(thing) else live.read(thing)
    path = Path(os.fspath(thing))
    if not os.fspath(thing):
        raise UnreadableFile("'' names no file. Give the path of one, or a checkpoint's prefix.")
    if is_address(thing):
        raise UnreadableFile(
            f"'{os.fspath(thing)}' is an address, and only files on a disk are read. "
            "Copy it here, a checkpoint with its index and all data shards, and give the path of the copy."
        )
    try:
        listing = _read_path(path)
    except OSError as error:
        raise UnreadableFile(cannot_open(path, error)) from error
    return _with_graph(listing) if beside and listing.format in _CHECKPOINTS else listing


def _with_graph(listing: Listing) -> Listing:
    """A checkpoint's listing with what the graph beside it knows; an unreadable graph is no obstacle."""
    from automatch.read import meta

    path = Path(f"{listing.path}.meta")
    if not path.is_file():
        return listing
    try:
        return enrich(listing, meta.read(path))
    except UnreadableFile as error:
        note = f"The graph beside the checkpoint is left out of account. {error}"
        return replace(listing, notes=(*listing.notes, note))


def _read_path(path: Path) -> Listing:
    head = first_bytes(path)
    for name in _READERS:
        if not head.startswith(_MARKS.get(name, b"")):
            continue
        reader = cast(_Reader, import_module(f"automatch.read.{name}"))
        if reader.matches(path, head):
            return reader.read(path)
    raise UnreadableFile(_unknown(path, head))


def _unknown(path: Path, head: bytes) -> str:
    if not path.exists():
        return f"'{path}' does not exist, neither as a file nor as a checkpoint prefix. Check the path."
    if path.is_dir():
        return f"'{path}' is a directory without a checkpoint or model. Give the file or prefix itself."
    if not head:
        return f"'{path}' is empty. Copy it again from where it was made."
    if what := _packed(path, head):
        return f"'{path}' is {what}"
    return (
        f"'{path}' is of no format that automatch reads (it begins with {head[:8].hex(' ')}). "
        "Give a checkpoint prefix, a .meta, a SavedModel, a weights file or a listing."
    )


def _packed(path: Path, head: bytes) -> str:
    """What an archive is, and what to do with it; empty for a file that is none."""
    with open_regular(path) as file:
        start = file.read(_TAR_START)
    is_tar = start[_TAR_MARK:].startswith(b"ustar")
    if is_tar and any(mark in start for mark in _TORCH_TAR):
        return (
            "an archive as PyTorch wrote them before 0.1.10. "
            "Load it with a later PyTorch and save it again with torch.save."
        )
    if is_tar or head.startswith(_PACKED):
        return "a packed archive. Unpack it, and give the file or the checkpoint's prefix that is in it."
    return ""
