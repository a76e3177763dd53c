"""The object graph of an object-based checkpoint: full names of variables, and which are slots."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from automatch.read import wire
from automatch.read.bundle import index_path
from automatch.read.files import damage_as_error
from automatch.read.full_names import telling
from automatch.tensor import Tensor

__all__ = ["described"]

_MAX_NODES = 2_000_000


@dataclass(slots=True)
class _Node:
    """One tracked object: keys and full names of what it saved, and the slots it keeps for others."""

    attributes: list[tuple[str, str]] = field(default_factory=list)
    slots: list[tuple[int, str, int]] = field(default_factory=list)


def described(tensors: list[Tensor], graph: bytes, prefix: Path) -> list[Tensor]:
    """The tensors with what the object graph knows of them. Raises UnreadableFile for a damaged graph."""
    with damage_as_error(index_path(prefix), "object-based checkpoint"):
        fields = wire.at_most(_MAX_NODES, wire.fields(graph), "objects")
        nodes = [_node(graph, at, end) for tag, at, end in fields if tag == 0x0A]
        full_names = telling({key: name for node in nodes for key, name in node.attributes})
        slots = _slots(nodes)
    return [_with(tensor, full_names, slots) for tensor in tensors]


def _with(tensor: Tensor, full_names: dict[str, str], slots: dict[str, tuple[str, str]]) -> Tensor:
    full_name = full_names.get(tensor.name)
    slot_of, slot = slots.get(tensor.name, (None, None))
    return replace(tensor, full_name=full_name, slot_of=slot_of, slot=slot) if full_name or slot else tensor


def _node(data: bytes, at: int, end: int) -> _Node:
    node = _Node()
    for tag, start, stop in wire.fields(data, at, end):
        if tag == 0x12:
            strings = {tag: (first, last) for tag, first, last in wire.fields(data, start, stop)}
            key, name = (wire.text(data, *strings.get(tag, (0, 0))) for tag in (0x1A, 0x12))
            node.attributes.append((key, name))
        elif tag == 0x1A:
            node.slots.append(_slot(data, start, stop))
    return node


def _slot(data: bytes, at: int, end: int) -> tuple[int, str, int]:
    """Node of the variable, name of the slot, node of the slot's own variable."""
    original, name, own = 0, "", 0
    for tag, first, last in wire.fields(data, at, end):
        if tag == 0x08:
            original = first
        elif tag == 0x12:
            name = wire.text(data, first, last)
        elif tag == 0x18:
            own = first
    return original, name, own


def _slots(nodes: list[_Node]) -> dict[str, tuple[str, str]]:
    """Key of a slot -> key of the variable it belongs to, and the slot's name."""
    found = {}
    for original, name, own in (slot for node in nodes for slot in node.slots):
        if original >= len(nodes) or own >= len(nodes):
            raise ValueError("a slot refers to an object that is not there")
        for key, _ in nodes[own].attributes:
            for owner, _ in nodes[original].attributes[:1]:
                found[key] = owner, name
    return found
