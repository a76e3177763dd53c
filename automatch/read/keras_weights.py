"""Keras' own weights format: `.weights.h5`, and `.keras`, an archive of it and the model's configuration."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automatch.read.archives import content, directory, members, seekable
from automatch.read.files import damage_as_error
from automatch.read.hdf5 import MARK, datasets, described, opened, value
from automatch.read.keras_names import layer_names, leaf_names
from automatch.tensor import Listing, Shape, Tensor

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]

_WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
_CONFIG_LIMIT = 64 * 2**20
_PLACE = re.compile(r"(?:(.*)/)?vars/(\d+)")

_OPTIMIZER = "optimizer/"

Found = dict[str, tuple[Shape, str]]


def matches(path: Path, head: bytes) -> bool:
    """Whether it is an archive with weights in it, or an HDF5 file whose variables are numbered."""
    if not head.startswith(MARK):
        return _WEIGHTS in members(path, head)
    with opened(path) as file:
        return file.visititems(lambda name, _: _is_numbered(name) or None) is True


def _is_numbered(name: str | bytes) -> bool:
    return isinstance(name, str) and _PLACE.fullmatch(name) is not None


def read(path: Path) -> Listing:
    """The listing of a `.keras` or `.weights.h5` file, its names in natural order. Raises UnreadableFile."""
    with _weights(path) as file:
        found = {name: what for name, data in datasets(file).items() if (what := described(name, data))}
        names = {place: name for place in _scopes(found) if (name := _name_of(file, place))}
    with damage_as_error(path, "Keras file"):
        full_names = _full_names(found, {**_configured(path), **names})
    ordered = sorted(found, key=_natural)
    tensors = tuple(_tensor(name, *found[name], full_names.get(name)) for name in ordered)

    def values(name: str) -> np.ndarray:
        with _weights(path) as weights:
            return value(weights[name], found[name][1])

    return Listing(tensors, "keras-weights", "keras3", path=str(path), values=values)


@contextmanager
def _weights(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        packed = not file.read(8).startswith(MARK)
    if not packed:
        with opened(path) as weights:
            yield weights
        return
    with damage_as_error(path, "Keras file"):
        member = seekable(path, directory(path)[_WEIGHTS])
    with member, opened(path, member) as weights:
        yield weights


def _scopes(found: Found) -> set[str]:
    """Every group on the way to a variable."""
    scopes: set[str] = set()
    for name in found:
        steps = name.split("/")[:-2]
        scopes.update("/".join(steps[:end]) for end in range(1, len(steps) + 1))
    return scopes


def _name_of(file: Any, place: str) -> str | None:
    """The layer's own name, which newer versions of Keras write beside its variables."""
    import h5py

    if not isinstance(file.get(f"{place}/vars", getlink=True), h5py.HardLink):
        return None
    name = file[f"{place}/vars"].attrs.get("name")
    return name if isinstance(name, str) else None


def _configured(path: Path) -> dict[str, str]:
    """The layers' own names from the configuration in the archive; empty for weights alone."""
    with path.open("rb") as file:
        if file.read(8).startswith(MARK):
            return {}
    config = directory(path).get(_CONFIG)
    return {} if config is None else layer_names(json.loads(content(path, config, _CONFIG_LIMIT)))


def _full_names(found: Found, names: Mapping[str, str]) -> dict[str, str]:
    """What Keras calls the variables in the program: scope names and a word for each number."""
    numbered: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in found:
        match = _PLACE.fullmatch(name)
        if match:
            numbered[match[1] or ""].append((int(match[2]), name))
    full_names: dict[str, str] = {}
    for place, numbers in numbered.items():
        ordered = [name for _, name in sorted(numbers)]
        scope = _scope(place, names)
        kind = re.sub(r"_\d+$", "", place.rpartition("/")[2])
        leaves = leaf_names(kind, [found[name][0] for name in ordered])
        if scope and not f"{place}/".startswith(_OPTIMIZER):
            full_names.update(
                (name, f"{scope}/{leaves[index] if leaves else index}") for index, name in enumerate(ordered)
            )
    return full_names


def _scope(place: str, names: Mapping[str, str]) -> str:
    steps = place.split("/")
    keys = ["/".join(steps[: end + 1]) for end in range(len(steps))]
    # `layers` holds a model's layers and has no name in the program.
    words = [names.get(key, "" if step == "layers" else step) for key, step in zip(keys, steps, strict=True)]
    return "/".join(word for word in words if word)


def _tensor(name: str, shape: Shape, dtype: str, full_name: str | None) -> Tensor:
    slot = "optimizer" if name.startswith(_OPTIMIZER) else None
    moving = full_name is not None and full_name.rpartition("/")[2].startswith("moving_")
    fixed = moving or slot is not None or name.startswith("metrics/")
    return Tensor(name, shape, dtype, False if fixed else None, None, slot, full_name)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which `vars/2` stands before `vars/10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
