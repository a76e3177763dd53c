"""Targets that would be made of several sources, or of a piece of one: what is fused, split or stacked.

    pieces   query/kernel, key/kernel, value/kernel      names that differ in one word or number, so that
    whole    qkv/kernel                                  their order is known; as large together as the whole

A whole belongs to its pieces if it is the only one that fits in the scope where the neighbours of the pieces
have their counterparts. Nothing of this is restored: which rows of a whole are whose is a guess from names.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from automatch.describe import Features, Path, describe
from automatch.matching import ManyToOne, Match
from automatch.names import Atom, Name, parse
from automatch.shapes import Options, options
from automatch.slots import Satellite
from automatch.tensor import Listing, Shape
from automatch.vocabulary import meaning, usual_place

__all__ = ["many_to_one"]

_NOWHERE = usual_place(("",))
# Of this many of one size in one scope no words tell which is meant, and to compare them all takes long.
_TOO_MANY = 64

Fits = Callable[[Shape, Shape], Options]
"""The transforms between what is cut off a whole and a piece, by their shapes."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Pieces in their order, the whole (indices into their listings), and how it is cut.

    depth: atoms that the names of the pieces begin with in common.
    closeness: what the whole shares of the scope where it should be, and of the words of the pieces.
    parent: the scope of the whole. vectors: whether the whole is one.
    """

    pieces: tuple[int, ...]
    whole: int
    axis: int
    lengths: tuple[int, ...]
    depth: int
    closeness: tuple[int, float]
    parent: Path
    vectors: bool


def many_to_one(
    target: Listing,
    source: Listing,
    found: Mapping[int, Match],
    aside_t: Mapping[int, Satellite],
    aside_s: Mapping[int, Satellite],
) -> tuple[ManyToOne, ...]:
    """The targets without counterpart that several unused sources, or a piece of one, would make.

    found: target index -> its match. aside_t, aside_s: slots, which follow their variables here too.
    """
    used = {pair.source for pair in found.values()}
    wanted = describe(target, [i for i in range(len(target)) if i not in found and i not in aside_t])
    given = describe(source, [i for i in range(len(source)) if i not in used and i not in aside_s])
    if not len(wanted) or not len(given):
        return ()
    pairs = {
        t: pair.source
        for t, pair in found.items()
        if not pair.doubt and t not in aside_t and pair.source not in aside_s
    }

    names_t, names_s = _Names(target), _Names(source)

    def cut_off(cut: Shape, piece: Shape) -> Options:
        return options(cut, piece, source.framework, target.framework)

    def put_in(cut: Shape, piece: Shape) -> Options:
        return options(piece, cut, source.framework, target.framework)

    split = _groups(wanted, given, names_t, names_s, pairs, cut_off)
    fused = _groups(given, wanted, names_s, names_t, {s: t for t, s in pairs.items()}, put_in)
    slices = (_slices(group) for group in (*split, *_of_slots(split, aside_t, aside_s)))
    wholes = (_whole(group) for group in (*fused, *_of_slots(fused, aside_s, aside_t)))
    return tuple(sorted((*chain.from_iterable(slices), *wholes), key=lambda made: made.target))


def _slices(group: _Group) -> Iterator[ManyToOne]:
    start = 0
    for piece, length in zip(group.pieces, group.lengths, strict=True):
        yield ManyToOne(piece, (group.whole,), f"slice axis {group.axis} [{start}:{start + length}]")
        start += length


def _whole(group: _Group) -> ManyToOne:
    stacked = set(group.lengths) == {1}
    how = f"stack axis {group.axis}" if stacked else f"concat axis {group.axis} of {len(group.pieces)}"
    return ManyToOne(group.whole, group.pieces, how)


def _once(groups: Sequence[_Group]) -> list[_Group]:
    """The groups whose pieces are in no other whose pieces are as near, and whose whole is in none as close.

    A fused bias without its fused kernel is a chance of numbers.
    """
    kernels = {group.parent for group in groups if not group.vectors}
    likely = [group for group in groups if not group.vectors or group.parent in kernels]
    of_piece: dict[int, list[_Group]] = defaultdict(list)
    for group in likely:
        for piece in group.pieces:
            of_piece[piece].append(group)
    nearest = [
        group
        for group in likely
        if all(
            other is group or other.depth < group.depth for piece in group.pieces for other in of_piece[piece]
        )
    ]
    of_whole: dict[int, list[_Group]] = defaultdict(list)
    for group in nearest:
        of_whole[group.whole].append(group)
    return [
        group
        for group in nearest
        if all(other is group or other.closeness < group.closeness for other in of_whole[group.whole])
    ]


def _of_slots(
    groups: Iterable[_Group], pieces: Mapping[int, Satellite], wholes: Mapping[int, Satellite]
) -> Iterator[_Group]:
    """The same of the slots of each kind: what is cut in three has slots that are cut in three."""
    of_piece = {(it.base, it.kind): i for i, it in pieces.items()}
    of_whole: dict[int | None, list[tuple[int, str]]] = defaultdict(list)
    for i, it in wholes.items():
        of_whole[it.base].append((i, it.kind))
    for group in groups:
        for whole, kind in of_whole[group.whole]:
            slots = tuple(of_piece[piece, kind] for piece in group.pieces if (piece, kind) in of_piece)
            if len(slots) == len(group.pieces):
                yield replace(group, pieces=slots, whole=whole)


class _Names(dict[int, Path]):
    """The atoms of each name of a listing, taken apart when asked for."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def __missing__(self, i: int) -> Path:
        tensor = self._listing.tensors[i]
        self[i] = atoms = parse(tensor.known_as).atoms
        return atoms


