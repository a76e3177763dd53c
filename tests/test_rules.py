"""Rules are exact, each pair follows one, and there are few."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.generalise import Rule
from automatch.pattern import Hole, Pattern
from automatch.rules import Mark, fold
from plan_cases import LISTINGS, truth

CASES = sorted(path.name.removesuffix(".json.gz") for path in LISTINGS.glob("*.json.gz"))


def check(
    rules: tuple[Rule, ...], pairs: list[tuple[str, str]], sources: set[str], targets: set[str]
) -> None:
    """Asserts what holds for every folding."""
    assert sorted(member for rule in rules for member in rule.members) == list(range(len(pairs)))
    sources, targets = sources | {s for s, _ in pairs}, targets | {t for _, t in pairs}
    for rule in rules:
        members = {pairs[member][0]: pairs[member][1] for member in rule.members}
        assert all(rule.pattern.rewrite(source) == target for source, target in members.items())
        assert Pattern.parse(*rule.pattern.text()) == rule.pattern
        for source in sources - members.keys():
            assert rule.pattern.rewrite(source) not in targets


@pytest.mark.parametrize("case", CASES[::4])
def test_rules_of_real_renames_are_exact(case: str) -> None:
    pairs, sources, targets = truth(case)
    check(fold(pairs, sources, targets), list(pairs), set(sources), set(targets))


@pytest.mark.parametrize(
    ("case", "most"),
    [
        ("blog-resnet-cifar_init_to_input", 2),
        ("t5-v1_1-base_mesh-tf1_to_hf-tf", 15),
        ("resnet50_tf-slim-v1_to_keras", 10),
        ("resnet152_tf-slim-v1_to_keras", 10),
        ("bert-base_google-tf1_to_hf-tf", 8),
        ("bert-base_google-tf1_to_hf-torch", 15),
        ("bart-base_hf-torch_to_keras-hub", 15),
        ("mobilenet-v2_tf-slim_to_keras", 15),
        ("convbert-base_google-tf1_to_hf-tf", 8),
        ("densenet121_keras_to_torchvision", 15),
        ("gpt2-xl_hf-torch_to_haiku-weightbridge", 15),
    ],
)
def test_hundreds_of_variables_are_a_dozen_rules(case: str, most: int) -> None:
    assert len(fold(*truth(case))) <= most


def texts(*pairs: tuple[str, str], sources: tuple[str, ...] = (), targets: tuple[str, ...] = ()) -> list[str]:
    rules = fold(pairs, sources, targets)
    check(rules, list(pairs), set(sources), set(targets))
    return [" -> ".join(rule.pattern.text()) for rule in rules]


def test_equal_names_are_one_rule() -> None:
    assert texts(("a/w", "a/w"), ("b/c/w", "b/c/w")) == ["** -> **"]


def test_a_prefix_is_one_rule() -> None:
    assert texts(("a/w", "m/a/w"), ("b/c/v", "m/b/c/v")) == ["** -> m/**"]


def test_a_shifted_index_is_written_as_a_shift() -> None:
    pairs = [(f"h{i}/w", f"layer_{i - 1}/kernel") for i in range(1, 13)]
    assert texts(*pairs) == ["h*/w -> layer_{*-1}/kernel"]


def test_padded_numbers_are_numbers() -> None:
    pairs = [(f"block_{i:03}/w", f"block.{i}.w") for i in range(12)]
    assert texts(*pairs) == ["block_{*:03}/w -> block.*.w"]
    assert texts(*[(b, a) for a, b in pairs]) == ["block.*.w -> block_{*:03}/w"]
    assert texts(*[(a, f"m/{a}") for a, _ in pairs]) == ["block_*/w -> m/block_*/w"]
    assert texts(*[(f"v{i:02}/a", f"w{i + 1:02}/b") for i in range(12)]) == ["v{*:02}/a -> w{*+1:02}/b"]


def test_indices_in_another_order_are_told_apart() -> None:
    pairs = [(f"a{i}/b{j}", f"x{j}_{i}") for i in range(3) for j in range(4)]
    assert texts(*pairs) == ["a*/b* -> x{2}_{1}"]


def test_words_that_change_alike_share_a_line() -> None:
    pairs = [(f"l{i}/{a}", f"l{i}/{b}") for i in range(3) for a, b in (("gamma", "weight"), ("beta", "bias"))]
    assert texts(*pairs) == ["l*/{gamma|beta} -> l*/{weight|bias}"]


def test_a_missing_layer_is_not_covered() -> None:
    pairs = [(f"layers.{i}.w", f"blocks.{i}.w") for i in range(24) if i != 7]
    assert texts(*pairs, sources=("layers.7.w",)) == ["layers.*.w -> blocks.*.w"]
    # Where the target has layer 7 and takes nothing for it, no rule may give it something.
    numbers = "|".join(str(i) for i in range(24) if i != 7)
    found = texts(*pairs, sources=("layers.7.w",), targets=("blocks.7.w",))
    assert found == [f"layers.{{{numbers}}}.w -> blocks.{{{numbers}}}.w"]


def test_an_index_that_stands_twice_is_no_free_product() -> None:
    assert texts(("a.0.b.1.w", "x.0.1"), ("a.1.b.0.w", "x.1.0")) == ["a.*.b.*.w -> x.*.*"]


def test_one_source_may_go_to_several_targets() -> None:
    assert len(texts(("emb", "enc/emb"), ("emb", "dec/emb"), ("emb", "out_0"), ("emb", "out_1"))) == 4


def test_signs_of_the_notation_in_names_are_names() -> None:
    pairs = [("a*/{x}/w|v", "b*/{y}/w|v"), ("a\\/**", "b\\/**"), ("a\n/[0]", "b\n/[0]")]
    texts(*pairs)


def test_pairs_of_different_labels_share_no_rule() -> None:
    pairs = [(f"h{i}/w", f"g{i}/w") for i in range(6)]
    rules = fold(pairs, labels=["sure"] * 3 + ["unsure"] * 3)
    assert all(len({member < 3 for member in rule.members}) == 1 for rule in rules)


@pytest.mark.parametrize(
    ("source", "target", "name", "made"),
    [
        ("h*/w", "g{*+2}/w", "h7/w", "g9/w"),
        ("h*/w", "g{*-2}/w", "h1/w", None),
        ("h*/w", "g{*-2}/w", "h08/w", None),
        ("{a|b}/*", "{c|d}/*", "b/1", "d/1"),
        ("{a|b}/*", "{2}/{1:c|d}", "a/1", "1/c"),
        ("b*/c{1}/w", "*/w", "b2/c2/w", "2/w"),
        ("b*/c{1}/w", "*/w", "b2/c3/w", None),
        ("b_{*:03}/w", "b.*.w", "b_012/w", "b.12.w"),
        ("b_{*:03}/w", "b.{*+1}.w", "b_009/w", "b.10.w"),
        ("b_{*:03}/w", "b.*.w", "b_12/w", None),
        ("b.*/w", "b_{*-1:02}/w", "b.10/w", "b_09/w"),
        ("{*:02}/{*:03}", "{2}/{1:04}", "07/008", "8/0007"),
        ("**/w", "**/v", "a/b/w", "a/b/v"),
        ("*/w", "*/v", "a/b/w", None),
        ("a\\*/w", "b\\{\\}/w", "a*/w", "b{}/w"),
        ("100%/*", "50%s/*", "100%/x", "50%s/x"),
    ],
)
def test_what_a_pattern_makes(source: str, target: str, name: str, made: str | None) -> None:
    pattern = Pattern.parse(source, target)
    assert pattern.rewrite(name) == made
    assert pattern.text() == (source, target)
    back = pattern.inverse()
    if made is not None:
        assert back is not None
        assert back.rewrite(made) == name


def test_a_pattern_that_drops_text_has_no_way_back() -> None:
    assert Pattern(("a", Hole(1), "b"), ("c",)).inverse() is None
    assert Pattern.parse("{a|b}/w", "{c|c}/w").inverse() is None


STEPS = st.sampled_from(
    ["enc", "layer_1", "layer_2", "l3", "w", "b", "gamma", "a.b", "x*", "07", "008", "{q}"]
)
NAMES = st.lists(STEPS, min_size=1, max_size=4).map("/".join)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(NAMES, NAMES), max_size=12, unique_by=lambda pair: pair[1]),
    st.sets(NAMES, max_size=6),
    st.sets(NAMES, max_size=6),
)
def test_any_folding_is_exact(pairs: list[tuple[str, str]], sources: set[str], targets: set[str]) -> None:
    check(fold(pairs, sources, targets), pairs, sources, targets)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 3),
    st.integers(-2, 3),
    st.sampled_from(["a/{}/w", "h{}.w", "x_{}", "p_{:02}/w"]),
    st.data(),
)
def test_any_folding_of_indices_is_exact(start: int, shift: int, form: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    left = data.draw(st.sets(st.integers(0, 11), max_size=3))
    pairs = [
        (form.format(i + start), f"m/{form.format(i + start + shift)}")
        for i in range(count)
        if i not in left and i + start + shift >= 0
    ]
    sources = {form.format(i + start) for i in left}
    targets = {f"m/{form.format(i + start + shift)}" for i in left if i + start + shift >= 0}
    check(fold(pairs, sources, targets), pairs, sources, targets)


def test_tens_of_thousands_of_variables_are_a_few_rules() -> None:
    words = {"gate_proj": "wi_0", "up_proj": "wi_1", "down_proj": "wo"}
    pairs = [
        (f"model.layers.{i}.mlp.experts.{j}.{a}.weight", f"decoder/block_{i + 1}/moe/expert_{j}/{b}/kernel")
        for i in range(20)
        for j in range(256)
        for a, b in words.items()
    ]
    assert [len(rule.members) for rule in fold(pairs)] == [len(pairs)]


def numbered(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Layers that either side has numbered in an order of its own."""
    order = random.Random(seed).sample(range(count), count)
    leaves = (("gamma", "weight"), ("beta", "bias"))
    return [(f"model/layer-{order[i]}/{a}/VALUE", f"norm_{i}/{b}") for i in range(count) for a, b in leaves]


