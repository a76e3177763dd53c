"""The order in which a chain of reshapes and transposes reads its input, in one exact notation.

The flat index of an output element has digits `(size, stride)`, outermost first; strides count source
elements. With neighbours merged wherever one continues the other, equal orders have equal digits, so that
transforms of tensors of any size are compared without touching a value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from automatch.tensor import Shape

__all__ = ["Digits", "contiguous", "digits_of", "simplest"]

Digits = tuple[tuple[int, int], ...]


class _Step(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def axes(self) -> Shape | None: ...


@lru_cache(maxsize=4096)
def digits_of(steps: tuple[_Step, ...], source_shape: Shape) -> Digits | None:
    """The digits of the output's index; None where an axis of a reshape cuts through one of the source."""
    shape, size = source_shape, math.prod(source_shape)
    if size == 0:
        return ()
    digits: Digits | None = contiguous(size)
    for step in steps:
        if step.axes is None:
            continue
        if step.kind == "reshape":
            shape = step.axes
            continue
        axes = _by_axis(digits or (), shape)
        if axes is None:
            return None
        shape = tuple(shape[axis] for axis in step.axes)
        digits = _merged([digit for axis in step.axes for digit in axes[axis]])
    return digits


def contiguous(size: int) -> Digits:
    """The digits of values that stay in their order."""
    return () if size in (0, 1) else ((size, 1),)


def _by_axis(digits: Digits, shape: Shape) -> list[list[tuple[int, int]]] | None:
    """The digits that make up each axis of the shape; None where an axis would cut through a digit."""
    rest = list(digits)[::-1]
    axes: list[list[tuple[int, int]]] = []
    for length in shape:
        axis: list[tuple[int, int]] = []
        missing = length
        while missing > 1:
            size, stride = rest.pop()
            taken = math.gcd(size, missing)
            if taken != min(size, missing):
                return None
            if taken < size:
                rest.append((size // taken, stride))
                stride *= size // taken
            axis.append((taken, stride))
            missing //= taken
        axes.append(axis)
    return axes


def _merged(digits: Sequence[tuple[int, int]]) -> Digits:
    """The digits with each neighbour that continues the one before it merged into it."""
    result: list[tuple[int, int]] = []
    for size, stride in digits:
        if result and result[-1][1] == size * stride:
            result[-1] = (result[-1][0] * size, stride)
        else:
            result.append((size, stride))
    return tuple(result)


def simplest(digits: Digits, source_shape: Shape) -> tuple[Shape | None, Shape]:
    """Sizes to split the source into (None: its own axes will do) and the order to transpose them to."""
    inverse = tuple(sorted(digits, key=lambda digit: -digit[1]))
    perm = tuple(inverse.index(digit) for digit in digits)
    sizes = tuple(size for size, _ in inverse)
    axes = _axes_of(sizes, source_shape)
    if axes is None:
        return sizes, perm
    return None, tuple(axis for group in perm for axis in axes[group])


def _axes_of(sizes: Shape, shape: Shape) -> list[list[int]] | None:
    """The axes of the shape, in order, that multiply to each size; None where one would have to be split."""
    groups: list[list[int]] = [[]]
    filled = 1
    for axis, length in enumerate(shape):
        if filled == sizes[len(groups) - 1] and length > 1:
            groups.append([])
            filled = 1
        groups[-1].append(axis)
        filled *= length
        if sizes[len(groups) - 1] % filled:
            return None
    return groups