def _groups(
    pieces: Features, wholes: Features, names: _Names, others: _Names, found: Mapping[int, int], fits: Fits
) -> list[_Group]:
    """The pieces that have one whole. found: what is matched, from the pieces' side to that of the wholes."""
    places, sizes = _Places(wholes), set(wholes.sizes)
    rows = [row for row in _rows(pieces) if sum(pieces.sizes[i] for i in row) in sizes]
    paths = [_common([pieces.names[i].atoms for i in row]) for row in rows]
    scopes = _counterparts(paths, names, others, found)
    made = []
    for row, path in zip(rows, paths, strict=True):
        scope = next((scopes[path[:end]] for end in range(len(path), -1, -1) if path[:end] in scopes), ())
        near = places.near(scope, sum(pieces.sizes[i] for i in row))
        cuts = {i: cut for i in near if (cut := _cut(pieces, row, wholes, i, fits)) is not None}
        marks = set.intersection(*(_marks(pieces.names[i].atoms) for i in row))
        closest = _closest(scope, scopes.get((), ()), marks, cuts, wholes)
        if closest is not None:
            whole, closeness = closest
            made.append(
                _Group(
                    tuple(pieces.variables[i] for i in row),
                    wholes.variables[whole],
                    *cuts[whole],
                    depth=len(path),
                    closeness=closeness,
                    parent=wholes.parents[whole],
                    vectors=wholes.vectors[whole],
                )
            )
    return _once(made)


class _Places:
    """Where the wholes are: each has its neighbours in the scope around its own."""

    def __init__(self, wholes: Features) -> None:
        self._around: dict[tuple[int, Path], list[int]] = defaultdict(list)
        self._below: dict[tuple[int, Path], list[int]] = defaultdict(list)
        for i, (name, size) in enumerate(zip(wholes.names, wholes.sizes, strict=True)):
            scope = _around(name)
            self._around[size, scope].append(i)
            for end in range(len(scope) + 1):
                self._below[size, scope[:end]].append(i)

    def near(self, scope: Path, size: int) -> list[int]:
        """The wholes of a size that are in a scope or around it; none where there are too many."""
        above = (self._around.get((size, scope[:end]), []) for end in range(len(scope)))
        found = [*self._below.get((size, scope), []), *chain.from_iterable(above)]
        return found if len(found) <= _TOO_MANY else []


def _around(name: Name) -> Path:
    """The scope around the scope of a variable: where its neighbours are, if each has a scope of its own."""
    return parse("/".join((*name.components[:-2], "leaf"))).atoms[:-1]


