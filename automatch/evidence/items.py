"""The layers of one side as a sequence to align: kernels with what goes with them, and runs of vectors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from automatch.describe import Features, Path

__all__ = ["Channel", "Item", "items", "members"]

Channel = Literal["kernels", "vectors"]
Label = tuple[Channel, int]


@dataclass(frozen=True, slots=True)
class Item:
    """A kernel with the vectors of its scope, or a run of vectors of one scope and size."""

    label: Label
    members: list[int]


def items(side: Features, order: Sequence[int], shared: set[int]) -> list[Item]:
    """The sequence to align. Vectors in the scope of a single kernel go with it, wherever they stand."""
    layers = _layers(side, [i for i in order if side.sizes[i] in shared])
    kernels = Counter(layer for i, layer in layers.items() if not side.vectors[i])
    found: list[Item] = []
    owner: dict[Path, Item] = {}
    waiting: dict[Path, list[int]] = defaultdict(list)
    for i in order:
        if i not in layers:
            continue
        parent, size = layers[i], side.sizes[i]
        owned = bool(parent) and kernels[parent] == 1
        if not side.vectors[i]:
            found.append(Item(("kernels", size), [i]))
            if owned:
                owner[parent] = found[-1]
                found[-1].members.extend(waiting.pop(parent, ()))
        elif owned and parent in owner:
            owner[parent].members.append(i)
        elif owned:
            waiting[parent].append(i)
        elif found and (_continues(side, found[-1], parent, size) or _belongs(side, found[-1], parent, size)):
            found[-1].members.append(i)
        else:
            found.append(Item(("vectors", size), [i]))
    return found


def members(sequence: Sequence[Item]) -> tuple[list[int], list[int]]:
    """The variables of all items, and the item that each is in."""
    places = [(i, place) for place, item in enumerate(sequence) for i in item.members]
    return [i for i, _ in places], [place for _, place in places]


def _layers(side: Features, variables: Sequence[int]) -> dict[int, Path]:
    """The scope of each variable; `w1` and `b1` of a scope of several kernels are a layer of their own."""
    kernels = [i for i in variables if not side.vectors[i]]
    several = Counter(side.parents[i] for i in kernels)
    counted = {i: _counted(side, i) for i in variables if several[side.parents[i]] > 1}
    numbered: dict[Path, list[int]] = defaultdict(list)
    for i in kernels:
        if counted.get(i):
            numbered[counted[i]].append(i)
    return {i: _layer(side, i, counted.get(i, ()), numbered) for i in variables}


def _layer(side: Features, i: int, counted: Path, numbered: Mapping[Path, Sequence[int]]) -> Path:
    """The scope of a variable, or the numbered layer in it; where a number has several, with its words."""
    kernels = numbered.get(counted, ())
    if len(kernels) == 1:
        return counted
    if counted != side.parents[i]:
        if side.vectors[i]:
            kernels = [kernel for kernel in kernels if _fits(side, kernel, side.sizes[i])]
        elif i in kernels:
            kernels = [i]
        if len(kernels) == 1:
            return (*counted, *side.names[kernels[0]].words)
    return side.parents[i]


def _fits(side: Features, kernel: int, size: int) -> bool:
    """Whether a bias may be of a kernel."""
    shape = side.tensors[kernel].shape or ()
    return size in (shape[0], shape[-1])


def _counted(side: Features, i: int) -> Path:
    """The scope of a variable and the numbers in its own name."""
    name = side.names[i]
    return side.parents[i] + tuple([atom for atom in name.atoms[name.leaf :] if isinstance(atom, int)])


def _belongs(side: Features, item: Item, parent: Path, size: int) -> bool:
    """Whether a vector without a scope is the bias of the kernel before it."""
    kernel, *others = item.members
    alone = item.label[0] == "kernels" and not others
    return not parent and alone and not side.parents[kernel] and _fits(side, kernel, size)


def _continues(side: Features, item: Item, parent: Path, size: int) -> bool:
    return bool(parent) and item.label == ("vectors", size) and side.parents[item.members[0]] == parent
