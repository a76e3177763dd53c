"""Writes PyTorch files by hand, right and wrong ones, for tests that have no PyTorch."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Fake:
    """A float32 tensor as a file describes it: its storage, and its place in that."""

    key: str
    elements: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


def whole(key: str, *shape: int) -> Fake:
    """A tensor that has a storage of its own."""
    strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    return Fake(key, int(np.prod(shape)), shape, strides)


def pickled(thing: Any) -> bytes:
    """A pickle of dictionaries, fakes and plain values, as PyTorch writes it."""
    return b"\x80\x02" + _part(thing) + b"."


def _part(thing: Any) -> bytes:
    if isinstance(thing, Mapping):
        return b"}(" + b"".join(_part(key) + _part(value) for key, value in thing.items()) + b"u"
    if isinstance(thing, Fake):
        storage = b"(" + _part("storage") + b"ctorch\nFloatStorage\n"
        storage += _part(thing.key) + _part("cpu") + _part(thing.elements) + b"tQ"
        place = _part(thing.offset) + _part(thing.shape) + _part(thing.strides)
        return (
            b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + place + b"\x89ccollections\nOrderedDict\n)RtR"
        )
    return pickle.dumps(thing, 2)[2:-1]


def write(path: Path, tree: Any, storages: Mapping[str, bytes], packing: int = zipfile.ZIP_STORED) -> Path:
    """A file of the tree (or of a pickle that is given as bytes) and the bytes of its storages."""
    data = tree if isinstance(tree, bytes) else pickled(tree)
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("model/data.pkl", data)
        for key, content in storages.items():
            archive.writestr(f"model/data/{key}", content)
    return path


def floats(*shape: int) -> bytes:
    """0, 1, 2, … as float32."""
    return np.arange(np.prod(shape), dtype="<f4").tobytes()
