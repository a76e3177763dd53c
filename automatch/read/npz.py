"""NumPy's archives of arrays (.npz): headers only, then one array at a time.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import io
import math
import tokenize
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from automatch.layout import framework_of_names
from automatch.read.archives import beginning, content, directory, members
from automatch.read.files import damage_as_error
from automatch.read.numpy_names import dtype_name, seen_as
from automatch.tensor import Listing, Shape, Tensor

if TYPE_CHECKING:
    import numpy as np

__all__ = ["header", "matches", "read"]

_ENDING = ".npy"
# NumPy refuses longer headers than this.
_HEADER = 10_240


def matches(path: Path, head: bytes) -> bool:
    """Whether the file is an archive that holds arrays and nothing else."""
    names = members(path, head)
    return bool(names) and all(name.endswith(_ENDING) for name in names)


def read(path: Path) -> Listing:
    """The listing of an .npz file, sorted by name. Raises UnreadableFile."""
    infos = {name.removesuffix(_ENDING): info for name, info in sorted(directory(path).items())}
    tensors: list[Tensor] = []
    notes: list[str] = []
    with damage_as_error(path, ".npz file"):
        for name, info in infos.items():
            made = _tensor(name, *header(io.BytesIO(beginning(path, info, _HEADER))))
            tensors.append(made) if isinstance(made, Tensor) else notes.append(made)
    dtypes = {tensor.name: tensor.dtype for tensor in tensors}

    def values(name: str) -> np.ndarray:
        with damage_as_error(path, ".npz file"):
            return seen_as(_value(content(path, infos[name])), dtypes[name])

    framework = framework_of_names(tensors, "npz")
    framework = "flax-npz" if framework == "flax" else framework
    return Listing(tuple(tensors), "npz", framework, path=str(path), notes=tuple(notes), values=values)


def _tensor(name: str, shape: Shape, dtype: np.dtype[Any]) -> Tensor | str:
    if dtype.hasobject:
        return f"'{name}' is left out: it holds Python objects, which cannot be read without running code."
    # NumPy writes bfloat16 as two bytes without a meaning; no other two bytes are of any use as weights.
    kind = "bfloat16" if dtype == "V2" else dtype_name(dtype)
    if kind is None:
        return f"'{name}' is left out: its dtype, {dtype}, is no tensor's."
    return Tensor(name, shape, kind)


def header(file: IO[bytes]) -> tuple[Shape, np.dtype[Any]]:
    """Shape and dtype of the array at the file's position, which is left at its data. Raises ValueError."""
    from numpy.lib import format as npy

    # Version 3.0 differs from 2.0 by the encoding of record fields' names alone.
    reader = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        # A header that is no literal is tried again as one of Python 2, with a warning.
        warnings.simplefilter("ignore")
        try:
            shape, _, dtype = cast(Callable[[IO[bytes]], Any], reader)(file)
        except (tokenize.TokenError, SyntaxError) as error:
            raise ValueError("an array in it has no proper header") from error
    if any(axis < 0 for axis in shape):
        raise ValueError(f"an array in it has the shape {list(shape)}")
    return tuple(map(int, shape)), dtype


def _value(data: bytes) -> np.ndarray:
    from numpy.lib import format as npy

    shape, dtype = header(io.BytesIO(data))
    needed = math.prod(shape) * dtype.itemsize
    if needed > len(data):
        raise ValueError(f"an array in it needs {needed} bytes and has {len(data)}")
    return npy.read_array(io.BytesIO(data), allow_pickle=False)
