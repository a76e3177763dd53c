"""Listing -> Features: names taken apart, roles, the tree of scopes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from automatch.layout import IMAGE
from automatch.names import Atom, Name, parse_all
from automatch.shapes import is_vector, squeezed
from automatch.tensor import Dataflow, Listing, Tensor
from automatch.vocabulary import concepts, meaning, role_of

__all__ = ["NORM_ROLES", "Features", "Path", "Scope", "describe"]

Path = tuple[Atom, ...]
Beside = Literal["kernel", "norm", ""]

# Share of the variables that are in the one row of layers that a side consists of.
_ONE_ROW = 0.9


@dataclass(frozen=True, slots=True)
class Scope:
    """A run of atoms from the start of names, and the variables below it by index, in order."""

    path: Path
    members: tuple[int, ...]


@dataclass(frozen=True)
class Features:
    """What is known of each variable of one side; sequences go by the variable's index.

    variables: index into the listing.
    roles: `kernel`, `bias`, `scale`, `offset`, `mean`, `variance`, `embedding`, `step`, … or a hint, or ''.
    words: concepts of the name's words, less the one that gave the role.
    sizes: number of elements, -1 where unknown. vectors: whether all values lie along one axis.
    parents: atoms of the scope that holds the variable.
    beside: whether a vector stands in one scope with a kernel alone, or with other parts of a normalisation.
    creation: whether the order of the variables means something.
    """

    tensors: tuple[Tensor, ...]
    variables: tuple[int, ...]
    names: tuple[Name, ...]
    roles: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    sizes: tuple[int, ...]
    vectors: tuple[bool, ...]
    parents: tuple[Path, ...]
    beside: tuple[Beside, ...]
    creation: bool
    framework: str

    def __len__(self) -> int:
        return len(self.tensors)

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """Every scope, the variables' own names included; found when first asked for, since it costs most."""
        return _scopes(self.names)

    @cached_property
    def around(self) -> tuple[tuple[int, ...], ...]:
        """The scopes around each variable and itself, from the outermost on, as indices into `scopes`."""
        around: list[list[int]] = [[] for _ in self.names]
        for place, scope in enumerate(self.scopes):
            for i in scope.members:
                around[i].append(place)
        return tuple(map(tuple, around))

    @cached_property
    def kernels(self) -> tuple[tuple[int, ...], ...]:
        """What is no vector below each of the `scopes`."""
        return tuple(tuple([i for i in scope.members if not self.vectors[i]]) for scope in self.scopes)

    @cached_property
    def sequence(self) -> tuple[int, ...]:
        """The variables in the order of their layers, where that is known: as created, or numbered in a row.

        `layer_with_weights-12/kernel` is such a row: the layers of a Keras model as the model lists them.
        """
        if self.creation:
            return tuple(range(len(self)))
        rows: dict[Path, list[int]] = defaultdict(list)
        for i, parent in enumerate(self.parents):
            if parent and isinstance(parent[-1], int):
                rows[parent[:-1]].append(i)
        longest = max(rows.values(), key=len, default=[])
        if len(longest) < _ONE_ROW * len(self):
            return ()
        return tuple(sorted(longest, key=lambda i: (self.parents[i][-1], self.vectors[i], i)))

    @cached_property
    def shifted(self) -> tuple[bool, ...]:
        """Whether an offset of its shape stands beside each variable."""
        beside = set(zip(self.parents, self.roles, [tensor.shape for tensor in self.tensors], strict=True))
        return tuple(
            (parent, "offset", tensor.shape) in beside
            for parent, tensor in zip(self.parents, self.tensors, strict=True)
        )

    @cached_property
    def nearest_kernels(self) -> Mapping[int, tuple[int, ...]]:
        """Each vector -> the kernels of the smallest scope around it that has any."""
        return {
            i: next((self.kernels[scope] for scope in reversed(self.around[i]) if self.kernels[scope]), ())
            for i in range(len(self))
            if self.vectors[i]
        }

    @cached_property
    def own_kernels(self) -> Mapping[int, int]:
        """Each vector whose own scope holds just one kernel -> that kernel."""
        vectors = [i for i, parent in enumerate(self.parents) if parent and self.vectors[i]]
        # The scopes around a variable are one for each of its atoms.
        found = {i: self.kernels[self.around[i][len(self.parents[i]) - 1]] for i in vectors}
        return {i: kernels[0] for i, kernels in found.items() if len(kernels) == 1}

    @cached_property
    def outputs(self) -> Mapping[int, int]:
        """Each kernel with a bias of its own, as long as one of its axes -> that length."""
        return {
            kernel: self.sizes[i]
            for i, kernel in self.own_kernels.items()
            if self.roles[i] == "bias" and self.sizes[i] in (self.tensors[kernel].shape or ())
        }


