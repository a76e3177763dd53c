"""Why a pair: the parts of its score, what else it could be, and what speaks against it."""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np

from automatch.assign import Assigned
from automatch.describe import Features
from automatch.matching import RunnerUp, Standing
from automatch.score import PARTS
from automatch.solve import Solution

__all__ = ["Doubt", "doubts", "evidence", "runners_up"]

_SURE = 0.9
_MANY = 3
_CLOSE = 6.0

_LABELS = {
    "kind": "shape, dtype and role",
    "words": "words of the name",
    "content": "same contents of scopes",
    "axis": "same place in a row of scopes",
    "neighbours": "neighbours that are matched",
    "order": "order of the variables",
    "indices": "numbers of the name",
}


class Doubt(TypedDict):
    """What is uncertain: a sentence, and a word that pairs share which one answer decides."""

    doubt: str
    question: str


def evidence(solution: Solution, pair: Assigned, score: float) -> tuple[tuple[str, float], ...]:
    """The kinds of evidence with their shares; the shares add up to the score.

    What the pair has more of in sum than its score is worth, because something else comes close, is the
    share of "what else it could be".
    """
    at = pair.target, pair.source
    weights = {_LABELS[part]: float(solution.scores.parts[part][at]) for part in PARTS}
    total = sum(weight for weight in weights.values() if weight > 0) or 1.0
    shares = {label: weight / total for label, weight in weights.items() if abs(weight) > 0.005 * total}
    rest = score - sum(shares.values())
    return (*shares.items(), ("what else it could be", rest))


def runners_up(solution: Solution, pair: Assigned, score: float) -> tuple[RunnerUp, ...]:
    """The next best sources of the target, at most three, with the probability that is left for each."""
    row = solution.total[pair.target]
    order = np.argsort(-row, kind="stable")
    others = [int(s) for s in order[: _MANY + 1] if s != pair.source and np.isfinite(row[s])][:_MANY]
    closeness = [math.exp(min(0.0, float(row[s]) - pair.score)) for s in others]
    total = sum(closeness) or 1.0
    return tuple(
        RunnerUp(s, min(score, (1 - score) * close / total))
        for s, close in zip(others, closeness, strict=True)
        if close > math.exp(-_CLOSE)
    )


def doubts(solution: Solution, place: int, standing: Standing, score: float) -> Doubt:
    """The sentence that says why a pair is not sure, and the question it belongs to."""
    if score >= _SURE:
        return {"doubt": "", "question": ""}
    pair = solution.pairs[place]
    target, source = solution.scores.target, solution.scores.source
    question = f"{_template(target, pair.target)} <- {_template(source, pair.source)}"
    return {"doubt": standing.doubt or _sentence(solution, place), "question": question}


def _sentence(solution: Solution, place: int) -> str:
    pair, longing = solution.pairs[place], solution.longings[place]
    source = solution.scores.source
    if longing["words"] > 1:
        return (
            "the words of the names would rather have another source, "
            "but order or structure speaks for this one"
        )
    if solution.namesakes[place] > 1:
        return "what has its name in the source has another shape"
    if pair.margin < 1:
        rivals = _rivals(solution, pair)
        if len(rivals) == 1:
            return f"nothing tells its source apart from '{source.names[rivals[0]].text}'"
        if rivals:
            return f"nothing tells its source apart from {len(rivals)} others"
    if longing["order"] > 1:
        return "the order of the variables speaks for another source"
    return "little speaks for it: check it"


def _rivals(solution: Solution, pair: Assigned) -> list[int]:
    """Sources that fit the target nearly as well."""
    row = solution.total[pair.target]
    return [int(s) for s in np.flatnonzero(row > pair.score - 1) if s != pair.source]


def _template(side: Features, variable: int) -> str:
    return "/".join("#" if isinstance(atom, int) else atom for atom in side.names[variable].atoms)
