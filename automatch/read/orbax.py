"""Orbax checkpoints: a directory with the tree in `_METADATA`, and arrays in Zarr, apart or packed (OCDBT).

Names, shapes and dtypes of arrays that lie apart are plain JSON. What is packed, and all values, are read by
tensorstore, which is an optional dependency. (https://orbax.readthedocs.io, https://google.github.io/tensorstore)
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.errors import PlanConflict, UnreadableFile
from automatch.layout import framework_of_names
from automatch.read.files import damage_as_error, read_whole
from automatch.read.numpy_names import dtype_name
from automatch.read.trees import Leaf, named
from automatch.tensor import Listing, Shape
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

_KIND = "Orbax checkpoint"
_TREE = "_METADATA"
_PACKED = "manifest.ocdbt"
_LIMIT = 256 * 2**20
# Zarr leaves out chunks that hold nothing but zeros, so that a few bytes claim any size.
_UNWRITTEN = 64 * 2**20
_SHRUNK = 1_032

# Version 2 and 3 of Zarr: tensorstore's driver -> the file that describes an array.
_DESCRIPTIONS = {"zarr": ".zarray", "zarr3": "zarr.json"}

Fetch = Callable[[str], "tuple[str, bytes] | None"]
"""The driver of the array with a key, and its description; None where there is no such array."""


def matches(path: Path, head: bytes) -> bool:
    """Whether it is a directory with an Orbax tree in it, or one of numbered steps that have one."""
    return not head and path.is_dir() and _tree_in(path) is not None


def read(path: Path) -> Listing:
    """The listing of an Orbax checkpoint, or of the last step of several. Raises UnreadableFile."""
    directory = _tree_in(path)
    if directory is None:
        raise UnreadableFile(f"'{path}' holds no Orbax checkpoint. Give the directory with '{_TREE}' in it.")
    fetch = _packed(directory) if (directory / _PACKED).exists() else _apart(directory)
    with damage_as_error(directory, _KIND):
        found = list(_leaves(json.loads(read_whole(directory / _TREE, _LIMIT)), fetch))
        if not found:
            raise ValueError("it holds no arrays")
        tensors, places = named(found, "/")
        described = {tensor.name: (tensor.shape or (), tensor.dtype) for tensor in tensors}

    @cache
    def stored() -> int:
        return sum(file.stat().st_size for file in directory.rglob("*"))

    def values(name: str) -> np.ndarray:
        with damage_as_error(directory, _KIND):
            return _value(directory, places[name], *described[name], stored())

    ordered = tuple(sorted(tensors, key=lambda tensor: tensor.name))
    notes = () if directory in (path, path / directory.name) else (f"Read from step '{directory}'.",)
    framework = framework_of_names(ordered, "flax")
    return Listing(ordered, "orbax", framework, path=str(path), notes=notes, values=values)


def _tree_in(path: Path) -> Path | None:
    """The directory with the tree: the path itself, its only item that has one, or such in its last step."""
    if (path / _TREE).is_file():
        return path
    inside = [child for child in sorted(path.iterdir()) if (child / _TREE).is_file()]
    if len(inside) == 1:
        return inside[0]
    steps = sorted((int(child.name), child) for child in path.iterdir() if child.name.isdecimal())
    return _tree_in(steps[-1][1]) if steps else None


def _leaves(document: Any, fetch: Fetch) -> Iterator[Leaf]:
    """The arrays of the tree, in its order. Raises ValueError, KeyError."""
    for entry in document["tree_metadata"].values():
        path = tuple(str(step["key"]) for step in entry["key_metadata"])
        # Zarr arrays are called by their keys, joined by dots. Empty nodes and strings have none.
        key = ".".join(path)
        if found := fetch(key):
            driver, description = found
            yield Leaf(path, *_described(json.loads(description)), (driver, key), path[0] == "opt_state")


def _described(zarr: Any) -> tuple[Shape, str]:
    """Shape and dtype from the description of a Zarr array, of version 2 or 3."""
    word = str(zarr["dtype"] if "dtype" in zarr else zarr["data_type"])
    try:
        dtype = dtype_name(numpy_dtype(word.lstrip("<>|")))
    except PlanConflict:
        dtype = None
    shape = tuple(zarr["shape"])
    if dtype is None or not all(type(axis) is int and axis >= 0 for axis in shape):
        raise ValueError(f"an array in it has the dtype {word!r} and shape {list(shape)}")
    return shape, dtype


def _apart(directory: Path) -> Fetch:
    def fetch(key: str) -> tuple[str, bytes] | None:
        for driver, description in _DESCRIPTIONS.items():
            place = directory / key / description
            if Path(key).name == key and place.is_file():
                return driver, read_whole(place, _LIMIT)
        return None

    return fetch


def _packed(directory: Path) -> Fetch:
    with damage_as_error(directory, _KIND):
        store = _tensorstore(directory).KvStore.open(_store(directory)).result()

    def fetch(key: str) -> tuple[str, bytes] | None:
        for driver, description in _DESCRIPTIONS.items():
            found = store.read(f"{key}/{description}").result()
            if found.state == "value":
                return driver, bytes(found.value)
        return None

    return fetch


def _store(directory: Path) -> dict[str, Any]:
    files = {"driver": "file", "path": f"{directory.resolve()}/"}
    return {"driver": "ocdbt", "base": files} if (directory / _PACKED).exists() else files


def _tensorstore(directory: Path) -> Any:
    try:
        import tensorstore
    except ImportError as error:
        raise UnreadableFile(
            f"'{directory}' keeps its arrays in a form that tensorstore reads, and it is not installed. "
            "Install it with: pip install 'automatch[orbax]'"
        ) from error
    return tensorstore


def _value(directory: Path, place: tuple[str, str], shape: Shape, dtype: str, stored: int) -> np.ndarray:
    import numpy as np

    driver, key = place
    size = math.prod(shape) * numpy_dtype(dtype).itemsize
    if size > max(_UNWRITTEN, _SHRUNK * stored):
        raise ValueError(f"'{key}' claims {size} bytes, and all of it has {stored}")
    store = _store(directory)
    store["path"] = f"{store.get('path', '')}{key}/"
    spec = {"driver": driver, "kvstore": store}
    return np.asarray(_tensorstore(directory).open(spec, read=True).result().read().result())
