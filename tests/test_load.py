"""Many threads, many calls, many variables."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import automatch
from automatch.cli import main
from automatch.plan import Plan
from automatch.read import read
from automatch.read.listing import dumps
from automatch.tensor import Listing, Tensor
from restore_helpers import checkpoint, plan_of, random_values, tf1

VALUES = random_values({f"old/{i}/w": (2, i + 1) for i in range(4)})
PAIRS = {f"new/{i}/kernel": f"old/{i}/w" for i in range(4)}
THREADS = 200


def small_graph() -> tf.Graph:
    graph = tf.Graph()
    with graph.as_default():
        for i in range(4):
            tf1.get_variable(f"new/{i}/kernel", (2, i + 1))
    return graph


@pytest.mark.parametrize(
    ("shared", "finalized"),
    [(True, False), (False, False), (True, True)],
    ids=["one graph", "a graph each", "finalized"],
)
def test_two_hundred_threads_restore_into_their_own_sessions(
    tmp_path: Path, shared: bool, finalized: bool
) -> None:
    first = checkpoint(tmp_path, VALUES)
    other = checkpoint(tmp_path, {name: -value for name, value in VALUES.items()}, "other.ckpt")
    common = small_graph()
    plan = plan_of(read(first), read(common), PAIRS)
    graphs = [common if shared else small_graph() for _ in range(THREADS)]
    for graph in graphs if finalized else ():
        graph.finalize()
    gate, wrong = threading.Barrier(THREADS), []

    def restore(number: int) -> None:
        sign = 1 if number % 2 else -1
        try:
            with tf1.Session(graph=graphs[number]) as session:
                gate.wait(60)
                automatch.restore(session, first if number % 2 else other, plan, quiet=True)
                for name, source in PAIRS.items():
                    value = session.run(f"{name}/Read/ReadVariableOp:0")
                    np.testing.assert_array_equal(value, sign * VALUES[source])
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=restore, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    alone = small_graph()
    if not finalized:
        with tf1.Session(graph=alone) as session:
            automatch.restore(session, first, plan, quiet=True)
    sizes = {len(graph.get_operations()) for graph in graphs}
    assert sizes == {len(alone.get_operations())}, "many threads add to a graph what one adds"


# In a process of its own: what others have left in this one moves about for reasons of theirs.
SUGGESTIONS = """
import gc, os
from pathlib import Path
import automatch
from automatch.tensor import Listing, Tensor

source = Listing((Tensor("net/fc/weights", (8, 10), "float32"),))
target = Listing((Tensor("m/dense/kernel", (8, 10), "float32"),))
for number in range(1001):
    automatch.suggest(source, target)
    if number % 500 == 0:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(len(gc.get_objects()), pages * os.sysconf("SC_PAGE_SIZE"))
"""


def test_a_thousand_suggestions_keep_no_memory() -> None:
    run = subprocess.run([sys.executable, "-c", SUGGESTIONS], capture_output=True, text=True, check=True)
    counts = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    assert counts[2][0] - counts[1][0] < 100, "objects kept after 500 calls more"
    assert counts[2][1] - counts[1][1] < 4 * 2**20, "bytes kept after 500 calls more"


# Caches that keep what they have met fill up; then nothing may be added.
NEW_NAMES = """
import os, random
from pathlib import Path
import automatch
from automatch.tensor import Listing, Tensor

draw = random.Random(1)
def listing(shapes):
    names = ["/".join("".join(draw.choices("abcdefgh", k=9)) for _ in range(8)) for _ in shapes]
    return Listing(tuple(Tensor(name, shape, "float32") for name, shape in zip(names, shapes)))

for number in range(401):
    shapes = [(draw.randrange(1, 10**6), draw.randrange(1, 10**6)) for _ in range(12)]
    automatch.suggest(listing(shapes), listing(shapes))
    if number % 200 == 0:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(pages * os.sysconf("SC_PAGE_SIZE"))
"""


def test_suggestions_for_ever_new_names_come_to_need_no_more_memory() -> None:
    run = subprocess.run([sys.executable, "-c", NEW_NAMES], capture_output=True, text=True, check=True)
    first, middle, last = map(int, run.stdout.split())
    assert middle - first < 64 * 2**20
    assert last - middle < 8 * 2**20, "bytes kept after 200 calls more with 38,400 words and 2,400 shapes"


LAYERS, EXPERTS = 50, 50


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of 5,001 tensors and the listing of a model for it; the folder is the current one."""
    values = {"net/embedding": np.ones((7, 3), np.float32)}
    tensors = [Tensor("model/token_embedding", (7, 3), "float32")]
    for layer in range(LAYERS):
        for expert in range(EXPERTS):
            ours, theirs = f"net/layer_{layer}/expert_{expert}", f"model/block{layer + 1}/ffn{expert + 1}"
            values[f"{ours}/weights"] = np.full((3, 2), layer + expert / 100, np.float32)
            values[f"{ours}/biases"] = np.full(2, layer + expert / 100, np.float32)
            tensors += [
                Tensor(f"{theirs}/kernel", (3, 2), "float32"),
                Tensor(f"{theirs}/bias", (2,), "float32"),
            ]
    monkeypatch.chdir(tmp_path)
    checkpoint_of(values, tmp_path / "old.ckpt")
    Path("target.json").write_text(dumps(Listing(tuple(tensors), order="creation")))
    return tmp_path


def checkpoint_of(values: dict[str, np.ndarray], prefix: Path) -> None:
    """The values in a checkpoint, without a graph of as many variables."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )


def test_five_thousand_variables_go_through_every_verb(
    large: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        assert main(list(arguments)) == code, capsys.readouterr().err
        return capsys.readouterr().out

    assert "5,001 tensors" in run("inspect", "old.ckpt")
    run("suggest", "old.ckpt", "target.json", "-o", "p.json")
    plan = Plan.load("p.json")
    assert plan.counts.accepted == 5001
    assert "net/layer_7/expert_9/biases" in run("show", "p.json", "model/block8/ffn10/bias")
    assert run("reject", "p.json", "model/block8/*").startswith("rejected 100;")
    assert run("check", "p.json", "old.ckpt", "target.json")
    assert run("accept", "p.json", "model/block8/*").startswith("accepted 100;")
    run("review", "p.json", "--report", "page.html")
    for form in ("json", "regex", "assignment_map", "var_list", "saver_builder"):
        run("export", "p.json", "--as", form, "-o", f"{form}.txt")
    run("apply", "p.json", "-o", "new.ckpt")
    reader = tf.train.load_checkpoint("new.ckpt")
    assert len(reader.get_variable_to_shape_map()) == 5001
    for layer in range(LAYERS):
        value = reader.get_tensor(f"model/block{layer + 1}/ffn{layer + 1}/kernel")
        np.testing.assert_array_equal(value, np.full((3, 2), layer + layer / 100, np.float32))
