"""Weights under the target's names in the two HDF5 formats of Keras; `automatch.read` describes both.

HDF5 lays out the file, and the values are written to their places in it: never more of one than a piece is
in memory, in whatever order its axes come.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from automatch.errors import RestoreError
from automatch.moves import Move
from automatch.rewrite.progress import Progress
from automatch.rewrite.stream import byte_chunks, check_dtypes, nbytes, source_array, target_shape
from automatch.shards import shards_of
from automatch.tensor import Listing
from automatch.transform import numpy_dtype

__all__ = ["write_keras_h5", "write_keras_weights"]

# More than HDF5 writes of a dataset and the groups around it besides its values.
_ENTRY = 8192
# An attribute takes at most 64 KiB; longer lists of names go into several.
_ATTRIBUTE = 64_000

_NUMBERED = re.compile(r"(^|/)vars/\d+$")
_BESIDE = ("optimizer_weights", "top_level_model_weights")
_DTYPES = frozenset(
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def write_keras_weights(path: Path, moves: Sequence[Move], source: Listing, progress: Progress) -> None:
    """Nothing, after the targets have been written as the datasets of a Keras 3 `.weights.h5` file.

    The target's names have to be a `.weights.h5` file's own, which are the paths of datasets.

    Raises RestoreError for other names or a dtype that HDF5 has not; UnreadableFile for a damaged source.
    """
    check_dtypes(moves, _DTYPES | {"bfloat16"}, "keras-h5")
    for move in moves:
        if not _NUMBERED.search(move.target.name):
            raise RestoreError(
                f"'{move.target.name}' is no place in a Keras 3 weights file, such as 'layers/dense/vars/0'. "
                "Make the plan with a .weights.h5 or .h5 file of the model as the target."
            )
    _write(path, moves, source, progress, {})


def write_keras_h5(path: Path, moves: Sequence[Move], source: Listing, progress: Progress) -> None:
    """Nothing, after the targets have been written as the weights of a Keras 2 `.h5` file.

    The target's names have to be a `.h5` file's own: the layer's group, then the variable's name.

    Raises RestoreError for other names or a dtype that HDF5 has not; UnreadableFile for a damaged source.
    """
    check_dtypes(moves, _DTYPES, "keras-h5")
    layers: dict[str, list[str]] = defaultdict(list)
    for move in moves:
        layer, slash, variable = move.target.name.partition("/")
        if not slash:
            raise RestoreError(
                f"'{layer}' is no place in a Keras 2 weights file, such as 'dense/dense/kernel:0'. "
                "Make the plan with a .h5 file of the model as the target."
            )
        layers[layer].append(variable)
    names = {"": ("layer_names", [layer for layer in layers if layer not in _BESIDE])}
    names |= {layer: ("weight_names", variables) for layer, variables in layers.items()}
    _write(path, moves, source, progress, names)


def _write(
    path: Path,
    moves: Sequence[Move],
    source: Listing,
    progress: Progress,
    names: Mapping[str, tuple[str, Sequence[str]]],
) -> None:
    """Writes the file. names: group -> attribute, and what it lists."""
    import h5py

    _make_sure_of_room(path, sum(map(nbytes, moves)) + _ENTRY * (len(moves) + 1))
    with h5py.File(path, "x") as file:
        places = [_place(file, move) for move in moves]
        for group, (key, listed) in names.items():
            _list(file.require_group(group or "/").attrs, key, listed)
        if names:
            # Files without a version are taken for those of Keras 1.
            file.attrs["keras_version"], file.attrs["backend"] = b"2.0.0", b"tensorflow"
    shards = shards_of(source)
    with open(path, "r+b") as opened:
        for move, place in zip(moves, places, strict=True):
            opened.seek(place)
            for chunk in byte_chunks(move, source_array(move, source, shards)):
                opened.write(chunk.data)
                progress.step(chunk.nbytes)


def _place(file: Any, move: Move) -> int:
    """The first byte of a new dataset, which takes its space at once and is not filled."""
    import h5py

    plain = numpy_dtype(move.target.dtype)
    # What HDF5 has no type for stands as opaque bytes, and an attribute says what they are.
    dtype = plain if plain.kind != "V" else f"V{plain.itemsize}"
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    dataset = file.create_dataset(move.target.name, target_shape(move), dtype, dcpl=layout)
    if dtype is not plain:
        dataset.attrs["dtype"] = move.target.dtype
    return dataset.id.get_offset() or 0


def _list(attributes: Any, key: str, names: Sequence[str]) -> None:
    """Writes names as the attribute `key`, or as `key0`, `key1`, … where they are too many for one."""
    encoded = [name.encode() for name in names]
    width = max(map(len, encoded), default=1)
    count = _ATTRIBUTE // width
    if len(encoded) <= count:
        attributes[key] = encoded
    for at in range(0, len(encoded), count) if len(encoded) > count else ():
        attributes[f"{key}{at // count}"] = encoded[at : at + count]


def _make_sure_of_room(path: Path, size: int) -> None:
    """Nothing, if a file of so many bytes can be there: HDF5 ends the process when a disk gets full."""
    with open(path, "xb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    path.unlink()
