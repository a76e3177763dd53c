"""A checkpoint's listing with what the graph that saved it knows: order, slots, who reads what."""

from __future__ import annotations

from dataclasses import replace

from automatch.tensor import Listing, Tensor

__all__ = ["enrich"]


def enrich(listing: Listing, graph: Listing) -> Listing:
    """The listing with what the graph knows of its tensors, where name, shape and dtype agree.

    The order becomes that of creation if the graph knows every tensor of the checkpoint; those that it does
    not know (lookup tables) stay behind the others.
    """
    known = {tensor.name: tensor for tensor in graph.tensors}
    tensors = [_with(tensor, known.get(tensor.name)) for tensor in listing.tensors]
    order = listing.order
    place = {tensor.name: i for i, tensor in enumerate(graph.tensors)}
    strangers = [
        tensor for tensor in tensors if tensor.name not in place and tensor.name not in graph.saveables
    ]
    if tensors and not strangers and graph.order == "creation":
        tensors.sort(key=lambda tensor: place.get(tensor.name, len(place)))
        order = "creation"
    return replace(listing, tensors=tuple(tensors), order=order)


def _with(tensor: Tensor, known: Tensor | None) -> Tensor:
    """The tensor of a checkpoint with what its graph says of it; what the checkpoint says comes first."""
    if known is None or known.dtype != tensor.dtype or not _fits(tensor, known):
        return tensor
    return replace(
        tensor,
        trainable=known.trainable,
        slot_of=tensor.slot_of or known.slot_of,
        slot=tensor.slot or known.slot,
        parts=tensor.parts or known.parts,
        dataflow=known.dataflow,
    )


def _fits(tensor: Tensor, known: Tensor) -> bool:
    """Whether the shapes agree, as far as the graph knows its own."""
    if tensor.shape is None or known.shape is None:
        return True
    if len(tensor.shape) != len(known.shape):
        return False
    return all(size in (-1, axis) for axis, size in zip(tensor.shape, known.shape, strict=True))
