"""How sure a pair is: features of its standing in the solution -> a probability that holds on unseen models.

A logistic model over a few features that can only speak one way (a larger margin never lowers the score),
then a table that brings its output to observed shares of right pairs. Both are fitted on real renames, one
model family left out at a time (`python -m benchmarks calibration`), and shipped as data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec
import numpy as np

from automatch.solve import Solution
from automatch.transforms import Chosen

__all__ = ["FEATURES", "Standing", "probability", "standings"]

FEATURES = ("margin", "lead", "words", "order", "namesake", "support")
_WORDS = 7.0

# A pair whose name agrees much less than names do in this model, or whose namesake has another shape, is a
# new head more often than a match. Of 28,560 pairs otherwise sure, these doubt 255 right and 9 wrong ones,
# and 115 right and 5 wrong ones.
_NAMESAKE, _NAMED = 0.15, 0.7
_STRANGER, _MISFIT = 0.45, 0.4
_ROW = 0.5
_DOUBTED = 0.6


@dataclass(frozen=True, slots=True)
class Standing:
    """The features of one pair, and a doubt that no weight can outvote ('' for none)."""

    features: Mapping[str, float]
    doubt: str


def standings(solution: Solution, transforms: Mapping[int, Chosen]) -> list[Standing]:
    """The standing of each pair of a solution, in its order."""
    scores = solution.scores
    agree = [float(scores.agreement[p.target, p.source]) for p in solution.pairs]
    alone = [float(scores.words_alone[p.target, p.source]) / _WORDS for p in solution.pairs]
    usual, usual_alone = _median(agree), _median(alone)
    found = []
    for place, pair in enumerate(solution.pairs):
        longing = solution.longings[place]
        namesake = solution.namesakes[place] / _WORDS
        at = pair.target, pair.source
        support = sum(
            float(scores.parts[part][at]) for part in ("content", "axis", "neighbours", "order", "indices")
        )
        features = {
            "margin": min(pair.margin, 3.0),
            "lead": min(max(pair.margin - 3.0, 0.0), 6.0),
            "words": -min(longing["words"], 3.0),
            "order": -min(longing["order"], 2.0),
            "namesake": -4 * min(namesake, 1.0),
            "support": min(support, 10.0) / 5,
        }
        stranger = usual_alone - alone[place] > _STRANGER and usual - agree[place] > _MISFIT
        stranger = stranger and float(scores.parts["axis"][at]) < _ROW
        if namesake > _NAMESAKE and alone[place] < _NAMED:
            doubt = "what has its name in the source has another shape"
        elif stranger:
            doubt = "names agree elsewhere in this model, but not here"
        elif not transforms[pair.target].sure:
            doubt = "the shape does not show whether the kernel is transposed, and other kernels disagree"
        else:
            doubt = ""
        found.append(Standing(features, doubt))
    return found


def probability(standing: Standing) -> float:
    """The probability, 0 to 1, that a pair of this standing is right."""
    model = _model()
    logit = model.bias + sum(model.weights[name] * standing.features[name] for name in FEATURES)
    raw = 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0
    score = float(np.interp(raw, model.raw, model.score))
    return min(score, _DOUBTED) if standing.doubt else score


class _Model(msgspec.Struct, frozen=True):
    bias: float
    weights: dict[str, float]
    raw: tuple[float, ...]
    score: tuple[float, ...]


@cache
def _model() -> _Model:
    text = resources.files("automatch").joinpath("data/calibration.json").read_text("utf-8")
    return msgspec.json.decode(text, type=_Model)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0