@pytest.mark.parametrize("case", CASES)
def test_the_rules_of_a_real_rename_fit_on_a_screen(case: str) -> None:
    assert len(fold(*truth(case))) <= 15


@pytest.mark.parametrize("count", [16, 100, 500])
def test_layers_numbered_anew_are_one_table(count: int) -> None:
    pairs = numbered(count)
    rules = fold(pairs)
    check(rules, pairs, set(), set())
    assert [len(rule.members) for rule in rules] == [len(pairs)]


def test_few_rules_are_no_table() -> None:
    assert len(fold(numbered(7))) > 1


def test_a_table_gives_nothing_to_who_takes_nothing() -> None:
    pairs = numbered(40)
    left = [pairs.pop(20), pairs.pop(4)]
    rules = fold(pairs, [source for source, _ in left], [target for _, target in left])
    check(rules, pairs, {source for source, _ in left}, {target for _, target in left})
    assert len(rules) <= 3


def test_a_source_of_two_targets_stands_in_two_tables() -> None:
    pairs = [(f"Variable_{i}", f"w{i * 7 % 31}") for i in range(31)]
    twice = pairs + [(source, f"copy/{target}") for source, target in pairs]
    rules = fold(twice)
    check(rules, twice, set(), set())
    assert sorted(len(rule.members) for rule in rules) == [31, 31]


