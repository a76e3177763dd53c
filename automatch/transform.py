"""How a source tensor becomes a target variable: reshaped, transposed, cast.

    identity                               the values as they are
    reshape                                the same row-major values under the target's shape
    transpose:1,0                          axes in another order
    transpose:3,2,0,1+reshape              the same, then under the target's shape
    reshape:8,256,2048+transpose:0,2,1     axes split first; the target's shape is implied at the end
    …+cast                                 converted to the target's dtype at last

Two of them do the same when they read their input in the same order, however they are written
(automatch/digits.py); no value has to be touched to see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from automatch.digits import Digits, contiguous, digits_of, simplest
from automatch.errors import PlanConflict

if TYPE_CHECKING:
    import numpy as np

    from automatch.tensor import Shape, Tensor

__all__ = ["IDENTITY", "Step", "Transform", "compose", "numpy_dtype", "parse", "same_effect"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `reshape` (axes None: to the target's shape) or `transpose` by `axes`."""

    kind: str
    axes: Shape | None = None

    def __str__(self) -> str:
        return self.kind if self.axes is None else f"{self.kind}:{','.join(map(str, self.axes))}"


@dataclass(frozen=True, slots=True)
class Transform:
    """A chain of steps and, last, a cast; `str()` gives what `parse` reads."""

    steps: tuple[Step, ...] = ()
    cast: bool = False

    def __str__(self) -> str:
        words = [str(step) for step in self.steps] or ["identity"]
        return "+".join([*words, "cast"] if self.cast else words)

    @property
    def is_identity(self) -> bool:
        """True where values, shape and dtype stay as they are."""
        return not self.steps and not self.cast

    def fits(self, source_shape: Shape | None, target_shape: Shape | None) -> bool:
        """True if it turns `source_shape` into `target_shape`; an axis of -1 or shape None is any."""
        if source_shape is None or any(axis < 0 for axis in source_shape):
            return not self.steps
        shape = _walk(self.steps, source_shape)
        if shape is None:
            return False
        return _agree(shape, target_shape) or (self._reshapes and _can_become(shape, target_shape))

    def suits(self, source: Tensor, target: Tensor) -> bool:
        """True if it turns the source into the target, a cast included where the dtypes differ."""
        return self.fits(source.shape, target.shape) and (self.cast or source.dtype == target.dtype)

    def moves_values(self, source_shape: Shape) -> bool:
        """True unless the row-major order of the values stays what it is, as under a mere reshape."""
        digits = self.digits(source_shape)
        return digits is None or digits != contiguous(math.prod(source_shape))

    def digits(self, source_shape: Shape) -> Digits | None:
        """The order in which the source's elements are read; None where it is no mixed-radix order.

        `reshape:3,2` after `transpose:1,0` of 2 x 3 is such a case: its axes are no axes of the source.
        """
        return digits_of(self.steps, source_shape)

    def view(self, array: np.ndarray) -> np.ndarray:
        """The source's elements in the target's row-major order, without a copy where that can be."""
        digits = self.digits(array.shape)
        if digits is None:
            for step in self.steps:
                array = _numpy_step(array, step)
            return array
        by_stride = sorted(range(len(digits)), key=lambda i: -digits[i][1])
        split = array.reshape([digits[i][0] for i in by_stride])
        return split.transpose([by_stride.index(i) for i in range(len(digits))])

    def apply(self, array: np.ndarray, shape: Shape, dtype: str) -> np.ndarray:
        """The array as a target variable of this shape and dtype (TensorFlow's name for it).

        Raises PlanConflict where the shape cannot come out, or the dtype differs and no cast is asked for.
        """
        if self.is_identity and array.shape == shape and array.dtype == numpy_dtype(dtype):
            return array
        if not self.fits(array.shape, shape):
            raise PlanConflict(
                f"transform '{self}' does not turn shape {list(array.shape)} into {list(shape)}. "
                "Correct the transform, or reject the pair."
            )
        wanted = numpy_dtype(dtype)
        if array.dtype != wanted and not self.cast and wanted.kind != "O":
            raise PlanConflict(
                f"transform '{self}' keeps {array.dtype}, but the target is {dtype}. "
                "Append '+cast' to convert."
            )
        result = self.view(array).reshape(shape) if self.steps else array
        return result.astype(wanted) if self.cast else result

    @property
    def _reshapes(self) -> bool:
        return any(step.kind == "reshape" for step in self.steps)


IDENTITY = Transform()


@lru_cache(maxsize=4096)
def parse(text: str) -> Transform:
    """The transform that a text stands for.

    Raises PlanConflict for any other text.
    >>> str(parse("transpose:3,2,0,1+reshape+cast"))
    'transpose:3,2,0,1+reshape+cast'
    """
    words = text.split("+")
    cast = words[-1] == "cast"
    words = (words[:-1] or [""]) if cast else words
    if words == ["identity"]:
        return Transform(cast=cast)
    steps = tuple(_step(word, text) for word in words)
    if any(step.axes is None for step in steps[:-1]):
        raise _unreadable(text, "a reshape without sizes can only come last")
    return Transform(steps, cast)


