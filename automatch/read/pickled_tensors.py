"""Tensors in the tree of an inert pickle: which calls stand for an array, and what lies below the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from automatch.read.inert_pickle import Call, Global, Persistent
from automatch.read.strided import Strided
from automatch.tensor import Shape
from automatch.transform import numpy_dtype

__all__ = ["children_of", "strided_of"]

_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "Untyped": "uint8",
    "ComplexDouble": "complex128", "ComplexFloat": "complex64",
}  # fmt: skip
# PyTorch's names of dtypes that are not TensorFlow's as well.
_WORDS = {
    "double": "float64", "float": "float32", "half": "float16", "long": "int64", "int": "int32",
    "short": "int16", "cfloat": "complex64", "cdouble": "complex128",
}  # fmt: skip

# What a module or an instance keeps its tensors in is no part of the names that `state_dict` gives them.
_HOLDERS = frozenset({"_parameters", "_buffers", "_modules"})


def strided_of(node: Any) -> Strided | None:
    """The array that a node stands for, or None. Raises ValueError for a damaged description."""
    if not isinstance(node, Call) or not node.name.startswith("torch.") or not isinstance(node.args, tuple):
        return None
    match node.name.rpartition(".")[2], node.args:
        case "_rebuild_tensor_v3", (Persistent() as storage, offset, size, stride, _, _, Global(name), *_):
            word = name.rpartition(".")[2]
            return _strided(storage, offset, size, stride, _WORDS.get(word, word))
        case "_rebuild_tensor_v2" | "_rebuild_tensor", (Persistent() as storage, offset, size, stride, *_):
            return _strided(storage, offset, size, stride, None)
        case "_rebuild_parameter" | "_rebuild_parameter_with_state", (data, *_):
            return strided_of(data)
        case "_rebuild_from_type_v2", (Global(name), _, tuple() as args, *_):
            return strided_of(Call(name, args))
    return None


def _strided(storage: Persistent, offset: Any, size: Any, stride: Any, dtype: str | None) -> Strided:
    match storage.reference:
        case ("storage", Global(kind), str() as key, _, int() as elements, *view):
            stored = _STORAGES.get(kind.rpartition(".")[2].removesuffix("Storage"))
        case _:
            raise ValueError("a tensor in it refers to no storage")
    if stored is None:
        raise ValueError(f"a tensor in it has a storage of unknown kind, {kind}")
    if dtype is not None:
        # A storage without a type is counted in bytes.
        elements //= numpy_dtype(dtype).itemsize
    if view and isinstance(view[0], tuple) and len(view[0]) == 3:
        # Files before 2017 name a stretch of another storage.
        offset += view[0][1]
    shape, strides = _numbers(size), _numbers(stride)
    if type(offset) is not int or len(shape) != len(strides) or min(shape, default=0) < 0:
        raise ValueError("a tensor in it has no proper shape")
    return Strided(key, dtype or stored, elements, offset, shape, strides)


def _numbers(size: Any) -> Shape:
    """A tuple of integers, or the call of torch.Size with one."""
    inner = size.args[0] if isinstance(size, Call) and size.args else size
    if not isinstance(inner, (tuple, list)) or not all(type(n) is int and abs(n) < 2**62 for n in inner):
        raise ValueError("a tensor in it has no proper shape")
    return tuple(inner)


def children_of(node: Any) -> Iterator[tuple[str | None, Any]]:
    """Keys and nodes below a node: entries of dictionaries, attributes of instances, items of lists."""
    if isinstance(node, Call):
        # Dictionaries of other classes come as calls with a list of pairs, or with entries set afterwards.
        for args in node.args if isinstance(node.args, tuple) else ():
            yield from _pairs(args)
        yield from children_of(node.entries)
        yield from children_of(node.items)
        yield None, node.state
    elif isinstance(node, dict):
        for key, value in node.items():
            text = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
            yield (None if text in _HOLDERS else text), value
    elif isinstance(node, (list, tuple)):
        yield from ((str(index), value) for index, value in enumerate(node))


def _pairs(args: Any) -> Iterator[tuple[str | None, Any]]:
    if isinstance(args, list):
        pairs = (pair for pair in args if isinstance(pair, (list, tuple)) and len(pair) == 2)
        yield from ((key, value) for key, value in pairs if isinstance(key, str))
    elif isinstance(args, dict):
        yield from children_of(args)
