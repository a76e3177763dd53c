"""Weights spread over several files, with a JSON index that says which tensor is in which.

`model.safetensors.index.json` and `pytorch_model.bin.index.json` have one, in the same form.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from automatch.errors import UnreadableFile
from automatch.read import safetensors, torch_pickle
from automatch.read.files import damage_as_error, first_bytes, read_whole
from automatch.tensor import Listing, Tensor

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

# A hundred thousand tensors are 10 MB.
_LIMIT = 64 * 2**20
_KEY = b'"weight_map"'


def matches(path: Path, head: bytes) -> bool:
    """Whether it is JSON that maps weights to files."""
    if not head.lstrip().startswith(b"{") or path.stat().st_size > _LIMIT:
        return False
    return _KEY in read_whole(path, _LIMIT)


def read(path: Path) -> Listing:
    """The listing of all shards together, sorted by name. Raises UnreadableFile, also for a missing shard."""
    with damage_as_error(path, "index of shards"):
        files = json.loads(read_whole(path, _LIMIT))["weight_map"]
        wanted: dict[str, set[str]] = defaultdict(set)
        for name, file in files.items():
            if Path(file).name != file:
                raise ValueError(f"'{name}' would be in '{file}', which is not beside the index")
            wanted[file].add(name)
    shards = {file: _shard(path.parent / file) for file in sorted(wanted)}
    tensors: dict[str, Tensor] = {}
    for file, names in wanted.items():
        if missing := sorted(names - shards[file].by_name.keys()):
            raise UnreadableFile(
                f"'{path}' looks for '{missing[0]}' in '{file}', which does not hold it. "
                "Copy index and shards again from where they were made."
            )
        tensors |= {name: shards[file].by_name[name] for name in names}

    def values(name: str) -> np.ndarray:
        read_value = shards[files[name]].values
        assert read_value is not None
        return read_value(name)

    first = next(iter(shards.values()))
    ordered = tuple(tensors[name] for name in sorted(tensors))
    notes = tuple(dict.fromkeys(note for shard in shards.values() for note in shard.notes))
    return replace(first, tensors=ordered, order="sorted", path=str(path), notes=notes, values=values)


def _shard(path: Path) -> Listing:
    head = first_bytes(path)
    if safetensors.matches(path, head):
        return safetensors.read(path)
    if torch_pickle.matches(path, head):
        return torch_pickle.read(path)
    state = "is no safetensors or PyTorch file" if head else "is missing or empty"
    raise UnreadableFile(f"'{path}' {state}, and an index counts on it. Copy all shards into one directory.")
