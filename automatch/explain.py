"""Why a pair: the parts of its score, what else it could be, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

import numpy as np

from automatch.answers import scopes
from automatch.assign import Assigned
from automatch.matching import RunnerUp, Standing
from automatch.names import natural_key, parted, template
from automatch.score import PARTS
from automatch.solve import Solution

__all__ = ["DECIDED", "SURE", "doubt", "evidence", "questions", "runners_up"]

DECIDED = "what a person has decided"

SURE = 0.9
"""The score from which on a pair has no doubt to tell."""

_MANY = 3
_CLOSE = 6.0
_RIVALS, _WORDS_SHOWN = 8, 6

_LABELS = {
    "kind": "shape, dtype and role",
    "words": "words of the name",
    "content": "same contents of scopes",
    "axis": "same place in a row of scopes",
    "neighbours": "neighbours that are matched",
    "order": "order of the variables",
    "indices": "numbers of the name",
    "answers": DECIDED,
}


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
    """The next best sources of the target, at most three, with the probability that is left for each.

    Of those that are as good, what is nobody's comes first: to take it asks nothing of another variable.
    """
    row = solution.total[pair.target]
    # Sums of the same differ in their last digits, by machine.
    order = np.lexsort((solution.taken, -np.round(row, 3)))
    others = [int(s) for s in order[: _MANY + 1] if s != pair.source and np.isfinite(row[s])][:_MANY]
    closeness = [math.exp(min(0.0, float(row[s]) - pair.score)) for s in others]
    total = sum(closeness) or 1.0
    return tuple(
        RunnerUp(s, min(score, (1 - score) * close / total))
        for s, close in zip(others, closeness, strict=True)
        if close > math.exp(-_CLOSE)
    )


def doubt(solution: Solution, place: int, standing: Standing) -> str:
    """The sentence that says why a pair is not sure."""
    return standing.doubt or _sentence(solution, place)


def questions(solution: Solution, places: Iterable[int]) -> dict[int, str]:
    """Place of a pair that is not sure -> the question it belongs to: one answer decides all of a question.

    Pairs whose sources differ from what else they could be in the same words are one question, wherever in
    the model they stand: `teacher/…` or `student/…`, `query` or `key` in each layer.
    """
    disputed = {place: _disputed(solution, solution.pairs[place]) for place in places}
    if not disputed:
        return {}
    import networkx as nx  # takes a tenth of a second

    alike = nx.Graph()
    for words in disputed.values():
        nx.add_path(alike, words)
    text: dict[_Node, str] = {}
    for together in nx.connected_components(alike):
        text |= dict.fromkeys(together, _question(together))
    return {place: text[words[0]] for place, words in disputed.items()}


_Node = tuple[str, str]
"""Where names begin to differ, numbers left out, and one of the words that could stand there."""


def _question(together: Collection[_Node]) -> str:
    shown = sorted({words for _, words in together}, key=natural_key)
    if len(shown) > _WORDS_SHOWN:
        shown = [*shown[:2], "…", shown[-1]]
    where = min(together)[0]
    return f"{where}: {' | '.join(shown)}" if len(shown) > 1 else shown[0]


def _disputed(solution: Solution, pair: Assigned) -> list[_Node]:
    """The words in which the source of a pair differs from its rivals; the names where it has none."""
    source = solution.scores.source
    own = source.names[pair.source].atoms
    found: dict[_Node, None] = {}
    for rival in solution.rivals(pair)[:_RIVALS]:
        scope, *ways = parted(own, source.names[rival].atoms)
        for words in ways:
            found["/".join(map(str, template(scope))), "/".join(map(str, words))] = None
    if not found:
        there, here = ("/".join(map(str, side)) for side in scopes(solution, pair.target, pair.source))
        found["", f"{there} <- {here}"] = None
    return list(found)


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
        rivals = solution.rivals(pair)
        if len(rivals) == 1:
            return f"nothing tells its source apart from '{source.names[rivals[0]].text}'"
        if rivals:
            return f"nothing tells its source apart from {len(rivals)} others"
    if longing["order"] > 1:
        return "the order of the variables speaks for another source"
    return "little speaks for it: check it"
