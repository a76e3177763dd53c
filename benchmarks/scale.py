"""Time, memory and answers on models of up to 100,000 variables a side, each in a child process of its own.

The models are mixtures of experts: layers of attention, norms, a router and shared experts, and in each layer
many experts of three kernels. Source and target are named as two codebases name them, and as two programs of
one framework do. The worst cases are all of one shape under names that say nothing: nothing may be accepted.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from automatch.tensor import Listing, Shape, Tensor

__all__ = ["Case", "cases", "main"]

_WIDTH, _HIDDEN, _WORDS = 512, 128, 32000
SIZES = {"1k": (16, 16), "10k": (48, 64), "47k": (60, 256), "100k": (128, 256)}
"""Layers, and experts of each."""


@dataclass(frozen=True)
class Case:
    """Two listings and the truth, target name -> source name."""

    source: Listing
    target: Listing
    truth: dict[str, str]


Row = tuple[str, str, Shape]
"""Source name, target name, the target's shape."""


def _rest(layer: str, other: str) -> Iterator[Row]:
    """What a layer holds besides its experts, named as in PyTorch and as in Keras."""
    for ours, theirs in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output")):
        yield f"{layer}.self_attn.{ours}_proj.weight", f"{other}/attention/{theirs}/kernel", (_WIDTH, _WIDTH)
    yield f"{layer}.input_layernorm.weight", f"{other}/attention_norm/scale", (_WIDTH,)
    yield f"{layer}.post_attention_layernorm.weight", f"{other}/moe_norm/scale", (_WIDTH,)
    for ours, theirs, shape in _EXPERT:
        shared = tuple(2 * axis if axis == _HIDDEN else axis for axis in shape)
        yield f"{layer}.mlp.shared_experts.{ours}.weight", f"{other}/moe/shared/{theirs}/kernel", shared


_EXPERT = (
    ("gate_proj", "gate", (_WIDTH, _HIDDEN)),
    ("up_proj", "up", (_WIDTH, _HIDDEN)),
    ("down_proj", "down", (_HIDDEN, _WIDTH)),
)


def _experts(layers: int, experts: int) -> Iterator[Row]:
    yield "model.embed_tokens.weight", "decoder/token_embedding/embeddings", (_WORDS, _WIDTH)
    for i in range(layers):
        layer, other = f"model.layers.{i}", f"decoder/layer_{i + 1}"
        yield from _rest(layer, other)
        yield f"{layer}.mlp.gate.weight", f"{other}/moe/router/kernel", (_WIDTH, experts)
        for e in range(experts):
            for ours, theirs, shape in _EXPERT:
                yield (
                    f"{layer}.mlp.experts.{e}.{ours}.weight",
                    f"{other}/moe/expert_{e}/{theirs}/kernel",
                    shape,
                )
    yield "model.norm.weight", "decoder/final_norm/scale", (_WIDTH,)
    yield "lm_head.weight", "decoder/logits/kernel", (_WIDTH, _WORDS)


def torch_to_keras(layers: int, experts: int) -> Case:
    """A checkpoint of PyTorch for a model of Keras: kernels are transposed, layers count from 1."""
    rows = list(_experts(layers, experts))
    source = [Tensor(name, shape if "embed" in name else shape[::-1], "float32") for name, _, shape in rows]
    target = [Tensor(name, shape, "float32") for _, name, shape in rows]
    return Case(
        Listing(tuple(source), framework="torch", order="creation"),
        Listing(tuple(target), framework="keras3", order="creation"),
        {name: ours for ours, name, _ in rows},
    )


_RENAMED = (
    ("decoder/", "lm/transformer/"),
    ("layer_", "block_"),
    ("/moe/expert_", "/feed_forward/experts/ffn_"),
    ("/moe/shared/", "/feed_forward/shared_expert/"),
    ("/moe/router/", "/feed_forward/gating/"),
    ("moe_norm", "ffn_layer_norm"),
    ("attention_norm", "attn_layer_norm"),
    ("attention/", "self_attention/"),
    ("/scale", "/gamma"),
    ("/kernel", "/w"),
    ("/gate/", "/wi_gate/"),
    ("/up/", "/wi_up/"),
    ("/down/", "/wo/"),
)


