r"""Rename patterns: `resnet_v1/block*/conv*/weights` becomes `encoder/block*/conv*/kernel`.

    *       some text without a slash or dot
    **      some text, slashes and dots as well
    {*-1}   the number that stands here, less one
    {*:03}  the number that stands here, padded with zeros to three digits
    {a|b}   a or b; the other side has as many words between bars: the first becomes the first, and so on
    {2}     what the second of these holds, where the order differs or one is used twice; also {2+1}, {2:c|d}
    \*      the character itself: *, {, }, | and \ are written so when a name has them

Each of the first five stands for the one in the same place of the other side, counted from the left.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from automatch.errors import PlanError

__all__ = ["Hole", "Pattern", "Piece", "rewriter", "shared_start"]

# No leading zeros: `08` and `8` would be one number and two names.
_NUMBER = r"(0|[1-9][0-9]{0,8})"
_SHALLOW = r"([^/.]+)"
_DEEP = r"(.+)"

_TOKEN = re.compile(
    r"\\(?P<escaped>.)"
    r"|(?P<star>\*\*?)"
    r"|\{(?P<name>\*\*?|[0-9]+)(?P<shift>[+-][0-9]+)?(?::0(?P<width>[0-9]))?\}"
    r"|\{(?:(?P<number>[0-9]+):)?(?P<options>(?:\\.|[^{}*\\])*)\}",
    re.DOTALL,
)
_OPTION = re.compile(r"((?:\\.|[^|\\])*)\|", re.DOTALL)
_SPECIAL = re.compile(r"[*{}|\\]")


@dataclass(frozen=True, slots=True)
class Hole:
    """A place that takes text.

    number: from 1, in the order of the source. shift: what is added. deep: whether it is `**`.
    width: the digits of a number that is padded with zeros.
    options: the words it may hold; those of the target translate those of the source one by one.
    """

    number: int
    shift: int = 0
    deep: bool = False
    options: tuple[str, ...] = ()
    width: int = 0


Piece = str | Hole


@dataclass(frozen=True)
class Pattern:
    """A rename: the pieces of the source name and those of the target name.

    A hole that stands twice in the source takes the same text in both places.
    """

    source: tuple[Piece, ...]
    target: tuple[Piece, ...]

    @classmethod
    def of(cls, source: Sequence[Piece], target: Sequence[Piece]) -> Pattern:
        """The pattern of these pieces, holes counted in the order of the source, texts joined."""
        order: dict[int, int] = {}
        for piece in source:
            if isinstance(piece, Hole):
                order.setdefault(piece.number, len(order) + 1)
        return cls(_packed(source, order), _packed(target, order))

    @property
    def holes(self) -> int:
        """How many different holes the source has."""
        return len({piece.number for piece in self.source if isinstance(piece, Hole)})

    def rewrite(self, name: str) -> str | None:
        """The target name that this pattern makes of a source name; None where it does not match."""
        return rewriter(self)(name)

    def counts(self, piece: Hole) -> bool:
        """Whether a hole of the target holds another number than the source's, or pads it otherwise."""
        return piece.shift != 0 or piece.width != self._widths.get(piece.number, 0)

    @property
    def _widths(self) -> dict[int, int]:
        return {piece.number: piece.width for piece in self.source if isinstance(piece, Hole)}

    @property
    def _options(self) -> dict[int, tuple[str, ...]]:
        return {piece.number: piece.options for piece in self.source if isinstance(piece, Hole)}

    @property
    def regex(self) -> str:
        """The regular expression that matches the whole of a source name, one group a hole."""
        counted = {piece.number for piece in self.target if isinstance(piece, Hole) and self.counts(piece)}
        seen: set[int] = set()
        parts = []
        for piece in self.source:
            if isinstance(piece, str):
                parts.append(_literal(piece))
            elif piece.number in seen:
                parts.append(f"(?:\\{piece.number})")
            else:
                parts.append(_group(piece, piece.number in counted))
                seen.add(piece.number)
        return "".join(parts)

    def inverse(self) -> Pattern | None:
        """The pattern from target names to source names; None where the target does not hold all holes."""
        first: dict[int, Hole] = {}
        for piece in self.target:
            if isinstance(piece, Hole) and first.setdefault(piece.number, piece).shift != piece.shift:
                return None
        if not first.keys() >= self._options.keys() or any(
            _repeats(piece.options) for piece in first.values()
        ):
            return None
        order = {number: position for position, number in enumerate(first, start=1)}

        def turned(piece: Piece, factor: int) -> Piece:
            if isinstance(piece, str):
                return piece
            shift = factor * first[piece.number].shift
            return replace(piece, number=order[piece.number], shift=shift)

        return Pattern(
            tuple(turned(piece, 0) for piece in self.target),
            tuple(turned(piece, -1) for piece in self.source),
        )

    def text(self) -> tuple[str, str]:
        """The two sides as they are written in a plan; `Pattern.parse` reads them."""
        seen: list[int] = []
        source = []
        for piece in self.source:
            if isinstance(piece, str):
                source.append(_SPECIAL.sub(r"\\\g<0>", piece))
            elif piece.number in seen:
                source.append(f"{{{piece.number}}}")
            else:
                seen.append(piece.number)
                source.append(_written(piece, in_order=True))
        order = [piece.number for piece in self.target if isinstance(piece, Hole)]
        return "".join(source), "".join(_written(piece, in_order=order == seen) for piece in self.target)

    @classmethod
    def parse(cls, source: str, target: str) -> Pattern:
        """The pattern of two written sides.

        Raises:
            PlanError: the target names a hole that the source does not have.
        """
        known: dict[int, Hole] = {}
        left = tuple(
            known.setdefault(piece.number, piece) if isinstance(piece, Hole) else piece
            for piece in _pieces(source)
        )
        right: list[Piece] = []
        for piece in _pieces(target):
            if isinstance(piece, Hole):
                origin = known.get(piece.number)
                if origin is None or len(origin.options) != len(piece.options):
                    raise PlanError(f"'{target}' uses a * or {{…}} that '{source}' does not have.")
                right.append(replace(piece, deep=origin.deep))
            else:
                right.append(piece)
        return cls(left, tuple(right))


