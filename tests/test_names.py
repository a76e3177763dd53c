"""How names are taken apart, whatever a codebase thinks of separators and case."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automatch.names import natural_key, parse

WORDS = st.sampled_from(["conv", "block", "gamma", "attention", "kernel"])


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        (
            "resnet_v1_50/block1/unit_2/conv3/BatchNorm/gamma",
            "resnet v1 50 block 1 unit 2 conv 3 batch norm gamma",
        ),
        ("h.11.attn.QKVProj_w", "h 11 attn qkv proj w"),
        ("Conv2d_1a_3x3/weights", "conv 2d 1 0 3x3 weights"),
        ("layer_with_weights-4/kernel/.ATTRIBUTES/VARIABLE_VALUE", "layer with weights 4 kernel"),
        ("dense/kernel:0", "dense kernel"),
        ("mixed5b.branch1x1", "mixed 5 1 branch 1x1"),
        ("cache/3dc307c6d55f/w", "cache 3dc307c6d55f w"),
        ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
    ],
)
def test_words_and_numbers_stand_apart(text: str, atoms: str) -> None:
    assert " ".join(map(str, parse(text).atoms)) == atoms


@given(st.lists(st.tuples(WORDS, st.integers(0, 99)), min_size=1, max_size=5), st.sampled_from("/._"))
def test_the_separator_makes_no_difference(steps: list[tuple[str, int]], separator: str) -> None:
    name = parse("/".join(f"{word}_{number}" for word, number in steps))
    other = parse(separator.join(f"{word}{number}" for word, number in steps))
    assert other.atoms == name.atoms
    assert other.numbers == tuple(number for _, number in steps)
    assert other.words == tuple(word for word, _ in steps)


@given(st.text(max_size=40))
def test_any_text_is_a_name(text: str) -> None:
    name = parse(text)
    assert name.text == text
    assert 0 <= name.leaf <= len(name.atoms)
    assert [atom for run in name.runs for atom in run] == list(name.atoms)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_sort_as_numbers(numbers: list[int]) -> None:
    names = [f"layer_{number}/kernel" for number in numbers]
    assert sorted(names, key=natural_key) == [f"layer_{number}/kernel" for number in sorted(numbers)]


@given(st.lists(st.text(max_size=12)))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    keys = [natural_key(name) for name in sorted(names, key=natural_key)]
    assert all(key <= following for key, following in pairwise(keys))
