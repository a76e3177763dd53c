"""What words in variable names mean: synonyms, roles and kinds of slots, as the data file knows them."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from importlib import resources
from itertools import combinations, pairwise

__all__ = [
    "concepts",
    "counted_either_way",
    "in_usual_order",
    "meaning",
    "opposites",
    "role_of",
    "runs_in_usual_order",
    "slot_kind",
    "slot_words",
    "usual_place",
    "usually_first",
]


_NOWHERE = 1e9


@cache
def _data() -> dict[str, dict[str, list[str]]]:
    text = resources.files("automatch").joinpath("data/synonyms.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def _roles() -> dict[str, str]:
    return {word: role for role, words in _data()["roles"].items() for word in words}


@cache
def slot_words() -> dict[str, str]:
    """Spelling of a slot -> its kind, in the spelling's own case."""
    return {word: kind for kind, words in _data()["slots"].items() for word in words}


@lru_cache(maxsize=1 << 14)
def concepts(word: str) -> tuple[str, ...]:
    """The concepts that a lower-case word stands for; most words stand for themselves.

    >>> concepts("wte"), concepts("gadget")
    (('token', 'embedding'), ('gadget',))
    """
    found = _data()["words"].get(word)
    return (word,) if found is None else tuple(found)


@cache
def _phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    return {tuple(phrase.split()): tuple(means) for phrase, means in _data()["phrases"].items()}


@cache
def _longest() -> int:
    return max(map(len, _phrases()))


def meaning(words: Sequence[str]) -> list[str]:
    """The concepts of a run of words, phrases first.

    >>> meaning(("layer", "norm", "w")), meaning(("token", "type", "embeddings"))
    (['norm', 'w'], ['type', 'embedding'])
    """
    found: list[str] = []
    start = 0
    while start < len(words):
        for length in range(min(_longest(), len(words) - start), 0, -1):
            phrase = _phrases().get(tuple(words[start : start + length]))
            if phrase is not None:
                found.extend(phrase)
                start += length
                break
        else:
            found.extend(concepts(words[start]))
            start += 1
    return found


def role_of(word: str) -> str | None:
    """The role that a last word of a name gives a variable, or None.

    >>> role_of("biases"), role_of("logits")
    ('bias', None)
    """
    return _roles().get(word)


@cache
def _places() -> dict[str, float]:
    """A place for each word of the `order` lists that respects them all."""
    from graphlib import TopologicalSorter

    before: dict[str, set[str]] = {}
    for words in _data()["order"].values():
        for first, second in pairwise(words):
            before.setdefault(first, set())
            before.setdefault(second, set()).add(first)
    sorter = TopologicalSorter(before)
    sorter.prepare()
    places: dict[str, float] = {}
    while sorter.is_active():
        for word in sorted(sorter.get_ready()):
            places[word] = float(len(places))
            sorter.done(word)
    return places


@lru_cache(maxsize=1 << 14)
def usual_place(run: tuple[str, ...]) -> tuple[float, ...]:
    """A sort key for a run of words by the order in which codebases create what they stand for.

    >>> usual_place(("query",)) < usual_place(("key",)) < usual_place(("value",))
    True
    """
    places = _places()
    return tuple(places.get(word, _NOWHERE) for word in _role_or_meaning(run))


# Letters that count, as in `generatorA`, `generatorB`.
_COUNTING = frozenset("abcdef")


def in_usual_order(words: Collection[str]) -> bool:
    """Whether codebases have an order for these words, and not only a place for each among others.

    >>> in_usual_order(["query", "value"]), in_usual_order(["query", "gate"]), in_usual_order(["a", "b"])
    (True, False, True)
    """
    return _COUNTING.issuperset(words) or runs_in_usual_order([(word,) for word in words])


def runs_in_usual_order(runs: Collection[tuple[str, ...]]) -> bool:
    """The same of what runs of words begin with: `encdec attention` comes after `self attention`."""
    firsts = {concept for run in runs for concept in _role_or_meaning(run)[:1]}
    return all(b in _later(a) or a in _later(b) for a, b in combinations(firsts, 2))


def usually_first(run: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether codebases create what a run of words stands for before what another one does.

    >>> usually_first(("encoder", "layer"), ("decoder", "layer")), usually_first(("b",), ("a",))
    (True, False)
    """
    if len(run) == len(other) == 1 and _COUNTING.issuperset((*run, *other)):
        return run < other
    return usual_place(run)[0] < usual_place(other)[0] and runs_in_usual_order((run, other))


@cache
def _later(word: str) -> frozenset[str]:
    """The words that come after one in a list, or after one of these in another."""
    following = {b for words in _data()["order"].values() for a, b in pairwise(words) if a == word}
    return frozenset(following).union(*map(_later, following))


@cache
def counted_either_way() -> frozenset[str]:
    """Words of rows that are as likely to be numbered from their end."""
    return frozenset(_data()["rows"]["either_way"])


@cache
def opposites() -> tuple[frozenset[str], ...]:
    """Sets of words of which a variable has one."""
    return tuple(frozenset(words) for words in _data()["opposites"].values())


def _role_or_meaning(run: tuple[str, ...]) -> Sequence[str]:
    role = role_of(run[0]) if len(run) == 1 else None
    return [role] if role else meaning(run)


def slot_kind(spelling: str) -> str:
    """The kind of a slot by its spelling; an unknown spelling is a kind of its own.

    >>> slot_kind("Adam_1"), slot_kind("adam_v"), slot_kind("fisher")
    ('v', 'v', 'fisher')
    """
    return slot_words().get(spelling, spelling)
