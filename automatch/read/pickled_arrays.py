"""NumPy's arrays in the tree of an inert pickle: which calls stand for one, and where its bytes are.

An array is a call with dtype, shape and bytes; one of JAX is such a call in a call of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automatch.read.inert_pickle import Call, Global, Span
from automatch.read.numpy_names import dtype_name
from automatch.tensor import Shape
from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Array", "Pickled", "array_of"]

Pickled = Callable[[int, int], bytes]
"""`length` bytes from `start` of the pickle."""


@dataclass(frozen=True, slots=True, eq=False)
class Array:
    """An array as a pickle describes it; `data` may be bytes, a text or a call that stands for bytes."""

    dtype: np.dtype[Any]
    shape: Shape
    columns: bool
    data: Any

    @property
    def kind(self) -> str | None:
        """TensorFlow's name of the dtype; None for what is no tensor (texts, records, objects)."""
        name = dtype_name(self.dtype)
        return None if name == "string" else name

    def value(self, pickled: Pickled) -> np.ndarray:
        """The array's values. Raises ValueError where their number is wrong."""
        import numpy as np

        flat = np.frombuffer(_bytes(self.data, pickled), self.dtype)
        shaped = flat.reshape(self.shape, order="F" if self.columns else "C")
        return np.asarray(shaped, self.dtype.newbyteorder("="), order="C")


def _bytes(data: Any, pickled: Pickled) -> bytes:
    match data:
        case bytes() | bytearray():
            return bytes(data)
        case str():
            return data.encode("latin-1")
        case Call("_codecs.encode", (inner, "latin1")):
            return _bytes(inner, pickled)
        case Call("__builtin__.bytes", ()):
            return b""
        case Span(start, length, text):
            found = pickled(start, length)
            return found.decode("utf-8").encode("latin-1") if text else found
    raise ValueError("an array in it has no values")


def array_of(node: Any) -> Array | None:
    """The array that a node stands for, or None."""
    if not isinstance(node, Call):
        return None
    match node.name.rpartition(".")[2], node.args, node.state:
        case "_reconstruct_array", (Global(name), args, state, *_), _:
            return array_of(Call(name, args, state))
        case "_reconstruct", _, (_, shape, dtype, columns, data):
            return _checked(dtype, shape, columns is True, data)
        case "_frombuffer", (data, dtype, shape, order), _:
            return _checked(dtype, shape, order == "F", data)
        case "scalar", (dtype, data), _:
            return _checked(dtype, (), False, data)
    return None


def _checked(dtype: Any, shape: Any, columns: bool, data: Any) -> Array:
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
    return Array(found, shape, columns, data)
