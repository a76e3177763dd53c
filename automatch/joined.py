"""What is still too much to compare after repetitions are gone: joined by name where that is safe, else left.

Variables go together if their words, numbers, role and size are found once on either side, and all variables
of these words bear the same numbers on both sides (one layer more or less would shift them). Of 2,421 such
pairs of one framework in the corpus 2,418 are right. What is left in crowds of one size stays unmatched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from automatch.describe import Features, describe
from automatch.matching import Match
from automatch.shapes import fitting
from automatch.tensor import Listing
from automatch.transforms import choose

__all__ = ["Joined", "join"]

_Sizes = Mapping[int | None, Sequence[int]]

MOST = 3000
"""Variables of a side up to which all pairs are compared."""

# Of one size, up to this many on either side are assigned at once: a few seconds.
_CROWD = 1500

_SCORE = 0.99


@dataclass(frozen=True)
class Joined:
    """Pairs found by name, why others are left, and what remains to be compared (indices into listings)."""

    target: Sequence[int]
    source: Sequence[int]
    found: Mapping[int, Match] = field(default_factory=dict)
    why: Mapping[int, str] = field(default_factory=dict)


def join(
    source: Listing,
    target: Listing,
    variables_s: Sequence[int],
    variables_t: Sequence[int],
    apart: Collection[int],
    apart_s: Collection[int],
) -> Joined:
    """What remains to be compared of some variables; all of them where they are few.

    apart, apart_s: targets and sources that are neither joined nor left (a person has decided on them).
    """
    if max(len(variables_s), len(variables_t)) <= MOST:
        return Joined(variables_t, variables_s)
    found = {
        match.target: match
        for match in _by_name(
            describe(source, [i for i in variables_s if i not in apart_s]),
            describe(target, [i for i in variables_t if i not in apart]),
        )
    }
    taken = {match.source for match in found.values()}
    here = _by_size(target, (i for i in variables_t if i not in found))
    there = _by_size(source, (i for i in variables_s if i not in taken))
    crowds = _crowds(here, there)
    why = {
        i: f"nothing tells it apart from {count} others"
        for size, count in crowds.items()
        for i in here[size]
        if i not in apart
    }
    return Joined(
        [i for size in here if size in there for i in here[size] if i not in why],
        [i for size in there if size in here for i in there[size] if size not in crowds or i in apart_s],
        found,
        why,
    )


def _by_size(listing: Listing, variables: Iterable[int]) -> dict[int | None, list[int]]:
    sizes: dict[int | None, list[int]] = defaultdict(list)
    for i in variables:
        sizes[listing.tensors[i].size].append(i)
    return sizes


def _crowds(target: _Sizes, source: _Sizes) -> dict[int | None, int]:
    """Sizes of which there are too many, and the largest until the rest is few; the number of others."""
    shared = [size for size in target if size in source]
    shared.sort(key=lambda size: -max(len(target[size]), len(source[size])))
    left_t, left_s = (sum(len(side[size]) for size in shared) for side in (target, source))
    crowds = {}
    for size in shared:
        here, there = len(target[size]), len(source[size])
        if max(here, there) > _CROWD or max(left_t, left_s) > MOST:
            crowds[size] = max(here, there) - 1
            left_t, left_s = left_t - here, left_s - there
    return crowds


def _by_name(source: Features, target: Features) -> Iterator[Match]:
    """The variables that go together by name alone, where it is clear what transform that means."""
    given, wanted = _templates(source), _templates(target)
    pairs = [
        (here[numbers][0], given[template][numbers][0])
        for template, here in wanted.items()
        if here.keys() == given.get(template, {}).keys()
        for numbers in here
        if len(here[numbers]) == len(given[template][numbers]) == 1
    ]
    source_of = {
        t: s
        for t, s in pairs
        if fitting(source.tensors[s], target.tensors[t], source.framework, target.framework)
    }
    for t, chosen in choose(target, source, source_of.items()).items():
        if not chosen.doubt:
            score = 1.0 if target.names[t].text == source.names[source_of[t]].text else _SCORE
            evidence = (("words and numbers of the name, found once", score),)
            yield Match(
                target.variables[t], source.variables[source_of[t]], chosen.text, score, score, evidence
            )


def _templates(side: Features) -> dict[tuple[object, ...], dict[tuple[int, ...], list[int]]]:
    """Variables by words, role, size and dtype, and then by numbers, but not those without own words.

    Words that all variables of a side have in common (a prefix) are not counted.
    """
    common = set(side.words[0]).intersection(*side.words) if side.words else set()
    found: dict[tuple[object, ...], dict[tuple[int, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, name in enumerate(side.names):
        words = tuple(word for word in side.words[i] if word not in common)
        if words and side.sizes[i] >= 0:
            template = (words, side.roles[i], side.sizes[i], side.tensors[i].dtype)
            found[template][name.numbers].append(i)
    return found
