"""TensorFlow's dtype numbers: the name people know, the bytes of an element, the array that holds it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ITEM_SIZE", "NAME", "OPAQUE", "STRING", "numpy_dtype", "type_name"]

STRING = 7
OPAQUE = frozenset({20, 21})
"""resource and variant: handles and containers, never weights."""

# Numbers of tensorflow/core/framework/types.proto.
NAME = dict(
    enumerate(
        (
            *(
                "float32",
                "float64",
                "int32",
                "uint8",
                "int16",
                "int8",
                "string",
                "complex64",
                "int64",
                "bool",
            ),
            *(
                "qint8",
                "quint8",
                "qint32",
                "bfloat16",
                "qint16",
                "quint16",
                "uint16",
                "complex128",
                "float16",
            ),
            *("resource", "variant", "uint32", "uint64"),
            *("float8_e5m2", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz"),
            *("int4", "uint4", "int2", "uint2", "float4_e2m1fn"),
        ),
        start=1,
    )
)

ITEM_SIZE = {
    **dict.fromkeys((2, 8, 9, 23), 8),
    **dict.fromkeys((1, 3, 13, 22), 4),
    **dict.fromkeys((5, 14, 15, 16, 17, 19), 2),
    **dict.fromkeys((4, 6, 10, 11, 12, *range(24, 34)), 1),
    18: 16,
}
"""Bytes of one element in a checkpoint; strings, resources and variants have none."""


def type_name(number: int) -> str:
    """TensorFlow's name of a dtype; a reference dtype (number + 100) has the name of what it refers to.

    Raises ValueError for a number that stands for no dtype.
    """
    name = NAME.get(number - 100 if number > 100 else number)
    if name is None:
        raise ValueError(f"no dtype has the number {number}")
    return name


@cache
def numpy_dtype(number: int) -> np.dtype[Any]:
    """The numpy dtype of the elements, in this machine's byte order; quantised integers as plain ones.

    Raises TypeError for a dtype that this machine's ml_dtypes lacks.
    """
    import numpy as np

    name = type_name(number).removeprefix("q")
    if number == STRING:
        return np.dtype(object)
    try:
        return np.dtype(name)
    except TypeError:
        # The rest are ml_dtypes' own; a version that lacks one of them cannot hold the tensor either.
        import ml_dtypes

        extended: type[np.generic] | None = getattr(ml_dtypes, name, None)
        if extended is None:
            raise
        return np.dtype(extended)
