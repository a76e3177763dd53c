"""Dictionaries of NumPy arrays as Python pickles them (.pkl), also in a .npy file of one object.

Nothing that the pickle names is run; the bytes of its arrays are read from their place in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.errors import UnreadableFile
from automatch.layout import framework_of_names
from automatch.read import inert_pickle
from automatch.read.files import bytes_of, damage_as_error, open_regular
from automatch.read.npz import header
from automatch.read.pickled_arrays import Array, array_of
from automatch.read.pickled_tensors import children_of
from automatch.read.trees import leaves, named
from automatch.tensor import Listing, Order, Shape

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

_KIND = "pickle of arrays"
_NPY = b"\x93NUMPY"
# How pickles of a dictionary begin, in the six versions of the format.
_PICKLES = (*(bytes([0x80, version]) for version in range(2, 6)), b"(dp", b"(lp", b"}q", b"ccollections\n")


def matches(_path: Path, head: bytes) -> bool:
    """Whether the file begins like a pickled dictionary, or like one of NumPy's for a single array."""
    return head.startswith((_NPY, *_PICKLES))


def read(path: Path) -> Listing:
    """The listing of a pickle's arrays by the keys that lead to them. Raises UnreadableFile."""
    with damage_as_error(path, _KIND), open_regular(path) as file:
        if file.read(len(_NPY)) == _NPY:
            file.seek(0)
            if not header(file)[1].hasobject:
                raise _nameless(path)
        else:
            file.seek(0)
        try:
            tree = inert_pickle.loads(inert_pickle.Bounded(file, path.stat().st_size))
        except UnicodeDecodeError as error:
            raise _unusable(path, "is a pickle of Python 2 whose bytes are written as text") from error
        tensors, arrays = named(list(leaves(tree, _leaf, _children)), "/")
    if "" in arrays:
        raise _nameless(path)
    if not tensors:
        raise _unusable(path, "is a pickle without arrays that can be read without running it")
    framework = framework_of_names(tensors, "npz")
    order: Order = "creation" if framework == "torch" else "sorted"

    def values(name: str) -> np.ndarray:
        with damage_as_error(path, _KIND):
            array: Array = arrays[name]
            return array.value(partial(bytes_of, path))

    ordered = tensors if order == "creation" else sorted(tensors, key=lambda tensor: tensor.name)
    return Listing(tuple(ordered), "pickle", framework, order, str(path), values=values)


def _nameless(path: Path) -> UnreadableFile:
    return UnreadableFile(
        f"'{path}' holds one array and no names. Put arrays into an .npz file, each under its name."
    )


def _unusable(path: Path, what: str) -> UnreadableFile:
    return UnreadableFile(
        f"'{path}' {what}. Load it where it was made, and save its weights with numpy.savez or torch.save."
    )


def _leaf(node: Any) -> tuple[Shape, str, Array] | None:
    array = array_of(node)
    return None if array is None or array.kind is None else (array.shape, array.kind, array)


def _children(node: Any) -> Iterator[tuple[str | None, Any]]:
    """What lies below a node; an array of objects is its items, one object is itself."""
    array = array_of(node)
    if array is not None:
        items = array.data if isinstance(array.data, list) else []
        yield from ((str(index) if array.shape else None, item) for index, item in enumerate(items))
    elif isinstance(node, dict):
        yield from ((str(key), value) for key, value in node.items())
    else:
        yield from children_of(node)
