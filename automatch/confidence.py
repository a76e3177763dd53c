"""How sure a pair is: features of its standing in the solution -> a probability that holds on unseen models.

A logistic model over a few features that can only speak one way (a larger margin never lowers the score),
then a table that brings its output to observed shares of right pairs. Both are fitted on real renames, one
model family left out at a time (`python -m benchmarks calibration`), and shipped as data.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources

import msgspec
import numpy as np

from automatch.answers import confirmed
from automatch.assign import Assigned
from automatch.crossed import crossed, either_way, parted_rows
from automatch.describe import NORM_ROLES, Features
from automatch.evidence.units import units
from automatch.matching import Standing
from automatch.names import template
from automatch.score import Scores
from automatch.solve import OPEN, Solution, by_part_of_an_order
from automatch.transforms import Chosen

__all__ = ["FEATURES", "Calibration", "calibrated", "logistic", "probability", "standings"]

FEATURES = ("margin", "lead", "words", "order", "namesake", "support")
_WORDS = 7.0

# A pair whose name agrees much less than names do in this model, or whose namesake has another shape, is a
# new head more often than a match. Of 28,560 pairs otherwise sure, these doubt 255 right and 9 wrong ones,
# and 115 right and 5 wrong ones.
_NAMESAKE, _NAMED = 0.15, 0.7
_STRANGER, _MISFIT = 0.45, 0.4
_FAR_NAMESAKE = 0.4
# What is repeated is no new head; but one of another width repeats its namesakes.
_OFTEN = 3
_ROW = 0.5
# The weight of an order of which all but a thirtieth can be aligned.
_THROUGHOUT = 1.3
_BY_ORDER = "only the order of the variables speaks for it, and the orders fit in part"
# Up to this margin a kernel may go elsewhere as far as what else its scope holds is concerned.
_UNSURE = 2.0
_ASKED = "the kernels of its scope may go elsewhere, and this with them"
# The weight of roles that codebases mix up, as a bias with the offset of a normalisation.
_MIXED_UP, _CONTRADICTED = -1.5, -4.0
# A vector this far ahead goes with another kernel, because codebases cut their layers differently.
_APART = 4.0
# Nothing but its name says what a single number is, least of all a step or a count, which has no axis.
_NAMELESS, _NAMELESS_COUNT = 0.2, 0.4
# Normalisations, and what stands before something settled in the order of creation, are no heads.
_PLACED, _CLEAR = 1.0, 3.0
# What the only possible pair of two models that use each other up has ahead of others, in natural-log odds.
_ALL_THERE_IS = 2.0
_WHOLE = 0.995
_DOUBTED = 0.6
# What something else comes this close to is never sure, whatever else a fit has seen.
_NEAR, _BESIDE = 1.0, 0.78

_IN_USE: ContextVar[Calibration | None] = ContextVar("_IN_USE", default=None)


class Calibration(msgspec.Struct, frozen=True):
    """The logistic model, and the table (ascending, to be read linearly) from its output to scores."""

    bias: float
    weights: dict[str, float]
    raw: tuple[float, ...]
    score: tuple[float, ...]


def standings(solution: Solution, transforms: Mapping[int, Chosen]) -> list[Standing]:
    """The standing of each pair of a solution, in its order."""
    scores = solution.scores
    agree = [float(scores.agreement[p.target, p.source]) for p in solution.pairs]
    alone = [float(scores.words_alone[p.target, p.source]) / _WORDS for p in solution.pairs]
    strangers = _strangers(solution, agree, alone)
    only = _only(solution)
    answered, torn = confirmed(solution), _torn(solution)
    out_of_line, parted, levels = crossed(solution), parted_rows(solution), either_way(solution)
    repeated = _repeated(solution)
    found: list[Standing] = []
    for place, pair in enumerate(solution.pairs):
        by_person = pair.target in answered
        longing = 0.0 if by_person else solution.longings[place]["words"]
        namesake = 0.0 if by_person else solution.namesakes[place] / _WORDS
        at = pair.target, pair.source
        support = sum(
            float(scores.parts[part][at]) for part in ("content", "axis", "neighbours", "order", "indices")
        )
        features = {
            **_margin(pair.margin + (_ALL_THERE_IS if pair.target in only else 0.0)),
            "words": -min(longing, 3.0),
            "order": -min(solution.longings[place]["order"], 2.0),
            "namesake": -4 * min(namesake, 1.0),
            "support": min(support, 10.0) / 5,
        }
        in_row = float(scores.parts["axis"][at]) >= _ROW
        misnamed = namesake > (_FAR_NAMESAKE if in_row else _NAMESAKE) and alone[place] < _NAMED
        if by_person:
            doubt = ""
        elif misnamed and (pair.target not in repeated or alone[place] + namesake >= _NAMED):
            doubt = "what has its name in the source has another shape"
        elif pair.target not in only and by_part_of_an_order(scores, pair, _THROUGHOUT):
            doubt = _BY_ORDER
        elif pair.target in torn:
            doubt = "the kernel of its scope has another counterpart"
        elif pair.target in out_of_line:
            doubt = "the numbers of its row run neither way on both sides"
        elif pair.target in solution.wavering:
            doubt = "what is learned from it speaks against it"
        elif pair.target in levels:
            doubt = "codebases count such levels from either end, and all hold the same"
        elif pair.target in parted:
            doubt = "names and numbers speak for it, but the order of the variables for another source"
        elif _of_another_role(scores, pair):
            doubt = "its role is another one, by the last word of the name"
        elif pair.target in strangers:
            doubt = "names agree elsewhere in this model, but not here"
        else:
            doubt = transforms[pair.target].doubt
        found.append(Standing(features, doubt))
    return list(_beside_doubt(solution, _with_scope(solution, _with_kernels(solution, found))))


def _of_another_role(scores: Scores, pair: Assigned) -> bool:
    """Whether a pair has roles that contradict each other, or that are mixed up where something comes near.

    A table that one side calls a bias, as that of relative positions, is an embedding elsewhere.
    """
    kind = float(scores.parts["kind"][pair.target, pair.source])
    vector = scores.target.vectors[pair.target]
    return kind <= _MIXED_UP and (pair.margin < _CLEAR or (vector and kind <= _CONTRADICTED))


def _margin(margin: float) -> dict[str, float]:
    return {"margin": min(margin, 3.0), "lead": min(max(margin - 3.0, 0.0), 6.0)}


def _with_kernels(solution: Solution, found: Sequence[Standing]) -> list[Standing]:
    """The standings, where a normalisation is no surer of its place in the order than its kernel."""
    scores = solution.scores
    at = [(pair.target, pair.source) for pair in solution.pairs]
    doubted = {
        ends
        for ends, standing in zip(at, found, strict=True)
        if standing.doubt == _BY_ORDER or standing.features["margin"] < OPEN
    }
    norms_t = _norms(scores.target, {t for t, _ in doubted})
    norms_s = _norms(scores.source, {s for _, s in doubted})
    return [
        Standing(standing.features, _BY_ORDER)
        if (t in norms_t or s in norms_s) and not standing.doubt
        else standing
        for (t, s), standing in zip(at, found, strict=True)
    ]


def _with_scope(solution: Solution, found: Sequence[Standing]) -> list[Standing]:
    """The standings, where a vector is no surer of what it may be than all kernels of its scope."""
    target = solution.scores.target
    disputed = {
        pair.target: _choices(solution, pair, OPEN)
        for pair, standing in zip(solution.pairs, found, strict=True)
        if not target.vectors[pair.target] and (standing.doubt or standing.features["margin"] < _UNSURE)
    }
    return [
        Standing(standing.features, _ASKED)
        if not standing.doubt
        and standing.features["margin"] >= _NEAR
        and _asked(
            solution, pair, [disputed.get(i, set()) for i in target.nearest_kernels.get(pair.target, ())]
        )
        else standing
        for pair, standing in zip(solution.pairs, found, strict=True)
    ]


_Choice = frozenset[frozenset[str]]
"""The words that the name of a source has alone, and those of another's name."""


