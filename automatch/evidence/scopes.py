"""Scopes as a grammar: labels parsed as what scopes hold, in the orders that code may create it in.

What a scope holds is created in one piece. What some words number in it is created by number, or from the
last number on; rows of numbers take turns in any way. Scopes that are named alike were written by the same
lines of code, so that what one of them shows of the order within holds for all.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product
from typing import Literal, NamedTuple

from automatch.names import Name, parted
from automatch.vocabulary import usually_first

__all__ = ["Component", "Scope", "Way", "left_over", "places_in", "tree", "way_to"]

_Words = tuple[str, ...]
Way = tuple[tuple[_Words, int], ...]
"""Words of each scope around a variable and the number behind them, -1 where there is none."""
Component = Literal["outer first", "last first", "one scope"]
"""How a component of a name is read that holds numbers and words behind them."""
_Path = tuple[_Words, ...]
"""Words of the scopes around one, whatever their numbers."""
_Rule = tuple[_Path, _Words, _Words, int]
"""In scopes of a path, what the first words name comes before what the others do.

The number is that of the first less that of the other: 0 for `conv_1` before `norm_1`, -1 for `norm_1` before
`conv_2`.
"""
_Rules = Mapping[_Rule, "Scope | None"]
"""Rules, each with the scope that alone shows it, if one does and only once."""
_State = tuple[int, ...]
"""How many of each row have been read."""
_Needs = Mapping[tuple[int, int], Sequence[tuple[int, int]]]
"""Row and place in it -> rows and places in them that come before."""

# Steps after which nothing is said; rows of one scope that may be read from their ends; parses that learn
# from the one before.
_STEPS, _TURNED, _PARSES = 50_000, 4, 3
# From so many on, what is numbered in a scope may have been created in a loop.
_LOOP = 3


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A scope with rows of what it holds; or an item, which holds nothing.

    length: the number of items in it.
    in_turn: the rows, where lists that stand side by side (`convs_0.0`, …, `convs_1.0`, …) are lists of what
        has the same number; empty where there are no such lists.
    """

    path: _Path
    length: int
    rows: tuple[_Row, ...] = ()
    in_turn: tuple[_Row, ...] = ()
    item: int = -1


class _Row(NamedTuple):
    """What some words name in a scope, by number."""

    words: _Words
    numbers: tuple[int, ...]
    scopes: tuple[Scope, ...]


class _Part(NamedTuple):
    """A scope or an item that begins at a place."""

    scope: Scope
    place: int


class _TooMany(Exception):
    """There are more ways to read than it pays to look at."""


def way_to(name: Name, end: int, how: Component = "outer first") -> Way:
    """The scopes of a name as far as to an atom.

    how: which of the two numbers of one component counts first; or that it is one scope by its only number.

    >>> from automatch.names import parse
    >>> way_to(parse("res_block2/conv/kernel"), 4)
    ((('res', 'block'), 2), (('conv',), -1))
    >>> way_to(parse("fuse_0_to_1/kernel"), 4, "last first")
    ((('fuse', 'to'), 1), ((), 0))
    >>> way_to(parse("conv1_skip/kernel"), 3, "one scope")
    ((('conv', 'skip'), 1),)
    """
    found: list[tuple[_Words, int]] = []
    for place in range(len(name.components)):
        words: list[str] = []
        first = len(found)
        atoms = name.atoms_of(place)
        for atom in atoms[: max(end, 0)]:
            if isinstance(atom, int):
                found.append((tuple(words), atom))
                words = []
            else:
                words.append(atom)
        if words and how == "one scope" and len(found) == first + 1:
            found[first] = ((*found[first][0], *words), found[first][1])
        elif words:
            found.append((tuple(words), -1))
        elif how == "last first" and len(found) == first + 2:
            (outer, one), (inner, other) = found[first:]
            found[first:] = [((*outer, *inner), other), ((), one)]
        end -= len(atoms)
    return tuple(found)


