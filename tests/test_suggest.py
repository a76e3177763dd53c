"""The plan that is proposed: whole, rounded down, the same for the same input."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import automatch
from automatch.matching import Match, Matching, RunnerUp
from automatch.planfile import decode
from automatch.rules import fold
from automatch.suggest import _down, _pairs, _shares
from automatch.tensor import Listing, Tensor
from benchmarks.corpus import cases
from plan_cases import listing

DEMO = Path(__file__).parent.parent / "automatch" / "data" / "demo"
CHECKPOINT, GRAPH = str(DEMO / "resnet_cifar10.ckpt"), str(DEMO / "classifier.meta")


@pytest.mark.parametrize(
    "name",
    [
        "resnet50_tf-slim-v1_to_keras",
        "bert-base-train_google-tf1_to_hf-tf",
        "ema-adam_train_to_inference-ema",
        "cudnn-lstm_canonical_to_compatible-cell",
        "hard-teacher-and-student_in-one-checkpoint",
        "albert-base-v2_google-tf1_to_hf-tf",
    ],
)
def test_every_tensor_of_both_sides_has_its_place(name: str) -> None:
    case = next(case for case in cases(only=[name]) if case.name == name)
    source, target = case.listing("source"), case.listing("target")
    made = automatch.suggest(source, target)
    assert decode(made.to_json()) == made
    made.check(source, target)
    targets = [entry.target for entry in made.pairs] + [entry.target for entry in made.unmatched]
    sources = [entry.source for entry in made.unused] + list({entry.source for entry in made.pairs})
    assert sorted(targets) == sorted(target.by_name)
    assert sorted(sources) == sorted(source.by_name)
    order = {name: place for place, name in enumerate(target.by_name)}
    assert [order[entry.target] for entry in made.pairs] == sorted(
        order[entry.target] for entry in made.pairs
    )
    for entry in made.pairs:
        assert entry.decision == ("accept" if entry.score >= 0.8 else "undecided")
        assert entry.score == round(entry.score, 2)
        if entry.evidence:
            assert sum(value for _, value in entry.evidence) == pytest.approx(entry.score)


def test_the_same_sides_give_the_same_bytes() -> None:
    assert automatch.suggest(CHECKPOINT, GRAPH).to_json() == automatch.suggest(CHECKPOINT, GRAPH).to_json()


def test_a_model_against_itself_is_the_identity_at_one() -> None:
    made = automatch.suggest(CHECKPOINT, CHECKPOINT)
    assert all(entry.source == entry.target and entry.score == 1.0 for entry in made.pairs)
    assert len(made.pairs) == 64
    assert [(rule.from_, rule.to) for rule in made.rules] == [("**", "**")]


def test_one_is_kept_for_what_is_identical() -> None:
    source = listing("a", "b")
    target = Listing((Tensor("a", (2, 3), "float32"), Tensor("c", (2, 3), "float32")))
    matching = Matching((Match(0, 0, "identity", 1.0, 1.0), Match(1, 1, "identity", 1.0, 1.0)))
    scores = {entry.target: entry.score for entry in _pairs(matching, source, target, {}, 0.8)}
    assert scores == {"a": 1.0, "c": 0.99}


def test_runners_up_say_who_has_them_and_how_they_would_fit() -> None:
    source = Listing(
        (Tensor("a", (3, 2), "float32"), Tensor("b", (3, 2), "float32"), Tensor("s", (4,), "float32"))
    )
    target = listing("x", "y")
    others = (RunnerUp(1, 0.4), RunnerUp(2, 0.3))
    matching = Matching(
        (Match(0, 0, "transpose:1,0", 0.5, 0.1, runners_up=others), Match(1, 1, "transpose:1,0", 0.9, 0.5))
    )
    first, second = _pairs(matching, source, target, {}, 0.8)
    # What can't be made to fit is no way out.
    assert [(other.source, other.taken_by, other.transform) for other in first.alternatives] == [
        ("b", "y", "transpose:1,0")
    ]
    assert second.alternatives == ()


def test_pairs_of_one_source_are_marked_as_tied() -> None:
    matching = Matching((Match(0, 0, "identity", 0.9, 0.5), Match(1, 0, "identity", 0.9, 0.5)))
    assert all(entry.tied for entry in _pairs(matching, listing("a"), listing("x", "y"), {}, 0.8))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6))
def test_rounded_parts_add_up_to_the_rounded_score(values: list[float]) -> None:
    score = _down(sum(values))
    shares = _shares(tuple((str(i), value) for i, value in enumerate(values)), score)
    assert sum(value for _, value in shares) == pytest.approx(score)
    assert all(abs(share - value) < 0.03 for (_, share), value in zip(shares, values, strict=True))


@given(st.integers(0, 100))
def test_hundredths_stay_what_they_are(cents: int) -> None:
    assert _down(cents / 100) == cents / 100


@settings(max_examples=20, deadline=None)
@given(st.permutations([f"layer_{i}/{leaf}" for i in range(4) for leaf in ("w", "b")]))
def test_folding_does_not_depend_on_the_order_of_names(names: list[str]) -> None:
    pairs = [(name, f"m/{name}") for name in names]
    assert {rule.pattern for rule in fold(pairs, names, reversed(names))} == {
        rule.pattern for rule in fold(pairs)
    }
