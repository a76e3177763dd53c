"""Weights spread over several files, with a JSON index that says which tensor is in which.

`model.safetensors.index.json` and `pytorch_model.bin.index.json` name a file for each tensor, and
Keras' `.weights.json` names a list of files for each layer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.errors import UnreadableFile
from automatch.read.files import damage_as_error, first_bytes, read_whole
from automatch.tensor import Listing, Order, Tensor

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

# A hundred thousand tensors are 10 MB.
_LIMIT = 64 * 2**20
_KEY = "weight_map"


def matches(path: Path, head: bytes) -> bool:
    """Whether it is JSON that maps weights to files."""
    if not head.lstrip().startswith(b"{") or path.stat().st_size > _LIMIT:
        return False
    data = read_whole(path, _LIMIT)
    if f'"{_KEY}"'.encode() not in data:
        return False
    with damage_as_error(path, "index of shards"):
        document = json.loads(data)
        return isinstance(document, dict) and isinstance(document.get(_KEY), dict)


def read(path: Path) -> Listing:
    """The listing of all shards together, sorted by name unless each keeps the model's order.

    Raises UnreadableFile, also for a missing shard.
    """
    with damage_as_error(path, "index of shards"):
        entries = list(_entries(json.loads(read_whole(path, _LIMIT))[_KEY]))
    shards = {file: _shard(path.parent / file) for file in sorted({file for _, file in entries})}
    tensors: dict[str, Tensor] = {}
    home: dict[str, Listing] = {}
    for key, file in entries:
        found = _found(shards[file], key)
        if not found and not key.startswith("/"):
            raise UnreadableFile(
                f"'{path}' looks for '{key}' in '{file}', which does not hold it. "
                "Copy index and shards again from where they were made."
            )
        tensors |= {tensor.name: tensor for tensor in found}
        home |= {tensor.name: shards[file] for tensor in found}

    def values(name: str) -> np.ndarray:
        read_value = home[name].values
        assert read_value is not None
        return read_value(name)

    if not shards:
        raise UnreadableFile(f"'{path}' names no shards. Copy it again from where it was made.")
    first = next(iter(shards.values()))
    # What each keeps in the model's order, they keep together: they were filled one after the other.
    order: Order = "creation" if all(s.order == "creation" for s in shards.values()) else "sorted"
    names = [t.name for s in shards.values() for t in s.tensors] if order == "creation" else sorted(tensors)
    ordered = tuple(tensors[name] for name in dict.fromkeys(names) if name in tensors)
    notes = tuple(dict.fromkeys(note for shard in shards.values() for note in shard.notes))
    return replace(first, tensors=ordered, order=order, path=str(path), notes=notes, values=values)


def _entries(weight_map: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to be found and in which file, which has to lie beside the index. Raises ValueError."""
    for key, files in weight_map.items():
        for file in files if isinstance(files, list) else [files]:
            if Path(file).name != file:
                raise ValueError(f"'{key}' would be in '{file}', which is not beside the index")
            yield key, file


def _found(shard: Listing, key: str) -> list[Tensor]:
    """The tensor of that name, or the tensors of that group (`/layers/dense/vars`)."""
    if key in shard.by_name:
        return [shard.by_name[key]]
    group = key.strip("/") + "/"
    return [tensor for tensor in shard.tensors if key.startswith("/") and tensor.name.startswith(group)]


def _shard(path: Path) -> Listing:
    # Imported here: whoever has another JSON file asks `matches` and no more.
    from automatch.read import keras_h5, safetensors, torch_pickle

    head = first_bytes(path)
    if safetensors.matches(path, head):
        return safetensors.read(path)
    if torch_pickle.matches(path, head):
        return torch_pickle.read(path)
    if keras_h5.matches(path, head):
        return keras_h5.read(path)
    state = "is no weights file" if head else "is missing or empty"
    raise UnreadableFile(f"'{path}' {state}, and an index counts on it. Copy all shards into one directory.")
