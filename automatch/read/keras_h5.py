"""The HDF5 files of Keras 1 and 2 (Keras 3 still writes them), weights alone or whole models.

Attributes list the layers in the model's order (`layer_names`), and in each layer's group its variables
(`weight_names`), under names that repeat the layer's: `conv1/conv1/kernel:0`. HDF5 files that some other
program wrote are read as well, as a plain tree of datasets; those of Keras 3's own format by its reader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from automatch.layout import framework_of_names
from automatch.read import keras_weights
from automatch.read.hdf5 import MARK, Survey, survey
from automatch.tensor import Listing, Order, Tensor

__all__ = ["matches", "read"]

_MODEL = "model_weights/"
_OPTIMIZER = "optimizer_weights/"
# TensorFlow's graph names end in the number of the op's output.
_OUTPUT = re.compile(r":\d+$")
_THEANO = (
    "Written by Keras on Theano, which turns convolution kernels by 180 degrees in their plane: "
    "flip their first two axes after restoring, for shapes do not show it."
)


def matches(_path: Path, head: bytes) -> bool:
    """Whether the file begins as an HDF5 file."""
    return head.startswith(MARK)


def read(path: Path) -> Listing:
    """The listing of an HDF5 file: layers in the model's order where it is known, the optimizer last.

    Raises UnreadableFile.
    """
    file = survey(path)
    if keras_weights.is_numbered(file):
        return keras_weights.listing(file)
    found = file.datasets
    root = _MODEL if any(name.startswith(_MODEL) for name in found) else ""
    programs = _programs(file, root)
    places = _shown([*programs, *sorted(found.keys() - programs.keys())], root)
    names = {place: name for name, place in places.items()}
    owners = {program: names[place] for place, program in programs.items()}
    owners |= {program.replace("/", "_"): name for program, name in owners.items()}
    tensors = []
    for name, place in places.items():
        slot_of, slot = _slot(place, owners) if place.startswith(_OPTIMIZER) else (None, None)
        shape, dtype = found[place].shape, found[place].dtype
        tensors.append(Tensor(name, shape, dtype, None, slot_of, slot, programs.get(place)))
    top = file.texts.get(root.rstrip("/"), {})
    version, backend = ("".join(top.get(key, ())) for key in ("keras_version", "backend"))
    order: Order = "creation" if programs else "sorted"
    framework = "keras3" if version.startswith("3") else "keras2-h5"
    if not programs:
        framework = framework_of_names(tensors, framework)
    notes = (_THEANO,) if backend == "theano" else ()
    return Listing(
        tuple(tensors), "keras-h5", framework, order, str(path), notes, lambda name: file.value(places[name])
    )


def _names(texts: Mapping[str, list[str]], key: str) -> list[str]:
    """An attribute that lists names; Keras splits one that is too long for HDF5 into `key0`, `key1`, …"""
    chunks = [texts[key]] if key in texts else []
    while f"{key}{len(chunks)}" in texts:
        chunks.append(texts[f"{key}{len(chunks)}"])
    return [text for chunk in chunks for text in chunk]


def _programs(file: Survey, root: str) -> dict[str, str]:
    """Place of each variable, in the model's order -> its name in the program that saved it."""
    programs: dict[str, str] = {}
    for layer in _names(file.texts.get(root.rstrip("/"), {}), "layer_names"):
        for weight in _names(file.texts.get(f"{root}{layer}", {}), "weight_names"):
            place = f"{root}{layer}/{weight}"
            if place in file.datasets:
                programs[place] = _OUTPUT.sub("", weight)
    return programs


def _shown(places: list[str], root: str) -> dict[str, str]:
    """Names as in a file of weights alone -> places; the places themselves where two would be the same."""
    names = [place.removeprefix(root) for place in places]
    return dict(zip(names if len(set(names)) == len(names) else places, places, strict=True))


def _slot(place: str, owners: Mapping[str, str]) -> tuple[str | None, str]:
    """The variable that an optimizer's variable belongs to, where one is found in its path, and its kind.

    Seen: `Adam/m/dense/kernel`, `Adam/dense/kernel/m`, `adam/dense_kernel_momentum`.
    """
    steps = _OUTPUT.sub("", place).split("/")[1:]
    for length in range(len(steps) - 1, 0, -1):
        for start in range(len(steps) - length + 1):
            owner = owners.get("/".join(steps[start : start + length]))
            if owner is not None:
                return owner, steps[-1] if start + length < len(steps) else steps[start - 1]
    head, _, kind = steps[-1].rpartition("_")
    owner = owners.get(head)
    return (owner, kind) if owner is not None else (None, "optimizer")
