"""Is the score a probability? The confidence model fitted, and judged on families that it has not seen.

The model of automatch/confidence.py is fitted on all families but one, and `match` answers the cases of the
one left out with it. A fit has two steps: a logistic regression, then a monotone table from its output to
the share of right pairs (isotonic regression, Zadrozny and Elkan 2002), made from families that the
regression has not seen either.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

import msgspec
import numpy as np
import numpy.typing as npt

from automatch.confidence import FEATURES, Calibration, calibrated
from automatch.matching import Match
from benchmarks.corpus import Case, Outcome, cases, score

__all__ = ["Rows", "calibrate", "main", "table"]

Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SHIPPED = Path(__file__).parent.parent / "automatch" / "data" / "calibration.json"
BINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
ACCEPTED = 0.8

# Features are sums of log odds already, so each counts for 1 unless many pairs speak for another weight.
# Right pairs contradict the order of the variables as often as wrong ones do: it has to earn its weight.
_EXPECTED = np.array([0.0 if name == "order" else 1.0 for name in FEATURES])
_PENALTY = 100.0
# What is accepted: so many are right of all that score as high or higher, and of those that score the same.
_SURE, _LOCALLY_SURE = 0.999, 0.9
# The pool of scores next below reaches down until no more than so many are right: they are left to a person.
_DOUBTFUL = 0.77
_BLOCKS, _SMALLEST = 5, 50
_FOLDS = 8


@dataclass(frozen=True)
class Sample:
    """A case from its listings, or from its real files."""

    case: Case
    real: bool


@dataclass(frozen=True)
class Rows:
    """Pairs without a doubt: their features (`[pair, feature]`), whether they are right, weight, family."""

    features: Vector
    right: Mask
    weights: Vector
    family: npt.NDArray[np.str_]

    def where(self, mask: Mask) -> Rows:
        """The pairs that the mask keeps."""
        return Rows(self.features[mask], self.right[mask], self.weights[mask], self.family[mask])


@dataclass(frozen=True)
class Answer:
    """What `match` answered: score and truth of each pair, and the outcome of those that it accepted."""

    sample: Sample
    scores: Vector
    right: Mask
    outcome: Outcome


def main(argv: Sequence[str]) -> int:
    """0 if the score holds what it promises on families left out: expected calibration error up to 0.02."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks calibration", description=__doc__)
    corpus = os.environ.get("AUTOMATCH_CORPUS")
    parser.add_argument(
        "--corpus", type=Path, default=corpus, help="folder with the corpus and its real files"
    )
    parser.add_argument("--only", nargs="*", default=(), help="cases whose name holds one of these words")
    parser.add_argument("--fit", action="store_true", help=f"write {SHIPPED.name} from all families")
    parser.add_argument(
        "--shipped", action="store_true", help=f"judge {SHIPPED.name} as it is: nothing left out"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    samples = list(_samples(None if options.corpus is None else Path(options.corpus), options.only))
    with ProcessPoolExecutor(options.workers) as pool:
        run = partial(pool.map, chunksize=4)
        seen = _joined(list(run(_rows, samples)))
        families = sorted({sample.case.family for sample in samples})
        if options.shipped:
            models = dict.fromkeys(families, msgspec.json.decode(SHIPPED.read_bytes(), type=Calibration))
        else:
            models = dict(zip(families, run(partial(_without, seen), families), strict=True))
        answers = list(run(_answer, samples, [models[sample.case.family] for sample in samples]))
    print(f"{len(seen.right)} pairs without a doubt from {len(samples)} cases of {len(families)} families")
    print(f"scores by {'the shipped model' if options.shipped else 'models that have not seen the family'}")
    error = _print_reliability(answers)
    _print_families(answers)
    if options.fit:
        SHIPPED.write_text(_text(calibrate(seen)), encoding="utf-8")
        print(f"written: {SHIPPED}")
    return int(error > 0.02)


def _samples(folder: Path | None, only: Sequence[str]) -> Iterator[Sample]:
    for case in cases(folder, only):
        yield Sample(case, real=False)
        files = {"meta", "checkpoint", "file"}
        if folder is not None and any(files & set(case.data[side]) for side in ("source", "target")):
            yield Sample(case, real=True)


def _matched(sample: Sample) -> tuple[list[tuple[Match, bool]], Callable[[float], Outcome]]:
    """The pairs that count, each with whether it is right; and what if those of a score are accepted."""
    from automatch.match import match

    case = sample.case
    source, target = (case.real(s) if sample.real else case.listing(s) for s in ("source", "target"))
    found = match(source, target, use_ema=case.data.get("intent") == "ema").matches
    named = [(target.tensors[m.target].name, source.tensors[m.source].name, m.transform) for m in found]
    wrong = {target for target, *_ in score(case, named).wrong_pairs}
    counted = wrong | set(case.data["truth"]) - {*case.data.get("many", {}), *case.data.get("ignore", ())}
    pairs = [(m, n[0] not in wrong) for m, n in zip(found, named, strict=True) if n[0] in counted]

    def accept(least: float) -> Outcome:
        return score(case, [pair for pair, m in zip(named, found, strict=True) if m.score >= least])

    return pairs, accept


def _rows(sample: Sample) -> Rows:
    """The pairs of one case with features of their own (slots share their variable's) and without a doubt."""
    own = {
        id(match.standing): (match.standing, right)
        for match, right in reversed(_matched(sample)[0])
        if match.standing is not None and not match.standing.doubt
    }
    count = len(own)
    return Rows(
        np.array([[s.features[name] for name in FEATURES] for s, _ in own.values()]).reshape(
            count, len(FEATURES)
        ),
        np.array([right for _, right in own.values()], bool),
        np.full(count, 1 / np.sqrt(max(count, 1))),
        np.full(count, sample.case.family),
    )


def _joined(parts: Sequence[Rows]) -> Rows:
    some = [part for part in parts if len(part.right)]
    columns = ("features", "right", "weights", "family")
    return Rows(*(np.concatenate([getattr(part, column) for part in some]) for column in columns))


def _without(seen: Rows, family: str) -> Calibration:
    return calibrate(seen.where(seen.family != family))


def calibrate(seen: Rows) -> Calibration:
    """The model for these pairs; its table is made from families that the weights had not seen."""
    weights = _fit(seen)
    raw = np.empty(len(seen.right))
    families = np.unique(seen.family)
    for fold in range(_FOLDS):
        out = np.isin(seen.family, families[fold::_FOLDS])
        if out.any() and not out.all():
            raw[out] = _logistic(_fit(seen.where(~out)), seen.features[out])
        elif out.any():
            raw[out] = _logistic(weights, seen.features[out])
    knots, scores = table(raw, seen.right)
    rounded = {name: round(float(w), 3) for name, w in zip(FEATURES, weights[1:], strict=True)}
    return Calibration(round(float(weights[0]), 3), rounded, knots, scores)


def _logistic(weights: Vector, features: Vector) -> Vector:
    from scipy.special import expit

    raw: Vector = expit(weights[0] + features @ weights[1:])
    return raw


def _fit(seen: Rows) -> Vector:
    """Bias and weights (none below 0) of the largest penalised likelihood, by L-BFGS-B."""
    from scipy.optimize import minimize

    design = np.column_stack([np.ones(len(seen.right)), seen.features])
    share = seen.weights / seen.weights.mean()

    def loss(weights: Vector) -> tuple[float, Vector]:
        logits = design @ weights
        surprise = np.logaddexp(0, np.where(seen.right, -logits, logits))
        away = np.append(0.0, weights[1:] - _EXPECTED)
        slope = design.T @ (share * (1 / (1 + np.exp(-logits)) - seen.right)) + 2 * _PENALTY * away
        return float(share @ surprise + _PENALTY * away @ away), slope

    bounds = [(None, None), *[(0.0, None)] * len(FEATURES)]
    found: Vector = minimize(loss, np.ones(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds).x
    return found


def table(raw: Vector, right: Mask) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots (raw value, score), ascending in both, for pairs of these raw values, right or wrong.

    Scores are shares of right pairs. They leap over 0.8 where pairs become sure; next below, pairs are pooled
    from there down until the share of the pool is no longer one that would be accepted.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(raw, kind="stable")
    raw, right = raw[order], right[order]
    local = isotonic_regression(right.astype(float)).x
    sure = _sure(raw, right, local)
    pool = _pool(right[:sure], local[:sure])
    knots = [*_blocks(raw[:pool], right[:pool], local[:pool])]
    if pool < sure:
        share = min(float(right[pool:sure].mean()), _DOUBTFUL)
        knots += [(float(raw[pool]), share), (float(raw[sure - 1]), share)]
    knots += [*_blocks(raw[sure:], right[sure:], local[sure:])]
    scores = np.maximum.accumulate([share for _, share in knots])
    return tuple(round(at, 5) for at, _ in knots), tuple(int(share * 1e4) / 1e4 for share in scores)


def _pool(right: Mask, local: Vector) -> int:
    """The place from which on pairs that are not sure are pooled."""
    count = len(right)
    shares = np.cumsum(right[::-1]) / np.arange(1, count + 1)
    low = np.flatnonzero(shares[_SMALLEST:] <= _DOUBTFUL)
    return int(np.searchsorted(local, local[count - 1 - _SMALLEST - low[0]])) if len(low) else 0


def _sure(raw: Vector, right: Mask, local: Vector) -> int:
    """The place, in ascending order of raw values, from which on pairs are sure."""
    count = len(raw)
    above = np.cumsum(right[::-1])[::-1] / np.arange(count, 0, -1)
    enough = above >= min(_SURE, above.max())
    first = np.append(True, raw[1:] > raw[:-1])
    places = np.flatnonzero(enough & first & (local >= _LOCALLY_SURE))
    return int(places[0]) if len(places) else count


def _blocks(raw: Vector, right: Mask, local: Vector) -> Iterator[tuple[float, float]]:
    """Few knots for a stretch of pairs: its start and end, and blocks of equal shares joined in between."""
    if not len(raw):
        return
    edges = np.flatnonzero(np.append(True, local[1:] > local[:-1]))
    size = max(_SMALLEST, len(raw) // _BLOCKS)
    starts = [0]
    for edge in edges[1:]:
        if edge - starts[-1] >= size and len(raw) - edge >= size:
            starts.append(int(edge))
    ends = [*starts[1:], len(raw)]
    # One more right and one more wrong than were seen: no share is 1 (Laplace's rule of succession).
    shares = [(right[a:b].sum() + 1) / (b - a + 2) for a, b in zip(starts, ends, strict=True)]
    yield float(raw[0]), float(shares[0])
    for a, b, share in zip(starts, ends, shares, strict=True):
        yield float(raw[a:b].mean()), float(share)
    yield float(raw[-1]), float(shares[-1])


def _text(model: Calibration) -> str:
    return msgspec.json.format(msgspec.json.encode(model).decode(), indent=1) + "\n"


def _answer(sample: Sample, model: Calibration) -> Answer:
    with calibrated(model):
        pairs, accept = _matched(sample)
    scores = np.array([match.score for match, _ in pairs], float)
    return Answer(sample, scores, np.array([right for _, right in pairs], bool), accept(ACCEPTED))


def _print_reliability(answers: Sequence[Answer]) -> float:
    """The reliability table; the expected calibration error (mean distance of score and share, by pairs)."""
    scores = np.concatenate([answer.scores for answer in answers])
    right = np.concatenate([answer.right for answer in answers])
    place = np.clip(np.searchsorted(BINS, scores, side="right") - 1, 0, len(BINS) - 1)
    print("\nall pairs\n  score           pairs   right  mean score  share right")
    error = 0.0
    for number, low in enumerate(BINS):
        there = place == number
        if there.any():
            said, was = float(scores[there].mean()), float(right[there].mean())
            error += float(there.mean()) * abs(said - was)
            high = f"to {BINS[number + 1]:<5g}" if number + 1 < len(BINS) else "       "
            print(f"  {low:<5g} {high} {there.sum():7d} {right[there].sum():7d}  {said:10.4f}  {was:11.4f}")
    print(f"  expected calibration error {error:.4f}")
    return error


def _print_families(answers: Sequence[Answer]) -> None:
    print(f"\naccepted at {ACCEPTED}\n  {'family':24s} cases accepted wrong recall")
    grouped: dict[str, list[Outcome]] = defaultdict(list)
    for answer in answers:
        grouped[answer.sample.case.family].append(answer.outcome)
    for family, some in sorted(grouped.items()):
        right, wrong = sum(o.right for o in some), sum(o.wrong for o in some)
        recall = mean(o.recall for o in some)
        print(f"  {family:24s} {len(some):5d} {right + wrong:8d} {wrong:5d} {recall:6.3f}")
    outcomes = [answer.outcome for answer in answers]
    right, wrong = sum(o.right for o in outcomes), sum(o.wrong for o in outcomes)
    recall = mean(mean(o.recall for o in some) for some in grouped.values())
    clean = sum(not o.wrong for o in outcomes)
    print(
        f"  all: right {right}  wrong {wrong}  precision {right / max(right + wrong, 1):.5f}  "
        f"recall {recall:.4f} (mean over families)  clean {clean}/{len(outcomes)}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
