"""What the words of two names say: how many agree, the rare ones counting most, and which word became which.

A translation is learned from the pairs that are settled already: words that turn up together wherever
either does (Dice coefficient) mean the same here, whatever they mean elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

from automatch.describe import Features
from automatch.vocabulary import opposites

__all__ = ["Words"]

Matrix = npt.NDArray[np.float32]

# A word that was seen three times with another translation does not keep its look-alike.
_SEEN = 3
_LEARNED = 0.95

# Names that TensorFlow gives where nobody does: they agree with none, and contradict none.
_DEFAULT, _NAMELESS = frozenset({"variable"}), 0.35

_SHORT = 3
_SIMILAR = 0.75
_CLOSE, _WITHIN = 0.8, 0.5


class Words:
    """The vocabularies of both sides and what is known of their correspondence."""

    def __init__(self, target: Features, source: Features) -> None:
        self._target, self._source = _Vocabulary(target.words), _Vocabulary(source.words)
        alike = np.zeros((self._target.size, self._source.size), np.float32)
        if self._target.words and self._source.words:
            alike[:-1, :-1] = likenesses(self._target.words, self._source.words)
        self._prior = alike
        self._alike = alike

    def agreement(self) -> Matrix:
        """Share of each pair's words with a counterpart in the other name, 0 to 1, weighted by rarity."""
        target, source = self._target, self._source
        there = np.max(self._alike[:, source.places], axis=2)[:, source.bags]
        back = np.max(self._alike[target.places], axis=1)[target.bags]
        wanted, given = target.weights[target.bags], source.weights[source.bags]
        shared = wanted @ there + back @ given.T
        totals = wanted.sum(1)[:, None] + given.sum(1)[None, :]
        agreed: Matrix = (shared / np.maximum(totals, 1e-3)).astype(np.float32)
        for bags, floor in ((target, (slice(None), None)), (source, (None, slice(None)))):
            agreed = np.maximum(agreed, np.where(bags.nameless[bags.bags], _NAMELESS, 0)[floor])
        return agreed

    def opposed(self) -> npt.NDArray[np.bool_]:
        """Whether two names have other words where both sides tell such words apart, `[target, source]`."""
        target, source = self._target, self._source
        found = np.zeros((len(target.unique), len(source.unique)), np.bool_)
        for words in opposites():
            told = sorted(words.intersection(target.words, source.words))
            if len(told) > 1:
                here, there = target.only(told), source.only(told)
                found |= (here[:, None] >= 0) & (there[None, :] >= 0) & (here[:, None] != there[None, :])
        return found[np.ix_(target.bags, source.bags)]

    def learn(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take the translations from settled (target, source) pairs, in place of what was learned before."""
        seen_t, seen_s = np.zeros(self._target.size), np.zeros(self._source.size)
        together = np.zeros(self._prior.shape)
        seen = Counter((int(self._target.bags[t]), int(self._source.bags[s])) for t, s in pairs)
        for (row, column), times in seen.items():
            here, there = self._target.unique[row], self._source.unique[column]
            seen_t[here] += times
            seen_s[there] += times
            together[np.ix_(here, there)] += times
        # One more in the denominator: a single pair is no proof.
        dice = 2 * together / (seen_t[:, None] + seen_s[None, :] + 1)
        elsewhere = (seen_t[:, None] >= _SEEN) & (seen_s[None, :] >= _SEEN) & (together == 0)
        prior = np.where(elsewhere, 0.5 * self._prior, self._prior)
        self._alike = np.maximum(prior, np.where(dice > 0.5, _LEARNED * dice, 0)).astype(np.float32)


class _Vocabulary:
    """The distinct words of one side, and its distinct bags of words, which many names share.

    bags: the bag of each name. places, unique, weights: of each bag, the places of its words (the last place
    stands for "no word"), each once, and how rare they are among the names. nameless: whether
    it says nothing.
    """

    def __init__(self, names: Sequence[tuple[str, ...]]) -> None:
        self.words = sorted({word for words in names for word in words})
        place = {word: i for i, word in enumerate(self.words)}
        none, self.size = len(self.words), len(self.words) + 1
        number: dict[tuple[str, ...], int] = {}
        self.bags = np.array([number.setdefault(words, len(number)) for words in names], dtype=np.intp)
        longest = max(map(len, number), default=0) or 1
        self.places = np.full((len(number), longest), none)
        for row, words in enumerate(number):
            self.places[row, : len(words)] = [place[word] for word in words]
        self.unique = [np.array(sorted({place[word] for word in words}), dtype=np.intp) for words in number]
        counts = np.zeros(self.size)
        for unique, times in zip(self.unique, np.bincount(self.bags), strict=True):
            counts[unique] += times
        rarity = np.maximum(np.log((len(names) + 1) / (counts + 0.5)), 0.05)
        self.nameless = np.array([_DEFAULT.issuperset(words) for words in number], np.float32)
        self.weights = np.zeros((len(number), self.size), np.float32)
        for row, unique in enumerate(self.unique):
            self.weights[row, unique] = rarity[unique]

    def only(self, words: Sequence[str]) -> npt.NDArray[np.intp]:
        """The place of the one of some words that each bag has; -1 for none and for several."""
        held = self.weights[:, [self.words.index(word) for word in words]] > 0
        return np.where(held.sum(1) == 1, held.argmax(1), -1)


def likenesses(words: Sequence[str], others: Sequence[str]) -> npt.NDArray[np.float64]:
    """How alike words are by their letters alone, 0 to 1, `[words, others]`.

    >>> likenesses(["kernel", "intermediate", "query"], ["kernel", "inter", "value"]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, 0.0]]
    """
    alike = _CLOSE * cdist(
        words, others, scorer=Levenshtein.normalized_similarity, score_cutoff=_SIMILAR, dtype=np.float64
    )
    for i, j in {*_within(words, others), *((i, j) for j, i in _within(others, words))}:
        short, long = sorted((words[i], others[j]), key=len)
        alike[i, j] = max(alike[i, j], _CLOSE if long.startswith(short) else _WITHIN)
    # Two letters are alike by chance.
    alike[[len(word) < _SHORT for word in words], :] = 0
    alike[:, [len(word) < _SHORT for word in others]] = 0
    place = {word: j for j, word in enumerate(others)}
    for i, word in enumerate(words):
        if word in place:
            alike[i, place[word]] = 1
    return alike


def _within(words: Sequence[str], others: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The places of each word that is a part of another one: looked up, not compared with each."""
    place = {word: i for i, word in enumerate(words)}
    lengths = sorted({len(word) for word in words if len(word) >= _SHORT})
    for j, other in enumerate(others):
        for length in lengths:
            for start in range(len(other) - length + 1):
                i = place.get(other[start : start + length])
                if i is not None:
                    yield i, j
