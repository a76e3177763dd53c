"""Plans to apply, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from automatch.plan import Plan
from automatch.read import read
from automatch.tensor import Listing, Tensor
from restore_helpers import (
    plan_of,
    random_values,
)

__all__ = ["VALUES", "leftovers", "loaded", "no_links", "plan_for"]

VALUES = {
    **random_values({"old/w": (4, 3), "old/b": (3,), "old/emb": (6, 2)}),
    "step": np.int64(7),
    "words": np.array([b"a", b"", b"long" * 100], dtype=object),
    "flag": np.array([True, False]),
    "half": np.arange(3, dtype=np.float16),
}


def plan_for(prefix: str, pairs: Mapping[str, str | tuple[str, str]], decision: str = "accept") -> Plan:
    """A plan whose targets have the shapes and dtypes that the transforms give, as far as a name tells."""
    source = read(prefix)
    tensors = []
    for name, pair in pairs.items():
        given_name, transform = (pair, "identity") if isinstance(pair, str) else pair
        tensor = source.by_name[given_name]
        shape = tensor.shape or ()
        shape = {"transpose:1,0": shape[::-1], "reshape": (int(np.prod(shape)),)}.get(
            transform.removesuffix("+cast"), shape
        )
        tensors.append(Tensor(name, shape, "float32" if transform.endswith("cast") else tensor.dtype))
    return plan_of(source, Listing((*tensors, Tensor("head", (9,), "float32"))), pairs, decision)


def loaded(prefix: str | Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def no_links(*_: object, **__: object) -> None:
    raise OSError(18, "Invalid cross-device link")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
