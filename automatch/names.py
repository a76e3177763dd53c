"""A variable name taken apart.

    resnet_v1_50/block1/unit_2/bottleneck_v1/conv3/BatchNorm/moving_mean
    \\__________/ \\____/                                       \\_________/
      component   component                                        leaf

    atoms   resnet v1 50 | block 1 | unit 2 | bottleneck v1 | conv 3 | batch norm | moving mean

Components stand between `/` or `.`, atoms between any separators, at changes of case and around digits.
Every run of atoms from the start is a scope, so that `conv2_block1_1_bn/gamma` has scopes as
`conv2/block1/1/bn/gamma` has them: how deep a codebase nests is a matter of its taste.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile

__all__ = [
    "Atom",
    "Name",
    "is_of_optimizer",
    "moment",
    "natural_key",
    "parse",
    "parse_all",
    "parted",
    "template",
]

# `2d` and `1x1` are words about a kernel and no indices; so is the version in `v1`, and the `to` in `w2v`. A
# single letter after a number (`5b`, `2a`) counts on from it.
_ATOM = re.compile(
    r"(?<![a-zA-Z\d])[a-z]2[a-z](?![a-zA-Z\d])|"
    r"[1-3][dD](?![a-z])|\d+x\d+|[vV]\d(?!\d)|[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+"
)
_DIMENSION = re.compile(r"([1-3])d(?![a-zA-Z])")
_COMPONENT = re.compile(r"[/.|:]+")
_SUFFIX = re.compile(r"(/\.ATTRIBUTES/VARIABLE_VALUE|:\d+)$")
# A checksum or a UUID is one word: that two of them share `3c` or `dad` says nothing.
_HASH = re.compile(r"(?=.{8})(?=.*(?:[a-f]\d+[a-f]|\d[a-f]+\d))[0-9a-f]+(?:[-_][0-9a-f]+)*$")
# Rows that letters count are short: `p` and `n` after a number are words (`c3p4`, `c3n4`).
_LAST_LETTER = "h"
# Averages of what `tf.nn.moments` gives, in the scope that it is called in; TensorFlow puts the name of a
# tensor, scopes included, behind the scopes again.
_MOMENT = re.compile(
    r"^(?:(?P<around>.+)/(?=(?P=around)/))?(?P<scope>(?:.+/)?)moments(?:_\d+)?/(?:[^/]+/)?"
    r"(?P<which>Squeeze|Squeeze_1|mean|variance)/ExponentialMovingAverage$"
)
_MOMENTS = {"Squeeze": "mean", "Squeeze_1": "variance"}
_AVERAGES = frozenset({"EMA", "ema", "ExponentialMovingAverage", "average"})
_LETTER = re.compile(r"^[a-f]$")
_NUMBER = re.compile(r"(\d+)")
# The folders in which optimizers of Keras and Flax keep all that is theirs.
_OPTIMIZER = re.compile(r"(^|/)(optimizer|_optimizer|optimizers|opt_state)(/|\.|$)")

Atom = str | int


@dataclass(frozen=True)
class Name:
    """A name with its components and its atoms.

    leaf, end: where the atoms of the last component begin and end that says what the variable is, which in
    `bn/mean/EMA` is `mean`.
    """

    text: str
    components: tuple[str, ...]
    atoms: tuple[Atom, ...]
    leaf: int
    end: int

    @cached_property
    def runs(self) -> tuple[tuple[Atom, ...], ...]:
        """The atoms in runs: words that stand together within a component, and numbers one by one."""
        runs: list[tuple[Atom, ...]] = []
        for atoms in map(_atoms, self.components):
            run: list[Atom] = []
            for atom in atoms:
                if isinstance(atom, int):
                    runs.extend([tuple(run), (atom,)] if run else [(atom,)])
                    run = []
                else:
                    run.append(atom)
            if run:
                runs.append(tuple(run))
        return tuple(runs)

    def around(self, place: int) -> tuple[Atom, ...]:
        """The atoms before the component that the atom at a place stands in."""
        start = 0
        for component in self.components:
            end = start + len(_atoms(component))
            if place < end:
                return self.atoms[:start]
            start = end
        return self.atoms

    def atoms_of(self, component: int) -> tuple[Atom, ...]:
        """The atoms of a component."""
        return _atoms(self.components[component])

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The atoms that are no numbers."""
        return tuple(atom for atom in self.atoms if isinstance(atom, str))

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The atoms that are numbers."""
        return tuple(atom for atom in self.atoms if isinstance(atom, int))


@lru_cache(maxsize=1 << 11)  # every room asks again; what does not fit in is soon taken apart
def parse(text: str) -> Name:
    """The name taken apart.

    >>> parse("h.11.attn.QKVProj_w").atoms
    ('h', 11, 'attn', 'qkv', 'proj', 'w')
    """
    plain = _SUFFIX.sub("", text)
    parts = [part for part in _COMPONENT.split(moment(plain) or plain) if part]
    return _name(text, (*map(_scope, parts[:-1]), *parts[-1:]))


def moment(text: str) -> str | None:
    """The name of the mean or variance that a normalisation keeps as the average of a moment; else None.

    >>> moment("fc/bn/fc/bn/moments/Squeeze_1/ExponentialMovingAverage")
    'fc/bn/variance'
    """
    match = _MOMENT.match(text)
    return match and f"{match['scope']}{_MOMENTS.get(match['which'], match['which'])}"


def is_of_optimizer(text: str) -> bool:
    """Whether a name leads into an optimizer's folder.

    >>> is_of_optimizer("model/optimizer/_variables/2"), is_of_optimizer("model/optimizer_head/kernel")
    (True, False)
    """
    return _OPTIMIZER.search(text) is not None


def _name(text: str, components: tuple[str, ...]) -> Name:
    atoms: list[Atom] = []
    leaf = end = 0
    for component in components:
        start = len(atoms)
        atoms.extend(_atoms(component))
        if not (start and component in _AVERAGES):
            leaf, end = start, len(atoms)
    # Haiku keeps `mean_ema/average` where others have `mean`.
    end -= end - leaf > 1 and atoms[end - 1] == "ema"
    return Name(text, components, tuple(atoms), leaf, end)


@lru_cache(maxsize=1 << 14)  # the names of a large model are made of few components
def _scope(component: str) -> str:
    """A component that holds others: a scope `b` between `a` and `c` counts; a leaf `b` is a bias."""
    return _LETTER.sub(_counted, component)


def _counted(letter: re.Match[str]) -> str:
    return str(ord(letter.group()) - ord("a"))


@lru_cache(maxsize=1 << 14)
def _atoms(component: str) -> tuple[Atom, ...]:
    if _HASH.match(component):
        return (component,)
    found: list[Atom] = []
    for match in _ATOM.finditer(component):
        text = match.group()
        after_number = match.start() > 0 and component[match.start() - 1].isdecimal()
        if text.isdecimal():
            found.append(int(text) if len(text) < 10 else text)
        elif after_number and len(text) == 1 and "a" <= text <= _LAST_LETTER:
            found.append(ord(text) - ord("a"))
        else:
            found.append(text.lower())
    return tuple(found)


def parse_all(texts: Sequence[str]) -> list[Name]:
    """The names of one side taken apart, with what only their siblings show.

    The first of a row that TensorFlow has numbered is number 0: scopes and variables of one name are made
    unique as `dense`, `dense_1`, `dense_2`. And `3d` after `3c` says no dimensions but counts on.

    >>> [name.numbers for name in parse_all(["net/dense/kernel", "net/dense_1/kernel", "top/dense/kernel"])]
    [(0,), (1,), ()]
    >>> [name.numbers for name in parse_all(["bn3c/gamma", "bn3d/gamma", "conv3d/kernel"])]
    [(3, 2), (3, 3), ()]
    """
    names = [parse(text) for text in texts]
    seen = {name.components[:end] for name in names for end in range(1, len(name.components) + 1)}
    return [_among(name, seen) for name in names]


def _among(name: Name, seen: Collection[tuple[str, ...]]) -> Name:
    """The name with its components as their siblings explain them. seen: all scopes and names."""

    def explained(place: int, component: str) -> str:
        above = name.components[:place]
        if (*above, component + "_1") in seen:
            return component + "_0"
        third = _DIMENSION.sub(r"\1c", component)
        counted = third != component and (*above, third) in seen
        return _DIMENSION.sub(r"\1_3", component) if counted else component

    components = tuple(explained(*placed) for placed in enumerate(name.components))
    return name if components == name.components else _name(name.text, components)


def parted(
    atoms: tuple[Atom, ...], others: tuple[Atom, ...]
) -> tuple[tuple[Atom, ...], tuple[Atom, ...], tuple[Atom, ...]]:
    """What two names begin with alike, and what stands in each between that and what they end in alike.

    >>> parted(("net", "q", "kernel"), ("net", "key", 1, "kernel"))
    (('net',), ('q',), ('key', 1))
    """
    start = _common(atoms, others)
    end = _common(atoms[:start:-1], others[:start:-1])
    return atoms[:start], atoms[start : len(atoms) - end], others[start : len(others) - end]


def _common(atoms: Sequence[Atom], others: Sequence[Atom]) -> int:
    """How many atoms are the same from the start on."""
    same = (a == b for a, b in zip(atoms, others, strict=False))
    return sum(1 for _ in takewhile(bool, same))


def template(atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """The atoms with their numbers left out.

    >>> template(("layer", 3, "bias"))
    ('layer', '#', 'bias')
    """
    return tuple("#" if isinstance(atom, int) else atom for atom in atoms)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key under which `layer_2` comes before `layer_10`.

    >>> sorted(["h10", "h9", "h"], key=natural_key)
    ['h', 'h9', 'h10']
    """
    return tuple(
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part)
        for part in _NUMBER.split(text)
        if part
    )