def _asked(solution: Solution, pair: Assigned, kernels: Sequence[Collection[_Choice]]) -> bool:
    """Whether what the kernels may be one as well as the other is open for a vector of their scope."""
    choices = _choices(solution, pair, _APART) if kernels and all(kernels) else set()
    return any(choices.intersection(several) for several in kernels)


def _choices(solution: Solution, pair: Assigned, near: float) -> set[_Choice]:
    """How the source of a pair differs from what fits its target as well, but for so much."""
    names = solution.scores.source.names
    own = frozenset(names[pair.source].words)
    others = {frozenset(names[s].words) for s in solution.rivals(pair, near)} - {own}
    return {frozenset((own - words, words - own)) for words in others}


def _norms(side: Features, kernels: Collection[int]) -> set[int]:
    """The normalisations that were created right after these kernels."""
    return {i for kernel, *norm in (units(side) if kernels else ()) if kernel in kernels for i in norm}


def _beside_doubt(solution: Solution, found: Sequence[Standing]) -> Iterator[Standing]:
    """The standings, with a pair's margin no larger than if it could have what others have in doubt."""
    free = [pair.source for pair, standing in zip(solution.pairs, found, strict=True) if standing.doubt]
    for pair, standing in zip(solution.pairs, found, strict=True):
        margin = standing.features["margin"] + standing.features["lead"]
        beside = pair.score - float(solution.total[pair.target, free].max(initial=-np.inf))
        if standing.doubt or beside >= margin:
            yield standing
        else:
            yield Standing({**standing.features, **_margin(beside)}, "")


