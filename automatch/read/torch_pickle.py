"""PyTorch files (.pt, .pth, .bin, .ckpt), without PyTorch and without running what they ask for.

Both of its formats are a pickle in which every tensor is a call of `torch._utils._rebuild_…` with a
reference to a storage. Since 1.6 the file is a zip archive with one member a storage
(https://docs.pytorch.org/docs/stable/notes/serialization.html); before, the storages followed the pickles.
Whole pickled modules and TorchScript are trees of attributes that hold the same tensors. Arrays of NumPy
that were saved beside tensors stand in the pickle itself.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from automatch.read import inert_pickle
from automatch.read.archives import content, directory, members, part
from automatch.read.files import HEAD, bytes_of, damage_as_error, open_regular
from automatch.read.pickled_arrays import Array, Pickled, array_of
from automatch.read.pickled_tensors import children_of, strided_of
from automatch.read.strided import Fetch, Strided, laid_out
from automatch.read.trees import leaves, named, tied
from automatch.tensor import Listing, Shape
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

_PICKLE = 256 * 2**20
_KIND = "PyTorch file"
# The integer that the older format begins with, a pickle of its own in whatever version.
_LEGACY = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


def matches(path: Path, head: bytes) -> bool:
    """Whether the file is an archive with a `data.pkl` in it, or begins with the older format's number."""
    return _is_legacy(head) or _pickle_in(members(path, head)) is not None


def read(path: Path) -> Listing:
    """The listing of a PyTorch file: what `state_dict` holds, in its order. Raises UnreadableFile."""
    with damage_as_error(path, _KIND), open_regular(path) as file:
        if not _is_legacy(file.read(HEAD)):
            return _read_archive(path)
        file.seek(0)
        return _read_legacy(path, file)


def _is_legacy(head: bytes) -> bool:
    return head.startswith(b"\x80") and _LEGACY in head[:32]


def _pickle_in(names: Iterable[str]) -> str | None:
    return next((name for name in names if name.count("/") <= 1 and name.split("/")[-1] == "data.pkl"), None)


def _read_archive(path: Path) -> Listing:
    infos = directory(path)
    pickle = _pickle_in(infos)
    if pickle is None:
        raise ValueError("it has no data.pkl")
    folder = pickle.removesuffix("data.pkl")
    tree = inert_pickle.loads(io.BytesIO(content(path, infos[pickle], _PICKLE)))
    order = infos.get(f"{folder}byteorder")
    big_endian = order is not None and content(path, order, 16) == b"big"

    def fetch(key: str, start: int, length: int) -> bytes:
        return part(path, infos[f"{folder}data/{key}"], start, length)

    return _listing(path, tree, fetch, partial(part, path, infos[pickle]), big_endian)


def _read_legacy(path: Path, file: BinaryIO) -> Listing:
    pickles = [inert_pickle.loads(inert_pickle.Bounded(file, _PICKLE)) for _ in range(5)]
    _magic, _version, system, tree, keys = pickles
    big_endian = isinstance(system, dict) and system.get("little_endian") is False
    sizes = {found.key: numpy_dtype(found.dtype).itemsize for found in _strided(tree)}
    places: dict[str, int] = {}
    for key in keys:
        # Each storage has its number of elements before it. One that no tensor uses has no size that we know.
        count = int.from_bytes(file.read(8), "big" if big_endian else "little")
        places[key] = file.tell()
        if key not in sizes:
            break
        file.seek(count * sizes[key], io.SEEK_CUR)

    def fetch(key: str, start: int, length: int) -> bytes:
        return bytes_of(path, places[key] + start, length)

    return _listing(path, tree, fetch, partial(bytes_of, path), big_endian)


def _leaf(node: Any) -> tuple[Shape, str, Strided | Array] | None:
    found = strided_of(node)
    if found is not None:
        return found.shape, found.dtype, found
    array = array_of(node)
    return None if array is None or array.kind is None else (array.shape, array.kind, array)


def _strided(tree: Any) -> list[Strided]:
    found = (leaf.value for leaf in leaves(tree, _leaf, children_of))
    return [value for value in found if isinstance(value, Strided)]


def _listing(path: Path, tree: Any, fetch: Fetch, pickled: Pickled, big_endian: bool) -> Listing:
    tensors, found = named(list(leaves(tree, _leaf, children_of)), ".")
    if not tensors:
        raise ValueError("it holds no tensors")

    def values(name: str) -> np.ndarray:
        with damage_as_error(path, _KIND):
            value: Strided | Array = found[name]
            if isinstance(value, Array):
                return value.value(pickled)
            return laid_out(value, fetch, big_endian=big_endian)

    return Listing(
        tuple(tensors), "torch", "torch", "creation", str(path), notes=tied(_same(found)), values=values
    )


def _same(found: Mapping[str, Strided | Array]) -> list[list[str]]:
    """Names of each array that stands under several."""
    groups: dict[Strided, list[str]] = defaultdict(list)
    for name, array in found.items():
        if isinstance(array, Strided) and all(array.shape):
            groups[array].append(name)
    return list(groups.values())
