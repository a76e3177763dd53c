"""TensorFlow checkpoints: found from whatever names them, listed from their index without TensorFlow."""

from __future__ import annotations

import os
import re
from glob import escape
from pathlib import Path

from automatch.errors import UnreadableFile
from automatch.read import checkpoint_v1, object_graph
from automatch.read.bundle import OBJECT_GRAPH, Bundle, index_path, read_bundle
from automatch.read.files import first_bytes, open_regular, read_whole
from automatch.read.slices import placed
from automatch.read.table import FOOTER_SIZE, is_table
from automatch.read.tf_types import NAME
from automatch.read.values import BundleValues, string_scalar
from automatch.tensor import Listing, Part, Tensor

__all__ = ["find_prefix", "listing_of", "matches", "read", "require_values"]

_STATE = "checkpoint"
_BUNDLES = ("tf-checkpoint", "tf-object-checkpoint")
_LATEST = re.compile(rb'(?m)^model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"')
_SHARD = re.compile(r"\.data-\d{5,}-of-\d{5,}$")
_STATE_LIMIT = 16 * 2**20


def matches(path: Path, head: bytes) -> bool:
    """Whether the path names a checkpoint: prefix, one of its files, a state file, or its directory."""
    if not head:
        return (path.is_dir() and _holds_checkpoint(path)) or bool(_files_of(path))
    return head.startswith(b"model_checkpoint_path") or bool(_SHARD.search(path.name)) or _ends_as_table(path)


def read(path: Path) -> Listing:
    """The listing of a checkpoint, in the order of its index, which is sorted. Raises UnreadableFile.

    Where data shards are missing, names, shapes and dtypes are listed all the same, without values.
    """
    prefix = find_prefix(path)
    if index_path(prefix).exists() or not checkpoint_v1.files_of(prefix):
        return listing_of(read_bundle(prefix))
    return checkpoint_v1.read(prefix)


def require_values(listing: Listing, given: str) -> None:
    """Nothing, for a checkpoint whose data shards are there, and for anything else.

    given: how the person named it; whoever names the `.index` itself means the names alone.
    Raises UnreadableFile, which names the missing shard.
    """
    if listing.values is not None or listing.format not in _BUNDLES or given.endswith(".index"):
        return
    prefix = Path(str(listing.path))
    # A listing may stand for a checkpoint that is elsewhere.
    missing = read_bundle(prefix).missing if index_path(prefix).exists() else ()
    if missing:
        place = index_path(prefix)
        raise UnreadableFile(
            f"the data shard '{missing[0]}' is missing. "
            f"Copy it beside '{place}', or give '{place}' itself to match names alone."
        )


def find_prefix(path: Path) -> Path:
    """The prefix of the checkpoint that a path names.

    path: the prefix itself, its `.index` or a data shard, a `checkpoint` state file, or a directory with
    such a file or with a single checkpoint. Raises UnreadableFile where that leaves none or several.
    """
    if index_path(path).exists() and not (path.is_dir() and (path / _STATE).exists()):
        return path
    if path.is_dir():
        return find_prefix(path / _STATE) if (path / _STATE).exists() else _only_index(path)
    if first_bytes(path).startswith(b"model_checkpoint_path"):
        return _latest(path)
    if _SHARD.search(path.name):
        return path.with_name(_SHARD.sub("", path.name))
    if path.is_file() and _is_index(path):
        if path.suffix != ".index":
            raise UnreadableFile(f"'{path}' is a checkpoint's index. Name it '{path}.index'.")
        return path.with_suffix("")
    return path


def listing_of(bundle: Bundle) -> Listing:
    """The listing of a checked index; slots and full names come from its object graph if it has one."""
    tensors = [Tensor(*row) for row in ((n, e.shape, NAME[e.dtype]) for n, e in bundle.entries.items())]
    if bundle.pieces:
        tensors = [_with_parts(tensor, bundle) for tensor in tensors]
    by_object = OBJECT_GRAPH in bundle.entries
    notes = [
        f"The data shard '{path}' is missing: names can be matched, values cannot be restored."
        for path in bundle.missing
    ]
    if by_object and not bundle.missing:
        tensors = object_graph.described(tensors, string_scalar(bundle, OBJECT_GRAPH), bundle.prefix)
    return Listing(
        tuple(tensors),
        format="tf-object-checkpoint" if by_object else "tf-checkpoint",
        framework="tf2-object" if by_object else "tf1",
        path=str(bundle.prefix),
        notes=tuple(notes),
        values=None if bundle.missing else BundleValues(bundle),
    )


def _with_parts(tensor: Tensor, bundle: Bundle) -> Tensor:
    """The tensor with its pieces in order of offset; a checkpoint has no names of their own for them."""
    entry = bundle.entries[tensor.name]
    if not entry.slices:
        return tensor
    places = sorted(placed(extent, entry.shape) for extent in entry.slices)
    parts = tuple(Part(f"{tensor.name}/part_{i}", offset, shape) for i, (offset, shape) in enumerate(places))
    return Tensor(tensor.name, tensor.shape, tensor.dtype, parts=parts)


def _files_of(prefix: Path) -> list[Path]:
    """The files that a prefix has, index, data shards or shards of the first format, if any."""
    if not prefix.parent.is_dir():
        return []
    shards = prefix.parent.glob(escape(prefix.name) + ".data-*-of-*")
    return [path for path in (index_path(prefix), *shards, *checkpoint_v1.files_of(prefix)) if path.exists()]


def _holds_checkpoint(folder: Path) -> bool:
    return (folder / _STATE).exists() or any(folder.glob("*.index"))


def _ends_as_table(path: Path) -> bool:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(size - FOOTER_SIZE, 0))
        return size >= FOOTER_SIZE and is_table(file.read(FOOTER_SIZE))


def _is_index(path: Path) -> bool:
    return _ends_as_table(path) and not checkpoint_v1.is_v1(path)


def _only_index(folder: Path) -> Path:
    found = sorted(folder.glob("*.index"))
    if len(found) != 1:
        names = ", ".join(f"'{path.with_suffix('')}'" for path in found[:3])
        raise UnreadableFile(
            f"'{folder}' holds {len(found)} checkpoints ({names}, …) and no 'checkpoint' file "
            "that says which is the latest. Give the prefix of the one you mean."
        )
    return found[0].with_suffix("")


def _latest(state: Path) -> Path:
    """The prefix that a state file names, or the one of that name beside it when the directory was moved."""
    match = _LATEST.search(read_whole(state, _STATE_LIMIT))
    if match is None:
        raise UnreadableFile(f"'{state}' names no latest checkpoint. Give the prefix of the one you mean.")
    # Written as a protocol buffer in text: bytes beyond ASCII as octal escapes of their UTF-8.
    name = match[1].decode("unicode_escape").encode("latin-1", "replace").decode("utf-8", "replace")
    candidates = [state.parent / name, state.parent / Path(name).name]
    for candidate in candidates:
        if _files_of(candidate) or checkpoint_v1.files_of(candidate):
            return candidate
    raise UnreadableFile(
        f"'{state}' names '{name}' as the latest checkpoint, which does not exist. Give another's prefix."
    )
