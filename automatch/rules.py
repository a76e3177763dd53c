"""Pairs of names -> the few rename rules that say the same.

Folding goes in three steps. First the numbers: pairs whose names agree but for their numbers are one template
if every number of the target is a number of the source, or that plus a constant; where it is not, they are
split by a number that keeps them apart. Then the words: what both names of a template share may be left open,
and the choice that covers most templates is taken first. Then rules that differ in one word become one; and
where all that leaves more than a screen holds, tables say what becomes what.

A rule is kept only if it is exact over all names of both sides: it makes each member's target of its source,
and of no other source the name of a target.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest

from automatch.generalise import Rule, Template, candidates
from automatch.merge import merged
from automatch.pattern import Hole, Pattern, Piece, rewriter
from automatch.tables import Mark, tabled

__all__ = ["Mark", "Rule", "fold"]

# Numbers as they count: not so long that they are rather a hash.
_NUMBERS = re.compile(r"(?<![0-9])([0-9]{1,9})(?![0-9])")


def fold(
    pairs: Sequence[tuple[str, str]],
    sources: Iterable[str] = (),
    targets: Iterable[str] = (),
    labels: Sequence[Hashable] | None = None,
    marks: Sequence[Mark | None] | None = None,
) -> tuple[Rule, ...]:
    """The rules that say the same as the pairs; each pair is a member of exactly one, largest rule first.

    pairs: `(source name, target name)`.
    sources, targets: all names of each side; those of the pairs may be left out.
    labels: one a pair; pairs of different labels share no rule.
    marks: one a pair; where the rules of one label and mark are more than it allows, they are put together as
        tables, but for pairs marked None. Left out, there is one mark, which allows what a screen holds.
    """
    labels = labels if labels is not None else [None] * len(pairs)
    names = _Names(pairs, sources, targets)
    templates = [
        template for shape, members in _classes(pairs, labels) for template in _exact(shape, members, names)
    ]
    rules = merged(_cover(templates, labels, names), labels, names.rewritten)
    given = marks or [Mark("")] * len(pairs)
    kinds = [mark and Mark((label, mark.word), mark.most) for label, mark in zip(labels, given, strict=True)]
    rules = tabled(rules, pairs, kinds, names.rewritten)
    return tuple(sorted(rules, key=lambda rule: (-len(rule.members), rule.members)))


@dataclass(frozen=True, slots=True)
class _Column:
    """One number of a name, over the members of a class.

    width: 3 for numbers padded like 007, 0 for plain ones, -1 where some are padded and some are not.
    """

    texts: tuple[str, ...]
    values: tuple[int, ...]
    width: int

    @property
    def varies(self) -> bool:
        return len(set(self.texts)) > 1


Columns = list[_Column]


def _columns(rows: Iterable[tuple[str, ...]]) -> Columns:
    columns = []
    for texts in zip(*rows, strict=True):
        padded = any(text[0] == "0" and text != "0" for text in texts)
        width = len(texts[0]) if padded and len({len(text) for text in texts}) == 1 else -padded
        columns.append(_Column(texts, tuple(map(int, texts)), width))
    return columns


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the pairs of one class share: a label, and the texts between the numbers of either name."""

    label: Hashable
    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Member:
    """A pair of a class: its index, and the numbers of either name."""

    index: int
    source: tuple[str, ...]
    target: tuple[str, ...]


def _classes(
    pairs: Sequence[tuple[str, str]], labels: Sequence[Hashable]
) -> Iterable[tuple[_Shape, list[_Member]]]:
    """Pairs that agree in label and in all but numbers."""
    classes: dict[Hashable, tuple[_Shape, list[_Member]]] = {}
    for index, (source, target) in enumerate(pairs):
        left, right = _NUMBERS.split(source), _NUMBERS.split(target)
        key = (labels[index], "\0".join(left[::2]), "\0".join(right[::2]))
        found = classes.get(key)
        if found is None:
            found = classes[key] = (_Shape(labels[index], tuple(left[::2]), tuple(right[::2])), [])
        found[1].append(_Member(index, tuple(left[1::2]), tuple(right[1::2])))
    return classes.values()


