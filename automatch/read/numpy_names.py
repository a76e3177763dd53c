"""TensorFlow's names of NumPy's dtypes; the way back is `transform.numpy_dtype`.

The two agree but for strings; bfloat16, float8 and int4 come from ml_dtypes, which TensorFlow brings along.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["dtype_name", "seen_as"]

_EXTENDED = re.compile(r"bfloat16|float[468]_\w+|u?int[24]")


def dtype_name(dtype: np.dtype[Any]) -> str | None:
    """TensorFlow's name of a NumPy dtype; None for one that no tensor has (records, references, dates).

    >>> import numpy as np
    >>> dtype_name(np.dtype(">f4")), dtype_name(np.dtype("S7")), dtype_name(np.dtype("M8[s]"))
    ('float32', 'string', None)
    """
    if dtype.kind in "biufc":
        return dtype.name if dtype.itemsize <= 16 else None
    if dtype.kind in "SUO":
        return "string"
    # The types of ml_dtypes are opaque to NumPy ('V'), but have names of their own.
    return dtype.name if _EXTENDED.fullmatch(dtype.name) else None


def seen_as(array: np.ndarray, name: str) -> np.ndarray:
    """Opaque items seen as the dtype of that name (bfloat16 is kept as two bytes); others as they are."""
    return array.view(numpy_dtype(name)) if array.dtype.kind == "V" else array
