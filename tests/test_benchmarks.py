"""The benchmarks: what they count, the baselines, and the fit of the score."""

from __future__ import annotations

import sys
from itertools import permutations
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.confidence import FEATURES, Calibration, calibrated, probability
from automatch.matching import Standing
from automatch.transform import parse, same_effect
from benchmarks import accuracy, calibration, peer
from benchmarks.baseline import answer
from benchmarks.corpus import Case, cases, score


def case(source: list[tuple], target: list[tuple], truth: dict[str, str], framework: str = "tf1") -> Case:
    """A case whose truths are all identities."""
    sides = {
        "source": {"framework": "tf1", "order": "sorted", "variables": source},
        "target": {"framework": framework, "order": "creation", "variables": target},
    }
    pairs = {t: {"source": s, "transform": "identity"} for t, s in truth.items()}
    return Case("small", "small", {**sides, "truth": pairs}, None)


def real_case(name: str) -> Case:
    return next(case for case in cases(only=[name]) if case.name == name)


def test_a_wrong_pair_is_neither_right_nor_recalled() -> None:
    both = [("a", [2], "float32"), ("b", [2], "float32"), ("c", [2], "float32")]
    small = case(both, both, {"a": "a", "b": "b"})
    outcome = score(small, [("a", "a", "identity"), ("b", "c", "identity"), ("c", "b", "identity")])
    assert (outcome.right, outcome.wrong, outcome.missed) == (1, 2, 0)
    assert outcome.recall == 0.5


def test_the_baseline_takes_the_most_similar_names_of_equal_shape_and_dtype() -> None:
    source = [
        ("net/conv/weights", [3, 3], "float32"),
        ("net/conv/biases", [3], "float32"),
        ("step", [], "int64"),
    ]
    target = [
        ("my/conv/weights", [3, 3], "float32"),
        ("my/conv/biases", [3], "float32"),
        ("step", [], "int32"),
    ]
    found = list(answer(case(source, target, {}), cut=None))
    assert sorted(found) == [
        ("my/conv/biases", "net/conv/biases", "identity"),
        ("my/conv/weights", "net/conv/weights", "identity"),
    ]
    assert list(answer(case(source, target, {}), cut=0.9)) == []


def test_the_baseline_transposes_between_frameworks_only() -> None:
    source, target = [("dense/kernel", [2, 3], "float32")], [("dense.weight", [3, 2], "float32")]
    assert list(answer(case(source, target, {}, "torch"), cut=None)) == [
        ("dense.weight", "dense/kernel", "transpose:1,0")
    ]
    assert list(answer(case(source, target, {}, "keras3"), cut=None)) == []


def test_a_cut_of_the_baseline_leaves_a_part_of_its_pairs() -> None:
    vgg = real_case("vgg16_tf-slim_to_keras")
    everything = list(answer(vgg, cut=None))
    assert set(answer(vgg, cut=0.5)) < set(everything)
    assert score(vgg, everything).right > 20


@settings(deadline=None)
@given(st.data(), st.lists(st.integers(1, 5), min_size=0, max_size=4))
def test_the_transform_of_an_answer_is_found_from_the_marks_in_its_tensor(
    data: st.DataObject, shape: list
) -> None:
    axes = data.draw(st.sampled_from(list(permutations(range(len(shape))))))
    text = f"transpose:{','.join(map(str, axes))}" if axes else "identity"
    merged = data.draw(st.booleans())
    moved = tuple(shape[axis] for axis in axes)
    wanted = (prod(moved),) if merged else moved
    marked = peer._marked(7, tuple(shape))
    texts = [
        *(f"transpose:{','.join(map(str, some))}+reshape" for some in permutations(axes) if axes),
        "reshape",
    ]
    found = peer._transform(marked, parse(text).view(marked).reshape(wanted), texts)
    truth = f"{text}+reshape" if axes else "reshape"
    assert same_effect(found, truth, tuple(shape), wanted)


def test_a_peer_that_is_not_installed_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "weightbridge", None)
    peer.compare([], [])
    assert "pip install weightbridge" in capsys.readouterr().out


