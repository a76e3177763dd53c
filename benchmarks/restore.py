"""How long a restore takes, beside the plainest way to do the same with TensorFlow alone.

The first call of each way is made in a process of its own, in turn with the way that it is compared to;
repeated calls of both are made in turn in one process, since two processes differ by more than two ways of
restoring do. The best of the first calls counts, and of the repeated ones, each in seconds of CPU and, behind
the stroke, of the clock, which says less the busier the machine is. Memory is what the process itself had
beyond the start of the first call (pages of mapped files are not its own): variables of a session have no
value before, so that theirs is part of it; those outside of a session have. The first call of a Saver builds
it; what a graph has before it is finalized (a Scaffold gives it a Saver) is no part of a restore. Nodes are
those that the first call added, and all others. The page cache is warm, modules are loaded. Ratios, not
seconds, are what may be compared between machines.

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

# Enough for memory that earlier calls have freed to be found again: pages that are new cost more than values.
REPEATS = 15

# A way to restore that is ready to be called, as often as wanted, and the graph that it is about, if any.
Ready = tuple[Callable[[], object], Any]


class Seconds(NamedTuple):
    """What a call takes: all threads together, and by the clock."""

    cpu: float
    clock: float

    def __str__(self) -> str:
        return f"{self.cpu:.2f}/{self.clock:.2f}s"


class Cost(NamedTuple):
    """The least of the first and of the repeated calls, MB, nodes of the first and of all other calls."""

    first: Seconds
    best: Seconds
    memory: float
    nodes: tuple[int, int]


class First(NamedTuple):
    """What a first call takes, in MB beside, and the nodes that it adds."""

    seconds: Seconds
    memory: float
    nodes: int


class Repeated(NamedTuple):
    """The best of the calls after the first, and the nodes that all of them add."""

    seconds: Seconds
    nodes: int


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks restore", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--variables", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--run", nargs="+", metavar=("FOLDER", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run:
        folder, *ways = options.run
        # Both sides are loaded before the clock starts.
        import tensorflow as tf

        import automatch

        _ = tf.raw_ops, automatch.Plan, automatch.restore
        print(json.dumps(_first(Path(folder), *ways) if len(ways) == 1 else _repeated(Path(folder), ways)))
        return 0
    for count in options.variables:
        with tempfile.TemporaryDirectory() as folder:
            _prepare(Path(folder), count, options.megabytes)
            print(f"{options.megabytes} MB in {count} variables")
            _table(Path(folder), options.rounds)
    return 0


def _table(folder: Path, rounds: int) -> None:
    print(f"  {'CPU/clock':42}{'first':>13}{'repeated':>13}{'memory':>9}{'nodes':>10}")
    for title, plain, ours, bar in PAIRS:
        costs = _costs(folder, (plain, ours), rounds)
        for way, cost in zip((plain, ours), costs, strict=True):
            nodes = f"{cost.nodes[0]}+{cost.nodes[1]}"
            print(f"  {way:42}{cost.first!s:>13}{cost.best!s:>13}{cost.memory:6.0f} MB{nodes:>10}")
        a, b = costs
        ratios = f"{_ratio(b.first, a.first):>13}{_ratio(b.best, a.best):>13}"
        print(f"  {title:42}{ratios}   at most {bar:.2f}x is wanted", flush=True)
    print()


def _costs(folder: Path, ways: Sequence[str], rounds: int) -> list[Cost]:
    firsts = [[First(*_run(folder, way)) for way in ways] for _ in range(rounds)]
    repeats = [[Repeated(*found) for found in _run(folder, *ways)] for _ in range(rounds)]
    return [
        Cost(
            _least(one.seconds for one in first),
            _least(one.seconds for one in repeated),
            max(one.memory for one in first),
            (first[0].nodes, repeated[0].nodes),
        )
        for first, repeated in zip(zip(*firsts, strict=True), zip(*repeats, strict=True), strict=True)
    ]


def _ratio(ours: Seconds, plain: Seconds) -> str:
    return f"{ours.cpu / plain.cpu:.2f}/{ours.clock / plain.clock:.2f}x"


def _least(times: Iterable[Sequence[float]]) -> Seconds:
    # Read back from another process, they are lists.
    return Seconds(*map(min, zip(*times, strict=True)))


def _run(folder: Path, *ways: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.restore", "--run", str(folder), *ways]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment()).stdout
    return json.loads(out.splitlines()[-1])


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


def _first(folder: Path, way: str) -> First:
    with WAYS[way](folder) as (call, graph):
        before = _nodes(graph)
        with _Memory() as memory:
            seconds = _seconds(call)
        return First(seconds, memory.megabytes, _nodes(graph) - before)


def _repeated(folder: Path, ways: Sequence[str]) -> list[Repeated]:
    """Of ways called in turn; what a call does stays the same however often it is made."""
    with ExitStack() as stack:
        ready = [stack.enter_context(WAYS[way](folder)) for way in ways]
        for call, _ in ready:
            call()
        before = [_nodes(graph) for _, graph in ready]
        times: list[list[Seconds]] = [[] for _ in ready]
        for _ in range(REPEATS):
            for found, (call, _) in zip(times, ready, strict=True):
                found.append(_seconds(call))
        added = [_nodes(graph) - nodes for nodes, (_, graph) in zip(before, ready, strict=True)]
        return list(map(Repeated, map(_least, times), added))


def _seconds(call: Callable[[], object]) -> Seconds:
    cpu, clock = time.process_time(), time.perf_counter()
    call()
    return Seconds(time.process_time() - cpu, time.perf_counter() - clock)


def _nodes(graph: Any) -> int:
    return 0 if graph is None else len(graph.get_operations())


@contextmanager
def _in_session(
    folder: Path, *, resource: bool, ours: bool, finalized: bool = False, with_saver: bool = False
) -> Iterator[Ready]:
    import tensorflow as tf

    import automatch

    tf1 = tf.compat.v1
    names, shape = _names(folder)
    with tf.Graph().as_default() as graph, tf1.variable_scope("", use_resource=resource):
        variables = [tf1.get_variable(name, shape) for name in names]
        if with_saver:
            tf1.train.Saver(variables)
        if finalized:
            graph.finalize()
    with tf1.Session(graph=graph) as session:
        if ours:
            plan = automatch.Plan.load(folder / "plan.json")
            yield lambda: automatch.restore(session, str(folder / "old.ckpt"), plan, quiet=True), graph
        else:
            savers: list[Any] = []

            def restore() -> None:
                with graph.as_default():
                    savers.extend([] if savers else [tf1.train.Saver(variables)])
                savers[0].restore(session, str(folder / "new.ckpt"))

            yield restore, graph
        read = "/Read/ReadVariableOp:0" if resource else ":0"
        _check(folder, names, lambda name: session.run(name + read))


@contextmanager
def _eagerly(folder: Path, *, kind: str, ours: bool) -> Iterator[Ready]:
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
        yield lambda: automatch.restore(variables, str(folder / "old.ckpt"), plan, quiet=True), None
    else:

        def restore() -> None:
            reader = tf.train.load_checkpoint(str(folder / "new.ckpt"))
            for name, variable in variables.items():
                variable.assign(reader.get_tensor(name))

        yield restore, None
    _check(folder, names, lambda name: variables[name].numpy())


def _check(folder: Path, names: Sequence[str], value: Callable[[str], Any]) -> None:
    import numpy as np
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "new.ckpt"))
    for name in (names[0], names[len(names) // 2], names[-1]):
        np.testing.assert_array_equal(value(name), reader.get_tensor(name))


WAYS: dict[str, Callable[[Path], AbstractContextManager[Ready]]] = {
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
    (
        "its own Saver / Saver",
        "Saver, resource variables",
        "automatch, finalized with its own Saver",
        SESSION,
    ),
    ("automatch / one by one", "get_tensor and assign, tf.Variable", "automatch, tf.Variable", EAGER),
    ("automatch / one by one", "get_tensor and assign, Keras 3", "automatch, Keras 3", EAGER),
)

if __name__ == "__main__":
    sys.exit(main())
