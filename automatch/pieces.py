"""Pieces of partitioned variables: where they lie, how a Saver asks for them, which TensorFlow can read."""

from __future__ import annotations

from dataclasses import dataclass

from automatch.tensor import Shape, Tensor
from automatch.transform import Transform

__all__ = ["Place", "asked", "places", "reads", "reads_slices", "slice_spec"]

# RestoreV2 says "not supported" of these, tried with each dtype that it saves (TensorFlow 2.21), unless it is
# asked for one of the pieces that are stored: the whole tensor, or each slice of a partitioned one.
_AS_STORED = frozenset({"float16", "uint16", "uint32", "uint64", "string", "float8_e5m2", "float8_e4m3fn"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes: a whole variable, or one part of a partitioned one.

    name is the node's; spec is the slice of the whole as a Saver writes it (`6 4 0,2:0,4`), else empty.
    """

    name: str
    shape: Shape | None
    offset: Shape = ()
    spec: str = ""

    @property
    def cut(self) -> tuple[slice, ...]:
        """The index of this part in an array of the whole."""
        if not self.spec or self.shape is None:
            return ()
        return tuple(slice(first, first + size) for first, size in zip(self.offset, self.shape, strict=True))


def places(variable: Tensor) -> tuple[Place, ...]:
    """The nodes that make up a variable."""
    if not variable.parts or variable.shape is None:
        return (Place(variable.name, variable.shape),)
    return tuple(
        Place(part.name, part.shape, part.offset, slice_spec(variable.shape, part.offset, part.shape))
        for part in variable.parts
    )


def slice_spec(whole: Shape, offset: Shape, shape: Shape) -> str:
    """A slice of a variable as a Saver asks for it: `6 4 0,2:0,4`."""
    sizes = " ".join(map(str, whole))
    return sizes + " " + ":".join(f"{first},{size}" for first, size in zip(offset, shape, strict=True))


def reads_slices(dtype: str) -> bool:
    """Whether TensorFlow cuts and joins stored tensors of this dtype."""
    return dtype not in _AS_STORED


def reads(stored: Tensor, spec: str) -> bool:
    """Whether TensorFlow reads this slice of a stored tensor; the whole where it is empty.

    Of most dtypes it cuts and joins what is stored; of some it reads the stored pieces as they are alone.
    """
    if reads_slices(stored.dtype) or stored.shape is None:
        return True
    whole = (0,) * len(stored.shape), stored.shape
    pieces = [(part.offset, part.shape) for part in stored.parts] or [whole]
    return (_box(spec, stored.shape) if spec else whole) in pieces


def _box(spec: str, whole: Shape) -> tuple[Shape, Shape]:
    """Offset and shape of a slice that a Saver asks for."""
    spans = zip(spec.rpartition(" ")[-1].split(":"), whole, strict=False)
    pairs = [(0, size) if span == "-" else tuple(map(int, span.split(","))) for span, size in spans]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def asked(source: Tensor, transform: Transform, spec: str) -> str | None:
    """The slice to ask TensorFlow for where a slice of the target is wanted; None if it reads none that does.

    An empty one is the whole, to be transformed, and cut afterwards: a slice of a transformed variable is
    none of the source's.
    """
    return next((ask for ask in ([""] if transform.steps else [spec, ""]) if reads(source, ask)), None)