def _exact(shape: _Shape, members: list[_Member], names: _Names) -> Iterator[Template]:
    """The templates of one class, those that would catch others split by a number until they do not."""
    for pattern, found in _templates(shape, members):
        indices = tuple(member.index for member in found)
        if pattern.holes == 0 or names.rewritten(pattern) == list(indices):
            yield Template(pattern, indices, shape.label)
            continue
        columns = list(zip(*(member.source for member in found), strict=True))
        varying = [column for column in columns if len(set(column)) > 1]
        column = min(varying, key=lambda values: len(set(values)))
        for part in _parted(found, column):
            yield from _exact(shape, part, names)


def _parted(members: list[_Member], values: Iterable[Hashable]) -> list[list[_Member]]:
    """The members in groups of equal values."""
    parts: dict[Hashable, list[_Member]] = defaultdict(list)
    for member, value in zip(members, values, strict=True):
        parts[value].append(member)
    return list(parts.values())


def _templates(shape: _Shape, members: list[_Member]) -> Iterator[tuple[Pattern, list[_Member]]]:
    """The patterns of one class with their members: as few as its numbers allow."""
    stack = [members]
    while stack:
        chosen = stack.pop()
        left = _columns(member.source for member in chosen)
        right = _columns(member.target for member in chosen)
        bound = _bind(left, right)
        if isinstance(bound, int):
            # One source under several targets: no number of the source tells them apart.
            stack.extend(reversed(_parted(chosen, left[bound].texts if bound >= 0 else range(len(chosen)))))
            continue
        yield Pattern.of(_woven(shape.source, bound[0]), _woven(shape.target, bound[1])), chosen


def _bind(left: Columns, right: Columns) -> int | tuple[list[Piece], list[Piece]]:
    """What stands in the place of each number, on both sides; or the source column to split by.

    -1 stands for no column: the sources are all the same.
    """
    varying = [i for i, column in enumerate(left) if column.varies]
    numbers: dict[int, int] = {}
    widths: dict[int, int] = {}
    before: list[Piece] = [column.texts[0] for column in left]
    after: list[Piece] = [column.texts[0] for column in right]
    refs: dict[int, tuple[int, int]] = {}
    for j, column in enumerate(right):
        if not column.varies:
            continue
        found = _constant_shift(column, left, varying, prefer=j)
        if found is None:
            return _splitter(column, left, varying) if varying else -1
        refs[j] = found
    # Columns that are alike in every row are one hole, which stands in several places.
    first = {i: next(k for k in varying if left[k].texts == left[i].texts) for i in varying}
    used = {first[i] for i, _ in refs.values()}
    for i in varying:
        if first[i] not in used:
            return i
        # Padded alike on both sides is text like any other.
        alike = all(
            not shift and right[j].width == left[i].width
            for j, (k, shift) in refs.items()
            if first[k] == first[i]
        )
        widths[first[i]] = 0 if alike else left[i].width
        before[i] = Hole(numbers.setdefault(first[i], len(numbers) + 1), width=widths[first[i]])
    for j, (i, shift) in refs.items():
        width = right[j].width if shift or right[j].width != left[i].width else widths[first[i]]
        after[j] = Hole(numbers[first[i]], shift, width=width)
    return before, after


def _constant_shift(
    column: _Column, left: Columns, varying: list[int], prefer: int
) -> tuple[int, int] | None:
    """The source column that this one equals but for a constant: (its index, the constant)."""
    found = []
    for i in varying:
        shift = column.values[0] - left[i].values[0]
        if left[i].width < 0 or column.width < 0:
            continue
        if all(b - a == shift for a, b in zip(left[i].values, column.values, strict=True)):
            found.append((abs(shift), abs(i - prefer), i, shift))
    return min(found)[2:] if found else None


