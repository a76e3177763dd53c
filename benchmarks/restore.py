"""How long a restore takes, beside the plainest way to do the same with TensorFlow alone.

Each way runs in a process of its own, in turn with the way that it is compared to. The best of its first
calls counts, and of its repeated ones, each in seconds of CPU and, behind the stroke, of the clock, which
says less the busier the machine is. Memory is what the process itself had beyond the start (pages of mapped
files are not its own): variables of a session have no value before, so that theirs is part of it; those
outside of a session have. The first call of a Saver builds it; what a graph has before it is finalized (a
Scaffold gives it a Saver) is no part of a restore. Nodes are those that the first call added, and all others.
The page cache is warm, modules are loaded. Ratios, not seconds, are what may be compared between machines.

    python -m benchmarks restore [--megabytes 400] [--variables 300 3000] [--rounds 1]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

# Enough for memory that earlier calls have freed to be found again: pages that are new cost more than values.
REPEATS = 15


class Seconds(NamedTuple):
    """What a call takes: all threads together, and by the clock."""

    cpu: float
    clock: float

    def __str__(self) -> str:
        return f"{self.cpu:.2f}/{self.clock:.2f}s"


@dataclass(frozen=True, slots=True)
class Cost:
    """The first and the best repeated call, MB, nodes of the first and of all other calls."""

    first: Seconds
    best: Seconds
    memory: float
    nodes: tuple[int, int] = (0, 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks restore", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--variables", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--run", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run:
        way, folder = options.run
        # Both sides are loaded before the clock starts.
        import tensorflow as tf

        import automatch

        _ = tf.raw_ops, automatch.Plan, automatch.restore
        print(json.dumps(asdict(WAYS[way](Path(folder)))))
        return 0
    for count in options.variables:
        with tempfile.TemporaryDirectory() as folder:
            _prepare(Path(folder), count, options.megabytes)
            print(f"{options.megabytes} MB in {count} variables")
            _table(Path(folder), options.rounds)
    return 0


def _table(folder: Path, rounds: int) -> None:
    print(f"  {'CPU/clock':42}{'first':>13}{'repeated':>13}{'memory':>9}{'nodes':>10}")
    costs: dict[str, Cost] = {}
    for title, plain, ours, bar in PAIRS:
        ways = [way for way in (plain, ours) if way not in costs]
        runs = [[_run(way, folder) for way in ways] for _ in range(rounds)]
        for i, way in enumerate(ways):
            cost = costs[way] = _best([run[i] for run in runs])
            nodes = f"{cost.nodes[0]}+{cost.nodes[1]}"
            print(f"  {way:42}{cost.first!s:>13}{cost.best!s:>13}{cost.memory:6.0f} MB{nodes:>10}")
        a, b = costs[plain], costs[ours]
        ratios = f"{_ratio(b.first, a.first):>13}{_ratio(b.best, a.best):>13}"
        print(f"  {title:42}{ratios}   at most {bar:.2f}x is wanted", flush=True)
    print()


def _ratio(ours: Seconds, plain: Seconds) -> str:
    return f"{ours.cpu / plain.cpu:.2f}/{ours.clock / plain.clock:.2f}x"


def _best(costs: Sequence[Cost]) -> Cost:
    first, best = _least(cost.first for cost in costs), _least(cost.best for cost in costs)
    return Cost(first, best, max(cost.memory for cost in costs), costs[0].nodes)


def _least(times: Iterable[Seconds]) -> Seconds:
    return Seconds(*map(min, zip(*times, strict=True)))


def _run(way: str, folder: Path) -> Cost:
    command = [sys.executable, "-m", "benchmarks.restore", "--run", way, str(folder)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment()).stdout
    found = json.loads(out.splitlines()[-1])
    return Cost(Seconds(*found["first"]), Seconds(*found["best"]), found["memory"], tuple(found["nodes"]))


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def _prepare(folder: Path, count: int, megabytes: int) -> None:
    """Two checkpoints of the same data, under the old and under the right names, and the plan."""
    import numpy as np

    import automatch
    from automatch.plan import Options, Pair, Plan, Side
    from automatch.read import read
    from automatch.tensor import Listing, Tensor

    rows = megabytes * 2**20 // (count * 512 * 4)
    shape = (max(rows, 1), 512)
    random = np.random.default_rng(0)
    block = random.standard_normal((shape[0] + count, 512), dtype=np.float32)
    arrays = {f"old/layer_{i}/weights": block[i : i + shape[0]] for i in range(count)}
    _save(folder / "old.ckpt", arrays)
    pairs = [(f"old/layer_{i}/weights", f"new/block_{i}/kernel") for i in range(count)]
    source = read(folder / "old.ckpt")
    target = Listing(tuple(Tensor(name, shape, "float32") for _, name in pairs))
    plan = Plan(
        made_by="benchmark",
        source=Side(str(folder / "old.ckpt"), source.format, count, source.fingerprint),
        target=Side(None, "tf-graph", count, target.fingerprint),
        options=Options(),
        pairs=tuple(
            Pair(
                target=new,
                source=old,
                shape=shape,
                dtype="float32",
                transform="identity",
                score=0.9,
                margin=0.5,
                rule=None,
                decision="accept",
                by="person",
            )
            for old, new in pairs
        ),
    )
    plan.save(folder / "plan.json")
    automatch.apply(plan, folder / "new.ckpt")
    (folder / "shape.json").write_text(json.dumps([count, shape]))


def _save(prefix: Path, arrays: dict[str, Any]) -> None:
    import tensorflow as tf

    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )


def _names(folder: Path) -> tuple[list[str], tuple[int, ...]]:
    count, shape = json.loads((folder / "shape.json").read_text())
    return [f"new/block_{i}/kernel" for i in range(count)], tuple(shape)


class _Memory:
    """Peak of the memory that belongs to the process alone, above what it was at the start."""

    def __enter__(self) -> _Memory:
        self._start = self.peak = _anonymous()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, _anonymous())

    @property
    def megabytes(self) -> float:
        return (self.peak - self._start) / 2**20


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _timed(call: Callable[[], object], graph: Any = None) -> Cost:
    """The cost of a call, whose effect stays the same however often it is made."""
    sizes = [_nodes(graph)]
    with _Memory() as memory:
        first = _seconds(call)
    sizes.append(_nodes(graph))
    best = _least([_seconds(call) for _ in range(REPEATS)])
    sizes.append(_nodes(graph))
    return Cost(first, best, memory.megabytes, (sizes[1] - sizes[0], sizes[2] - sizes[1]))


def _seconds(call: Callable[[], object]) -> Seconds:
    cpu, clock = time.process_time(), time.perf_counter()
    call()
    return Seconds(time.process_time() - cpu, time.perf_counter() - clock)


def _nodes(graph: Any) -> int:
    return 0 if graph is None else len(graph.get_operations())


def _in_session(
    folder: Path, *, resource: bool, ours: bool, finalized: bool = False, with_saver: bool = False
) -> Cost:
    import tensorflow as tf

    import automatch

    tf1 = tf.compat.v1
    names, shape = _names(folder)
    with tf.Graph().as_default() as graph, tf1.variable_scope("", use_resource=resource):
        variables = [tf1.get_variable(name, shape) for name in names]
        with tf1.Session() as session:
            if with_saver:
                tf1.train.Saver(variables)
            if finalized:
                graph.finalize()
            if ours:
                plan = automatch.Plan.load(folder / "plan.json")
                cost = _timed(
                    lambda: automatch.restore(session, str(folder / "old.ckpt"), plan, quiet=True), graph
                )
            else:
                savers: list[Any] = []

                def restore() -> None:
                    savers.extend([] if savers else [tf1.train.Saver(variables)])
                    savers[0].restore(session, str(folder / "new.ckpt"))

                cost = _timed(restore, graph)
            read = "/Read/ReadVariableOp:0" if resource else ":0"
            _check(folder, names, lambda name: session.run(name + read))
    return cost


def _eagerly(folder: Path, *, kind: str, ours: bool) -> Cost:
    import tensorflow as tf

    import automatch

    names, shape = _names(folder)
    if kind == "keras":
        import keras

        layer = keras.layers.Layer(name="layer")
        variables = {
            name: layer.add_weight(shape=shape, name=name.replace("/", "_"), initializer="zeros")
            for name in names
        }
    else:
        variables = {name: tf.Variable(tf.zeros(shape), name=name) for name in names}
    if ours:
        plan = automatch.Plan.load(folder / "plan.json")
        cost = _timed(lambda: automatch.restore(variables, str(folder / "old.ckpt"), plan, quiet=True))
    else:

        def restore() -> None:
            reader = tf.train.load_checkpoint(str(folder / "new.ckpt"))
            for name, variable in variables.items():
                variable.assign(reader.get_tensor(name))

        cost = _timed(restore)
    _check(folder, names, lambda name: variables[name].numpy())
    return cost


def _check(folder: Path, names: Sequence[str], value: Callable[[str], Any]) -> None:
    import numpy as np
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "new.ckpt"))
    for name in (names[0], names[len(names) // 2], names[-1]):
        np.testing.assert_array_equal(value(name), reader.get_tensor(name))


WAYS: dict[str, Callable[[Path], Cost]] = {
    "Saver, resource variables": lambda f: _in_session(f, resource=True, ours=False),
    "automatch, resource variables": lambda f: _in_session(f, resource=True, ours=True),
    "Saver, ref variables": lambda f: _in_session(f, resource=False, ours=False),
    "automatch, ref variables": lambda f: _in_session(f, resource=False, ours=True),
    "automatch, resource variables, finalized": lambda f: _in_session(
        f, resource=True, ours=True, finalized=True
    ),
    "automatch, finalized with its own Saver": lambda f: _in_session(
        f, resource=True, ours=True, finalized=True, with_saver=True
    ),
    "get_tensor and assign, tf.Variable": lambda f: _eagerly(f, kind="tf", ours=False),
    "automatch, tf.Variable": lambda f: _eagerly(f, kind="tf", ours=True),
    "get_tensor and assign, Keras 3": lambda f: _eagerly(f, kind="keras", ours=False),
    "automatch, Keras 3": lambda f: _eagerly(f, kind="keras", ours=True),
}
# What a restore may take at most, as a part of the plain way's time.
SESSION, EAGER = 1.0, 1 / 1.5
PAIRS = (
    ("automatch / Saver", "Saver, resource variables", "automatch, resource variables", SESSION),
    ("automatch / Saver", "Saver, ref variables", "automatch, ref variables", SESSION),
    ("feeding / Saver", "Saver, resource variables", "automatch, resource variables, finalized", SESSION),
    ("feeding / Saver", "Saver, resource variables", "automatch, finalized with its own Saver", SESSION),
    ("automatch / one by one", "get_tensor and assign, tf.Variable", "automatch, tf.Variable", EAGER),
    ("automatch / one by one", "get_tensor and assign, Keras 3", "automatch, Keras 3", EAGER),
)

if __name__ == "__main__":
    sys.exit(main())
