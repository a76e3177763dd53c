"""Who keeps which axis where: layouts of kernels by framework, in one table.

    kind             TensorFlow, Keras, Flax, Haiku     PyTorch
    conv             *space, in, out                    out, in, *space
    conv_transpose   *space, out, in                    in, out, *space
    depthwise        *space, in, multiplier             in * multiplier, 1, *space
    dense            in, out                            out, in
    recurrent        in, gates                          gates, in
    embedding        words, features                    words, features
    vector           as it is                           as it is

Flax keeps the kernel of a transposed convolution as an ordinary one. Flax and Haiku write a depthwise kernel
as a convolution with one input channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from automatch.tensor import Shape, Tensor

__all__ = [
    "IMAGE",
    "Kind",
    "axes",
    "convention",
    "expected_transform",
    "flattened",
    "framework_of_names",
]

Kind = Literal["conv", "conv_transpose", "depthwise", "dense", "recurrent", "embedding", "vector"]
Convention = Literal["tensorflow", "flax", "haiku", "torch"]

_SPACE = "*"

IMAGE = 4
"""Axes of a kernel over images."""

_TENSORFLOW: Mapping[Kind, tuple[str, ...]] = {
    "conv": (_SPACE, "in", "out"),
    "conv_transpose": (_SPACE, "out", "in"),
    "depthwise": (_SPACE, "in", "multiplier"),
    "dense": ("in", "out"),
    "recurrent": ("in", "out"),
    "embedding": ("words", "features"),
}
_HAIKU: Mapping[Kind, tuple[str, ...]] = {**_TENSORFLOW, "depthwise": (_SPACE, "1", "in*multiplier")}
_FLAX: Mapping[Kind, tuple[str, ...]] = {**_HAIKU, "conv_transpose": (_SPACE, "in", "out")}
_TORCH: Mapping[Kind, tuple[str, ...]] = {
    "conv": ("out", "in", _SPACE),
    "conv_transpose": ("in", "out", _SPACE),
    "depthwise": ("in*multiplier", "1", _SPACE),
    "dense": ("out", "in"),
    "recurrent": ("out", "in"),
    "embedding": ("words", "features"),
}
_TABLE: Mapping[Convention, Mapping[Kind, tuple[str, ...]]] = {
    "tensorflow": _TENSORFLOW,
    "flax": _FLAX,
    "haiku": _HAIKU,
    "torch": _TORCH,
}

# Leaves by which each writes its variables; the fuller the overlap, the likelier the author.
_LEAVES: Mapping[str, frozenset[str]] = {
    "torch": frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}),
    "flax": frozenset({"kernel", "bias", "scale", "embedding", "mean", "var"}),
    "haiku": frozenset({"w", "b", "scale", "offset", "embeddings"}),
}


def convention(framework: str) -> Convention:
    """Whose layouts the tensors of a framework follow.

    >>> convention("keras2-h5"), convention("flax-npz"), convention("torch")
    ('tensorflow', 'flax', 'torch')
    """
    match framework.partition("-")[0]:
        case "torch" | "flax" | "haiku" as word:
            return word
    return "tensorflow"


def axes(framework: str, kind: Kind, rank: int) -> tuple[str, ...] | None:
    """What each axis of a kernel of this kind and rank holds; None where the kind has no such rank.

    >>> axes("torch", "conv", 4)
    ('out', 'in', 'space0', 'space1')
    """
    if kind == "vector":
        return ("features",) if rank == 1 else None
    row = _TABLE[convention(framework)][kind]
    spatial = rank - (len(row) - 1) if _SPACE in row else 0
    if spatial < (1 if _SPACE in row else 0) or (_SPACE not in row and rank != len(row)):
        return None
    space = tuple(f"space{axis}" for axis in range(spatial))
    at = row.index(_SPACE) if _SPACE in row else 0
    return row[:at] + space + row[at + 1 :] if _SPACE in row else row


def expected_transform(source: str, target: str, kind: Kind, rank: int) -> str | None:
    """The transform that takes a kernel from framework `source` to `target`, in the plan's notation.

    None where the kind has no such rank. A square kernel shows nothing of this by its shape.

    >>> expected_transform("tf1", "torch", "conv", 4), expected_transform("torch", "keras3", "dense", 2)
    ('transpose:3,2,0,1', 'transpose:1,0')
    >>> expected_transform("keras3", "torch", "depthwise", 4)
    'transpose:2,3,0,1+reshape'
    """
    given, wanted = axes(source, kind, rank), axes(target, kind, rank)
    if given is None or wanted is None:
        return None
    if given == wanted:
        return "identity"
    if kind == "depthwise":
        return _depthwise(given, wanted, rank)
    order = tuple(given.index(axis) for axis in wanted)
    return "transpose:" + ",".join(map(str, order))


def _depthwise(given: tuple[str, ...], wanted: tuple[str, ...], rank: int) -> str:
    """Input and multiplier lie apart or side by side in one axis; an axis of 1 makes up the difference."""
    spatial = [axis for axis in range(rank) if given[axis].startswith("space")]
    channels = [axis for axis in range(rank) if axis not in spatial]
    same_factors = "1" in given and "1" in wanted
    if same_factors:
        channels.reverse()
    order = spatial + channels if wanted[0] == "space0" else channels + spatial
    moved = "" if order == sorted(order) else "transpose:" + ",".join(map(str, order))
    return "+".join(step for step in (moved, "" if same_factors else "reshape") if step)


def flattened(shapes: Sequence[Shape | None]) -> dict[Shape, int]:
    """Shapes of PyTorch's dense kernels that seem to take a flattened image, each with the image's channels.

    Their inputs come from no layer of their width, and are as many as the pixels of a square image, or of
    any image behind one of the last two convolutions. shapes: those of a model, in its order.

    >>> flattened([(64, 3, 3, 3), (64,), (10, 3136), (10,)])
    {(10, 3136): 64}
    """
    known = [shape for shape in shapes if shape]
    widths = {shape[0] for shape in known}
    images = dict.fromkeys(shape[0] for shape in reversed(known) if len(shape) >= IMAGE and shape[0] > 1)
    last = list(images)[:2]
    found: dict[Shape, int] = {}
    for shape in known:
        for channels in images if len(shape) == 2 and shape[1] not in widths else ():
            area, rest = divmod(shape[1], channels)
            if area > 1 and not rest and (channels in last or math.isqrt(area) ** 2 == area):
                found.setdefault(shape, channels)
    return found


def framework_of_names(tensors: Iterable[Tensor], otherwise: str) -> str:
    """The framework whose leaf words most of the names end in; `otherwise` where fewer than half do.

    >>> weights = [Tensor("linear/w", (2, 3), "float32"), Tensor("linear/b", (3,), "float32")]
    >>> framework_of_names(weights, "npz")
    'haiku'
    """
    names = [tensor.name for tensor in tensors]
    counts = {who: sum(_ends_in(name, leaves) for name in names) for who, leaves in _LEAVES.items()}
    best = max(counts, key=lambda framework: counts[framework])
    return best if names and 2 * counts[best] > len(names) else otherwise


def _ends_in(name: str, leaves: frozenset[str]) -> bool:
    return name.replace(".", "/").rpartition("/")[2] in leaves