def test_a_peer_stands_beside_automatch(capsys: pytest.CaptureFixture) -> None:
    code = accuracy.main(
        ["--only", "vgg16_tf-slim_to_keras", "--no-baseline", "--workers", "1", "--peer", "weightbridge"]
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "vgg16_tf-slim_to_keras" in printed.partition("weightbridge")[2]
    assert "1 answered, 0 raised, 0 timed out" in printed


def test_a_peer_that_raises_has_no_pair_right() -> None:
    reply = peer._ask(real_case("vgg16_timm_to_keras-hub"))
    assert (reply.how, reply.outcome.right, reply.outcome.missed) == ("raised", 0, 26)
    reply = peer._ask(real_case("convnext-base_fb_to_timm"))
    assert (reply.how, reply.outcome.wrong) == ("answered", 0)
    assert reply.outcome.right == 344


raws = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=400)


@settings(deadline=None)
@given(raws)
def test_a_table_ascends_and_stays_a_probability(pairs: list[tuple[float, bool]]) -> None:
    raw, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs], bool)
    knots, scores = calibration.table(raw, right)
    assert list(knots) == sorted(knots)
    assert list(scores) == sorted(scores)
    assert scores[0] >= 0
    assert scores[-1] < 1


def test_a_table_says_how_many_are_right_and_accepts_only_what_is_sure() -> None:
    random = np.random.default_rng(0)
    raw = np.concatenate([random.uniform(0, 0.9, 4000), random.uniform(0.9, 1, 16000)])
    right = np.where(raw < 0.9, random.uniform(size=len(raw)) < raw, True)
    knots, scores = calibration.table(raw, right)
    said = np.interp(raw, knots, scores)
    accepted = said >= 0.8
    assert right[accepted].mean() >= 0.999
    assert accepted[raw > 0.91].all()
    for low in np.arange(0, 1, 0.1):
        there = (said >= low) & (said < low + 0.1)
        if there.sum() > 200:
            assert abs(said[there].mean() - right[there].mean()) < 0.05


def test_a_table_accepts_nothing_where_nothing_is_sure() -> None:
    raw = np.linspace(0, 1, 1000)
    knots, scores = calibration.table(raw, np.arange(1000) % 2 == 0)
    assert np.interp(raw, knots, scores).max() < 0.8


def test_a_fit_follows_the_feature_that_decides() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(3000, len(FEATURES)))
    right = features[:, 0] * 3 + random.logistic(size=3000) > 0
    family = np.array([f"family{i % 12}" for i in range(3000)])
    model = calibration.calibrate(calibration.Rows(features, right, np.ones(3000), family))
    assert model.weights[FEATURES[0]] > 1.5
    assert all(0 <= model.weights[name] < 0.7 for name in FEATURES[1:])


@settings(deadline=None)
@given(
    st.fixed_dictionaries({name: st.floats(-4, 6) for name in FEATURES}),
    st.sampled_from(FEATURES),
    st.floats(0, 4),
)
def test_more_of_any_feature_never_lowers_a_score(features: dict[str, float], name: str, more: float) -> None:
    less = Standing(features, "")
    stronger = Standing({**features, name: features[name] + more}, "")
    assert 0 <= probability(less) <= probability(stronger) <= 1
    assert probability(Standing(features, "a doubt")) < 0.8


def test_scores_come_from_another_model_while_it_is_in_use() -> None:
    standing = Standing(dict.fromkeys(FEATURES, 1.0), "")
    before = probability(standing)
    with calibrated(Calibration(0.0, dict.fromkeys(FEATURES, 0.0), (0.0, 1.0), (0.25, 0.25))):
        assert probability(standing) == 0.25
    assert probability(standing) == before


def test_calibration_is_judged_on_families_that_were_left_out(capsys: pytest.CaptureFixture) -> None:
    code = calibration.main(["--only", "vgg16", "lstm", "convnext", "--workers", "1"])
    printed = capsys.readouterr().out
    assert code in (0, 1)
    assert "expected calibration error" in printed
    assert "have not seen the family" in printed
    assert "convnext" in printed.partition("accepted at 0.8")[2]


def test_the_shipped_scores_hold_on_models_that_are_all_told_apart(capsys: pytest.CaptureFixture) -> None:
    assert calibration.main(["--only", "convnext", "vgg19", "--workers", "1", "--shipped"]) == 0
    total = capsys.readouterr().out.splitlines()[-1]
    assert "wrong 0" in total
