"""Weights under the target's names in the files of other libraries, streamed one tensor after the other."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from automatch.moves import Move
from automatch.rewrite.keras_h5 import write_keras_h5, write_keras_weights
from automatch.rewrite.progress import Progress
from automatch.rewrite.stream import byte_chunks, check_dtypes, nbytes, source_array, target_shape
from automatch.shards import shards_of
from automatch.tensor import Listing
from automatch.transform import numpy_dtype

__all__ = ["FORMS", "Writer", "writer"]

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


def write_safetensors(path: Path, moves: Sequence[Move], source: Listing, progress: Progress) -> None:
    """Nothing, after the targets of all moves have been written to a safetensors file.

    Raises RestoreError for a dtype that the format has not; UnreadableFile for a damaged source.
    """
    check_dtypes(moves, _SAFETENSORS, "safetensors")
    header: dict[str, object] = {}
    end = 0
    for move in moves:
        shape = target_shape(move)
        start, end = end, end + nbytes(move)
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
    check_dtypes(moves, {*own, "complex128"}, "npz")
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


Writer = Callable[[Path, Sequence[Move], Listing, Progress], None]

FORMS: dict[str, Writer] = {
    "safetensors": write_safetensors,
    "npz": write_npz,
    "keras-h5": write_keras_weights,
}


def writer(form: str, target: str) -> Writer:
    """What writes a form for a target of some format: of Keras' two kinds of `.h5`, the target's own."""
    return write_keras_h5 if form == target == "keras-h5" else FORMS[form]
