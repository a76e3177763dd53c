"""Features x Features -> scores, with their parts kept so that every pair can be explained.

A score is a sum of weights in natural-log odds, one part a kind of evidence. Rows are targets, columns are
sources, in every matrix.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from automatch.describe import Features
from automatch.evidence.indices import Indices
from automatch.evidence.kinds import IMPOSSIBLE, blocks, kinds
from automatch.evidence.neighbours import Neighbours
from automatch.evidence.nesting import Nesting
from automatch.evidence.order import Order
from automatch.evidence.siblings import siblings
from automatch.evidence.steps import Steps
from automatch.evidence.structure import structure
from automatch.evidence.units import kernels_before
from automatch.evidence.words import Words
from automatch.names import natural_key

__all__ = ["PARTS", "Scores"]

Matrix = npt.NDArray[np.float32]
Pairs = Sequence[tuple[int, int]]

PARTS = ("kind", "words", "content", "axis", "neighbours", "order", "indices", "answers")

_WORDS, _OPPOSED, _CONTENT, _AXIS = 7.0, np.float32(-2.0), 0.7, 0.9
_FIXED = 50.0
# Weights of ties: far below the smallest piece of evidence.
_FIRST, _CROSSED = 0.01, 0.001


class Scores:
    """The evidence on all pairs of two sides; `learn` brings in what settled pairs teach.

    parts: weight of each kind of evidence, `[target, source]`; `kind` is minus infinity where nothing fits.
    agreement: share of the words that agree, 0 to 1.
    words_alone: the part of the words before anything was learned.
    same_numbers: whether the names of a pair hold the same numbers, in order.
    decided: target -> source, pairs by a person.
    torn: whether a pair leads out of a scope whose settled pairs all but a few go elsewhere.
    """

    def __init__(self, target: Features, source: Features) -> None:
        self.target, self.source = target, source
        self.blocks = blocks(target, source)
        self._words = Words(target, source)
        self._indices = Indices(target, source)
        self.same_numbers = self._indices.same
        self._steps = Steps(target, source)
        self._siblings = siblings(target, source)
        self._order = Order(target, source)
        self._nesting = Nesting(target, source)
        self._neighbours = Neighbours(target, source)
        content, axis = structure(target, source)
        self._kernels_before = kernels_before(target, source)
        _with_kernels(axis, *self._kernels_before)
        self.parts: dict[str, Matrix] = {
            "kind": kinds(target, source, self.blocks),
            "content": _CONTENT * content,
            "axis": _AXIS * axis,
            "answers": np.zeros((len(target), len(source)), np.float32),
        }
        self.agreement = self._words.agreement()
        self._opposed = _OPPOSED * self._words.opposed()
        self.words_alone = _WORDS * self.agreement + self._opposed
        self.decided: Mapping[int, int] = {}
        self._update((), ())

    def learn(self, settled: Pairs, grounded: Pairs) -> None:
        """Weigh again with what settled (target, source) pairs teach.

        grounded: those among them that speak for their neighbours.
        """
        self._words.learn(settled)
        self.agreement = self._words.agreement()
        self._update(settled, grounded)

    def forbid(self, refused: Collection[tuple[int, int]]) -> None:
        """Hold a person's word: these (target, source) pairs are none."""
        for t, s in refused:
            self.parts["kind"][t, s] = IMPOSSIBLE

    def decide(self, fixed: Mapping[int, int], answers: Matrix) -> None:
        """Hold a person's word: fixed pairs are the only ones for both variables.

        What was learned without them is forgotten. answers: what they say of other pairs, `[target, source]`.
        """
        self.learn((), ())
        self.decided = fixed
        self.parts["answers"] = answers
        kind = self.parts["kind"]
        for t, s in fixed.items():
            kind[t, :] = IMPOSSIBLE
            kind[:, s] = IMPOSSIBLE
            kind[t, s] = _FIXED

    def total(self) -> Matrix:
        """The sum of all parts."""
        total = self.parts[PARTS[0]].copy()
        for part in PARTS[1:]:
            total += self.parts[part]
        return total

    def ties(self) -> Matrix:
        """What breaks ties, less than any evidence: who comes first in the alphabet, each at its own place.

        So that what nothing decides is proposed all from one tower, and not as a mixture of two.
        """
        places = []
        for side in (self.target, self.source):
            order = sorted(range(len(side)), key=lambda i: natural_key(side.names[i].text))
            places.append(np.empty(len(side), np.float32))
            places[-1][order] = np.arange(len(side)) / len(side)
        rows, columns = places[0][:, None], places[1][None, :]
        ties: Matrix = (-_FIRST * (rows + columns) - _CROSSED * (rows - columns) ** 2).astype(np.float32)
        return ties

    def _update(self, settled: Pairs, grounded: Pairs) -> None:
        self.parts["words"] = _WORDS * self.agreement + self._opposed
        self.parts["neighbours"], self.torn, same = self._neighbours.weights(grounded)
        self.parts["order"] = self._order.weights(self.agreement, settled, self.torn)
        self._nesting.correct(self.parts["order"], self.torn, same)
        _with_kernels(self.parts["order"], *self._kernels_before)
        numbers = self._indices.weights(settled) + self._steps.weights(settled)
        self.parts["indices"] = numbers + self._siblings


def _with_kernels(weights: Matrix, target: Mapping[int, int], source: Mapping[int, int]) -> None:
    """Give a normalisation right behind its kernel no better place in an order or a row than that one has.

    Many hold the same, so that by itself it would fit beside what was moved. target, source: their kernels.
    """
    if target and source:
        norms = np.ix_(list(target), list(source))
        kernels = np.ix_(list(target.values()), list(source.values()))
        weights[norms] = np.minimum(weights[norms], weights[kernels])