def same_effect(a: Transform | str, b: Transform | str, source_shape: Shape, target_shape: Shape) -> bool:
    """True if both turn a source of this shape into the same target, element for element; exact.

    >>> same_effect("transpose:1,0", "reshape", (1, 8), (8, 1))
    True
    """
    first, second = (parse(t) if isinstance(t, str) else t for t in (a, b))
    if first.cast != second.cast:
        return False
    if not (first.fits(source_shape, target_shape) and second.fits(source_shape, target_shape)):
        return False
    digits = first.digits(source_shape), second.digits(source_shape)
    if None not in digits:
        return digits[0] == digits[1]
    return digits == (None, None) and _same_elements(first, second, source_shape)


def compose(
    first: Transform, second: Transform, source_shape: Shape, middle: Shape, target_shape: Shape
) -> Transform:
    """One transform that does `first` (source to middle), then `second` (middle to target), simplified.

    Raises PlanConflict where the two do not fit these shapes.
    """
    if not (first.fits(source_shape, middle) and second.fits(middle, target_shape)):
        raise PlanConflict(
            f"transforms '{first}' and '{second}' do not lead from {list(source_shape)} over {list(middle)} "
            f"to {list(target_shape)}."
        )
    chain = Transform((*first.steps, Step("reshape", middle), *second.steps), first.cast or second.cast)
    digits = chain.digits(source_shape)
    if digits is not None:
        return Transform(_shortest(digits, source_shape, target_shape), chain.cast)
    # `reshape:…` in the middle implies the final reshape, so the chain is right as it stands, only longer.
    return Transform(tuple(s for s in chain.steps if s.axes is not None), chain.cast)


@cache
def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype for TensorFlow's name of it; strings are objects (bytes).

    Raises PlanConflict where numpy has none.
    """
    import ml_dtypes
    import numpy as np

    if name == "string":
        return np.dtype(object)
    try:
        return np.dtype(getattr(ml_dtypes, name, name))
    except TypeError:
        raise PlanConflict(
            f"dtype '{name}' has no counterpart in numpy. Reject the pair to leave it out."
        ) from None


def _step(word: str, text: str) -> Step:
    kind, colon, numbers = word.partition(":")
    if kind == "reshape" and not colon:
        return Step("reshape")
    if kind not in ("reshape", "transpose"):
        raise _unreadable(text, f"'{word}' is no step")
    axes = numbers.split(",")
    if not all(axis.isascii() and axis.isdigit() and len(axis) < 19 for axis in axes):
        raise _unreadable(text, f"'{word}' needs sizes or axes such as '{kind}:2,0,1'")
    step = Step(kind, tuple(map(int, axes)))
    if kind == "transpose" and sorted(step.axes or ()) != list(range(len(axes))):
        raise _unreadable(text, f"'{word}' does not name each axis once")
    return step


def _unreadable(text: str, why: str) -> PlanConflict:
    return PlanConflict(
        f"transform '{text}' cannot be read: {why}. "
        "Write 'identity', 'reshape', 'transpose:1,0', 'transpose:3,2,0,1+reshape', with '+cast' to convert."
    )


def _walk(steps: Sequence[Step], shape: Shape) -> Shape | None:
    """The shape after all steps, before the implied last reshape; None where a step does not fit."""
    for step in steps:
        if step.axes is None:
            continue
        if step.kind == "transpose":
            if len(step.axes) != len(shape):
                return None
            shape = tuple(shape[axis] for axis in step.axes)
        elif math.prod(step.axes) != math.prod(shape):
            return None
        else:
            shape = step.axes
    return shape


def _agree(shape: Shape, wanted: Shape | None) -> bool:
    if wanted is None:
        return True
    return len(shape) == len(wanted) and all(b in (a, -1) for a, b in zip(shape, wanted, strict=True))


def _can_become(shape: Shape, wanted: Shape | None) -> bool:
    """True if a reshape leads there, with at most the open axes of `wanted` filled in."""
    if wanted is None:
        return True
    size, known = math.prod(shape), math.prod(axis for axis in wanted if axis >= 0)
    if all(axis >= 0 for axis in wanted):
        return size == known
    return size == 0 if known == 0 else size % known == 0


def _shortest(digits: Digits, source_shape: Shape, target_shape: Shape) -> tuple[Step, ...]:
    """The shortest steps with this effect: on the source's own axes where they will do."""
    if digits == contiguous(math.prod(source_shape)):
        return () if source_shape == target_shape else (Step("reshape"),)
    sizes, perm = simplest(digits, source_shape)
    if sizes is not None:
        return (Step("reshape", sizes), Step("transpose", perm))
    result = tuple(source_shape[axis] for axis in perm)
    return (Step("transpose", perm), *(() if result == target_shape else (Step("reshape"),)))


def _numpy_step(array: np.ndarray, step: Step) -> np.ndarray:
    if step.axes is None:
        return array
    return array.reshape(step.axes) if step.kind == "reshape" else array.transpose(step.axes)


def _same_elements(first: Transform, second: Transform, shape: Shape) -> bool:
    import numpy as np

    source = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    return bool(np.array_equal(first.view(source).ravel(), second.view(source).ravel()))