def tree(entries: Sequence[tuple[Way, int]], path: _Path = ()) -> Scope:
    """The scope of items, each with the way that leads to it; a scope that holds one other is that one."""
    rows = [_Row((), (-1,), (Scope(path, 1, item=item),)) for way, item in entries if not way]
    below: dict[_Words, dict[int, list[tuple[Way, int]]]] = defaultdict(dict)
    for way, item in entries:
        if way:
            (words, number), *rest = way
            below[words].setdefault(number, []).append((tuple(rest), item))
    for words in sorted(below):
        scopes = {number: tree(inner, (*path, words)) for number, inner in sorted(below[words].items())}
        if -1 in scopes:
            rows.append(_Row(words, (-1,), (scopes.pop(-1),)))
        if scopes:
            rows.append(_Row(words, tuple(scopes), tuple(scopes.values())))
    if len(rows) == 1 == len(rows[0].scopes):
        return rows[0].scopes[0]
    in_turn = [_in_turn(row) for row in rows]
    return Scope(path, len(entries), tuple(rows), tuple(in_turn) if in_turn != rows else ())


def _in_turn(row: _Row) -> _Row:
    lists = [scope.rows[0] for scope in row.scopes if len(scope.rows) == 1]
    numbers = lists[0].numbers if lists else ()
    alike = all(not one.words and one.numbers == numbers for one in lists)
    if len(lists) < max(2, len(row.scopes)) or len(numbers) < 2 or not alike:
        return row
    path = row.scopes[0].path
    turns = [
        Scope(path, sum(scope.length for scope in turn), (_Row((), row.numbers, turn),))
        for turn in zip(*(one.scopes for one in lists), strict=True)
    ]
    return _Row(row.words, numbers, tuple(turns))


def left_over(whole: Scope, given: Sequence[Hashable], spare: Counter[Hashable]) -> frozenset[int]:
    """The items of the only scopes, side by side in one, that hold just what is to spare; else nothing.

    given: the label of each item. spare: how many of each label.
    """
    found: set[frozenset[int]] = set()

    def look(scope: Scope) -> frozenset[int]:
        if scope.item >= 0:
            return frozenset({scope.item})
        held = [look(child) for row in scope.rows for child in row.scopes]
        less = [items for items in held if Counter(given[item] for item in items) <= spare]
        several: frozenset[int] = frozenset().union(*less)
        if Counter(given[item] for item in several) == spare:
            found.add(several)
        return frozenset().union(*held)

    look(whole)
    return found.pop() if len(found) == 1 else frozenset()


def places_in(
    whole: Scope, given: Sequence[Hashable], labels: Sequence[Hashable], *, usual: bool = True
) -> dict[int, set[int]]:
    """Place -> the items that stand there in any way to read the labels as the whole; empty if there is none.

    given: the label of each item. usual: whether what words stand for comes in its usual order, if it can.
    """
    # Rows are read from their ends only where nothing else is left.
    ways = (_read(whole, given, labels, usual=usual, turned=turned) for turned in (False, True))
    return next(filter(None, ways), {})


def _read(
    whole: Scope, given: Sequence[Hashable], labels: Sequence[Hashable], *, usual: bool, turned: bool
) -> dict[int, set[int]]:
    rules: _Rules = {}
    found: dict[int, set[int]] = {}
    for _ in range(_PARSES):
        parser = _Parser(given, labels, rules, usual=usual, turned=turned)
        try:
            if not parser.reads(whole, 0):
                break
        except _TooMany:
            break
        parts = parser.parts(_Part(whole, 0))
        found = defaultdict(set)
        for scope, place in parts:
            if scope.item >= 0:
                found[place].add(scope.item)
        learned = _rules(parts)
        if learned.items() <= rules.items():
            break
        rules = learned
    return found