def describe(listing: Listing, variables: Sequence[int]) -> Features:
    """The features of some variables of a listing (indices, in listing order)."""
    tensors = tuple(listing.tensors[i] for i in variables)
    names = tuple(parse_all([tensor.known_as for tensor in tensors]))
    roles = _roles(tensors, names)
    return Features(
        tensors=tensors,
        variables=tuple(variables),
        names=names,
        roles=roles,
        words=tuple(_words(name, role) for name, role in zip(names, roles, strict=True)),
        sizes=tuple(-1 if tensor.size is None else tensor.size for tensor in tensors),
        vectors=tuple(is_vector(tensor.shape) for tensor in tensors),
        parents=tuple(name.atoms[: name.leaf] for name in names),
        beside=_beside(tensors, names, roles),
        creation=listing.order == "creation",
        framework=listing.framework,
    )


def _scopes(names: Sequence[Name]) -> tuple[Scope, ...]:
    members: dict[Path, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        for end in range(1, len(name.atoms) + 1):
            members[name.atoms[:end]].append(i)
    return tuple(Scope(path, tuple(below)) for path, below in members.items())


def _siblings(names: Sequence[Name]) -> dict[Path, list[int]]:
    """The variables of each scope that holds some itself."""
    found: dict[Path, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        found[name.atoms[: name.leaf]].append(i)
    return found


def _roles(tensors: Sequence[Tensor], names: Sequence[Name]) -> tuple[str, ...]:
    """The role of each variable from its last word, rank and siblings; else from the graph."""
    roles = [_role(tensor, name) for tensor, name in zip(tensors, names, strict=True)]
    for group in _siblings(names).values():
        # A bias beside a one-dimensional weight of its shape is a normalisation's, if that has no offset yet.
        # Beside a kernel as well, with no scale, it may be either's: codebases then mean the kernel's.
        kernel = any(roles[i] == "kernel" and not is_vector(tensors[i].shape) for i in group)
        norms = {tensors[i].shape for i in group if roles[i] in (("scale",) if kernel else ("scale", "mean"))}
        norms -= {tensors[i].shape for i in group if roles[i] == "offset"}
        for i in group:
            if roles[i] == "bias" and tensors[i].shape in norms:
                roles[i] = "offset"
        for i, role in _roles_by_place(group, tensors, names):
            roles[i] = role
    return tuple(
        role or _used_as(tensor.dataflow) or tensor.hint or ""
        for role, tensor in zip(roles, tensors, strict=True)
    )


def _beside(tensors: Sequence[Tensor], names: Sequence[Name], roles: Sequence[str]) -> tuple[Beside, ...]:
    """What stands beside each vector; '' for a kernel and a normalisation in one scope, and for neither."""
    found: list[Beside] = [""] * len(names)
    for scope, group in _siblings(names).items():
        parts = {(roles[i], tensors[i].shape) for i in group}
        kernel = any(roles[i] == "kernel" and not is_vector(tensors[i].shape) for i in group)
        for i in (i for i in group if scope and is_vector(tensors[i].shape)):
            played = {role for role, shape in parts if shape == tensors[i].shape}
            norm = not played.isdisjoint(("scale", "mean", "variance"))
            # An offset with a scale and a mean is that normalisation's, whatever else the scope holds.
            shifted = roles[i] == "offset" and played.issuperset(("scale", "mean"))
            if norm != kernel or shifted:
                found[i] = "norm" if norm else "kernel"
    return tuple(found)


# The order in which Keras layers create their variables, with and without a kernel; its weights files keep
# no other word of them than the place.
_DENSE_PLACES = ("kernel", "bias")
NORM_ROLES = ("scale", "offset", "mean", "variance")


def _roles_by_place(
    group: Sequence[int], tensors: Sequence[Tensor], names: Sequence[Name]
) -> Iterator[tuple[int, str]]:
    """Roles of variables that are only numbered, as in `layers/dense/vars/0`."""
    kept = [i for i in group if names[i].components[-2:-1] == ("vars",)]
    numbered = [i for i in kept if isinstance(names[i].atoms[-1], int)]
    flat = all(is_vector(tensors[i].shape) for i in numbered)
    if not flat or len({tensors[i].shape for i in numbered}) == 1:
        places = NORM_ROLES if flat else _DENSE_PLACES
        for i in numbered if len(numbered) > 1 else ():
            place = names[i].numbers[-1]
            if place < len(places):
                yield i, places[place]


# Roles that begin the last component of a name, as in `dilated/w_skip`, `dilated/b_skip`.
_LEADING = frozenset(("kernel", "bias", "scale"))


def _last_word(name: Name) -> tuple[int, str]:
    """Place and text of the last word of a name's last component; (-1, '') where it has none.

    A name of one component may be a path in reverse (`gamma-norm-encoder`), and a last component begin with
    what it is (`b_conv`): then a first word that gives a role counts as the last.
    """
    words = [place for place in range(name.leaf, name.end) if isinstance(name.atoms[place], str)]
    if not words:
        return -1, ""
    last, first = str(name.atoms[words[-1]]), str(name.atoms[words[0]])
    role = None if role_of(last) else role_of(first)
    if role and (len(name.components) == 1 or role in _LEADING):
        return words[0], first
    return words[-1], last


def _role(tensor: Tensor, name: Name) -> str:
    role = role_of(_last_word(name)[1]) or ""
    rank = len(tensor.shape or ())
    if role == "kernel":
        if rank == 1:
            return "scale"
        owner = [concept for word in name.words[-3:-1] for concept in concepts(word)]
        if rank == 2 and "embedding" in owner[-2:]:
            return "embedding"
    if role == "embedding" and is_vector(tensor.shape):
        return ""
    if not role and len(squeezed(tensor.shape or ())) >= IMAGE:
        return "kernel"
    return role


# What an op does with its inputs, where that settles a variable's role.
_CONSUMER_ROLES = {
    "BiasAdd:1": "bias",
    "Conv2D:1": "kernel",
    "DepthwiseConv2dNative:1": "kernel",
    "MatMul:1": "kernel",
    "GatherV2:0": "embedding",
    "ResourceGather:0": "embedding",
    **{
        f"FusedBatchNorm{version}:{place}": role
        for version in ("", "V2", "V3")
        for place, role in enumerate(NORM_ROLES, start=1)
    },
}


def _used_as(dataflow: Dataflow | None) -> str:
    """The role that a variable's readers give it; '' where they say nothing or contradict each other."""
    consumers = () if dataflow is None else dataflow.consumers
    counts = Counter(_CONSUMER_ROLES[consumer] for consumer in consumers if consumer in _CONSUMER_ROLES)
    return next(iter(counts)) if len(counts) == 1 else ""


def _words(name: Name, role: str) -> tuple[str, ...]:
    """The concepts of a name, each once, without the last word where it did nothing but give the role."""
    place, last = _last_word(name)
    spoken_for = bool(role) and role_of(last) is not None and role != "embedding"
    found: dict[str, None] = {}
    run: list[str] = []
    for i, atom in enumerate(name.atoms):
        if isinstance(atom, int) or (spoken_for and i == place):
            found.update(dict.fromkeys(meaning(run)))
            run = []
        else:
            run.append(atom)
    found.update(dict.fromkeys(meaning(run)))
    return tuple(found)
