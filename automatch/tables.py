"""More rules than a screen holds -> few, in which a table says what becomes what.

Numbers that a framework gives in the order of creation follow no rule: `conv2d_57` is the second convolution
of the third branch of some block. What can be said is what stays the same around them, and the list of the
rest: `{stem|a/b|…}/bn/* => {norm|norm_1|…}/*`. A table is an ordinary choice of a pattern, only longer.

Rules are merged that differ in one place. Where that leaves too many, the largest are kept and the others
taken apart into pairs, which are put together anew: scopes that rename the same leaves alike are one table.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from automatch.generalise import Rule
from automatch.merge import MANY, Exact, Key, merged
from automatch.pattern import Hole, Pattern, Piece, shared_start

__all__ = ["Mark", "tabled"]

# What a terminal shows of the accepted rules.
SCREEN = 15
# More rules, or so many rules times so many pairs, take seconds to be put together.
MOST_RULES = 2000
MOST_COMPARED = 20_000_000
# Longer runs of steps are not tried: their number grows with the fourth power.
MOST_STEPS = 5
# So many entries of a table are as hard to read as one more rule.
ENTRIES = 8


class Mark(NamedTuple):
    """What rules have in common that may be put together, and how many of them are left as they are."""

    word: Hashable
    most: int = SCREEN


Pairs = Sequence[tuple[str, str]]
Parted = Callable[[str], tuple[str, str]]


def tabled(rules: Sequence[Rule], pairs: Pairs, marks: Sequence[Mark | None], rewritten: Exact) -> list[Rule]:
    """The rules; of one mark as few as it says where tables can do it, and still exact.

    pairs: `(source name, target name)`; rules hold indices into them.
    marks: one a pair; rules with other marks share no table, those marked None stand in none.
    rewritten: the pairs that a pattern makes over all names, sorted; None where it makes a wrong one.
    """
    groups: dict[frozenset[Mark | None], list[Rule]] = defaultdict(list)
    for rule in rules:
        groups[frozenset(marks[member] for member in rule.members)].append(rule)
    result: list[Rule] = []
    for kind, group in groups.items():
        most = min(mark.most if mark else MOST_RULES for mark in kind)
        possible = len(group) <= MOST_RULES and len(group) * len(pairs) <= MOST_COMPARED
        wanted = None not in kind and possible and most < len(group)
        result += _fewer(group, pairs, rewritten, most) if wanted else group
    return result


def _fewer(rules: list[Rule], pairs: Pairs, rewritten: Exact, most: int) -> list[Rule]:
    rules = merged(rules, [None] * len(pairs), rewritten, _gaps, lambda sources, _: len(sources), most)
    if len(rules) <= most:
        return rules
    rules.sort(key=lambda rule: (-len(rule.members), rule.members))
    ways: list[tuple[list[Rule], list[Rule]]] = [(rules, [])]
    for kept, parted in product(range(most if len(rules) <= MANY else 1), (_parted, _whole)):
        rest = sorted(member for rule in rules[kept:] for member in rule.members)
        tables = [rule for row in _rows(rest, pairs) for rule in _tables(row, pairs, parted)]
        ways.append((rules[:kept], tables))
    # The best that is exact; to hold a table against all names takes longer than to make ten.
    ranked = sorted(ways, key=lambda way: _reading(way[0] + way[1], most))
    return next(
        before + tables
        for before, tables in ranked
        if all(rewritten(table.pattern) == list(table.members) for table in tables)
    )


def _reading(rules: list[Rule], most: int) -> tuple[int, float]:
    """How long rules take to read: their lines beyond `most` first, then what the lines hold."""
    return max(len(rules), most), sum(map(_effort, rules))


def _effort(rule: Rule) -> float:
    return 1 + sum(len(piece.options) for piece in rule.pattern.source if isinstance(piece, Hole)) / ENTRIES


def _gaps(pattern: Pattern) -> Iterator[tuple[Key, str, str]]:
    """Each way to take a run of plain steps out of either side, short ones first: the rest, and the runs."""
    left, right = _elements(pattern.source), _elements(pattern.target)
    runs = product(_runs(left), _runs(right))
    for (i, source), (j, target) in sorted(runs, key=lambda pair: len(pair[0][1]) + len(pair[1][1])):
        key = (left[:i] + left[i + len(source) :], i, right[:j] + right[j + len(target) :], j, "")
        yield key, _text(source), _text(target)


Elements = tuple[tuple[Piece, ...], ...]


def _elements(pieces: Iterable[Piece]) -> Elements:
    """Pieces parted at the steps of the path, the separators being elements of their own."""
    parts = ([piece] if isinstance(piece, Hole) else re.split(r"([/.])", piece) for piece in pieces)
    return tuple((part,) for row in parts for part in row if part != "")


def _runs(elements: Elements) -> Iterator[tuple[int, Elements]]:
    """The runs of texts that neither begin nor end with a separator, and where they begin."""
    for start, (first,) in enumerate(elements):
        if first in ("/", "."):
            continue
        for end in range(start, min(start + 2 * MOST_STEPS, len(elements))):
            (last,) = elements[end]
            if isinstance(last, Hole):
                break
            if last not in ("/", "."):
                yield start, elements[start : end + 1]


def _text(run: Elements) -> str:
    return "".join(str(piece) for (piece,) in run)


def _rows(members: Iterable[int], pairs: Pairs) -> list[list[int]]:
    """The members in rows that hold each source once: no table has two answers."""
    uses: Counter[str] = Counter()
    rows: list[list[int]] = []
    for member in members:
        source = pairs[member][0]
        if uses[source] == len(rows):
            rows.append([])
        rows[uses[source]].append(member)
        uses[source] += 1
    return rows


def _tables(members: Sequence[int], pairs: Pairs, parted: Parted) -> Iterator[Rule]:
    """Rules that put pairs together by scope and leaf; every scope has every leaf of its table."""
    tails = [_tail([pairs[member][side] for member in members]) for side in (0, 1)]
    scopes: dict[tuple[str, str], dict[tuple[str, str], int]] = defaultdict(dict)
    for member in members:
        source, target = map(str.removesuffix, pairs[member], tails)
        (scope, leaf), (new_scope, new_leaf) = parted(source), parted(target)
        scopes[scope, new_scope][leaf, new_leaf] = member
    kinds: dict[frozenset[tuple[str, str]], list[tuple[str, str]]] = defaultdict(list)
    for scope_pair, leaves in scopes.items():
        kinds[frozenset(leaves)].append(scope_pair)
    for rows in kinds.values():
        leaf_pairs = list(scopes[rows[0]])
        sides = [
            [
                *_choice(1, [row[side] for row in rows]),
                *_choice(2, [leaf[side] for leaf in leaf_pairs]),
                tails[side],
            ]
            for side in (0, 1)
        ]
        found = sorted(scopes[row][leaf] for row in rows for leaf in leaf_pairs)
        yield Rule(Pattern.of(*sides), tuple(found))


def _parted(name: str) -> tuple[str, str]:
    """A name as its scope, with the separator, and its leaf."""
    cut = max(name.rfind("/"), name.rfind(".")) + 1
    return name[:cut], name[cut:]


def _whole(name: str) -> tuple[str, str]:
    """A name that is not parted: for names whose leaves say nothing."""
    return "", name


def _tail(names: Sequence[str]) -> str:
    """The whole steps that all names end with; never the whole of one."""
    shared = shared_start([name[::-1] for name in names])[::-1]
    starts = [place for place, letter in enumerate(shared) if letter in "/."]
    return shared[starts[0] :] if starts and len(names) > 1 else ""


def _choice(number: int, words: Sequence[str]) -> Iterator[Piece]:
    """The words as one place of a pattern, the whole steps that all begin or end with outside of it."""
    if len(set(words)) == 1:
        yield words[0]
        return
    shared = shared_start(words)
    head = shared[: max(shared.rfind("/"), shared.rfind(".")) + 1]
    tail = _tail([word[len(head) :] for word in words])
    yield head
    yield Hole(number, options=tuple(word[len(head) : len(word) - len(tail)] for word in words))
    yield tail