def _torn(solution: Solution) -> set[int]:
    """Targets whose kernel is paired with another kernel than that of their source."""
    kernel_t, kernel_s = _kernels(solution.scores.target), _kernels(solution.scores.source)
    own_t, own_s = solution.scores.target.own_kernels, solution.scores.source.own_kernels
    source = {pair.target: pair.source for pair in solution.pairs}
    taken = set(source.values())
    return {
        pair.target
        for pair in solution.pairs
        if (pair.margin < _APART or (pair.target in own_t and pair.source in own_s))
        and pair.target in kernel_t
        and kernel_s.get(pair.source) in taken
        and source.get(kernel_t[pair.target], kernel_s[pair.source]) != kernel_s[pair.source]
    }


def _kernels(side: Features) -> dict[int, int]:
    """Vector -> the one kernel of the smallest scope around it that has any."""
    return {i: kernels[0] for i, kernels in side.nearest_kernels.items() if len(kernels) == 1}


def _only(solution: Solution) -> set[int]:
    """Targets of pairs that are the only ones possible, in two models that use each other up."""
    if not _used_up(solution):
        return set()
    possible = np.isfinite(solution.total)
    rows, columns = possible.sum(1), possible.sum(0)
    return {pair.target for pair in solution.pairs if rows[pair.target] == columns[pair.source] == 1}


def _used_up(solution: Solution) -> bool:
    """Whether two models have no room for a head that is new."""
    longer = max(len(solution.scores.target), len(solution.scores.source))
    return len(solution.pairs) >= _WHOLE * longer - 1


def _repeated(solution: Solution) -> set[int]:
    """Targets of pairs whose names differ from those of others in numbers only: no head comes so often."""
    rows: dict[object, list[int]] = defaultdict(list)
    for pair in solution.pairs:
        ends = solution.scores.target.names[pair.target], solution.scores.source.names[pair.source]
        rows[tuple(template(name.atoms) for name in ends)].append(pair.target)
    return {target for row in rows.values() if len(row) >= _OFTEN for target in row}


def _strangers(solution: Solution, agree: Sequence[float], alone: Sequence[float]) -> set[int]:
    """Targets whose names agree much less than names do in this model, and that may be a head.

    agree, alone: how far the names of each pair agree, with what was learned and without.
    """
    scores = solution.scores
    usual, usual_alone = _median(agree), _median(alone)
    found = {
        pair.target: pair
        for pair, here, here_alone in zip(solution.pairs, agree, alone, strict=True)
        if usual_alone - here_alone > _STRANGER and usual - here > _MISFIT
    }
    scalars = {
        pair.target
        for pair, here_alone in zip(solution.pairs, alone, strict=True)
        if scores.target.sizes[pair.target] == 1
        and scores.target.names[pair.target].atoms != scores.source.names[pair.source].atoms
        and here_alone < (_NAMELESS if scores.target.tensors[pair.target].shape else _NAMELESS_COUNT)
    }
    if _used_up(solution):
        return scalars
    # The last that are known otherwise: no head stands before them.
    known = [t for t, _ in solution.settled if t not in found] if scores.target.creation else []
    last = max(known, default=-1)
    for pair in list(found.values()):
        at = pair.target, pair.source
        norm = {scores.target.roles[pair.target], scores.source.roles[pair.source]}.issubset(NORM_ROLES)
        inside = pair.target < last and scores.parts["order"][at] >= _PLACED
        if scores.parts["axis"][at] >= _ROW or (pair.margin > _CLEAR and (norm or inside)):
            del found[pair.target]
    return found.keys() | scalars


def probability(standing: Standing) -> float:
    """The probability, 0 to 1, that a pair of this standing is right."""
    found = _IN_USE.get() or _shipped()
    score = float(np.interp(logistic(found, standing), found.raw, found.score))
    if standing.doubt:
        return min(score, _DOUBTED)
    return min(score, _BESIDE) if standing.features["margin"] < _NEAR else score


def logistic(model: Calibration, standing: Standing) -> float:
    """The output of the logistic model, 0 to 1, before the table."""
    logit = model.bias + sum(model.weights[name] * standing.features[name] for name in FEATURES)
    return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


@contextmanager
def calibrated(model: Calibration) -> Iterator[None]:
    """A context in which scores come from this model instead of the shipped one."""
    token = _IN_USE.set(model)
    try:
        yield
    finally:
        _IN_USE.reset(token)


@cache
def _shipped() -> Calibration:
    text = resources.files("automatch").joinpath("data/calibration.json").read_text("utf-8")
    return msgspec.json.decode(text, type=Calibration)


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2 if ordered else 0.0
