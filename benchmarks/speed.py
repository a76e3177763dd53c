"""What whole processes cost: CPU seconds (user and system) and peak memory, beside `import tensorflow`.

Modules are compiled once and kept, as they are wherever pip has installed them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus import cases

CASE = "resnet50_tf-slim-v1_to_keras"


@dataclass(frozen=True)
class Limit:
    """What a process may cost at most; None where nothing is promised."""

    seconds: float | None = None
    mebibytes: float | None = None


@dataclass(frozen=True)
class Cost:
    """The cheapest of several runs of one process."""

    seconds: float
    mebibytes: float


def main(argv: list[str]) -> int:
    """0 if every process stays within what is promised, else 1; prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks speed", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each process; the cheapest counts (5)")
    runs = parser.parse_args(argv).runs
    broken = False
    print(f"{'process':<44}{'CPU s':>8}{'MiB':>8}   promised")
    with tempfile.TemporaryDirectory() as folder:
        for name, line, limit in _processes(Path(folder)):
            cheapest = min((cost_of(line) for _ in range(runs)), key=lambda found: found.seconds)
            promised = [
                f"{most:g} {unit}" for most, unit in ((limit.seconds, "s"), (limit.mebibytes, "MiB")) if most
            ]
            within = cheapest.seconds <= (limit.seconds or cheapest.seconds)
            within &= cheapest.mebibytes <= (limit.mebibytes or cheapest.mebibytes)
            broken |= not within
            text = ", ".join(promised) + ("" if within else "   BROKEN")
            print(f"{name:<44}{cheapest.seconds:>8.3f}{cheapest.mebibytes:>8.0f}   {text}", flush=True)
    return int(broken)


def _processes(folder: Path) -> Iterator[tuple[str, list[str], Limit]]:
    case = next(case for case in cases(only=[CASE]) if case.name == CASE)
    from automatch.read.listing import dumps

    paths = []
    for side in ("source", "target"):
        paths.append(folder / f"{side}.json")
        paths[-1].write_text(dumps(case.listing(side)), encoding="utf-8")
    automatch = [sys.executable, "-m", "automatch"]
    source, target, plan = str(paths[0]), str(paths[1]), str(folder / "plan.json")
    demo = Path(__file__).parent.parent / "automatch" / "data" / "demo"
    sides = f"{len(case.listing('source'))} -> {len(case.listing('target'))}"
    yield "python -c pass", [sys.executable, "-c", "pass"], Limit()
    yield "automatch --help", [*automatch, "--help"], Limit(0.15)
    yield (
        "automatch inspect (a checkpoint)",
        [*automatch, "inspect", f"{demo}/resnet_cifar10.ckpt"],
        Limit(0.3),
    )
    yield "automatch inspect (a .meta)", [*automatch, "inspect", f"{demo}/classifier.meta"], Limit(0.5)
    yield (
        f"automatch suggest ({sides} variables)",
        [*automatch, "suggest", source, target, "-o", plan],
        Limit(1, 120),
    )
    yield "automatch show", [*automatch, "show", plan], Limit(0.3)
    yield (
        "automatch export --as saver_builder",
        [*automatch, "export", plan, "--as", "saver_builder"],
        Limit(0.3),
    )
    yield "python -c 'import tensorflow'", [sys.executable, "-c", "import tensorflow"], Limit()


def cost_of(line: list[str], codes: tuple[int, ...] = (0,)) -> Cost:
    """The cost of one run that ends with one of the codes, as the system has counted it for that child."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": ""}
    with open(os.devnull, "w") as nowhere:
        actions = [(os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1), (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 2)]
        child = os.posix_spawn(line[0], line, environment, file_actions=actions)
        _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status) not in codes:
        raise RuntimeError(f"{' '.join(line)} failed")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
