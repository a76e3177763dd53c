"""Large models: what repeats exactly is matched once, and nothing that repetition does not show."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import automatch
from automatch.planfile import decode
from automatch.tensor import Listing, Shape, Tensor

KERNELS = (("gate", "w1", (64, 256)), ("up", "w3", (64, 256)), ("down", "w2", (256, 64)))


def listing(rows: dict[str, Shape], order: str = "creation") -> Listing:
    return Listing(tuple(Tensor(name, shape, "float32") for name, shape in rows.items()), order=order)  # type: ignore[arg-type]


def accepted(plan: automatch.Plan) -> dict[str, str]:
    return {pair.target: pair.source for pair in plan.pairs if pair.decision == "accept"}


def moe(
    layers: int, experts: int, source: str, target: str, start: int = 0, kernels: object = KERNELS
) -> list[tuple[str, str, Shape]]:
    """(source name, target name, shape): experts named by the two formats, and an attention in each layer."""
    rows: list[tuple[str, str, Shape]] = []
    for layer in range(layers):
        for ours, theirs, shape in (
            ("q", "query", (64, 64)),
            ("o", "output", (64, 32)),
            ("norm", "norm", (64,)),
        ):
            rows.append(
                (f"net/layer_{layer}/attn/{ours}", f"lm/block_{layer + start}/attention/{theirs}", shape)
            )
        for e in range(experts):
            for ours, theirs, shape in kernels:  # type: ignore[attr-defined]
                rows.append(
                    (
                        source.format(layer=layer, expert=e, kernel=ours),
                        target.format(layer=layer + start, expert=e, kernel=theirs),
                        shape,
                    )
                )
    rows.append(("net/embedding", "lm/token_embedding", (1000, 64)))
    return rows


SOURCE = "net/layer_{layer}/moe/expert_{expert}/{kernel}/kernel"
TARGET = "lm/block_{layer}/ffn/experts/{expert}/{kernel}/w"


def suggest(rows: list[tuple[str, str, Shape]], **options: object) -> tuple[automatch.Plan, dict[str, str]]:
    source = listing({ours: shape for ours, _, shape in rows}, "sorted")
    target = listing({theirs: shape for _, theirs, shape in rows})
    plan = automatch.suggest(source, target, **options)  # type: ignore[arg-type]
    return plan, {theirs: ours for ours, theirs, _ in rows}


@pytest.mark.parametrize("start", [0, 1])
def test_nested_experts_are_all_right(start: int) -> None:
    plan, truth = suggest(moe(24, 32, SOURCE, TARGET, start))
    assert accepted(plan) == truth


def test_axes_nested_the_other_way_round_are_right_or_in_doubt() -> None:
    plan, truth = suggest(moe(20, 30, SOURCE, "experts/{expert}/of_block/{layer}/{kernel}/w"))
    assert accepted(plan).items() <= truth.items()


def test_a_scope_without_a_number_is_the_first_of_its_row() -> None:
    rows = [
        (f"net/cell_{i}/{ours}", "lm/dense" + (f"_{i}" if i else "") + f"/{theirs}", shape)
        for i in range(800)
        for ours, theirs, shape in (("kernel", "kernel", (8, 8)), ("bias", "bias", (8,)))
    ]
    plan, truth = suggest(rows)
    assert {pair.target: pair.source for pair in plan.pairs} == truth


def test_first_layers_of_another_kind_are_a_row_of_their_own() -> None:
    rows = [row for row in moe(40, 16, SOURCE, TARGET) if "expert" not in row[0] or "layer_0/" not in row[0]]
    rows += [("net/layer_0/mlp/up/kernel", "lm/block_0/mlp/up/w", (64, 512))]
    rows += [("net/layer_0/mlp/down/kernel", "lm/block_0/mlp/down/w", (512, 64))]
    plan, truth = suggest(rows)
    assert accepted(plan) == truth


def test_a_model_against_itself_is_the_identity_at_full_score() -> None:
    names = {ours: shape for ours, _, shape in moe(24, 32, SOURCE, TARGET)}
    plan = automatch.suggest(listing(names), listing(names))
    assert all(pair.source == pair.target and pair.score == 1.0 for pair in plan.pairs)
    assert len(plan.pairs) == len(names)


def test_slots_of_repeated_variables_follow_them() -> None:
    rows = moe(16, 32, SOURCE, TARGET)
    source = {name: shape for ours, _, shape in rows for name in (ours, f"{ours}/Adam", f"{ours}/Adam_1")}
    target = {
        name: shape for _, theirs, shape in rows for name in (theirs, f"{theirs}/Adam", f"{theirs}/Adam_1")
    }
    plan = automatch.suggest(listing(source, "sorted"), listing(target))
    truth = {f"{theirs}{end}": f"{ours}{end}" for ours, theirs, _ in rows for end in ("", "/Adam", "/Adam_1")}
    assert accepted(plan) == truth


def test_with_a_layer_more_on_one_side_nothing_is_accepted_that_is_not_there() -> None:
    rows = moe(30, 24, SOURCE, TARGET)
    source = {ours: shape for ours, _, shape in rows if "layer_29/" not in ours}
    target = {theirs: shape for _, theirs, shape in rows}
    truth = {theirs: ours for ours, theirs, _ in rows if "layer_29/" not in ours}
    plan = automatch.suggest(listing(source, "sorted"), listing(target))
    assert accepted(plan).items() <= truth.items()
    assert {it.target for it in plan.unmatched} | {it.target for it in plan.pairs} == set(target)


def test_numbers_with_other_gaps_on_either_side_are_no_order() -> None:
    def names(seed: int, word: str) -> dict[str, Shape]:
        numbers = sorted(random.Random(seed).sample(range(10**6), 3000))
        return {f"{word}_{number}": (32, 32) for number in numbers}

    plan = automatch.suggest(listing(names(1, "x"), "sorted"), listing(names(2, "y"), "sorted"))
    assert not accepted(plan)


def test_what_a_person_decides_on_a_repeated_variable_holds() -> None:
    rows = moe(20, 32, SOURCE, TARGET)
    wanted, other = (
        TARGET.format(layer=9, expert=17, kernel="w1"),
        SOURCE.format(layer=9, expert=17, kernel="gate"),
    )
    plan, _ = suggest(rows, pairs={wanted: other})
    chosen = next(pair for pair in plan.pairs if pair.target == wanted)
    assert (chosen.source, chosen.decision, chosen.by) == (other, "accept", "person")
    assert sum(pair.source == other for pair in plan.pairs) == 1


def test_all_that_a_person_decides_holds_even_where_the_rest_of_the_row_says_otherwise() -> None:
    rows = moe(20, 32, SOURCE, TARGET)
    decided = {theirs: ours for ours, theirs, _ in rows}
    one, other = (TARGET.format(layer=9, expert=e, kernel="w1") for e in (17, 23))
    decided[one], decided[other] = decided[other], decided[one]
    plan, _ = suggest(rows, pairs=decided)
    assert accepted(plan) == decided


def test_what_a_person_gives_one_source_holds_among_repeated_variables() -> None:
    rows = moe(20, 32, SOURCE, TARGET)
    shared = SOURCE.format(layer=9, expert=17, kernel="gate")
    wanted = [TARGET.format(layer=9, expert=e, kernel="w1") for e in (17, 21, 23)]
    plan, _ = suggest(rows, pairs=dict.fromkeys(wanted, shared))
    chosen = {pair.target: pair.source for pair in plan.pairs if pair.tied and pair.by == "person"}
    assert chosen == dict.fromkeys(wanted, shared)
    assert decode(plan.to_json()) == plan


def test_a_refused_pair_of_a_repeated_variable_does_not_come_back() -> None:
    rows = moe(20, 32, SOURCE, TARGET)
    refused = TARGET.format(layer=9, expert=17, kernel="w1"), SOURCE.format(layer=9, expert=17, kernel="gate")
    plan, truth = suggest(rows, forbidden=[refused])
    assert accepted(plan).items() <= (truth.items() - {refused})
    assert len(accepted(plan)) == len(truth) - 1


def test_thousands_of_one_shape_under_random_names_are_left_alone_with_a_reason() -> None:
    def names(seed: int) -> dict[str, Shape]:
        source = random.Random(seed)
        return dict.fromkeys(
            sorted("".join(source.choices("bcdefghklmnorstu", k=8)) for _ in range(5000)), (64, 64)
        )

    plan = automatch.suggest(listing(names(1), "sorted"), listing(names(2), "sorted"))
    assert not accepted(plan)
    assert {it.why for it in plan.unmatched} == {"nothing tells it apart from 4999 others"}


def test_thousands_of_unlike_names_go_together_by_their_words() -> None:
    words = [
        "".join(letters) for letters in itertools.product("bdgkmnprtv", "aeiou", "bdgkmnprtv", "eio", "lnst")
    ]
    rows = [(f"net/{word}/kernel", f"model/encoder/{word}/weights", (16, 16)) for word in words[:4000]]
    plan, truth = suggest(rows)
    assert accepted(plan) == truth


@settings(deadline=None, max_examples=6)
@given(
    layers=st.integers(16, 40),
    experts=st.integers(16, 40),
    start=st.integers(0, 2),
    seed=st.integers(0, 10),
    less=st.integers(0, 3),
)
@example(layers=19, experts=16, start=0, seed=0, less=3)
@example(layers=16, experts=16, start=0, seed=0, less=1)
def test_nothing_wrong_is_accepted_whatever_the_sizes(
    layers: int, experts: int, start: int, seed: int, less: int
) -> None:
    rows = moe(layers, experts, SOURCE, TARGET, start)
    random.Random(seed).shuffle(rows)
    missing = tuple(f"layer_{layers - 1 - i}/" for i in range(less))
    source = {ours: shape for ours, _, shape in rows if not any(part in ours for part in missing)}
    plan = automatch.suggest(
        listing(source, "sorted"), listing({theirs: shape for _, theirs, shape in rows}, "sorted")
    )
    truth = {theirs: ours for ours, theirs, _ in rows if ours in source}
    assert accepted(plan).items() <= truth.items()
