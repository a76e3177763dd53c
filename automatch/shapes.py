"""Which transforms could turn one shape into another: the layouts of two frameworks, and reshapes.

    kind   keep     the values in their order: identity, or a reshape that merges or splits neighbouring axes
           layout   from one framework's order of axes to the other's
           split    one kernel a head: `(heads * size, in)` -> `(heads, in, size)`

Several can fit one pair of shapes (a square kernel, transposed or not); which one a model means is
decided for all its kernels together, in `transforms.py`. A person may name a pair that no two frameworks
would make: of that one more is allowed.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import accumulate
from operator import mul
from typing import Literal

from automatch.errors import UsageError
from automatch.layout import IMAGE, Kind, convention, expected_transform
from automatch.tensor import Shape, Tensor, short_type
from automatch.transform import IDENTITY, parse

__all__ = ["OptionKind", "Options", "fitting", "is_vector", "named", "options", "squeezed"]

OptionKind = Literal["keep", "layout", "split"]
Options = tuple[tuple[str, OptionKind], ...]
"""`(transform, kind)` of each way that fits, in order of preference."""

_REAL = ("float", "bfloat", "double", "half", "complex")
_KINDS: tuple[Kind, ...] = ("dense", "conv", "depthwise", "conv_transpose")


def squeezed(shape: Shape) -> Shape:
    """The shape without its axes of length 1."""
    return tuple(axis for axis in shape if axis != 1)


def is_vector(shape: Shape | None) -> bool:
    """Whether all values lie along one axis (a bias, a scale, a scalar)."""
    return shape is None or len(squeezed(shape)) < 2


@lru_cache(maxsize=1 << 12)
def options(source: Shape, target: Shape, source_framework: str, target_framework: str) -> Options:
    """The transforms that turn a tensor of shape `source` into one of shape `target`; none if nothing does.

    Between frameworks of one convention values are never transposed.

    >>> options((768, 3072), (3072, 768), "tf1", "torch")
    (('transpose:1,0', 'layout'),)
    >>> options((768, 768), (768, 12, 64), "tf1", "keras3")
    (('reshape', 'keep'),)
    >>> options((5, 4), (4, 5), "tf1", "keras2")
    ()
    """
    if math.prod(source) != math.prod(target):
        return ()
    found: list[tuple[str, OptionKind]] = []
    if source == target:
        found.append(("identity", "keep"))
    foreign = convention(source_framework) != convention(target_framework)
    # Where only axes of length 1 have moved from one end to the other, a kernel's layout has changed.
    kernels = foreign and len(source) == len(target) >= IMAGE and not is_vector(source)
    if source != target and not kernels and _regroups(source, target) and not _recut(source, target):
        found.append(("reshape", "keep"))
    if foreign and len(source) > 1:
        layouts = _layouts(source, target, source_framework, target_framework)
        found.extend((text, "layout") for text in layouts)
        if len(source) == 2 and len(target) == 3 and target[0] > 1 and target[1] == source[1]:
            found.append((f"reshape:{target[0]},{target[2]},{source[1]}+transpose:0,2,1", "split"))
    # Moving an axis of length 1 about changes nothing: of transforms that do the same the first stays.
    distinct: dict[object, tuple[str, OptionKind]] = {}
    for text, kind in found:
        distinct.setdefault(parse(text).digits(source), (text, kind))
    return tuple(distinct.values())


def fitting(source: Tensor, target: Tensor, source_framework: str, target_framework: str) -> Options:
    """The same of two tensors; none where a shape is not known."""
    if source.size is None or target.size is None or source.shape is None or target.shape is None:
        return ()
    # Tables of integers follow no layer's layout.
    layout = source_framework if source.dtype.startswith(_REAL) else target_framework
    return options(source.shape, target.shape, layout, target_framework)


def named(source: Tensor, target: Tensor, source_framework: str, target_framework: str) -> Options:
    """The same of a pair that a person names: two axes may have changed places, and a shape may be open.

    Raises UsageError: nothing turns one shape into the other.

    >>> named(Tensor("w", (5, 4), "float32"), Tensor("x", (4, 5), "float32"), "tf1", "keras2")
    (('transpose:1,0', 'layout'),)
    """
    if source.size is None or target.size is None:
        ways: Options = (("identity", "keep"),) if IDENTITY.fits(source.shape, target.shape) else ()
    else:
        ways = fitting(source, target, source_framework, target_framework) or _exchanged(source, target)
    if not ways:
        given, wanted = (short_type(tensor.dtype, tensor.shape) for tensor in (source, target))
        raise UsageError(
            f"'{source.name}' {given} cannot become '{target.name}' {wanted}: "
            "neither a reshape nor an exchange of two axes leads there. Pair it with another."
        )
    return ways


def _exchanged(source: Tensor, target: Tensor) -> Options:
    """The exchange of two axes that turns one shape into the other, if one does."""
    before, after = source.shape or (), target.shape or ()
    moved = [axis for axis, lengths in enumerate(zip(before, after, strict=False)) if len(set(lengths)) > 1]
    order = list(range(len(before)))
    if len(before) == len(after) and len(moved) == 2:
        order[moved[0]], order[moved[1]] = order[moved[1]], order[moved[0]]
    text = "transpose:" + ",".join(map(str, order))
    return ((text, "layout"),) if order and parse(text).fits(before, after) else ()


def _recut(source: Shape, target: Shape) -> bool:
    """Whether two kernels over images differ in more than axes of length 1: no layer is another one's so."""
    images = len(source) == len(target) >= IMAGE and max(map(len, map(squeezed, (source, target)))) >= IMAGE
    return images and squeezed(source) != squeezed(target)


def _regroups(source: Shape, target: Shape) -> bool:
    """Whether one shape merges neighbouring axes of the other; (6,4) and (8,3) cut through each other's."""
    ends = [set(accumulate(squeezed(shape), mul)) for shape in (source, target)]
    return ends[0] <= ends[1] or ends[1] <= ends[0]


def _layouts(source: Shape, target: Shape, source_framework: str, target_framework: str) -> list[str]:
    """The transposes that a layout could mean; only a dense kernel has axes that split into heads."""
    found = []
    for kind in _KINDS:
        text = expected_transform(source_framework, target_framework, kind, len(source)) or ""
        text = text.removesuffix("+reshape")
        if not text.startswith("transpose"):
            continue
        channels = source[:2] if convention(source_framework) == "torch" else source[-2:]
        if kind == "depthwise" and 1 not in channels:
            continue
        moved = tuple(source[axis] for axis in parse(text).steps[0].axes or ())
        if moved == target:
            found.append(text)
        elif len(source) == len(target) >= IMAGE:
            continue
        elif squeezed(moved) == squeezed(target) or (len(source) == 2 and _regroups(moved, target)):
            found.append(f"{text}+reshape")
    dense = expected_transform(source_framework, target_framework, "dense", 2) or ""
    if len(source) > 2 and len(target) == 2 and dense.startswith("transpose"):
        found += _heads(source, target)
    return found


def _heads(source: Shape, target: Shape) -> list[str]:
    """A dense kernel with inputs or outputs split into heads: `(in, heads, size)` -> `(heads * size, in)`."""
    rank = len(source)
    for cut in range(1, rank):
        if math.prod(source[:cut]) == target[1] and math.prod(source[cut:]) == target[0]:
            return ["transpose:" + ",".join(map(str, (*range(cut, rank), *range(cut)))) + "+reshape"]
    return []
