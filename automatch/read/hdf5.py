"""Datasets of an HDF5 file: where they are, what they are, and their values, nothing from outside the file.

HDF5 can make a dataset out of bytes of any other file on the machine (external storage, external links,
virtual datasets); such a dataset is refused. Links are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from automatch.read.files import damage_as_error, open_regular
from automatch.read.numpy_names import dtype_name, seen_as
from automatch.tensor import Shape

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MARK", "datasets", "described", "opened", "value"]

MARK = b"\x89HDF\r\n\x1a\n"

# What has never been written takes no space and claims any size; deflate shrinks 1,032 times at most.
_UNWRITTEN = 64 * 2**20
_SHRUNK = 1_032


@contextmanager
def opened(path: Path, file: BinaryIO | None = None) -> Iterator[Any]:
    """The file, or the open member of an archive, as an `h5py.File`; damage comes out as UnreadableFile."""
    import h5py

    with damage_as_error(path, "HDF5 file"):
        if file is None:
            open_regular(path).close()
        try:
            with h5py.File(path if file is None else file, "r") as found:
                yield found
        except (RuntimeError, OSError, AttributeError, NotImplementedError) as error:
            raise ValueError(str(error)) from error


def datasets(group: Any) -> dict[str, Any]:
    """All datasets below a group by their path in it, sorted, links left aside."""
    import h5py

    found: dict[str, Any] = {}

    def visit(path: str | bytes, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset):
            # A name that is no UTF-8 comes as bytes.
            found[path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path] = thing

    group.visititems(visit)
    return found


def described(name: str, dataset: Any) -> tuple[Shape, str] | None:
    """Shape and dtype of a dataset; None where it is no tensor. Raises ValueError for one from elsewhere."""
    import h5py

    if dataset.external or dataset.is_virtual:
        raise ValueError(f"'{name}' takes its values from another file, which is not read")
    if dataset.shape is None:
        return None
    dtype = dataset.dtype
    if h5py.check_string_dtype(dtype) is not None:
        kind: str | None = "string"
    else:
        kind = _marked(dataset) if dtype.kind == "V" else dtype_name(dtype) if dtype.kind != "O" else None
    return None if kind is None else (tuple(map(int, dataset.shape)), kind)


def _marked(dataset: Any) -> str | None:
    """Keras keeps what HDF5 has no type for as opaque bytes; of two bytes that is bfloat16.

    The attribute that says so is not read: where it is damaged, HDF5 itself crashes on it.
    """
    return "bfloat16" if dataset.dtype == "V2" else None


def value(dataset: Any, dtype: str) -> np.ndarray:
    """The dataset's values. Raises ValueError where it claims more than the file can hold."""
    import numpy as np

    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_UNWRITTEN, _SHRUNK * stored):
        raise ValueError(f"'{dataset.name}' claims {dataset.nbytes} bytes and has {stored}")
    found = np.asarray(dataset[()])
    return seen_as(found, dtype) if dtype != "string" else found.astype(object)
