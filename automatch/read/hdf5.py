"""HDF5 files without the library that reads them, which damaged files crash: it runs in a process of its own.

That process says what is in the file and where. Values that lie there as they lie in memory, as in all that
Keras writes, are read from their place; those that are packed are unpacked by that process.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automatch.read import apart, archives
from automatch.read.files import damage_as_error, first_bytes, open_regular
from automatch.read.hdf5_child import MARK, MEMBER
from automatch.read.numpy_names import seen_as
from automatch.tensor import Shape

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MARK", "MEMBER", "Dataset", "Survey", "survey"]

_PROGRAM = "automatch.read.hdf5_child"
_KIND = "HDF5 file"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Shape and dtype; and NumPy's dtype and the first byte's place where the values lie in one piece."""

    shape: Shape
    dtype: str
    stored: str | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """All datasets of a file by their path in it, and of its groups the attributes that name things."""

    path: Path
    datasets: Mapping[str, Dataset]
    texts: Mapping[str, Mapping[str, list[str]]]

    def value(self, name: str) -> np.ndarray:
        """A dataset's values. Raises UnreadableFile where it claims more than the file can hold."""
        dataset = self.datasets[name]
        with damage_as_error(self.path, _KIND):
            return seen_as(
                _stored(self.path, dataset) if dataset.stored else _asked(self.path, name), dataset.dtype
            )


def survey(path: Path) -> Survey:
    """What an HDF5 file, or the weights in an archive of Keras, holds. Raises UnreadableFile."""
    with damage_as_error(path, _KIND):
        if not first_bytes(path).startswith(MARK):
            archives.check_size(archives.directory(path)[MEMBER])
        found, _ = apart.ask(_PROGRAM, path, None)
        datasets = {
            name: Dataset(tuple(shape), *rest) for name, (shape, *rest) in sorted(found["datasets"].items())
        }
        return Survey(path, datasets, found["texts"])


def _stored(path: Path, dataset: Dataset) -> np.ndarray:
    """Values as they lie in the file."""
    import numpy as np

    dtype = np.dtype(dataset.stored)
    size = math.prod(dataset.shape) * dtype.itemsize
    if not first_bytes(path).startswith(MARK):
        data = archives.part(path, archives.directory(path)[MEMBER], dataset.start, size)
        return np.frombuffer(data, dtype).reshape(dataset.shape)
    with open_regular(path) as file:
        if dataset.start + size > os.fstat(file.fileno()).st_size:
            raise ValueError(f"it ends before its values do, at byte {dataset.start + size}")
        return np.fromfile(file, dtype, size // dtype.itemsize, offset=dataset.start).reshape(dataset.shape)


def _asked(path: Path, name: str) -> np.ndarray:
    import numpy as np

    said, array = apart.ask(_PROGRAM, path, name)
    if array is not None:
        return array
    texts = np.array([text.encode("latin-1") for text in said["texts"]] + [None], dtype=object)[:-1]
    return texts.reshape(said["shape"])
