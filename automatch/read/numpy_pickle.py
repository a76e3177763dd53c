"""Dictionaries of NumPy arrays as Python pickles them (.pkl), also in a .npy file of one object.

Nothing that the pickle names is run: a NumPy array in it is a call with dtype, shape and bytes, which are
read from their place in the file. Arrays of JAX are such calls in a call of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.errors import UnreadableFile
from automatch.layout import framework_of_names
from automatch.read import inert_pickle
from automatch.read.files import damage_as_error, open_regular
from automatch.read.inert_pickle import Call, Global, Span
from automatch.read.npz import header
from automatch.read.numpy_names import dtype_name
from automatch.read.pickled_tensors import children_of
from automatch.read.trees import leaves, named
from automatch.tensor import Listing, Order, Shape
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

_KIND = "pickle of arrays"
_NPY = b"\x93NUMPY"
# How pickles of a dictionary begin, in the six versions of the format.
_PICKLES = (*(bytes([0x80, version]) for version in range(2, 6)), b"(dp", b"(lp", b"}q", b"ccollections\n")
_ARRAY = "_reconstruct"


def matches(_path: Path, head: bytes) -> bool:
    """Whether the file begins like a pickled dictionary, or like one of NumPy's for a single array."""
    return head.startswith((_NPY, *_PICKLES))


def read(path: Path) -> Listing:
    """The listing of a pickle's arrays by the keys that lead to them. Raises UnreadableFile."""
    with damage_as_error(path, _KIND), open_regular(path) as file:
        if file.read(len(_NPY)) == _NPY:
            file.seek(0)
            if not header(file)[1].hasobject:
                raise UnreadableFile(
                    f"'{path}' holds one array and no names. "
                    "Put arrays into an .npz file, each under its name."
                )
        else:
            file.seek(0)
        try:
            tree = inert_pickle.loads(inert_pickle.Bounded(file, path.stat().st_size))
        except UnicodeDecodeError as error:
            raise _unusable(path, "is a pickle of Python 2 whose bytes are written as text") from error
        tensors, arrays = named(list(leaves(tree, _leaf, _children)), "/")
    if not tensors:
        raise _unusable(path, "is a pickle without arrays that can be read without running it")
    framework = framework_of_names(tensors, "npz")
    order: Order = "creation" if framework == "torch" else "sorted"

    def values(name: str) -> np.ndarray:
        with damage_as_error(path, _KIND):
            array: _Array = arrays[name]
            return array.value(path)

    ordered = tensors if order == "creation" else sorted(tensors, key=lambda tensor: tensor.name)
    return Listing(tuple(ordered), "pickle", framework, order, str(path), values=values)


def _unusable(path: Path, what: str) -> UnreadableFile:
    return UnreadableFile(
        f"'{path}' {what}. Load it where it was made, and save its weights with numpy.savez or torch.save."
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Array:
    """An array as a pickle describes it; `data` may be bytes, a text or a call that stands for bytes."""

    dtype: np.dtype[Any]
    shape: Shape
    columns: bool
    data: Any

    def value(self, path: Path) -> np.ndarray:
        """The array's values. Raises ValueError where their number is wrong."""
        import numpy as np

        flat = np.frombuffer(_bytes(self.data, path), self.dtype)
        shaped = flat.reshape(self.shape, order="F" if self.columns else "C")
        return np.asarray(shaped, self.dtype.newbyteorder("="), order="C")


def _bytes(data: Any, path: Path) -> bytes:
    match data:
        case bytes() | bytearray():
            return bytes(data)
        case str():
            return data.encode("latin-1")
        case Call("_codecs.encode", (inner, "latin1")):
            return _bytes(inner, path)
        case Call("__builtin__.bytes", ()):
            return b""
        case Span(start, length, text):
            with open_regular(path) as file:
                file.seek(start)
                found = file.read(length)
            return found.decode("utf-8").encode("latin-1") if text else found
    raise ValueError("an array in it has no values")


def _leaf(node: Any) -> tuple[Shape, str, _Array] | None:
    array = _array(node)
    name = None if array is None else dtype_name(array.dtype)
    return None if array is None or name in (None, "string") else (array.shape, str(name), array)


def _array(node: Any) -> _Array | None:
    """The array that a node stands for, or None."""
    if not isinstance(node, Call):
        return None
    match node.name.rpartition(".")[2], node.args, node.state:
        case "_reconstruct_array", (Global(name), args, state, *_), _:
            return _array(Call(name, args, state))
        case "_reconstruct", _, (_, shape, dtype, columns, data):
            return _checked(dtype, shape, columns is True, data)
        case "_frombuffer", (data, dtype, shape, order), _:
            return _checked(dtype, shape, order == "F", data)
        case "scalar", (dtype, data), _:
            return _checked(dtype, (), False, data)
    return None


def _checked(dtype: Any, shape: Any, columns: bool, data: Any) -> _Array:
    import numpy as np

    match dtype:
        case Call("numpy.dtype", (str() as code, *_), (_, str() as order, *_)):
            found = np.dtype(code).newbyteorder("=" if order == "|" else order)  # type: ignore[arg-type]
        case Call("numpy.dtype", (Global(name), *_)) if name.startswith("ml_dtypes."):
            found = numpy_dtype(name.removeprefix("ml_dtypes."))
        case _:
            raise ValueError("an array in it has no proper dtype")
    if not isinstance(shape, tuple) or not all(type(axis) is int and 0 <= axis < 2**62 for axis in shape):
        raise ValueError("an array in it has no proper shape")
    return _Array(found, shape, columns, data)


def _children(node: Any) -> Iterator[tuple[str | None, Any]]:
    """What lies below a node; an array of objects is its items, one object is itself."""
    array = _array(node)
    if array is not None:
        items = array.data if isinstance(array.data, list) else []
        yield from ((str(index) if array.shape else None, item) for index, item in enumerate(items))
    elif isinstance(node, dict):
        yield from ((str(key), value) for key, value in node.items())
    else:
        yield from children_of(node)
