"""Small models in two vocabularies, and what comes out when one side is matched with the other.

A model is a table of parts: `("layer", 2, "query", "kernel")` -> shape. A vocabulary writes a part as a name,
so that the truth is known by construction: variables of one part belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

import automatch
from automatch.plan import Plan
from automatch.tensor import Listing, Order, Tensor

Part = tuple[str | int, ...]
Model = dict[Part, tuple[int, ...]]
Vocabulary = Callable[[Part], str]


def transformer(layers: int = 3, hidden: int = 16, words: int = 50, *, classes: int = 0) -> Model:
    """Parts of an encoder: embeddings, layers of attention and feed-forward, a pooler, perhaps a head."""
    inner = 4 * hidden
    model: Model = {("embed", "words", "table"): (words, hidden), ("embed", "places", "table"): (24, hidden)}
    model |= _norm(("embed", "norm"), hidden)
    for i in range(layers):
        for part in ("query", "key", "value", "attended"):
            model |= _dense(("layer", i, part), hidden, hidden)
        model |= _norm(("layer", i, "first norm"), hidden)
        model |= _dense(("layer", i, "up"), hidden, inner)
        model |= _dense(("layer", i, "down"), inner, hidden)
        model |= _norm(("layer", i, "last norm"), hidden)
    model |= _dense(("pooler",), hidden, hidden)
    if classes:
        model |= _dense(("head",), hidden, classes)
    return model


def residual(units: tuple[int, ...] = (2, 2), width: int = 8, classes: int = 10) -> Model:
    """Parts of a network of bottlenecks with batch normalisation: stem, stages of units, head."""
    model = _conv(("stem",), 7, 3, width)
    before = width
    for stage, count in enumerate(units):
        inner = width * 2**stage
        for unit in range(count):
            place: Part = ("stage", stage, unit)
            if unit == 0:
                model |= _conv((*place, "shortcut"), 1, before, 4 * inner)
            model |= _conv((*place, "conv", 1), 1, before, inner)
            model |= _conv((*place, "conv", 2), 3, inner, inner)
            model |= _conv((*place, "conv", 3), 1, inner, 4 * inner)
            before = 4 * inner
    return model | _dense(("head",), before, classes)


def perceptron(sizes: tuple[int, ...] = (12, 20, 9, 4)) -> Model:
    """Parts of a row of dense layers."""
    model: Model = {}
    for i, (before, after) in enumerate(pairwise(sizes)):
        model |= _dense(("dense", i), before, after)
    return model


def _dense(place: Part, before: int, after: int) -> Model:
    return {(*place, "kernel"): (before, after), (*place, "bias"): (after,)}


def _norm(place: Part, size: int) -> Model:
    return {(*place, "scale"): (size,), (*place, "offset"): (size,)}


def _conv(place: Part, edge: int, before: int, after: int) -> Model:
    bn: Model = {(*place, "bn", leaf): (after,) for leaf in ("scale", "offset", "mean", "variance")}
    return {(*place, "kernel"): (edge, edge, before, after), **bn}


_SLIM = {
    "kernel": "weights", "bias": "biases", "scale": "gamma", "offset": "beta", "mean": "moving_mean",
    "variance": "moving_variance", "bn": "BatchNorm", "stem": "conv1", "head": "logits",
    "query": "attention/self/query", "key": "attention/self/key", "value": "attention/self/value",
    "attended": "attention/output/dense", "first norm": "attention/output/LayerNorm",
    "up": "intermediate/dense", "down": "output/dense", "last norm": "output/LayerNorm",
    "pooler": "pooler/dense", "norm": "LayerNorm", "embed": "embeddings", "table": "",
    "words": "word_embeddings", "places": "position_embeddings",
}  # fmt: skip
_KERAS = {
    "kernel": "kernel", "bias": "bias", "scale": "gamma", "offset": "beta", "mean": "moving_mean",
    "variance": "moving_variance", "bn": "bn", "stem": "stem_conv", "head": "classifier",
    "query": "attn/q", "key": "attn/k", "value": "attn/v", "attended": "attn/o", "first norm": "attn_ln",
    "up": "mlp/fc_in", "down": "mlp/fc_out", "last norm": "mlp_ln", "pooler": "pool", "norm": "ln",
    "embed": "embed", "words": "tok", "places": "pos", "table": "embedding",
}  # fmt: skip


def slim(part: Part) -> str:
    """A part's name as `model/block1/unit_2/conv3/BatchNorm/gamma` or `model/encoder/layer_0/…`."""
    match part:
        case ("layer", int(i), *rest):
            steps = ["encoder", f"layer_{i}", *(_SLIM[str(step)] for step in rest)]
        case ("stage", int(stage), int(unit), "conv", int(conv), *rest):
            steps = [f"block{stage + 1}", f"unit_{unit + 1}", f"conv{conv}", *(_SLIM[str(s)] for s in rest)]
        case ("stage", int(stage), int(unit), "shortcut", *rest):
            steps = [f"block{stage + 1}", f"unit_{unit + 1}", "shortcut", *(_SLIM[str(s)] for s in rest)]
        case ("dense", int(i), str(leaf)):
            steps = [f"fc{i + 1}", _SLIM[leaf]]
        case _:
            steps = [_SLIM[str(step)] for step in part]
    return "/".join(["model", *(step for step in steps if step)])


