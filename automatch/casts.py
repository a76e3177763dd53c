"""What a conversion to another dtype may do to values: round them, but never lose them.

1.001  -> bfloat16     rounded, which is what conversions are for
2**40  -> int32        does not fit
nan    -> int32        nor does this
1e300  -> float32      would become infinite
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from automatch.transform import numpy_dtype

if TYPE_CHECKING:
    import numpy as np

__all__ = ["misfit", "narrows"]

# Elements that are looked at together.
_BLOCK = 2**20


@cache
def narrows(given: str, wanted: str) -> bool:
    """Whether a dtype has values that do not fit into another, however they are rounded.

    >>> narrows("int64", "int32"), narrows("float32", "int64"), narrows("int64", "float32")
    (True, True, False)
    """
    if given == wanted:
        return False
    whole, least, most = _range(given)
    into_whole, low, high = _range(wanted)
    return least < low or most > high or (into_whole and not whole)


def misfit(array: np.ndarray, wanted: str) -> Any:
    """A value that does not fit into a dtype of numbers; None if all do."""
    import numpy as np

    whole, low, high = _range(wanted)
    flat = array.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = flat[start : start + _BLOCK]
        if block.dtype.isbuiltin == 2:
            # Another library's dtype, of which numpy knows little; float64 has all of its values.
            block = block.astype(np.float64)
        if whole:
            # NaN is the least and the largest of all that it is among.
            found = [value for value in (block.min(), block.max()) if not _is_whole(value, low, high)]
        else:
            with np.errstate(all="ignore"):
                lost = np.isfinite(block) & ~np.isfinite(block.astype(numpy_dtype(wanted)))
            found = block[lost][:1]
        if len(found):
            return found[0]
    return None


def _is_whole(value: Any, low: float, high: float) -> bool:
    """Whether a number, less its fraction, is a whole one in the range; exact, as Python's are."""
    import numpy as np

    return bool(np.isfinite(value)) and low <= int(value) <= high


@cache
def _range(dtype: str) -> tuple[bool, float, float]:
    """Whether a dtype of numbers has whole ones only, and the least and the largest finite one."""
    import ml_dtypes

    whole = dtype.startswith(("int", "uint"))
    limits: Any = ml_dtypes.iinfo if whole else ml_dtypes.finfo
    number, found = int if whole else float, limits(numpy_dtype(dtype))
    return whole, number(found.min), number(found.max)