def tensorflow_to_tensorflow(layers: int, experts: int) -> Case:
    """Two programs of TensorFlow with other prefixes and words, sorted by name as checkpoints are."""
    rows = []
    for _, name, shape in _experts(layers, experts):
        renamed = name
        for word, other in _RENAMED:
            renamed = renamed.replace(word, other)
        rows.append((renamed, name, shape))
    source = sorted((Tensor(name, shape, "float32") for name, _, shape in rows), key=lambda it: it.name)
    target = tuple(Tensor(name, shape, "float32") for _, name, shape in rows)
    return Case(
        Listing(tuple(source)), Listing(target, order="creation"), {name: ours for ours, name, _ in rows}
    )


def one_shape(count: int, name: Callable[[random.Random], str]) -> Case:
    """Variables of one shape under names that have nothing to do with each other."""
    sides = []
    for seed in (1, 2):
        source = random.Random(seed)
        names: dict[str, None] = {}
        while len(names) < count:
            names[name(source)] = None
        sides.append(Listing(tuple(Tensor(name, (64, 64), "float32") for name in sorted(names))))
    return Case(sides[0], sides[1], {})


def _letters(source: random.Random) -> str:
    return "".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=8))


def _digits(source: random.Random) -> str:
    return f"{'pq'[source.random() < 0.5]}{source.getrandbits(32):08x}/{source.randrange(10**6)}"


def cases() -> dict[str, Callable[[], Case]]:
    """All cases by name, unbuilt."""
    found: dict[str, Callable[[], Case]] = {}
    for name, build in (("torch-keras", torch_to_keras), ("tf-tf", tensorflow_to_tensorflow)):
        for size, (layers, experts) in SIZES.items():
            found[f"{name}-{size}"] = lambda build=build, at=(layers, experts): build(*at)  # type: ignore[misc]
    found["one-shape-words-5000"] = lambda: one_shape(5000, _letters)
    found["one-shape-hashes-5000"] = lambda: one_shape(5000, _digits)
    found["one-shape-words-1500"] = lambda: one_shape(1500, _letters)
    return found


def measure(name: str) -> dict[str, float]:
    """CPU seconds of one suggest, peak memory of this process in MiB, and how right the answer is."""
    from automatch.suggest import suggest

    case = cases()[name]()
    before = time.process_time()
    plan = suggest(case.source, case.target)
    seconds = time.process_time() - before
    accepted = {pair.target: pair.source for pair in plan.pairs if pair.decision == "accept"}
    right = sum(case.truth.get(target) == source for target, source in accepted.items())
    return {
        "variables": len(case.target),
        "seconds": seconds,
        "whole": time.process_time(),
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "right": right,
        "wrong": len(accepted) - right,
        "missed": len(case.truth) - right,
        "rules": len(plan.rules),
    }


def _in_child(name: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks", "scale", "--child", name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__)
    parser.add_argument("--only", nargs="*", default=(), help="cases whose name holds one of these words")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        print(json.dumps(measure(options.child)))
        return 0
    chosen = [name for name in cases() if not options.only or any(word in name for word in options.only)]
    print(f"{'case':24s} variables   CPU s  process    MiB   right wrong missed rules")
    seconds = {}
    for name in chosen:
        found = _in_child(name)
        seconds[name] = found["seconds"]
        print(
            f"{name:24s} {found['variables']:9d} {found['seconds']:7.2f} {found['whole']:8.2f} "
            f"{found['mebibytes']:6.0f} {found['right']:7d} {found['wrong']:5d} {found['missed']:6d} "
            f"{found['rules']:5d}",
            flush=True,
        )
    for kind in ("torch-keras", "tf-tf"):
        if f"{kind}-10k" in seconds and f"{kind}-100k" in seconds:
            print(f"{kind}: t(100k) / t(10k) = {seconds[f'{kind}-100k'] / seconds[f'{kind}-10k']:.1f}")
    return 0