def keras(part: Part) -> str:
    """A part's name as `net/stage0/unit1/conv3_bn/gamma` or `net/block_0/attn/q/kernel`."""
    match part:
        case ("layer", int(i), *rest):
            steps = [f"block_{i}", *(_KERAS[str(step)] for step in rest)]
        case ("stage", int(stage), int(unit), "conv", int(conv), *rest):
            steps = [f"stage{stage}", f"unit{unit}", f"conv{conv}", *(_KERAS[str(s)] for s in rest)]
        case ("stage", int(stage), int(unit), "shortcut", *rest):
            steps = [f"stage{stage}", f"unit{unit}", "downsample", *(_KERAS[str(s)] for s in rest)]
        case ("dense", int(i), str(leaf)):
            steps = [f"dense_{i}", _KERAS[leaf]]
        case _:
            steps = [_KERAS[str(step)] for step in part]
    return "/".join(["net", *(step for step in steps if step)])


MODELS: st.SearchStrategy[Model] = st.one_of(
    st.builds(transformer, st.integers(1, 4), st.sampled_from([8, 16]), st.sampled_from([50, 70])),
    st.builds(
        residual, st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple), st.sampled_from([4, 8])
    ),
    st.builds(perceptron, st.lists(st.integers(3, 30), min_size=3, max_size=6, unique=True).map(tuple)),
)


def listing(model: Model, write: Vocabulary, *, order: Order = "sorted", framework: str = "tf1") -> Listing:
    """A model's listing: sorted by name, as checkpoints are, or in the order of creation, as graphs are."""
    tensors = [Tensor(write(part), shape, "float32") for part, shape in model.items()]
    if order == "sorted":
        tensors.sort(key=lambda tensor: tensor.name)
    return Listing(tuple(tensors), framework=framework, order=order)


@dataclass(frozen=True)
class Answer:
    """What a plan says, by name."""

    accepted: Mapping[str, str]
    undecided: Mapping[str, str]
    unmatched: Mapping[str, str]
    transforms: Mapping[str, str]
    scores: Mapping[str, float]


def answer(source: Listing, target: Listing, **options: Any) -> Answer:
    """What is proposed for these two sides."""
    return said(automatch.suggest(source, target, **options))


def said(plan: Plan) -> Answer:
    """What a plan says."""
    return Answer(
        {pair.target: pair.source for pair in plan.accepted},
        {pair.target: pair.source for pair in plan.undecided},
        {entry.target: entry.why for entry in plan.unmatched},
        {pair.target: pair.transform for pair in plan.pairs},
        {pair.target: pair.score for pair in plan.pairs},
    )


def truth(model: Model, target: Vocabulary, source: Vocabulary) -> dict[str, str]:
    """Target name -> source name, by construction."""
    return {target(part): source(part) for part in model}


def less(model: Model, *starts: Part) -> Model:
    """The model without the parts that start so."""
    return {part: shape for part, shape in model.items() if not any(part[: len(s)] == s for s in starts)}


def reordered(side: Listing, places: Collection[int]) -> Listing:
    """The same listing with its tensors in another order."""
    return replace(side, tensors=tuple(side.tensors[i] for i in places))


def side(lines: str, *, order: Order = "sorted", framework: str = "tf1") -> Listing:
    """A listing from lines such as `encoder/kernel 3 4`."""
    rows = [line.split() for line in lines.strip().splitlines()]
    tensors = [Tensor(name, tuple(map(int, shape)), "float32") for name, *shape in rows]
    if order == "sorted":
        tensors.sort(key=lambda tensor: tensor.name)
    return Listing(tuple(tensors), framework=framework, order=order)


def listed(variables: Sequence[tuple[str, str, str]]) -> tuple[str, str, dict[str, str]]:
    """Both listings of (source, target, shape) as lines, and which source each target has.

    The source is sorted by name, and the target stands as it was created.
    """
    source = "\n".join(sorted(f"{name} {shape}" for name, _, shape in variables))
    target = "\n".join(f"{name} {shape}" for _, name, shape in variables)
    return source, target, {target: source for source, target, _ in variables}


def twice(model: Model, write: Vocabulary, first: str, second: str, *, order: Order) -> Listing:
    """The model in two scopes."""
    within = listing(model, write, order=order)
    towers = [replace(t, name=f"{scope}/{t.name}") for scope in (first, second) for t in within.tensors]
    return replace(within, tensors=tuple(towers))
