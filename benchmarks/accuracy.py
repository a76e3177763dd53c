"""Right, wrong and missed on the corpus: automatch, the plain baseline, and a peer where it is installed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

from benchmarks.corpus import Accepted, Case, Outcome, cases, score

__all__ = ["Result", "main", "run"]


@dataclass(frozen=True)
class Result:
    """What one method answered on one case, and the CPU seconds it took."""

    case: Case
    outcome: Outcome
    seconds: float


def automatch_answer(case: Case, *, real: bool, min_score: float) -> Accepted:
    """The pairs that automatch would restore."""
    from automatch.match import match

    source, target = (case.real(side) if real else case.listing(side) for side in ("source", "target"))
    return [
        (target.tensors[m.target].name, source.tensors[m.source].name, m.transform)
        for m in match(source, target, use_ema=case.data.get("intent") == "ema").matches
        if m.score >= min_score
    ]


def _one(answer: Callable[[Case], Accepted], case: Case) -> Result:
    start = time.process_time()
    accepted = answer(case)
    seconds = time.process_time() - start
    return Result(case, score(case, accepted), seconds)


def run(answer: Callable[[Case], Accepted], chosen: Sequence[Case], workers: int) -> list[Result]:
    """The answers to all cases, in their order; `answer` must be importable by a child process."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(partial(_one, answer), chosen, chunksize=4))


def _totals(results: Sequence[Result]) -> str:
    right = sum(r.outcome.right for r in results)
    wrong = sum(r.outcome.wrong for r in results)
    missed = sum(r.outcome.missed for r in results)
    families = defaultdict(list)
    for result in results:
        families[result.case.family].append(result.outcome.recall)
    recall = mean(mean(values) for values in families.values())
    clean = sum(r.outcome.wrong == 0 for r in results)
    seconds = sum(r.seconds for r in results)
    precision = right / (right + wrong) if right + wrong else 1.0
    return (
        f"right {right:6d}  wrong {wrong:5d}  missed {missed:5d}  precision {precision:.4f}  "
        f"recall {recall:.4f} (mean over {len(families)} families)  clean {clean}/{len(results)}  "
        f"{seconds:.1f} CPU s"
    )


def _print(title: str, results: Sequence[Result], *, details: bool, show: int) -> None:
    print(f"\n{title}")
    families: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        families[result.case.family].append(result)
    if details:
        for result in results:
            o = result.outcome
            print(
                f"  {result.case.name:64s} {o.right:5d} {o.wrong:5d} {o.missed:5d}  {result.seconds:6.2f} s"
            )
            for target, source, transform, truth in o.wrong_pairs[:show]:
                print(f"      wrong: {target} <- {source} ({transform}); truth: {truth}")
            for target in o.missed_targets[:show]:
                print(f"      missed: {target}")
        print(f"  {'family':24s} cases  right wrong missed recall")
        for family, some in sorted(families.items()):
            outcomes = [r.outcome for r in some]
            right, wrong, missed = (
                sum(getattr(o, w) for o in outcomes) for w in ("right", "wrong", "missed")
            )
            recall = mean(o.recall for o in outcomes)
            print(f"  {family:24s} {len(some):5d}  {right:5d} {wrong:5d} {missed:6d} {recall:6.3f}")
    inside = [r for r in results if r.case.tensorflow_only]
    print(f"  all         {_totals(results)}")
    if inside and len(inside) < len(results):
        print(f"  TF to TF    {_totals(inside)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks accuracy", description=__doc__)
    parser.add_argument(
        "--corpus",
        type=Path,
        default=os.environ.get("AUTOMATCH_CORPUS"),
        help="folder with the corpus and its real files",
    )
    parser.add_argument("--min-score", type=float, default=0.8)
    parser.add_argument("--only", nargs="*", default=(), help="cases whose name holds one of these words")
    parser.add_argument("--show", type=int, default=0, help="wrong and missed pairs to print for each case")
    parser.add_argument("--peer", choices=("weightbridge",), help="run this too, if it is installed")
    parser.add_argument("--no-baseline", action="store_true")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    corpus = None if options.corpus is None else Path(options.corpus)
    chosen = list(cases(corpus, options.only))
    for real in (False, True) if corpus is not None else (False,):
        results = run(
            partial(automatch_answer, real=real, min_score=options.min_score), chosen, options.workers
        )
        title = (
            "automatch, real files with their graphs where there are any"
            if real
            else "automatch, from listings"
        )
        _print(title, results, details=True, show=options.show)
    if not options.no_baseline:
        from benchmarks.baseline import answer

        for cut in (0.8, None):
            results = run(partial(answer, cut=cut), chosen, options.workers)
            _print(
                f"plain baseline, {'no threshold' if cut is None else f'at {cut}'}",
                results,
                details=False,
                show=0,
            )
    if options.peer:
        from benchmarks import peer

        peer.compare(
            chosen, run(partial(automatch_answer, real=False, min_score=options.min_score), chosen, 1)
        )
    sys.stdout.flush()
    return 0
