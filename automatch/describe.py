"""Listing -> Features: names taken apart, roles, the tree of scopes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from automatch.names import Atom, Name, parse
from automatch.tensor import Listing, Tensor
from automatch.vocabulary import concepts, meaning, role_of

__all__ = ["Features", "Scope", "describe"]

Path = tuple[Atom, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """A run of atoms from the start of names, with the variables below it (indices into Features)."""

    path: Path
    members: tuple[int, ...]


@dataclass(frozen=True)
class Features:
    """What is known of each variable of one side, by index.

    variables: index into the listing, for each variable that is described.
    roles: `kernel`, `bias`, `scale`, `offset`, `mean`, `variance`, `embedding`, `step`, or ''.
    words: concepts of the name's words, less the one that gave the role.
    scopes: every scope with at least one variable, the variables' own names included.
    """

    tensors: tuple[Tensor, ...]
    variables: tuple[int, ...]
    names: tuple[Name, ...]
    roles: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    scopes: tuple[Scope, ...]
    creation: bool
    torch: bool

    def __len__(self) -> int:
        return len(self.tensors)


def describe(listing: Listing, variables: Sequence[int]) -> Features:
    """The features of some variables of a listing (indices, in listing order)."""
    tensors = tuple(listing.tensors[i] for i in variables)
    names = tuple(parse(tensor.full_name or tensor.name) for tensor in tensors)
    roles = _roles(tensors, names)
    words = tuple(_words(name, role) for name, role in zip(names, roles, strict=True))
    return Features(
        tensors,
        tuple(variables),
        names,
        roles,
        words,
        _scopes(names),
        listing.order == "creation",
        listing.framework.startswith("torch"),
    )


def _scopes(names: Sequence[Name]) -> tuple[Scope, ...]:
    members: dict[Path, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        for end in range(1, len(name.atoms) + 1):
            members[name.atoms[:end]].append(i)
    return tuple(Scope(path, tuple(below)) for path, below in members.items())


def _last_word(name: Name) -> tuple[int, str]:
    for i in range(len(name.atoms) - 1, name.leaf - 1, -1):
        atom = name.atoms[i]
        if isinstance(atom, str):
            return i, atom
    return -1, ""


def _roles(tensors: Sequence[Tensor], names: Sequence[Name]) -> tuple[str, ...]:
    """Role of each variable from its leaf word, its rank and its siblings."""
    roles = [_role(tensor, name) for tensor, name in zip(tensors, names, strict=True)]
    # A bias beside a one-dimensional weight of the same shape belongs to a normalisation.
    siblings: dict[Path, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        siblings[name.atoms[: name.leaf]].append(i)
    for group in siblings.values():
        scales = {tensors[i].shape for i in group if roles[i] == "scale"}
        means = {tensors[i].shape for i in group if roles[i] == "mean"}
        for i in group:
            if roles[i] == "bias" and tensors[i].shape in scales | means:
                roles[i] = "offset"
    return tuple(roles)


def _role(tensor: Tensor, name: Name) -> str:
    _, word = _last_word(name)
    role = role_of(word) or ""
    rank = sum(axis > 1 for axis in tensor.shape or ())
    if role == "kernel":
        if rank < 2 and len(tensor.shape or ()) == 1:
            return "scale"
        owner = [c for atom in name.words[:-1][-2:] for c in concepts(atom)]
        if "embedding" in owner[-2:] and len(tensor.shape or ()) == 2:
            return "embedding"
    if role == "embedding" and rank < 2:
        return ""
    return role


def _words(name: Name, role: str) -> tuple[str, ...]:
    position, word = _last_word(name)
    plain = bool(role) and role_of(word) is not None
    found: dict[str, None] = {}
    run: list[str] = []
    for i, atom in enumerate(name.atoms):
        if isinstance(atom, int) or (plain and i == position and role != "embedding"):
            found.update(dict.fromkeys(meaning(run)))
            run = []
        else:
            run.append(atom)
    found.update(dict.fromkeys(meaning(run)))
    return tuple(found)


def stable_hash(text: str) -> int:
    """64 bits that depend on the text alone, in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
