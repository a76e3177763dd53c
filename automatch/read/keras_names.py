"""Names of Keras variables, from a format that stores none.

`.weights.h5` numbers the variables of a layer (`layers/dense_1/vars/0`) and names layers by class and count.
What Keras calls the variable in the program (`features/kernel`) is put together from the layer's own name,
where the file or the model's configuration has it, and from the order in which layers make their variables.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from automatch.tensor import Shape

__all__ = ["layer_names", "leaf_names", "snake_case"]

# Where the shapes alone do not say it: the variables of a layer in the order in which it makes them.
_ORDER: Mapping[str, tuple[str, ...]] = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "embedding": ("embeddings",),
    "separable_conv1d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "prelu": ("alpha",),
    "normalization": ("mean", "variance", "count"),
    "seed_generator": ("seed_generator_state",),
}


def leaf_names(kind: str, shapes: Sequence[Shape]) -> list[str] | None:
    """What a layer of this class (`batch_normalization`) calls its variables; None where it cannot be said.

    >>> leaf_names("einsum_dense", [(24, 2, 8), (2, 8)]), leaf_names("lstm_cell", [(16, 48), (12, 48), (48,)])
    (['kernel', 'bias'], ['kernel', 'recurrent_kernel', 'bias'])
    """
    known = _ORDER.get(kind)
    if known is not None and len(shapes) in (len(known), len(known) - ("bias" in known)):
        return list(known[: len(shapes)])
    ranks = [len(shape) for shape in shapes]
    match ranks:
        case [1, 1] if shapes[0] == shapes[1]:
            return ["gamma", "beta"]
        case [1, 1, 1, 1] if len(set(shapes)) == 1:
            return ["gamma", "beta", "moving_mean", "moving_variance"]
        case [kernel, bias] if kernel > bias > 0:
            return ["kernel", "bias"]
        case [2, 2] | [2, 2, 1 | 2] if len({shape[-1] for shape in shapes}) == 1:
            return ["kernel", "recurrent_kernel", "bias"][: len(shapes)]
        case [kernel] if kernel > 1:
            return ["kernel"]
    return None


def snake_case(name: str) -> str:
    """The name by which Keras counts layers of a class.

    >>> snake_case("BatchNormalization"), snake_case("Conv2DTranspose"), snake_case("LSTMCell")
    ('batch_normalization', 'conv2d_transpose', 'lstm_cell')
    """
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", re.sub(r"\W", "", name))
    return parts.lower()


def layer_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Path of each layer in the weights file -> the name that the model's configuration gives the layer."""
    return dict(_layers(config, "", 0))


def _layers(config: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    inner = config.get("config") if isinstance(config, Mapping) else None
    layers = inner.get("layers") if isinstance(inner, Mapping) else None
    if not isinstance(layers, list) or depth > 32:
        return
    seen: Counter[str] = Counter()
    for layer in layers:
        kind = snake_case(str(layer["class_name"]))
        key = f"{path}layers/{kind}" + (f"_{seen[kind]}" if seen[kind] else "")
        seen[kind] += 1
        own = layer.get("config")
        name = layer.get("name") or (own.get("name") if isinstance(own, Mapping) else None)
        if isinstance(name, str):
            yield key, name
        yield from _layers(layer, f"{key}/", depth + 1)