@lru_cache(maxsize=4096)
def rewriter(pattern: Pattern) -> Callable[[str], str | None]:
    """The function that does what `pattern.rewrite` does; faster where many names are rewritten."""
    fullmatch = re.compile(pattern.regex, re.DOTALL).fullmatch
    holes = [piece for piece in pattern.target if isinstance(piece, Hole)]
    shape = "".join("%s" if isinstance(piece, Hole) else piece.replace("%", "%%") for piece in pattern.target)
    counted = [pattern.counts(hole) for hole in holes]
    words = [dict(zip(pattern._options[hole.number], hole.options, strict=True)) for hole in holes]  # noqa: SLF001

    def rewrite(name: str) -> str | None:
        found = fullmatch(name)
        if found is None:
            return None
        parts: list[str] = []
        for place, (hole, translated) in enumerate(zip(holes, words, strict=True)):
            part = found[hole.number]
            if translated:
                part = translated[part]
            elif counted[place]:
                if int(part) + hole.shift < 0:
                    return None
                part = f"{int(part) + hole.shift:0{hole.width}d}"
            parts.append(part)
        return shape % tuple(parts)

    return rewrite


def _literal(text: str) -> str:
    """Text as a regular expression, with no more backslashes than it needs."""
    return re.sub(r"[][\\.^$*+?{}()|]", r"\\\g<0>", text)


def _packed(pieces: Sequence[Piece], order: dict[int, int]) -> tuple[Piece, ...]:
    packed: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Hole):
            packed.append(_numbered(piece, order[piece.number]))
        elif packed and isinstance(packed[-1], str):
            packed[-1] += piece
        elif piece:
            packed.append(piece)
    return tuple(packed)


@lru_cache(maxsize=4096)  # thousands of patterns are tried, of the same few holes
def _numbered(hole: Hole, number: int) -> Hole:
    return replace(hole, number=number)


def _group(piece: Hole, counted: bool) -> str:
    if piece.options:
        return f"({_any_of(piece.options)})"
    if piece.width:
        return f"([0-9]{{{piece.width}}})"
    return _NUMBER if counted else _DEEP if piece.deep else _SHALLOW


# Fewer words are tried one by one; and so are those that begin alike more often than regexes can nest.
_FEW_WORDS = 8
_DEEPEST = 12


def _any_of(words: Sequence[str], depth: int = 0) -> str:
    """The words as one regular expression: of many, those that begin alike are tried together."""
    if len(words) <= _FEW_WORDS or depth == _DEEPEST:
        return "|".join(map(_literal, words))
    first: dict[str, list[str]] = {}
    for word in words:
        first.setdefault(word[:1], []).append(word)
    parts = []
    for group in first.values():
        head = shared_start(group)
        rest = _any_of([word[len(head) :] for word in group], depth + 1)
        parts.append(f"{_literal(head)}(?:{rest})")
    return "|".join(parts)


def shared_start(texts: Collection[str]) -> str:
    """What all texts begin with.

    >>> shared_start(["conv_1", "conv", "conv_12"])
    'conv'
    """
    first, last = min(texts), max(texts)
    same = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:same]


def _repeats(options: tuple[str, ...]) -> bool:
    return len(set(options)) < len(options)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


def _written(piece: Piece, *, in_order: bool) -> str:
    if isinstance(piece, str):
        return _escaped(piece)
    if piece.options:
        words = "|".join(_escaped(option) for option in piece.options)
        return f"{{{words}}}" if in_order else f"{{{piece.number}:{words}}}"
    name = ("**" if piece.deep else "*") if in_order else str(piece.number)
    change = (f"{piece.shift:+d}" if piece.shift else "") + (f":0{piece.width}" if piece.width else "")
    return name if in_order and not change else f"{{{name}{change}}}"


def _pieces(text: str) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    literal, position, count = "", 0, 0
    for token in _TOKEN.finditer(text):
        literal += text[position : token.start()]
        position = token.end()
        if token["escaped"] is not None:
            literal += token["escaped"]
            continue
        if literal:
            pieces.append(literal)
            literal = ""
        name = token["star"] or token["name"] or token["number"] or "*"
        count += name.startswith("*")
        number = count if name.startswith("*") else int(name)
        shift, width = int(token["shift"] or 0), int(token["width"] or 0)
        pieces.append(Hole(number, shift, name == "**", _options(token["options"]), width))
    literal += text[position:]
    return (*pieces, literal) if literal else tuple(pieces)


def _options(text: str | None) -> tuple[str, ...]:
    if not text:
        return ()
    return tuple(re.sub(r"\\(.)", r"\1", option, flags=re.DOTALL) for option in _OPTION.findall(text + "|"))
