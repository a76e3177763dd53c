"""Weights in memory: nested dictionaries of arrays (Flax, Haiku, NumPy), PyTorch modules and `state_dict`.

No library is imported for it: what has a shape and a dtype and cannot be assigned to is an array.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from automatch.errors import UnsupportedTarget
from automatch.layout import framework_of_names
from automatch.read.numpy_names import dtype_name
from automatch.read.trees import Leaf, leaves, named, tied
from automatch.tensor import Listing, Order, Shape, Tensor

if TYPE_CHECKING:
    import numpy as np

__all__ = ["matches", "read"]


def matches(thing: Any) -> bool:
    """Whether it is a PyTorch module, or a mapping with arrays (not variables) somewhere in it."""
    if _is_module(thing):
        return True
    return isinstance(thing, Mapping) and next(leaves(thing, _leaf, _children), None) is not None


def read(thing: Any) -> Listing:
    """The listing of weights in memory; their values are those at the time of reading them.

    Raises UnsupportedTarget where two arrays would have one name.
    """
    module = _is_module(thing)
    found = list(leaves(thing.state_dict() if module else thing, _leaf, _children))
    from_torch = module or any(_is_torch(leaf.value) for leaf in found)
    try:
        tensors, arrays = named(found, "." if from_torch else "/")
    except ValueError as error:
        raise UnsupportedTarget(f"These weights cannot be named: {error}. Rename one of the keys.") from error
    if module:
        trainable = {
            name: value.requires_grad for name, value in thing.named_parameters(remove_duplicate=False)
        }
        tensors = [replace(tensor, trainable=trainable.get(tensor.name, False)) for tensor in tensors]
    framework = "torch" if from_torch else framework_of_names(tensors, "flax")
    order: Order = "creation" if framework == "torch" else "sorted"

    def values(name: str) -> np.ndarray:
        return _value(arrays[name])

    ordered = tensors if order == "creation" else sorted(tensors, key=lambda tensor: tensor.name)
    where = "<module>" if module else "<arrays>"
    return Listing(tuple(ordered), "arrays", framework, order, where, tied(_same(found, tensors)), values)


def _is_module(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.nn.Module)


def _is_torch(thing: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.Tensor)


def _leaf(node: Any) -> tuple[Shape, str, Any] | None:
    shape, dtype = getattr(node, "shape", None), getattr(node, "dtype", None)
    # What can be assigned to is a live variable, with a name of its own.
    if shape is None or dtype is None or hasattr(node, "assign") or isinstance(node, Mapping):
        return None
    name = _dtype_name(dtype)
    return None if name is None else (tuple(int(axis) for axis in shape), name, node)


def _dtype_name(dtype: Any) -> str | None:
    import numpy as np

    if isinstance(dtype, np.dtype):
        return dtype_name(dtype)
    # TensorFlow's dtypes have a name; PyTorch's print as `torch.float32`.
    return str(getattr(dtype, "name", None) or str(dtype).rpartition(".")[2])


def _children(node: Any) -> Iterable[tuple[str | None, Any]]:
    if isinstance(node, Mapping):
        return [(str(key), value) for key, value in node.items()]
    if isinstance(node, (list, tuple)):
        return [(str(index), value) for index, value in enumerate(node)]
    return []


def _value(array: Any) -> np.ndarray:
    import numpy as np

    if not _is_torch(array):
        return np.asarray(array)
    from automatch.transform import numpy_dtype

    torch = sys.modules["torch"]
    dtype = numpy_dtype(str(array.dtype).rpartition(".")[2])
    plain = array.detach().cpu().contiguous()
    # PyTorch gives NumPy no bfloat16 or float8: the bytes go over as integers.
    raw = plain.view({1: torch.uint8, 2: torch.int16}[dtype.itemsize]) if dtype.kind == "V" else plain
    return np.asarray(raw.numpy()).view(dtype)


def _same(found: list[Leaf], tensors: list[Tensor]) -> Iterable[list[str]]:
    groups: dict[Any, list[str]] = defaultdict(list)
    for leaf, tensor in zip(found, tensors, strict=True):
        array = leaf.value
        key = (
            (array.data_ptr(), leaf.shape, array.stride()) if _is_torch(array) and tensor.size else id(array)
        )
        groups[key].append(tensor.name)
    return groups.values()