def _rules(parts: Collection[_Part]) -> _Rules:
    """What comes first in each scope beyond doubt, as far as no other scope of its path objects."""
    places: dict[Scope, list[int]] = defaultdict(list)
    for scope, place in parts:
        places[scope].append(place)
    votes: dict[_Rule, list[tuple[bool, Scope]]] = defaultdict(list)
    for scope in places:
        for row, other in combinations(scope.rows, 2):
            for one, two, apart in _beside(row, other):
                if one in places and two in places:
                    first = max(places[one]) < min(places[two])
                    last = max(places[two]) < min(places[one])
                    if first or last:
                        votes[scope.path, row.words, other.words, apart].append((first, scope))
                        votes[scope.path, other.words, row.words, -apart].append((last, scope))
    return {
        rule: shown[0][1] if len(shown) == 1 else None
        for rule, shown in votes.items()
        if all(vote for vote, _ in shown)
    }


def _beside(row: _Row, other: _Row) -> Iterator[tuple[Scope, Scope, int]]:
    """What two rows hold under the same number or the next, and how far the numbers are apart."""
    scopes = dict(zip(other.numbers, other.scopes, strict=True))
    for number, scope in zip(row.numbers, row.scopes, strict=True):
        for apart in (-1, 0, 1):
            if number - apart in scopes:
                yield scope, scopes[number - apart], apart


def _usual(scope: Scope) -> _Rules:
    """The order in which codebases usually create what the words of a scope stand for."""
    single = [row.words for row in scope.rows if row.words and -1 in row.numbers]
    pairs = permutations(single, 2)
    return {(scope.path, words, others, 0): None for words, others in pairs if _comes_first(words, others)}


def _comes_first(words: _Words, others: _Words) -> bool:
    """Whether codebases usually create what the words stand for before what the others do."""
    _, own, other = parted(words, others)
    return bool(own and other) and usually_first(tuple(map(str, own)), tuple(map(str, other)))


def _usual_rows(scope: Scope) -> _Needs:
    """All of a row before the first of another, where codebases usually create them in this order."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for (o, other), (r, row) in permutations(enumerate(scope.rows), 2):
        if -1 not in (*other.numbers, *row.numbers) and _comes_first(other.words, row.words):
            found[r, 0].append((o, len(other.scopes) - 1))
    return found


def _needs(scope: Scope, rules: _Rules) -> _Needs:
    """What the rules say of a scope's rows; but for what one place in it shows, which is known there only."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for (r, row), (o, other) in permutations(enumerate(scope.rows), 2):
        places = {number: at for at, number in enumerate(other.numbers)}
        for apart in (-1, 0, 1):
            if rules.get((scope.path, other.words, row.words, apart), scope) is not scope:
                for at, number in enumerate(row.numbers):
                    if number + apart in places:
                        found[r, at].append((o, places[number + apart]))
    return found


