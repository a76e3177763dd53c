"""Why a target variable has no counterpart, and why a source tensor is not used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from automatch.slots import Satellite
from automatch.tensor import Listing, short_type

__all__ = ["unmatched", "unused"]


def unmatched(
    target: Listing, source: Listing, found: Collection[int], aside: Mapping[int, Satellite]
) -> dict[int, str]:
    """Target index -> why nothing is proposed for it."""
    sizes = {tensor.size for tensor in source.tensors}
    return {i: _why_unmatched(target, source, i, aside, sizes) for i in range(len(target)) if i not in found}


def _why_unmatched(
    target: Listing, source: Listing, i: int, aside: Mapping[int, Satellite], sizes: Collection[Any]
) -> str:
    tensor = target.tensors[i]
    if i in aside:
        satellite = aside[i]
        if satellite.base is None:
            return "the optimizer's own, without counterpart in the source"
        if satellite.kind == "batches":
            return "a counter of batches: the source has none for this normalisation"
        return f"slot '{satellite.kind}': the source has none for this variable"
    namesake = source.by_name.get(tensor.name)
    if namesake is not None and namesake.shape != tensor.shape:
        return f"the source's tensor of this name is {short_type(namesake.dtype, namesake.shape)}"
    if tensor.size is None:
        return "its shape is not known"
    if tensor.size not in sizes:
        return f"no tensor of the source has the shape {short_type(tensor.dtype, tensor.shape)}"
    return "no tensor left has this shape and a part like this"


def unused(
    source: Listing, target: Listing, taken: Collection[int], aside: Mapping[int, Satellite]
) -> dict[int, str]:
    """Source index -> why no target takes it."""
    sizes = {tensor.size for tensor in target.tensors}
    return {i: _why_unused(source, i, aside, sizes) for i in range(len(source)) if i not in taken}


def _why_unused(source: Listing, i: int, aside: Mapping[int, Satellite], sizes: Collection[Any]) -> str:
    if i in aside:
        kind = aside[i].kind
        if kind == "ema":
            return "moving average"
        return {"number": "the optimizer's own number", "batches": "counter of batches"}.get(
            kind, "optimizer slot"
        )
    if source.tensors[i].size not in sizes:
        return "no target variable has its shape"
    return "no target variable is left for it"
