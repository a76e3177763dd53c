"""Two listings in, a matching out: the matcher's whole story.

    listing ─ slots aside ─> reduce ─> describe ─> score ⇄ assign (solve) ─> transforms, confidence ─> pairs
                 └── followed kind to kind, with copies of what is matched, at the end ──┘

Everything in between goes by index; names come back in the plan only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from automatch.answers import answers
from automatch.assign import Assigned
from automatch.confidence import probability, standings
from automatch.describe import Features, describe
from automatch.explain import DECIDED, SURE, doubt, evidence, questions, runners_up
from automatch.follow import copies, followers, numbers
from automatch.many import many_to_one
from automatch.matching import Match, Matching, Standing
from automatch.names import parse
from automatch.reasons import unmatched, unused
from automatch.reduce import Reduction, reduce
from automatch.score import Scores
from automatch.slots import Satellite, satellites
from automatch.solve import Solution, solve
from automatch.tensor import Listing
from automatch.transforms import choose, settle

__all__ = ["match"]

# An optimizer's number under its own last word: right wherever the corpus has one.
_NUMBER = 0.95
_BY_PERSON = 0.99


def match(
    source: Listing,
    target: Listing,
    *,
    fixed: Mapping[str, str] | None = None,
    forbidden: Collection[tuple[str, str]] = (),
    use_ema: bool = False,
) -> Matching:
    """The proposed mapping from source tensors to target variables.

    fixed: target name -> source name, pairs that a person has decided; they hold, and teach the rest. Several
        targets may have one source.
    forbidden: (target name, source name) pairs that a person has refused.
    use_ema: take moving averages as the source of the variables they shadow.

    Raises UsageError: nothing turns the source of a fixed pair into its target.
    """
    place_t = {tensor.name: i for i, tensor in enumerate(target.tensors)}
    place_s = {tensor.name: i for i, tensor in enumerate(source.tensors)}
    decided = {place_t[t]: place_s[s] for t, s in (fixed or {}).items()}
    refused = {(place_t[t], place_s[s]) for t, s in forbidden if t in place_t and s in place_s}
    aside_t, aside_s = satellites(target), satellites(source)
    for t, s in decided.items():
        aside_t.pop(t, None)
        aside_s.pop(s, None)
    small = reduce(source, target, _others(source, aside_s), _others(target, aside_t), decided)
    found, why = small.spread(_variables(source, target, small, decided, refused), decided, refused)
    found |= _held(found, decided, source, target)
    found |= _satellites(found, aside_s, aside_t, source, target, refused)
    pieces = many_to_one(target, source, found, aside_t, aside_s)
    if use_ema:
        found = _averaged(found, aside_s, aside_t)
    matches = tuple(found[t] for t in sorted(found))
    taken = {match.source for match in matches}
    return Matching(
        matches,
        unmatched(target, source, found, aside_t) | {t: text for t, text in why.items() if t not in found},
        unused(source, target, taken, aside_s),
        pieces,
    )


def _others(listing: Listing, aside: Mapping[int, Satellite]) -> list[int]:
    """The variables that are nobody's slot."""
    return [i for i in range(len(listing)) if i not in aside]


def _variables(
    source: Listing,
    target: Listing,
    small: Reduction,
    decided: Mapping[int, int],
    refused: Collection[tuple[int, int]],
) -> dict[int, Match]:
    """The pairs of the variables that stand for all that are nobody's slot, by target index."""
    given, wanted = describe(source, small.source), describe(target, small.target)
    if not len(given) or not len(wanted):
        return {}
    first = _solved(wanted, given, decided, refused)
    twins = copies(wanted, given, {pair.target: pair.source for pair in first.pairs})
    if twins:
        originals = [i for i in range(len(wanted)) if i not in twins]
        wanted_once = describe(target, [wanted.variables[i] for i in originals])
        first = _solved(wanted_once, given, decided, refused)
        found = _matches(first, wanted_once, given)
        for copy, original in twins.items():
            base = found.get(wanted.variables[original])
            if base is not None and wanted.variables[copy] not in decided:
                found[wanted.variables[copy]] = replace(base, target=wanted.variables[copy])
        return found
    return _matches(first, wanted, given)