def test_what_is_decided_one_by_one_stands_in_no_table() -> None:
    pairs = numbered(20)
    marks = [None if i < 20 else Mark("accepted") for i in range(40)]
    rules = fold(pairs, marks=marks)
    check(rules, pairs, set(), set())
    asked = [rule for rule in rules if min(rule.members) < 20]
    assert len(asked) == 10
    assert all(len(rule.members) == 2 for rule in asked)


def test_a_mark_says_how_many_rules_are_left_as_they_are() -> None:
    pairs = numbered(10)
    assert len(fold(pairs)) > 1
    assert len(fold(pairs, marks=[Mark("one question", 3)] * len(pairs))) == 1
    halves = [Mark(i < 10, 3) for i in range(len(pairs))]
    assert all(len({i < 10 for i in rule.members}) == 1 for rule in fold(pairs, marks=halves))


@pytest.mark.parametrize("count", [9, 300])
def test_a_choice_of_many_words_takes_these_words_alone(count: int) -> None:
    words = tuple({f"{'ab' * (i % 40)}{i}" for i in range(count)} | {"", "a|b", "a" * 50})
    pattern = Pattern.of(["x/", Hole(1, options=words), "/y"], [Hole(1, options=words[::-1])])
    assert [pattern.rewrite(f"x/{word}/y") for word in words] == list(words[::-1])
    assert [pattern.rewrite(f"x/{word}?/y") for word in words] == [None] * len(words)
    assert Pattern.parse(*pattern.text()) == pattern


def test_words_of_a_table_may_be_empty() -> None:
    pattern = Pattern.parse("a{|/b|/c}/w", "{x/||y/}v")
    assert [pattern.rewrite(name) for name in ("a/w", "a/b/w", "a/c/w")] == ["x/v", "v", "y/v"]
    assert pattern.text() == ("a{|/b|/c}/w", "{x/||y/}v")


LEAVES = st.sampled_from(["w", "b", "w.x", "{1}", "a|b"])
SCOPES = st.sampled_from(["", "a/", "a/b/", "a/b.", "n_1/", "n_2/", "n_10/", "*/"])
DEEP_NAMES = st.tuples(SCOPES, SCOPES, LEAVES).map("".join)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(DEEP_NAMES, DEEP_NAMES), min_size=17, max_size=60, unique_by=lambda pair: pair[1]),
    st.sets(DEEP_NAMES, max_size=20),
    st.sets(DEEP_NAMES, max_size=20),
)
def test_any_folding_into_tables_is_exact(
    pairs: list[tuple[str, str]], sources: set[str], targets: set[str]
) -> None:
    check(fold(pairs, sources, targets), pairs, sources, targets)


def test_renames_without_any_rule_stay_pairs() -> None:
    pairs = [(f"v{i}", f"{'abcdefghij'[i * 7 % 10]}{i * i * 7919 % 4001}") for i in range(1500)]
    assert sum(len(rule.members) for rule in fold(pairs)) == len(pairs)
