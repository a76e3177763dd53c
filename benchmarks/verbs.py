"""Every verb of the command on a checkpoint of up to 100,000 variables, each in a process of its own.

Source is a real checkpoint of a mixture of experts under the names of one program, target what another calls
the same variables. Restoring sets as many live variables; what making them costs is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from automatch.read.listing import dumps
from automatch.tensor import Listing
from benchmarks.scale import SIZES, tensorflow_to_tensorflow
from benchmarks.speed import Cost, cost_of

__all__ = ["main"]

# Values of a few bytes: what is measured is the number of variables.
_SMALL = {512: 8, 128: 4, 256: 6, 32000: 16}
_CODES = (0, 3, 4)

_SAVE = """
import sys, tensorflow as tf
from automatch.read import read
listing = read(sys.argv[1])
values = [tf.fill(tensor.shape, float(i)) for i, tensor in enumerate(listing.tensors)]
names = [tensor.name for tensor in listing.tensors]
tf.raw_ops.SaveV2(prefix=sys.argv[2], tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
"""
_RESTORE = """
import sys, time, resource, tensorflow as tf
import automatch
from automatch.read import read
variables = {t.name: tf.Variable(tf.zeros(t.shape), name="v") for t in read(sys.argv[1]).tensors}
before, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
restored = automatch.restore(variables, sys.argv[2], sys.argv[3], quiet=True)
assert len(restored.restored) == len(variables)
print(time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _small(listing: Listing) -> Listing:
    tensors = (
        replace(t, shape=tuple(_SMALL.get(axis, axis) for axis in t.shape or ())) for t in listing.tensors
    )
    return replace(listing, tensors=tuple(tensors))


def _prepared(folder: Path, size: str) -> None:
    """Writes the source's checkpoint and the target's listing."""
    case = tensorflow_to_tensorflow(*SIZES[size])
    for side in ("source", "target"):
        (folder / f"{side}.json").write_text(dumps(_small(getattr(case, side))), encoding="utf-8")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    subprocess.run([sys.executable, "-c", _SAVE, folder / "source.json", folder / "source.ckpt"], check=True)


def _lines(source: str, target: str, plan: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Name and arguments of each verb, in the order of work."""
    yield "inspect", ["inspect", source]
    yield "inspect --tree", ["inspect", "--tree", source]
    yield "inspect --json", ["inspect", "--json", source]
    yield "inspect of both", ["inspect", source, target]
    yield "suggest", ["suggest", source, target, "-o", plan]
    yield "show", ["show", plan]
    yield "show --json", ["show", plan, "--json"]
    yield "show a rule", ["show", plan, "#1"]
    yield "show a name", ["show", plan, "decoder/logits/kernel"]
    yield "show a glob", ["show", plan, "decoder/layer_7/*"]
    yield "reject a glob", ["reject", plan, "decoder/*/moe/expert_7/*", "-o", f"{folder}/q.json"]
    yield "reject all", ["reject", plan, "*", "-o", f"{folder}/none.json"]
    yield "accept a name", ["accept", f"{folder}/q.json", "decoder/layer_8/moe/expert_7/up/kernel"]
    yield "accept all", ["accept", f"{folder}/none.json", "*"]
    pair = "decoder/logits/kernel=lm/transformer/logits/w"
    yield "accept --pair", ["accept", plan, "--pair", pair, "-o", f"{folder}/q.json"]
    yield "check", ["check", plan]
    for form in ("json", "var_list", "assignment_map", "saver_builder", "regex"):
        yield f"export --as {form}", ["export", plan, "--as", form]
    yield "apply", ["apply", plan, "-o", f"{folder}/out.ckpt"]
    yield "apply --to npz", ["apply", plan, "--to", "npz", "-o", f"{folder}/out.npz"]
    yield "apply --to safetensors", ["apply", plan, "--to", "safetensors", "-o", f"{folder}/out.safetensors"]
    yield "review --report", ["review", plan, "--report", f"{folder}/page.html"]


def _served(plan: str) -> tuple[Cost, float]:
    """What the review server has cost when its first answer is there, and the seconds waited for that."""
    line = [sys.executable, "-m", "automatch", "review", plan, "--no-browser"]
    start = time.perf_counter()
    server = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    address = server.stdout.readline().split(" at ")[1].strip()
    with urllib.request.urlopen(address, timeout=600) as answer:
        answer.read()
    waited = time.perf_counter() - start
    server.terminate()
    _, _, usage = os.wait4(server.pid, 0)
    server.returncode = 0
    server.stdout.close()
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), waited


def _restored(folder: Path, source: str, plan: str) -> Cost:
    line = [sys.executable, "-c", _RESTORE, str(folder / "target.json"), source, plan]
    answer = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
    return Cost(float(answer[0]), float(answer[1]) / 1024)


def _printed(name: str, cost: Cost, note: str = "") -> None:
    print(f"{name:<26}{cost.seconds:>8.2f}{cost.mebibytes:>8.0f}  {note}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks verbs", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="100k")
    parser.add_argument("--only", nargs="*", default=(), help="verbs whose line holds one of these words")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepared(folder, options.size)
        source, target, plan = (f"{folder}/{file}" for file in ("source.ckpt", "target.json", "plan.json"))
        print(f"{'verb':<26}{'CPU s':>8}{'MiB':>8}")
        for verb, line in _lines(source, target, plan, folder):
            if verb == "suggest" or not options.only or any(word in verb for word in options.only):
                _printed(verb, cost_of([sys.executable, "-m", "automatch", *line], _CODES))
        if not options.only or "review" in options.only:
            cost, waited = _served(plan)
            _printed("review, the first answer", cost, f"after {waited:.1f} s")
        if not options.only or "restore" in options.only:
            _printed("restore", _restored(folder, source, plan), "without what the variables cost")
        pairs = len(json.loads(Path(plan).read_text("utf-8"))["pairs"])
        print(f"{pairs:,} pairs; the plan has {Path(plan).stat().st_size / 2**20:.0f} MiB")
    return 0