def _solved(
    wanted: Features, given: Features, decided: Mapping[int, int], refused: Collection[tuple[int, int]]
) -> Solution:
    scores = Scores(wanted, given)
    row = {listed: i for i, listed in enumerate(wanted.variables)}
    column = {listed: i for i, listed in enumerate(given.variables)}
    scores.forbid({(row[t], column[s]) for t, s in refused if t in row and s in column})
    fixed = {row[t]: column[s] for t, s in decided.items() if t in row and s in column}
    if fixed:
        scores.decide(fixed, answers(solve(scores), fixed))
    return solve(scores)


def _matches(solution: Solution, wanted: Features, given: Features) -> dict[int, Match]:
    chosen = choose(wanted, given, [(pair.target, pair.source) for pair in solution.pairs])
    standing = standings(solution, chosen)
    scores = [_score(wanted, given, pair, one) for pair, one in zip(solution.pairs, standing, strict=True)]
    asked = questions(solution, (place for place, score in enumerate(scores) if score < SURE))
    found = {}
    for place, (pair, score) in enumerate(zip(solution.pairs, scores, strict=True)):
        others = runners_up(solution, pair, score)
        found[wanted.variables[pair.target]] = Match(
            target=wanted.variables[pair.target],
            source=given.variables[pair.source],
            transform=chosen[pair.target].text,
            score=score,
            margin=score - max((other.score for other in others), default=0.0),
            evidence=evidence(solution, pair, score),
            runners_up=tuple(replace(other, source=given.variables[other.source]) for other in others),
            doubt=doubt(solution, place, standing[place]) if place in asked else "",
            question=asked.get(place, ""),
            standing=standing[place],
        )
    return found


def _score(wanted: Features, given: Features, pair: Assigned, standing: Standing) -> float:
    """The probability that a pair is right: 1 where it is sure and the names are equal."""
    score = probability(standing)
    same = wanted.names[pair.target].text == given.names[pair.source].text
    return 1.0 if same and score > SURE else score


def _held(
    found: Mapping[int, Match], decided: Mapping[int, int], source: Listing, target: Listing
) -> dict[int, Match]:
    """The pairs by a person that no assignment makes: several of one source, or of a shape that is open."""
    left = {t: s for t, s in decided.items() if t not in found or found[t].source != s}
    if not left:
        return {}
    chosen = settle(target, source, left, {t: match.source for t, match in found.items()})
    parts = ((DECIDED, _BY_PERSON),)
    return {
        t: Match(t, s, chosen[t].text, _BY_PERSON, _BY_PERSON, parts, doubt=chosen[t].doubt)
        for t, s in left.items()
    }


def _satellites(
    found: Mapping[int, Match],
    aside_s: Mapping[int, Satellite],
    aside_t: Mapping[int, Satellite],
    source: Listing,
    target: Listing,
    refused: Collection[tuple[int, int]],
) -> dict[int, Match]:
    """Slots follow their variables, kind to kind; an optimizer's own numbers go by their last word."""
    base = {t: match.source for t, match in found.items()}
    pairs = {}
    for t, s in followers(aside_t, aside_s, base).items():
        owner = aside_t[t].base
        if owner is not None and (t, s) not in refused and source.tensors[s].size == target.tensors[t].size:
            pairs[t] = replace(found[owner], target=t, source=s, runners_up=())
    for t, s in numbers(_numbers(target, aside_t), _numbers(source, aside_s)).items():
        if (t, s) not in refused and target.tensors[t].dtype == source.tensors[s].dtype:
            score = 1.0 if target.tensors[t].name == source.tensors[s].name else _NUMBER
            pairs[t] = Match(t, s, "identity", score, score, (("last words of the name", score),))
    return pairs


def _numbers(listing: Listing, aside: Mapping[int, Satellite]) -> dict[int, tuple[str, ...]]:
    """The optimizer's own numbers, each with its dtype and the last component of its name."""
    return {
        i: (
            listing.tensors[i].dtype,
            parse(listing.tensors[i].known_as).components[-1],
        )
        for i, it in aside.items()
        if it.kind == "number" and it.base is None
    }


def _averaged(
    found: dict[int, Match], aside_s: Mapping[int, Satellite], aside_t: Mapping[int, Satellite]
) -> dict[int, Match]:
    """The same pairs with the moving average of each source, where there is one."""
    average = {it.base: i for i, it in aside_s.items() if it.kind == "ema"}
    shadowed = {t for t, match in found.items() if t not in aside_t and match.source in average}
    return {
        t: replace(match, source=average[match.source]) if t in shadowed else match
        for t, match in found.items()
    }
