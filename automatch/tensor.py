"""What a checkpoint, a graph or a model holds: names, shapes and dtypes, without values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Dataflow", "Listing", "Order", "Part", "Shape", "Tensor", "Values", "short_type"]

Shape = tuple[int, ...]
"""Sizes of the axes; -1 where a graph leaves one open."""

Order = Literal["creation", "sorted"]

# One-letter kinds as in `f32[2,3]`, the notation of the compiler dumps that users of TensorFlow know.
_SHORT = {"float": "f", "bfloat": "bf", "int": "i", "uint": "u", "complex": "c"}


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a partitioned variable.

    name is the piece's own variable name (`emb/part_0`), offset and shape its place in the whole.
    """

    name: str
    offset: Shape
    shape: Shape


@dataclass(frozen=True, slots=True)
class Dataflow:
    """What a graph knows of a variable beyond its name.

    initializer: `zeros`, `ones`, `constant`, `random`, or None where unknown.
    consumers: sorted `Op:input index` of the first real ops that read it, such as `Conv2D:1`.
    depth: topological level of its first forward consumer, larger is nearer to the output; None where unread.
    place: that consumer's place in the order in which Keras lists the layers of a model; None where unread.
    """

    initializer: str | None = None
    consumers: tuple[str, ...] = ()
    depth: int | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named tensor of a checkpoint, or one variable of a graph or model.

        encoder/layer_3/attention/kernel        name
        float32  (768, 768)                     dtype, shape (None: rank unknown)

    dtype is TensorFlow's name for it (`float32`, `bfloat16`, `string`, …).
    trainable is None where the file does not say.
    slot_of and slot say, where the file itself knows it, that this is an optimizer slot or a moving
    average: `slot_of` the name of the variable it belongs to, `slot` its kind (`m`, `momentum`).
    hint is what its values say of its role (`positive`, `signed`), where somebody has asked them.
    full_name is the variable's name in the program that saved it, where the key differs from it
    (object-based checkpoints). parts are the pieces of a partitioned variable, in order of offset.
    """

    name: str
    shape: Shape | None
    dtype: str
    trainable: bool | None = None
    slot_of: str | None = None
    slot: str | None = None
    full_name: str | None = None
    parts: tuple[Part, ...] = ()
    dataflow: Dataflow | None = None
    hint: str | None = None

    @property
    def known_as(self) -> str:
        """What the program that saved it calls it, as far as that is known."""
        return self.full_name or self.name

    @property
    def size(self) -> int | None:
        """Number of elements; None where the shape is not fully known."""
        if self.shape is None or any(axis < 0 for axis in self.shape):
            return None
        product = 1
        for axis in self.shape:
            product *= axis
        return product


Values = Callable[[str], "np.ndarray"]
"""Reads the value of one tensor by name. Raises UnreadableFile when the bytes are damaged."""


@dataclass(frozen=True)
class Listing:
    """An ordered collection of tensors with the place they come from.

    format: `tf-checkpoint`, `tf-checkpoint-v1`, `tf-object-checkpoint`, `tf-meta`, `tf-graph`, `listing`, …
    framework: whose layer and layout conventions the tensors follow: `tf1`, `keras2`, `keras3`, `tf2-object`,
        `torch`, `flax`, …; the corpus' own words are accepted as they are.
    order: `creation` where the order of tensors means something, else `sorted`.
    path: the file, or a word for a live object (`<session>`).
    notes: sentences a person should see (what was skipped, what is unusual).
    values: reads one tensor, or None where only names are known.
    saveables: keys that the owner's Saver handles and that are no variables (lookup tables).
    """

    tensors: tuple[Tensor, ...]
    format: str = "listing"
    framework: str = "tf1"
    order: Order = "sorted"
    path: str | None = None
    notes: tuple[str, ...] = ()
    values: Values | None = field(default=None, compare=False, repr=False)
    saveables: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tensors)

    @cached_property
    def by_name(self) -> Mapping[str, Tensor]:
        """The tensors by name."""
        return {tensor.name: tensor for tensor in self.tensors}

    @cached_property
    def fingerprint(self) -> str:
        """`sha256:…` over the sorted (name, dtype, shape) lines, whatever file they are in."""
        lines = sorted(f"{t.name}\t{t.dtype}\t{_shape_text(t.shape)}\n" for t in self.tensors)
        return "sha256:" + hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()

    def _repr_html_(self) -> str:
        from automatch.report.html import listing_html

        return listing_html(self)

    def without(self, names: set[str]) -> Listing:
        """The same listing less the tensors of these names."""
        return replace(self, tensors=tuple(t for t in self.tensors if t.name not in names))


def _shape_text(shape: Shape | None) -> str:
    return "?" if shape is None else ",".join("?" if axis < 0 else str(axis) for axis in shape)


def short_type(dtype: str, shape: Shape | None) -> str:
    """A dtype and shape as `f32[2,3]`, for messages and reports.

    >>> short_type("float32", (2, 3)), short_type("bfloat16", ()), short_type("string", (4,))
    ('f32[2,3]', 'bf16[]', 'string[4]')
    """
    kind = dtype.rstrip("0123456789")
    letter = _SHORT.get(kind)
    name = letter + dtype[len(kind) :] if letter else dtype
    return f"{name}[{_shape_text(shape)}]"
