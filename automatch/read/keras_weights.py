"""Keras' own weights format: `.weights.h5`, and `.keras`, an archive of it and the model's configuration."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from automatch.read.archives import content, directory, members
from automatch.read.files import damage_as_error
from automatch.read.hdf5 import MARK, MEMBER, Dataset, Survey, survey
from automatch.read.keras_names import layer_names, leaf_names
from automatch.tensor import Listing, Order, Tensor

__all__ = ["is_numbered", "listing", "matches", "read"]

_CONFIG = "config.json"
_CONFIG_LIMIT = 64 * 2**20
_PLACE = re.compile(r"(?:(.*)/)?vars/(\d+)")

_OPTIMIZER = "optimizer/"
_METRICS = "metrics/"


def matches(path: Path, head: bytes) -> bool:
    """Whether it is an archive with weights in it."""
    return MEMBER in members(path, head)


def read(path: Path) -> Listing:
    """The listing of a `.keras` file, in the model's order where it is made of layers alone.

    Raises UnreadableFile.
    """
    return listing(survey(path))


def is_numbered(file: Survey) -> bool:
    """Whether variables have numbers in place of names."""
    return any(_PLACE.fullmatch(name) for name in file.datasets)


def listing(file: Survey) -> Listing:
    """The listing of weights in Keras 3's own format, alone or in an archive. Raises UnreadableFile."""
    names = {place: name for place in _scopes(file.datasets) if (name := _name_of(file, place))}
    with damage_as_error(file.path, "Keras file"):
        configured = _configured(file.path)
    full_names = _full_names(file.datasets, {**configured, **names})
    layers = _layer_order(file.datasets, configured)
    ordered = sorted(
        sorted(file.datasets, key=_natural), key=lambda name: layers.get(_layer(name), len(layers))
    )
    tensors = tuple(_tensor(name, file.datasets[name], full_names.get(name)) for name in ordered)
    order: Order = "creation" if layers else "sorted"
    return Listing(tensors, "keras-weights", "keras3", order, str(file.path), values=file.value)


def _layer_order(found: Iterable[str], layers: Iterable[str]) -> dict[str, int]:
    """Place of each layer in the model; empty where variables lie in parts of layers, which have no order."""
    model = {_layer(name) for name in found if not name.startswith((_OPTIMIZER, _METRICS))}
    known = {layer: at for at, layer in enumerate(layers)}
    return known if model and model <= known.keys() else {}


def _layer(name: str) -> str:
    """The group of a variable: `layers/dense` of `layers/dense/vars/0`."""
    return name.rpartition("/vars/")[0]


def _scopes(found: Iterable[str]) -> set[str]:
    """Every group on the way to a variable."""
    scopes: set[str] = set()
    for name in found:
        steps = name.split("/")[:-2]
        scopes.update("/".join(steps[:end]) for end in range(1, len(steps) + 1))
    return scopes


def _name_of(file: Survey, place: str) -> str | None:
    """The layer's own name, which newer versions of Keras write beside its variables."""
    return "".join(file.texts.get(f"{place}/vars", {}).get("name", ())) or None


def _configured(path: Path) -> dict[str, str]:
    """The layers' own names from the configuration in the archive; empty for weights alone."""
    with path.open("rb") as file:
        if file.read(8).startswith(MARK):
            return {}
    config = directory(path).get(_CONFIG)
    return {} if config is None else layer_names(json.loads(content(path, config, _CONFIG_LIMIT)))


def _full_names(found: Mapping[str, Dataset], names: Mapping[str, str]) -> dict[str, str]:
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
        leaves = leaf_names(kind, [found[name].shape for name in ordered])
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


def _tensor(name: str, dataset: Dataset, full_name: str | None) -> Tensor:
    slot = "optimizer" if name.startswith(_OPTIMIZER) else None
    moving = full_name is not None and full_name.rpartition("/")[2].startswith("moving_")
    fixed = moving or slot is not None or name.startswith(_METRICS)
    return Tensor(name, dataset.shape, dataset.dtype, False if fixed else None, None, slot, full_name)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which `vars/2` stands before `vars/10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
