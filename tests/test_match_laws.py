"""What holds of any two models: what order, names and sides may and may not change."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.match import match
from automatch.tensor import Listing, Order, Tensor
from match_models import (
    MODELS,
    Model,
    Vocabulary,
    answer,
    keras,
    listing,
    perceptron,
    reordered,
    residual,
    slim,
    transformer,
    truth,
)

FEW = settings(max_examples=15, deadline=None)
ORDERS: st.SearchStrategy[Order] = st.sampled_from(["sorted", "creation"])
WRITERS = st.sampled_from([(slim, keras), (keras, slim)])


@FEW
@given(MODELS, WRITERS, ORDERS, ORDERS)
def test_no_pair_is_wrong_and_most_are_found(
    model: Model, writers: tuple[Vocabulary, Vocabulary], order_s: Order, order_t: Order
) -> None:
    source, target = writers
    found = answer(listing(model, source, order=order_s), listing(model, target, order=order_t))
    right = truth(model, target, source)
    assert found.accepted.items() <= right.items()
    assert len(found.accepted) >= 0.8 * len(right)
    assert all(found.transforms[name] == "identity" for name in found.accepted)


@FEW
@given(st.data(), MODELS, WRITERS, ORDERS)
def test_the_order_of_sorted_variables_changes_nothing(
    data: st.DataObject, model: Model, writers: tuple[Vocabulary, Vocabulary], order: Order
) -> None:
    source, target = listing(model, writers[0]), listing(model, writers[1], order=order)
    shuffled = reordered(source, data.draw(st.permutations(range(len(source)))))
    assert answer(shuffled, target) == answer(source, target)
    assert answer(target, shuffled) == answer(target, source)


@FEW
@given(MODELS, ORDERS)
def test_a_model_against_itself_is_the_identity_at_one(model: Model, order: Order) -> None:
    side = listing(model, slim, order=order)
    found = answer(side, side)
    assert found.accepted == {name: name for name in side.by_name}
    assert set(found.scores.values()) == {1.0}
    assert set(found.transforms.values()) == {"identity"}


@FEW
@given(MODELS, WRITERS, ORDERS, ORDERS)
def test_the_sides_exchanged_give_the_same_pairs(
    model: Model, writers: tuple[Vocabulary, Vocabulary], order_s: Order, order_t: Order
) -> None:
    source, target = listing(model, writers[0], order=order_s), listing(model, writers[1], order=order_t)
    there, back = answer(source, target).accepted, answer(target, source).accepted
    assert {s: t for t, s in there.items()} == back


@FEW
@given(MODELS, WRITERS, st.sampled_from(["tower", "my_net/backbone", "m"]), ORDERS)
def test_a_scope_around_a_side_changes_nothing(
    model: Model, writers: tuple[Vocabulary, Vocabulary], scope: str, order: Order
) -> None:
    source, target = listing(model, writers[0]), listing(model, writers[1], order=order)
    wrapped = renamed(target, {tensor.name: f"{scope}/{tensor.name}" for tensor in target.tensors})
    plain, within = answer(source, target), answer(source, wrapped)
    assert within.accepted == {f"{scope}/{t}": s for t, s in plain.accepted.items()}


@FEW
@given(MODELS, st.sampled_from(["first", "zzz"]), ORDERS)
def test_another_word_for_the_outermost_scope_changes_nothing(model: Model, word: str, order: Order) -> None:
    source, target = listing(model, slim), listing(model, keras, order=order)
    names = {tensor.name: tensor.name.replace("net/", f"{word}/", 1) for tensor in target.tensors}
    plain, other = answer(source, target), answer(source, renamed(target, names))
    assert other.accepted == {names[t]: s for t, s in plain.accepted.items()}


@FEW
@given(MODELS, WRITERS, ORDERS)
def test_evidence_adds_up_to_the_score_and_every_rest_has_a_reason(
    model: Model, writers: tuple[Vocabulary, Vocabulary], order: Order
) -> None:
    parts = list(model)
    source = listing({part: model[part] for part in parts[: -len(parts) // 4]}, writers[0])
    target = listing({part: model[part] for part in parts[len(parts) // 4 :]}, writers[1], order=order)
    found = match(source, target)
    for pair in found.matches:
        assert sum(value for _, value in pair.evidence) == pytest.approx(pair.score, abs=1e-6)
        assert 0 <= pair.score <= 1
    taken, used = {pair.target for pair in found.matches}, {pair.source for pair in found.matches}
    assert set(found.unmatched) == set(range(len(target))) - taken
    assert set(found.unused) == set(range(len(source))) - used
    assert all((*found.unmatched.values(), *found.unused.values()))


MODELS_OF_ALL_KINDS = f"""
import automatch, match_models as m
for model in {[transformer(2), residual((1, 2)), perceptron()]!r}:
    print(automatch.suggest(m.listing(model, m.slim), m.listing(model, m.keras, order="creation")).to_json())
"""
# Cells of blocks of operations: a variable has siblings by each of its numbers.
CELLS = """
import automatch, pathlib
from benchmarks.corpus import cases
(case,) = cases(pathlib.Path("benchmarks/families"), ["nasnet-mobile_slim"])
print(automatch.suggest(case.listing("source"), case.listing("target")).to_json())
"""


@pytest.mark.parametrize("code", [MODELS_OF_ALL_KINDS, CELLS], ids=["models", "cells"])
def test_the_hash_seed_changes_no_byte(code: str) -> None:
    first, *others = (_printed(code, seed) for seed in ("0", "1", "4711"))
    assert others == [first, first]
    assert first


def _printed(code: str, seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = ['.', 'tests']{code}"],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "PYTHONHASHSEED": seed},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def renamed(side: Listing, names: dict[str, str]) -> Listing:
    tensors = [Tensor(names[tensor.name], tensor.shape, tensor.dtype) for tensor in side.tensors]
    if side.order == "sorted":
        tensors.sort(key=lambda tensor: tensor.name)
    return replace(side, tensors=tuple(tensors))
