"""Weights under the target's names in the files of other libraries, streamed one tensor after the other."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from automatch.errors import RestoreError
from automatch.moves import Move
from automatch.rewrite.progress import Progress
from automatch.rewrite.stream import byte_chunks, source_array, target_shape
from automatch.shards import shards_of
from automatch.tensor import Listing
from automatch.transform import numpy_dtype

__all__ = ["FORMS", "write_keras_h5", "write_npz", "write_safetensors"]

# https://github.com/huggingface/safetensors#format
_SAFETENSORS = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "bfloat16": "BF16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3",
}

# More than HDF5 writes of a dataset and the groups around it besides its values.
_H5_ENTRY = 8192

_KERAS_PLACE = re.compile(r"(^|/)vars/\d+$")


def write_safetensors(path: Path, moves: Sequence[Move], source: Listing, progress: Progress) -> None:
    """Nothing, after the targets of all moves have been written to a safetensors file.

    Raises RestoreError for a dtype that the format has not; UnreadableFile for a damaged source.
    """
    _check(moves, _SAFETENSORS, "safetensors")
    header: dict[str, object] = {}
    end = 0
    for move in moves:
        shape = target_shape(move)
        start, end = end, end + _nbytes(move)
        kind = _SAFETENSORS[move.target.dtype]
        header[move.target.name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    shards = shards_of(source)
    with open(path, "xb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for move in moves:
            for chunk in byte_chunks(move, source_array(move, source, shards)):
                file.write(chunk.data)
                progress.step(chunk.nbytes)


def write_npz(path: Path, moves: Sequence[Move], source: Listing, progress: Progress) -> None:
    """Nothing, after the targets of all moves have been written to an uncompressed `.npz` file.

    Raises RestoreError for a dtype that numpy alone has not; UnreadableFile for a damaged source.
    """
    import numpy as np

    own = {name for name in _SAFETENSORS if name != "bfloat16" and not name.startswith("float8")}
    _check(moves, {*own, "complex128"}, "npz")
    shards = shards_of(source)
    with zipfile.ZipFile(path, "x") as archive:
        for move in moves:
            head = io.BytesIO()
            dtype = np.lib.format.dtype_to_descr(numpy_dtype(move.target.dtype))
            fields = {"descr": dtype, "fortran_order": False, "shape": target_shape(move)}
            np.lib.format.write_array_header_1_0(head, fields)
            with archive.open(f"{move.target.name}.npy", "w", force_zip64=True) as file:
                file.write(head.getvalue())
                for chunk in byte_chunks(move, source_array(move, source, shards)):
                    file.write(chunk.data)
                    progress.step(chunk.nbytes)


def write_keras_h5(path: Path, moves: Sequence[Move], source: Listing, progress: Progress) -> None:
    """Nothing, after the targets have been written as the datasets of a Keras 3 `.weights.h5` file.

    The target's names have to be a `.weights.h5` file's own, which are the paths of datasets.

    Raises RestoreError for other names or a dtype that HDF5 has not; UnreadableFile for a damaged source.
    """
    import h5py

    _check(moves, {name for name in _SAFETENSORS if not name.startswith(("bfloat", "float8"))}, "keras-h5")
    for move in moves:
        if not _KERAS_PLACE.search(move.target.name):
            raise RestoreError(
                f"'{move.target.name}' is no place in a Keras 3 weights file, such as 'layers/dense/vars/0'. "
                "Make the plan with a .weights.h5 file of the model as the target."
            )
    shards = shards_of(source)
    _make_sure_of_room(path, sum(map(_nbytes, moves)) + _H5_ENTRY * (len(moves) + 1))
    with h5py.File(path, "x") as file:
        for move in moves:
            array = source_array(move, source, shards)
            value = move.transform.apply(array, target_shape(move), move.target.dtype)
            file.create_dataset(move.target.name, data=value)
            progress.step(value.nbytes)


def _make_sure_of_room(path: Path, size: int) -> None:
    """Nothing, if a file of so many bytes can be there: HDF5 ends the process when a disk gets full."""
    with open(path, "xb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    path.unlink()


FORMS: dict[str, Callable[[Path, Sequence[Move], Listing, Progress], None]] = {
    "safetensors": write_safetensors,
    "npz": write_npz,
    "keras-h5": write_keras_h5,
}


def _nbytes(move: Move) -> int:
    return (move.source.size or 0) * numpy_dtype(move.target.dtype).itemsize


def _check(moves: Sequence[Move], known: object, form: str) -> None:
    for move in moves:
        if move.target.dtype not in known:  # type: ignore[operator]
            raise RestoreError(
                f"'{move.target.name}' is {move.target.dtype}, which {form} cannot hold. "
                "Reject the pair to leave it out."
            )
