"""What one answer of a person decides: its question, in all layers."""

from __future__ import annotations

import pytest

import automatch
from automatch.tensor import Listing, Order
from benchmarks.corpus import cases
from match_models import (
    Model,
    answer,
    keras,
    listing,
    perceptron,
    side,
    slim,
    transformer,
    truth,
    twice,
)

ORDERS: list[Order] = ["sorted", "creation"]


QKV = """
{s}/layer{i}/{q}/w 8 8
{s}/layer{i}/{k}/w 8 8
{s}/layer{i}/{v}/w 8 8
{s}/layer{i}/up/w 8 32
{s}/layer{i}/down/w 32 8
"""


def attention(scope: str, words: tuple[str, str, str], layers: int = 4) -> Listing:
    q, k, v = words
    return side("\n".join(QKV.format(s=scope, i=i, q=q, k=k, v=v).strip() for i in range(layers)))


def test_one_answer_decides_the_question_in_all_layers() -> None:
    source, target = attention("a", ("query", "key", "value")), attention("b", ("one", "two", "three"))
    asked = answer(source, target)
    assert not {name for name in asked.accepted if "up" not in name and "down" not in name}
    fixed = {"b/layer1/one/w": "a/layer1/value/w", "b/layer1/two/w": "a/layer1/query/w"}
    told = answer(source, target, pairs=fixed)
    for i in range(4):
        for word, meant in (("one", "value"), ("two", "query"), ("three", "key")):
            assert told.accepted[f"b/layer{i}/{word}/w"] == f"a/layer{i}/{meant}/w"


TWO = """
{s}/layer{i}/{a}/w 8 8
{s}/layer{i}/{a}/b 8
{s}/layer{i}/{b}/w 8 8
{s}/layer{i}/{b}/b 8
{s}/layer{i}/down/w 8 32
"""


@pytest.mark.parametrize(("this", "that"), [("near", "far"), ("far", "near")])
def test_two_that_could_change_places_take_one_answer_for_all_layers(this: str, that: str) -> None:
    source = side("\n".join(TWO.format(s="a", i=i, a="near", b="far").strip() for i in range(4)))
    target = side("\n".join(TWO.format(s="b", i=i, a="blue", b="red").strip() for i in range(4)))
    assert set(answer(source, target).accepted) == {f"b/layer{i}/down/w" for i in range(4)}
    told = answer(source, target, pairs={"b/layer2/blue/w": f"a/layer2/{this}/w"}).accepted
    for i in range(4):
        for leaf in ("w", "b"):
            assert told[f"b/layer{i}/blue/{leaf}"] == f"a/layer{i}/{this}/{leaf}"
            assert told[f"b/layer{i}/red/{leaf}"] == f"a/layer{i}/{that}/{leaf}"


def test_each_question_of_a_real_model_takes_one_answer() -> None:
    """Fused keys and values leave projections whose namesakes have another shape: asked once a kind."""
    (case,) = cases(only=["opennmt-transformer"])
    source, target, right = case.listing("source"), case.listing("target"), case.data["truth"]
    plan = automatch.suggest(source, target)
    questions: dict[str, list[str]] = {}
    for pair in plan.pairs:
        if pair.decision == "undecided" and pair.target in right:
            questions.setdefault(pair.group, []).append(pair.target)
    assert len(questions) == 3
    for members in questions.values():
        told_of = [name for name in members if "OPTIMIZER_SLOT" not in name][-1]
        told = answer(source, target, pairs={told_of: right[told_of]["source"]}).accepted
        assert {name: told.get(name) for name in members} == {name: right[name]["source"] for name in members}


def test_refused_pairs_are_not_proposed() -> None:
    source, target = listing(perceptron(), slim), listing(perceptron(), keras)
    refused = ("net/dense_1/kernel", "model/fc2/weights")
    found = answer(source, target, forbidden=[refused])
    assert "net/dense_1/kernel" in found.unmatched
    assert found.accepted.items() <= truth(perceptron(), keras, slim).items()


def test_a_persons_pair_holds_against_all_evidence() -> None:
    model: Model = {("dense", i, "kernel"): (6, 6) for i in range(3)}
    fixed = {"net/dense_0/kernel": "model/fc3/weights"}
    found = answer(listing(model, slim), listing(model, keras), pairs=fixed)
    assert found.accepted["net/dense_0/kernel"] == "model/fc3/weights"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("told", ["net/pool/kernel", "net/block_1/attn/q/bias", "net/embed/tok/embedding"])
def test_one_answer_takes_all_of_one_tower(told: str, order: Order) -> None:
    model = transformer(2)
    source, target = twice(model, slim, "student", "teacher", order="sorted"), truth(model, keras, slim)
    for tower in ("student", "teacher"):
        found = answer(source, listing(model, keras, order=order), pairs={told: f"{tower}/{target[told]}"})
        assert found.accepted == {name: f"{tower}/{given}" for name, given in target.items()}
