"""How long a restore takes, beside the plainest way to do the same with TensorFlow alone.

Each way runs in a process of its own, several times in turn with the way that it is compared to. The best
of its first calls counts, and of its repeated ones. Memory is what the process itself had beyond the start
(pages of mapped files are not its own); nodes are those that the first call added, and all others. The page
cache is warm. Ratios, not seconds, are what may be compared between machines.

    python -m benchmarks restore [--megabytes 400] [--variables 300 3000] [--rounds 3]
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
from typing import Any

REPEATS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of the first and of the best repeated call, MB, nodes of the first and of all other calls."""

    first: float
    best: float
    memory: float
    nodes: tuple[int, int] = (0, 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks restore", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--variables", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run:
        way, folder = options.run
        print(json.dumps(asdict(WAYS[way](Path(folder)))))
        return 0
    for count in options.variables:
        with tempfile.TemporaryDirectory() as folder:
            _prepare(Path(folder), count, options.megabytes)
            print(f"{options.megabytes} MB in {count} variables")
            _table(Path(folder), options.rounds)
    return 0


def _table(folder: Path, rounds: int) -> None:
    print(f"  {'':42}{'first':>8}{'repeated':>10}{'memory':>9}{'nodes':>13}")
    for title, plain, ours in PAIRS:
        runs = [(_run(plain, folder), _run(ours, folder)) for _ in range(rounds)]
        costs = {way: _best(run[i] for run in runs) for i, way in enumerate((plain, ours))}
        for way, cost in costs.items():
            nodes = f"{cost.nodes[0]}+{cost.nodes[1]}"
            print(f"  {way:42}{cost.first:7.2f}s{cost.best:9.3f}s{cost.memory:6.0f} MB{nodes:>13}")
        a, b = costs[plain], costs[ours]
        print(f"  {title:42}{b.first / a.first:7.2f}x{b.best / a.best:9.2f}x   of the time", flush=True)
    print()


def _best(costs: Iterable[Cost]) -> Cost:
    found = list(costs)
    first, best = min(cost.first for cost in found), min(cost.best for cost in found)
    return Cost(first, best, max(cost.memory for cost in found), found[0].nodes)


def _run(way: str, folder: Path) -> Cost:
    command = [sys.executable, "-m", "benchmarks.restore", "--run", way, str(folder)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment()).stdout
    found = json.loads(out.splitlines()[-1])
    return Cost(**found | {"nodes": tuple(found["nodes"])})


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def _prepare(folder: Path, count: int, megabytes: int) -> None:
    """Two checkpoints of the same data, under the old and under the right names, and the plan."""
    import numpy as np

    import automatch
    from automatch.plan import Options, Pair, Plan, Side
    from automatch.tensor import Listing, Tensor

    rows = megabytes * 2**20 // (count * 512 * 4)
    shape = (max(rows, 1), 512)
    random = np.random.default_rng(0)
    block = random.standard_normal((shape[0] + count, 512), dtype=np.float32)
    arrays = {f"old/layer_{i}/weights": block[i : i + shape[0]] for i in range(count)}
    _save(folder / "old.ckpt", arrays)
    pairs = [(f"old/layer_{i}/weights", f"new/block_{i}/kernel") for i in range(count)]
    source = automatch.inspect(str(folder / "old.ckpt"))
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
        while not self._done.wait(0.002):
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
        start = time.perf_counter()
        call()
        first = time.perf_counter() - start
    sizes.append(_nodes(graph))
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    sizes.append(_nodes(graph))
    return Cost(first, min(times), memory.megabytes, (sizes[1] - sizes[0], sizes[2] - sizes[1]))


def _nodes(graph: Any) -> int:
    return 0 if graph is None else len(graph.get_operations())


def _in_session(folder: Path, *, resource: bool, ours: bool, finalized: bool = False) -> Cost:
    import tensorflow as tf

    import automatch

    tf1 = tf.compat.v1
    names, shape = _names(folder)
    with tf.Graph().as_default() as graph, tf1.variable_scope("", use_resource=resource):
        variables = [tf1.get_variable(name, shape) for name in names]
        with tf1.Session() as session:
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

        class Layer(keras.layers.Layer):
            def build(self, input_shape: object) -> None:
                del input_shape
                for name in names:
                    self.add_weight(shape=shape, name=name.replace("/", "_"), initializer="zeros")

        layer = Layer(name="layer")
        layer.build(None)
        variables = dict(zip(names, layer.weights, strict=True))
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
    "get_tensor and assign, tf.Variable": lambda f: _eagerly(f, kind="tf", ours=False),
    "automatch, tf.Variable": lambda f: _eagerly(f, kind="tf", ours=True),
    "get_tensor and assign, Keras 3": lambda f: _eagerly(f, kind="keras", ours=False),
    "automatch, Keras 3": lambda f: _eagerly(f, kind="keras", ours=True),
}
PAIRS = (
    ("automatch / Saver", "Saver, resource variables", "automatch, resource variables"),
    ("automatch / Saver", "Saver, ref variables", "automatch, ref variables"),
    ("feeding / Saver", "Saver, resource variables", "automatch, resource variables, finalized"),
    ("automatch / one by one", "get_tensor and assign, tf.Variable", "automatch, tf.Variable"),
    ("automatch / one by one", "get_tensor and assign, Keras 3", "automatch, Keras 3"),
)

if __name__ == "__main__":
    sys.exit(main())
