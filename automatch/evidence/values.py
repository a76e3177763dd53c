"""What the values of a vector say of its role, for names that say nothing: `--values`.

    positive   no value below or at zero: a scale or a variance
    signed     some values below zero, or all zero: a bias, an offset or a mean, and no variance at all

Only vectors without a role are read. It is a hint and no role: gammas can turn negative in training, and
means of a layer after a ReLU cannot. What is all ones or all zeros was never trained, and still tells the
two apart.
"""

from __future__ import annotations

from dataclasses import replace

from automatch.describe import describe
from automatch.tensor import Listing

__all__ = ["HINTS", "hinted"]

HINTS = {
    "positive": {"scale": 1.0, "variance": 1.0, "positive": 1.0, "signed": -3.0}
    | dict.fromkeys(("bias", "offset", "mean"), -3.0),
    "signed": {"bias": 1.0, "offset": 1.0, "mean": 1.0, "signed": 1.0, "positive": -3.0}
    | {"scale": -1.5, "variance": -6.0},
}
"""Hint -> what it adds to the natural-log odds of a pair whose other side has this role or hint."""

# Three means of an image's channels are all positive; so many of a layer hardly ever are.
_ENOUGH = 4


def hinted(listing: Listing) -> Listing:
    """The listing with a hint for each vector whose role is unknown, as far as its values give one.

    Raises UnreadableFile where the bytes of such a vector are damaged.
    """
    if listing.values is None:
        return listing
    seen = describe(listing, range(len(listing)))
    tensors = list(listing.tensors)
    for i, (role, vector, size) in enumerate(zip(seen.roles, seen.vectors, seen.sizes, strict=True)):
        if not role and vector and size >= _ENOUGH and "float" in tensors[i].dtype:
            tensors[i] = replace(tensors[i], hint=_hint(listing, tensors[i].name))
    return replace(listing, tensors=tuple(tensors))


def _hint(listing: Listing, name: str) -> str | None:
    import numpy as np

    assert listing.values is not None
    values = np.asarray(listing.values(name), np.float64)
    if not np.isfinite(values).all():
        return None
    if (values > 0).all():
        return "positive"
    return "signed" if (values < 0).any() or not values.any() else None
