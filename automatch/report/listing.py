"""What a file holds: lines, a tree, totals, or how two files differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from automatch.report.lines import Line, line, shown
from automatch.tensor import Listing, Tensor

__all__ = ["Comparison", "compare", "comparison", "listed", "totals", "tree"]

_BYTES = {
    "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "int8": 1, "uint8": 1, "bool": 1, "int16": 2,
    "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "complex64": 8, "complex128": 16,
    "qint8": 1, "quint8": 1, "qint16": 2, "quint16": 2, "qint32": 4, "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip

_ENUMS = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}


def listed(listing: Listing) -> Iterator[Line]:
    """One line a tensor, as TensorFlow's inspect_checkpoint prints them: `name (DT_FLOAT) [3,3,3,16]`."""
    for tensor in listing.tensors:
        yield line(_typed(tensor))


def _typed(tensor: Tensor) -> str:
    return f"{shown(tensor.name)} ({_enum(tensor.dtype)}) {_axes(tensor)}"


def _enum(dtype: str) -> str:
    """TensorFlow's name in its protocol: `DT_FLOAT` for float32."""
    return "DT_" + _ENUMS.get(dtype, dtype.upper())


def _axes(tensor: Tensor) -> str:
    if tensor.shape is None:
        return "<unknown>"
    return "[" + ",".join("?" if axis < 0 else str(axis) for axis in tensor.shape) + "]"


def totals(listing: Listing) -> str:
    """The sums in one line: tensors, parameters, bytes."""
    parameters = sum(tensor.size or 0 for tensor in listing.tensors)
    size = sum((tensor.size or 0) * _BYTES.get(tensor.dtype, 0) for tensor in listing.tensors)
    open_ones = sum(tensor.size is None or tensor.dtype not in _BYTES for tensor in listing.tensors)
    rest = f", not counting {open_ones:,} of unknown size" if open_ones else ""
    return f"{len(listing):,} tensors, {parameters:,} parameters, {_size(size)}{rest}"


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"


@dataclass
class _Scope:
    tensors: list[tuple[str, Tensor]] = field(default_factory=list)
    scopes: dict[str, _Scope] = field(default_factory=dict)

    def all(self) -> Iterator[Tensor]:
        stack = [self]
        while stack:
            scope = stack.pop()
            yield from (tensor for _, tensor in scope.tensors)
            stack.extend(scope.scopes.values())


def tree(listing: Listing) -> Iterator[Line]:
    """The scopes as a tree, with tensors and parameters of each."""
    root = _Scope()
    separator = "/" if any("/" in tensor.name for tensor in listing.tensors) else "."
    for tensor in listing.tensors:
        *path, leaf = tensor.name.split(separator)
        scope = root
        for step in path:
            scope = scope.scopes.setdefault(step, _Scope())
        scope.tensors.append((leaf, tensor))
    # Not recursion: a name may have more steps than Python has stack.
    stack: list[tuple[int, str, _Scope]] = [(0, name, scope) for name, scope in reversed(root.scopes.items())]
    yield from (_leaf(0, name, tensor) for name, tensor in root.tensors)
    while stack:
        depth, name, scope = stack.pop()
        inside = list(scope.all())
        count = f"{len(inside):,} tensors, {sum(tensor.size or 0 for tensor in inside):,} parameters"
        yield Line("  " * depth, ((f"{shown(name)}{separator}  ", "head"), (count, "dim")))
        yield from (_leaf(depth + 1, leaf, tensor) for leaf, tensor in scope.tensors)
        stack.extend((depth + 1, step, below) for step, below in reversed(scope.scopes.items()))


def _leaf(depth: int, name: str, tensor: Tensor) -> Line:
    return Line("  " * depth, ((f"{shown(name)}  ", ""), (f"{_enum(tensor.dtype)} {_axes(tensor)}", "dim")))


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two listings differ; all empty but `same` where they do not."""

    same: tuple[Tensor, ...]
    changed: tuple[tuple[Tensor, Tensor], ...]
    only_first: tuple[Tensor, ...]
    only_second: tuple[Tensor, ...]

    @property
    def is_same(self) -> bool:
        """True where both hold the same names, shapes and dtypes."""
        return not (self.changed or self.only_first or self.only_second)


def compare(first: Listing, second: Listing) -> Comparison:
    """What two listings share by name, and what differs."""
    both = [
        (tensor, second.by_name[tensor.name]) for tensor in first.tensors if tensor.name in second.by_name
    ]
    return Comparison(
        tuple(a for a, b in both if _type(a) == _type(b)),
        tuple((a, b) for a, b in both if _type(a) != _type(b)),
        tuple(tensor for tensor in first.tensors if tensor.name not in second.by_name),
        tuple(tensor for tensor in second.tensors if tensor.name not in first.by_name),
    )


def _type(tensor: Tensor) -> tuple[object, str]:
    return tensor.shape, tensor.dtype


def comparison(found: Comparison, first: str, second: str) -> Iterator[Line]:
    """The lines of a comparison: what differs by name, then the counts."""
    for here, there in found.changed:
        yield line(f"{_typed(here)} => ({_enum(there.dtype)}) {_axes(there)}", "doubt", left="! ")
    for tensor in found.only_first:
        yield line(_typed(tensor), "old", left="< ")
    for tensor in found.only_second:
        yield line(_typed(tensor), "new", left="> ")
    yield line(
        f"{len(found.same):,} the same, {len(found.changed):,} of another shape or dtype, "
        f"{len(found.only_first):,} only in {shown(first)}, "
        f"{len(found.only_second):,} only in {shown(second)}",
        "head",
    )