def _splitter(column: _Column, left: Columns, varying: list[int]) -> int:
    """The source column whose values part the rows into the fewest pieces that can be bound."""

    def pieces(i: int) -> tuple[int, int, int]:
        rows: dict[str, list[int]] = defaultdict(list)
        for row, text in enumerate(left[i].texts):
            rows[text].append(row)
        failed = sum(not _binds(column, left, varying, part) for part in rows.values())
        return (failed, len(rows), i)

    return min(varying, key=pieces)


def _binds(column: _Column, left: Columns, varying: list[int], part: list[int]) -> bool:
    if len({column.texts[row] for row in part}) == 1:
        return True
    return any(len({column.values[row] - left[i].values[row] for row in part}) == 1 for i in varying)


def _woven(texts: Sequence[str], between: Sequence[Piece]) -> list[Piece]:
    """Texts with the pieces between them."""
    return [piece for pair in zip_longest(texts, between, fillvalue="") for piece in pair]


class _Names:
    """All names of both sides, so that a pattern can be held against them."""

    def __init__(
        self, pairs: Sequence[tuple[str, str]], sources: Iterable[str], targets: Iterable[str]
    ) -> None:
        self.targets = {target for _, target in pairs} | set(targets)
        self.pairs: dict[str, dict[str, int]] = defaultdict(dict)
        for index, (source, target) in enumerate(pairs):
            self.pairs[source][target] = index
        everything = {source for source, _ in pairs} | set(sources)
        self.forward = sorted(everything)
        self.looked_at = 0

    @cached_property
    def backward(self) -> list[str]:
        """The source names, each turned around, in order: those with one ending stand together."""
        return sorted(name[::-1] for name in self.forward)

    def rewritten(self, pattern: Pattern) -> list[int] | None:
        """The pairs that a pattern makes, sorted; None where it makes another target of some source."""
        rewrite = rewriter(pattern)
        hits = []
        for name in self._near(pattern):
            made = rewrite(name)
            if made is not None and made in self.targets:
                index = self.pairs.get(name, {}).get(made)
                if index is None:
                    return None
                hits.append(index)
        return sorted(hits)

    def _near(self, pattern: Pattern) -> Sequence[str]:
        """The source names that begin, or end, as the pattern does."""
        first, last = pattern.source[0], pattern.source[-1]
        head = _range(self.forward, first if isinstance(first, str) else "")
        if isinstance(last, str) and len(head) > len(self.forward) // 4:
            tail = _range(self.backward, last[::-1])
            if len(tail) < len(head) // 2:
                head = [name[::-1] for name in tail]
        self.looked_at += len(head)
        return head


def _range(names: list[str], prefix: str) -> Sequence[str]:
    if not prefix:
        return names
    start = bisect_left(names, prefix)
    return names[start : bisect_left(names, prefix[:-1] + chr(min(ord(prefix[-1]) + 1, 0x10FFFF)), start)]


# Names held against patterns before the search for wider rules is given up: about two seconds.
MOST = 4_000_000


def _cover(templates: list[Template], labels: Sequence[Hashable], names: _Names) -> Iterator[Rule]:
    """Rules that cover all templates: the widest exact ones, then the templates themselves."""
    covered: set[int] = set()
    home = {index: number for number, template in enumerate(templates) for index in template.members}
    for pattern, parts in candidates(templates):
        if names.looked_at > MOST or not covered.isdisjoint(parts):
            continue
        hits = names.rewritten(pattern)
        if hits is None or not _whole(hits, parts, templates, home, covered, labels):
            continue
        covered.update(home[index] for index in hits)
        yield Rule(pattern, tuple(hits))
    for number, template in enumerate(templates):
        if number not in covered:
            yield Rule(template.pattern, template.members)


def _whole(
    hits: Collection[int],
    parts: Collection[int],
    templates: list[Template],
    home: dict[int, int],
    covered: set[int],
    labels: Sequence[Hashable],
) -> bool:
    """Whether a pattern makes whole templates of one label, those it came from among them."""
    touched = {home[index] for index in hits}
    if not touched.issuperset(parts) or not covered.isdisjoint(touched):
        return False
    if len({labels[index] for index in hits}) > 1:
        return False
    return sum(len(templates[number].members) for number in touched) == len(hits)
