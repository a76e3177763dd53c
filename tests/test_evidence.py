"""Each kind of evidence by itself: words, order, contents of scopes, numbers, types."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.describe import describe
from automatch.evidence.sequences import align, regrets
from automatch.evidence.words import Words, likenesses
from automatch.tensor import Listing, Order, Tensor
from match_models import answer

VOCABULARIES = st.lists(st.text("abcdef", min_size=1, max_size=8), min_size=1, max_size=5, unique=True)
SEQUENCES = st.lists(st.sampled_from("abc"), min_size=1, max_size=7)


@given(VOCABULARIES, VOCABULARIES)
def test_likeness_of_words_knows_no_side(words: list[str], others: list[str]) -> None:
    there = likenesses(words, others)
    assert np.array_equal(there, likenesses(others, words).T)
    assert ((there >= 0) & (there <= 1)).all()
    assert np.array_equal(there == 1, [[word == other for other in others] for word in words])


def test_a_direction_is_not_the_other_one_where_both_sides_have_two() -> None:
    def opposed(here: str, there: str) -> list[list[bool]]:
        listings = [side(dict.fromkeys(names.split(), (2, 2))) for names in (here, there)]
        target, source = (describe(listing, range(len(listing))) for listing in listings)
        return Words(target, source).opposed().tolist()

    assert opposed("rnn/bw/w rnn/fw/w", "l0/backward/w l0/forward/w") == [[False, True], [True, False]]
    assert opposed("rnn/bw/w rnn/fw/w", "l0/forward/w l0/out/w") == [[False, False], [False, False]]


def common(first: list[str], second: list[str]) -> int:
    """The length of the longest common subsequence, by its definition."""
    if not first or not second:
        return 0
    rest = max(common(first[1:], second), common(first, second[1:]))
    return max(rest, 1 + common(first[1:], second[1:])) if first[0] == second[0] else rest


def same(first: list[str], second: list[str]) -> npt.NDArray[np.bool_]:
    return np.array([[one == other for other in second] for one in first])


@settings(max_examples=50, deadline=None)
@given(SEQUENCES, SEQUENCES)
def test_alignment_is_the_longest_common_subsequence(first: list[str], second: list[str]) -> None:
    equal = same(first, second)
    assert align(equal)[-1, -1] == common(first, second)
    regret = regrets(equal.astype(np.float32), equal)
    for i in range(len(first)):
        for j in range(len(second)):
            through = common(first[:i], second[:j]) + 1 + common(first[i + 1 :], second[j + 1 :])
            assert (regret[i, j] == 0) == (equal[i, j] and through == common(first, second))


def side(lines: dict[str, tuple[int, ...]], order: Order = "creation", dtype: str = "float32") -> Listing:
    tensors = [Tensor(name, shape, dtype) for name, shape in lines.items()]
    if order == "sorted":
        tensors.sort(key=lambda tensor: tensor.name)
    return Listing(tuple(tensors), order=order)


def row(names: list[str], widths: list[int]) -> Listing:
    """Convolutions in order of creation, one after the other, with a bias each."""
    lines: dict[str, tuple[int, ...]] = {}
    for name, before, after in zip(names, [3, *widths], widths, strict=False):
        lines |= {f"{name}/kernel": (3, 3, before, after), f"{name}/bias": (after,)}
    return side(lines)


HERE = ["conv2d", *(f"conv2d_{i}" for i in range(1, 8))]
THERE = ["stem", "left", "mixed", "tail", "under", "wide", "narrow", "last"]


def test_layers_without_a_common_word_go_by_their_order() -> None:
    widths = [8, 16, 24, 16, 32, 24, 48, 12]
    found = answer(row(THERE, widths), row(HERE, widths))
    right = {
        f"{t}/{leaf}": f"{s}/{leaf}" for t, s in zip(HERE, THERE, strict=True) for leaf in ("kernel", "bias")
    }
    assert found.accepted.items() <= right.items()
    assert len(found.accepted) >= 12


def test_a_layer_that_could_be_left_out_in_two_ways_is_not_accepted() -> None:
    # Of three equal layers in a row the other side has two: nobody knows which.
    found = answer(row(THERE[:6], [8, 16, 16, 16, 16, 24]), row(HERE[:5], [8, 16, 16, 16, 24]))
    doubtful = {f"{HERE[i]}/{leaf}" for i in (2, 3) for leaf in ("kernel", "bias")}
    assert not doubtful & found.accepted.keys()


def test_scopes_are_known_by_what_they_hold() -> None:
    contents: list[dict[str, tuple[int, ...]]] = [
        {"a/kernel": (4, 8), "b/kernel": (8, 8), "c/kernel": (8, 4)},
        {"a/kernel": (4, 8), "b/kernel": (8, 4), "c/kernel": (5, 5)},
        {"a/kernel": (8, 8), "b/kernel": (8, 4), "c/kernel": (7, 3)},
    ]

    def written(scopes: tuple[str, ...]) -> Listing:
        return side(
            {f"{s}/{n}": shape for s, held in zip(scopes, contents, strict=True) for n, shape in held.items()}
        )

    found = answer(written(("alpha", "beta", "gamma_ray")), written(("granite", "jade", "onyx")))
    scopes = {(t.partition("/")[0], s.partition("/")[0]) for t, s in found.accepted.items()}
    assert scopes <= {("granite", "alpha"), ("jade", "beta"), ("onyx", "gamma_ray")}


@pytest.mark.parametrize(
    ("given", "wanted"), [("int32", "float32"), ("string", "float32"), ("bool", "int64")]
)
def test_what_is_no_number_of_the_same_kind_is_no_source(given: str, wanted: str) -> None:
    lines = {"net/table": (5,), "net/other": (7,)}
    found = answer(side(lines, dtype=given), side(lines, dtype=wanted))
    assert found.transforms == {}


@pytest.mark.parametrize(
    ("given", "wanted"), [("float16", "float32"), ("bfloat16", "float32"), ("int32", "int64")]
)
def test_another_precision_is_cast(given: str, wanted: str) -> None:
    lines = {"net/first/kernel": (5, 6), "net/second/kernel": (6, 7)}
    found = answer(side(lines, dtype=given), side(lines, dtype=wanted))
    assert found.accepted == {name: name for name in lines}
    assert set(found.transforms.values()) == {"identity+cast"}
    assert max(found.scores.values()) < 1


def test_scale_and_offset_are_never_exchanged() -> None:
    lines = {"net/norm/gamma": (8,), "net/norm/beta": (8,), "net/dense/kernel": (8, 8)}
    found = answer(side({n: s for n, s in lines.items() if "beta" not in n}), side(lines, "sorted"))
    assert found.accepted["net/norm/gamma"] == "net/norm/gamma"
    assert "net/norm/beta" in found.unmatched


def test_equal_names_with_shifted_numbers_are_not_believed() -> None:
    # The target has one dense layer more at the front: `dense_1` is not `dense_1`.
    widths = [6, 7, 9, 11, 13]
    source = {f"dense_{i}/kernel": (a, b) for i, (a, b) in enumerate(pairwise(widths))}
    target = {f"dense_{i + 1}/kernel": (a, b) for i, (a, b) in enumerate(pairwise(widths))}
    found = answer(side(source), side({"dense_0/kernel": (3, 6), **target}))
    assert found.accepted.items() <= {f"dense_{i + 1}/kernel": f"dense_{i}/kernel" for i in range(4)}.items()
    assert "dense_0/kernel" in found.unmatched
