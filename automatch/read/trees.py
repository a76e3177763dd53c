"""Nested dictionaries of arrays -> flat names.

Every framework without named variables keeps its weights in a tree. A training checkpoint puts more around
it: the optimizer's own tree, an averaged copy, a counter. What is the model keeps the names that the model
gives it; what lies beside it keeps its path, and is a slot of the variable whose path it repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from automatch.tensor import Shape, Tensor

__all__ = ["Leaf", "leaves", "named", "tied"]

Path = tuple[str, ...]

# Deeper than any model; a list that contains itself is as deep as one likes.
_DEEPEST = 64

# A key that says "the model is in here" and is no part of the model's own names.
_WRAPPER = re.compile(
    r"(model|module|net(work)?)([._]?state)?([._]?dict)?|state_?dict|params|weights|variables"
)
_OPTIMIZER = re.compile(r"opt(im(izers?)?)?([._]?states?)?([._]?dict)?")
_AVERAGED = re.compile(r"(.*_)?(ema|averaged?|shadow|swa)(_.*)?", re.IGNORECASE)
# Flax sorts the variables of one module into collections; its own names begin below them.
_COLLECTIONS = frozenset({"params", "batch_stats"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """An array in a tree: the keys that lead to it, what it is, what reads it, if an optimizer's."""

    path: Path
    shape: Shape
    dtype: str
    value: Any
    optimizer: bool = False


def leaves(
    tree: object,
    leaf_of: Callable[[Any], tuple[Shape, str, Any] | None],
    children_of: Callable[[Any], Iterable[tuple[str | None, Any]]],
) -> Iterator[Leaf]:
    """The leaves below a node, in the order of the tree.

    children_of: pairs of key and node; a key of None adds nothing to the path. A node that can be reached in
    several ways is entered once, for the ways can be 2^64.
    """
    stack: list[tuple[Path, Any, bool]] = [((), tree, False)]
    entered: set[int] = set()
    while stack:
        path, node, optimizer = stack.pop()
        found = leaf_of(node)
        if found is not None:
            yield Leaf(path, *found, optimizer)
            continue
        if id(node) in entered or len(path) >= _DEEPEST:
            continue
        entered.add(id(node))
        children = list(children_of(node))
        inside = optimizer or {"state", "param_groups"} <= {key for key, _ in children}
        for key, child in reversed(children):
            below = inside or (not path and key is not None and _OPTIMIZER.fullmatch(key) is not None)
            stack.append((path if key is None else (*path, key), child, below))


def named(found: Sequence[Leaf], separator: str) -> tuple[list[Tensor], dict[str, Any]]:
    """The leaves as tensors, keys joined by the separator, and the leaves' values by name.

    Raises ValueError when two leaves would have one name.
    """
    owners = _owners(found)
    model = [leaf for leaf in found if leaf.path not in owners]
    # A lone counter beside the model's tree says nothing about it.
    inner = [leaf.path for leaf in model if leaf.shape or len(leaf.path) > 1]
    wrapper = _wrapper(inner)
    names = {leaf.path: separator.join(leaf.path[wrapper:] or leaf.path) for leaf in model}
    collections = {path[0] for path in inner if path}
    merge = len(collections) > 1 and collections <= _COLLECTIONS
    tensors: list[Tensor] = []
    values: dict[str, Any] = {}
    for leaf in found:
        name = names.get(leaf.path, separator.join(leaf.path))
        if name in values:
            raise ValueError(f"two tensors in it have the name '{name}'")
        values[name] = leaf.value
        slot, owner = owners.get(leaf.path, (None, None))
        slot_of = None if owner is None else names[owner]
        full_name, trainable = None, None
        if merge and slot is None and leaf.path[0] in _COLLECTIONS:
            full_name, trainable = separator.join(leaf.path[1:]), leaf.path[0] == "params"
        tensors.append(Tensor(name, leaf.shape, leaf.dtype, trainable, slot_of, slot, full_name))
    return tensors, values


def _owners(found: Sequence[Leaf]) -> dict[Path, tuple[str, Path | None]]:
    """What is no variable of the model: path -> kind of slot, and path of the variable it belongs to."""
    beside = {leaf.path for leaf in found if leaf.optimizer}
    averaged = {leaf.path for leaf in found if leaf.path and _AVERAGED.fullmatch(leaf.path[0])} - beside
    model = [leaf.path for leaf in found if leaf.path not in beside and leaf.path not in averaged]
    tails = {path[1:]: path for path in model} | {path: path for path in model}
    owners: dict[Path, tuple[str, Path | None]] = {}
    for path in beside:
        cut = next((at for at in range(1, len(path)) if path[at:] in tails), None)
        owners[path] = (path[-1], None) if cut is None else (path[cut - 1], tails[path[cut:]])
    # An average is one only beside what it averages; alone it is the model.
    owners |= {path: ("ema", tails[path[1:]]) for path in averaged if path[1:] in tails}
    return owners


def _wrapper(paths: Sequence[Path]) -> int:
    """How many first keys are the same for all and say no more than that the model is in there."""
    for depth in range(_DEEPEST):
        keys = {path[depth] if len(path) > depth + 1 else None for path in paths}
        key = keys.pop() if len(keys) == 1 else None
        if key is None or not _WRAPPER.fullmatch(key):
            return depth
    return 0


def tied(groups: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """A sentence on tensors that are the same one under several names; empty where there are none."""
    shared = [names for names in groups if len(names) > 1]
    if not shared:
        return ()
    shown = "; ".join(" = ".join(f"'{name}'" for name in names[:4]) for names in shared[:4])
    more = f"; and {len(shared) - 4} more" if len(shared) > 4 else ""
    return (f"Names of one and the same tensor: {shown}{more}.",)