def _turned(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """The rows with some of them read from their ends, as few as will do; nothing where too many might be.

    Rows that a loop may have counted are turned together, if anything can be read so. Two in a row need no
    loop: of two layers that Flax numbers, the outer one comes first if it is called with the other.
    """
    several = [place for place, row in enumerate(rows) if len(row.scopes) > 1]
    looped = [len(rows[place].scopes) >= _LOOP for place in several]

    def unlikely(way: tuple[bool, ...]) -> tuple[bool, int]:
        return len({turn for turn, long in zip(way, looped, strict=True) if long}) > 1, sum(way)

    ways = product((False, True), repeat=len(several)) if len(several) <= _TURNED else ()
    for way in sorted(ways, key=unlikely)[1:]:
        turned = {place for place, turn in zip(several, way, strict=True) if turn}
        yield [
            _Row(row.words, row.numbers[::-1], row.scopes[::-1]) if place in turned else row
            for place, row in enumerate(rows)
        ]


def _counts_within(scope: Scope) -> bool:
    """Whether a scope is one of a row and holds but another row, as `up3` holds `up3_1`, `up3_2`, …"""
    return len(scope.rows) == 1 and not scope.rows[0].words


class _Parser:
    """Reads labels as what scopes hold; see `places_in`."""

    def __init__(
        self,
        given: Sequence[Hashable],
        labels: Sequence[Hashable],
        rules: _Rules,
        *,
        usual: bool,
        turned: bool,
    ) -> None:
        self._given, self._labels, self._rules = given, labels, rules
        self._usual, self._turned = usual, turned
        self._known: dict[_Part, list[_Part]] = {}
        self._needs: dict[Scope, list[_Needs]] = {}
        self._steps = 0

    def reads(self, scope: Scope, place: int) -> bool:
        """Whether all that a scope holds can be read from a place on. Raises _TooMany."""
        if place + scope.length > len(self._labels):
            return False
        if scope.item >= 0:
            return self._labels[place] == self._given[scope.item]
        part = _Part(scope, place)
        if part not in self._known:
            ways = (self._along(scope.rows, needs, place) for needs in self._all_needs(scope))
            found = next(filter(None, ways), [])
            if self._turned and (not found or _counts_within(scope)):
                ways = (self._along(rows, {}, place) for rows in _turned(scope.rows))
                found = [*found, *next(filter(None, ways), [])]
            if scope.in_turn:
                found = [*found, *self._along(scope.in_turn, {}, place)]
            self._known[part] = found
        return bool(self._known[part])

    def parts(self, whole: _Part) -> set[_Part]:
        """Every part of every way to read the whole."""
        found, waiting = {whole}, [whole]
        while waiting:
            more = [part for part in self._known.get(waiting.pop(), ()) if part not in found]
            found.update(more)
            waiting.extend(more)
        return found

    def _all_needs(self, scope: Scope) -> list[_Needs]:
        """What is to come before what: by usage, also of rows, and rules; by rules; by nothing. Each once."""
        if scope not in self._needs:
            usual = _usual(scope) if self._usual else {}
            by_rules = (_needs(scope, rules) for rules in ({**self._rules, **usual}, self._rules))
            every: list[_Needs] = [*by_rules, {}]
            if self._usual and (rows := _usual_rows(scope)):
                first = every[0]
                every.insert(0, {at: [*rows.get(at, ()), *first.get(at, ())] for at in {**rows, **first}})
            self._needs[scope] = [needs for at, needs in enumerate(every) if needs not in every[:at]]
        return self._needs[scope]

    def _along(self, rows: Sequence[_Row], needs: _Needs, place: int) -> list[_Part]:
        """Every part of every way in which the rows take turns from a place on, each in its own order."""
        first, last = (0,) * len(rows), tuple(len(row.scopes) for row in rows)
        at: dict[_State, int] = {first: place}
        before: dict[_State, list[tuple[_State, _Part]]] = defaultdict(list)
        waiting = deque([first])
        while waiting:
            read = waiting.popleft()
            for row, number in enumerate(read):
                if number == last[row] or any(read[o] <= n for o, n in needs.get((row, number), ())):
                    continue
                self._steps += 1
                if self._steps > _STEPS:
                    raise _TooMany
                part = _Part(rows[row].scopes[number], at[read])
                if self.reads(*part):
                    after = (*read[:row], number + 1, *read[row + 1 :])
                    if after not in at:
                        at[after] = part.place + part.scope.length
                        waiting.append(after)
                    before[after].append((read, part))
        return _leading_to(last, before)


def _leading_to(last: _State, before: Mapping[_State, Sequence[tuple[_State, _Part]]]) -> list[_Part]:
    """The parts of all ways that lead to a state."""
    parts: dict[_Part, None] = {}
    found, waiting = {last}, [last]
    while waiting:
        for state, part in before.get(waiting.pop(), ()):
            parts[part] = None
            if state not in found:
                found.add(state)
                waiting.append(state)
    return list(parts)