def _rows(side: Features) -> Iterator[tuple[int, ...]]:
    """Variables whose names differ in one atom, in its order: numbers, or words with a usual place."""
    alike: dict[tuple[Path, Path, bool], list[tuple[Atom, int]]] = defaultdict(list)
    for i, name in enumerate(side.names):
        for place, atom in enumerate(name.atoms):
            if side.sizes[i] > 0:
                key = name.atoms[:place], name.atoms[place + 1 :], isinstance(atom, int)
                alike[key].append((atom, i))
    for (_, _, numbered), members in alike.items():
        order = {i: (float(atom),) if isinstance(atom, int) else usual_place((atom,)) for atom, i in members}
        known = numbered or (_NOWHERE not in order.values() and len(set(order.values())) == len(order))
        one_kind = len({(_role(side, i), side.tensors[i].dtype) for i in order}) == 1
        if len(members) > 1 and known and one_kind:
            yield tuple(sorted(order, key=lambda i: order[i]))


def _role(side: Features, variable: int) -> str:
    return "" if side.tensors[variable].hint else side.roles[variable]


def _common(paths: Sequence[Path]) -> Path:
    """The beginning that all paths share."""
    first, last = min(paths, key=_sortable), max(paths, key=_sortable)
    end = 0
    while end < min(len(first), len(last)) and first[end] == last[end]:
        end += 1
    return first[:end]


def _sortable(path: Path) -> list[str]:
    return [str(atom) for atom in path]


def _counterparts(
    paths: Iterable[Path], names: _Names, others: _Names, found: Mapping[int, int]
) -> dict[Path, Path]:
    """Scope -> the scope in which everything that is matched below it has its counterparts."""
    asked = {path[:end] for path in paths for end in range(len(path) + 1)}
    scopes: dict[Path, Path] = {}
    for here, there in found.items() if asked else ():
        atoms, other = names[here], others[there]
        for end in range(len(atoms) + 1):
            scope = atoms[:end]
            if scope in asked:
                scopes[scope] = _common([scopes[scope], other]) if scope in scopes else other
    return scopes


def _cut(
    pieces: Features, row: Sequence[int], wholes: Features, whole: int, fits: Fits
) -> tuple[int, tuple[int, ...]] | None:
    """The one axis along which the whole falls into the pieces, and their lengths along it."""
    shape = wholes.tensors[whole].shape
    assert shape is not None
    roles = {_role(pieces, row[0]), _role(wholes, whole)} - {""}
    if len(roles) > 1 or pieces.tensors[row[0]].dtype != wholes.tensors[whole].dtype:
        return None
    first, second = (pieces.names[i] for i in row[:2])
    if first.words == second.words and len(wholes.names[whole].numbers) >= len(first.numbers):
        return None  # what is stacked over a number has it no more
    cuts: dict[bool, list[tuple[int, tuple[int, ...]]]] = {True: [], False: []}
    for axis, length in enumerate(shape):
        rest = math.prod(shape) // length
        lengths = tuple(pieces.sizes[i] // rest for i in row)
        if sum(lengths) != length or any(pieces.sizes[i] % rest for i in row):
            continue
        ways = [
            fits((*shape[:axis], part, *shape[axis + 1 :]), pieces.tensors[i].shape or ())
            for part, i in zip(lengths, row, strict=True)
        ]
        if all(ways):
            reshaped = not any(text == "identity" or kind == "layout" for way in ways for text, kind in way)
            cuts[reshaped].append((axis, lengths))
    best = cuts[False] or cuts[True]
    # Of equal axes any could be the one along which pieces were stacked: it is the first by custom.
    return best[0] if len(best) == 1 or (best and set(best[0][1]) == {1}) else None


def _closest(
    scope: Path, root: Path, marks: set[Atom], candidates: Iterable[int], wholes: Features
) -> tuple[int, tuple[int, float]] | None:
    """The candidate that shares most of the scope, then of the pieces' words and numbers; None in a tie.

    root is what all scopes share: being in it says nothing.
    """
    names = {i: wholes.names[i].atoms for i in candidates}
    ranked = sorted(((len(_common([scope, path])), _likeness(marks, path)), i) for i, path in names.items())
    if not ranked or (len(ranked) > 1 and ranked[-1][0] == ranked[-2][0]):
        return None
    (depth, likeness), whole = ranked[-1]
    return (whole, (depth, likeness)) if depth > len(root) or likeness > 0 else None


def _marks(path: Path) -> set[Atom]:
    words = meaning([atom for atom in path if isinstance(atom, str)])
    return {*words, *(atom for atom in path if isinstance(atom, int))}


def _likeness(marks: set[Atom], path: Path) -> float:
    other = _marks(path)
    return len(marks & other) / (len(marks | other) or 1)
