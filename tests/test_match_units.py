"""Normalisations go with their kernels where no scope holds the two together."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest

import automatch
from automatch.tensor import Listing, Tensor
from match_models import answer, side

_BN = ("gamma", "beta", "moving_mean", "moving_variance")


def _bottlenecks() -> keras.Model:
    """Two stages of two bottlenecks; the projection of each stage is made behind its main path."""

    def conv(x: keras.KerasTensor, filters: int, size: int = 1) -> keras.KerasTensor:
        x = keras.layers.Conv2D(filters, size, padding="same", use_bias=False)(x)
        return keras.layers.BatchNormalization()(x)

    keras.utils.clear_session()
    x = inputs = keras.Input((16, 16, 3))
    x = keras.layers.ReLU()(conv(x, 8, 7))
    for stage in range(2):
        for unit in range(2):
            inner = 8 << stage
            y = keras.layers.ReLU()(conv(x, inner))
            y = conv(keras.layers.ReLU()(conv(y, inner, 3)), 4 * inner)
            x = keras.layers.ReLU()(keras.layers.Add()([conv(x, 4 * inner) if unit == 0 else x, y]))
    x = keras.layers.Conv2D(5, 3, padding="same")(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def _caffe_names() -> list[str]:
    """What a conversion from Caffe calls the kernels, in the order in which Keras numbers them."""
    found = ["conv1"]
    for stage in (2, 3):
        for unit in "ab":
            found += [f"res{stage}{unit}_branch2{step}" for step in "abc"]
            found += [f"res{stage}a_branch1"] if unit == "a" else []
    return [*found, "score"]


def _caffe(model: keras.Model) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The values under Caffe's names, and the source of each variable."""
    names = _caffe_names()
    values, truth = {}, {}
    for variable in model.variables:
        layer, leaf = variable.path.split("/")
        kind, _, number = layer.rpartition("_") if layer[-1].isdigit() and "_" in layer else (layer, "", "0")
        name = names[int(number)]
        if kind == "batch_normalization":
            name = f"bn_{name}" if name == "conv1" else name.replace("res", "bn")
        leaf = {"kernel": "weights", "bias": "biases"}.get(leaf, leaf)
        values[f"{name}/{leaf}"] = np.asarray(variable.value)
        truth[variable.path] = f"{name}/{leaf}"
    return values, truth


def test_keras_counts_layers_and_lists_them_by_depth(tmp_path):
    """`conv2d_4` and `conv2d_3` are listed before the normalisation of either."""
    values, truth = _caffe(_bottlenecks())
    np.savez(tmp_path / "res.npz", **dict(sorted(values.items())))
    plan = automatch.suggest(tmp_path / "res.npz", _bottlenecks())
    found = {pair.target: pair.source for pair in plan.accepted}
    assert {name: truth[name] for name in found} == found
    assert len(found) > 0.9 * len(truth)


def test_a_row_without_normalisations_at_its_end_leaves_the_others_known():
    """Branches of one shape are listed before any of their normalisations; the heads have none."""
    source, target, truth = [], [], {}
    for block in range(6):
        width = 8 << (block % 3)
        numbers = (2 * block, 2 * block + 1)
        for which, number in zip(("main", "side"), numbers, strict=True):
            scope = f"net/block_{block}/{which}"
            truth[f"conv2d_{number}/kernel"] = f"{scope}/weights"
            source.append(f"{scope}/weights 3 3 {4 + block} {width}")
            for leaf in _BN:
                truth[f"batch_normalization_{number}/{leaf}"] = f"{scope}/BatchNorm/{leaf}"
                source.append(f"{scope}/BatchNorm/{leaf} {width}")
        target += [f"conv2d_{number}/kernel 3 3 {4 + block} {width}" for number in reversed(numbers)]
        target += [f"batch_normalization_{n}/{leaf} {width}" for n in numbers for leaf in _BN]
    truth["conv2d_12/kernel"] = "net/score/weights"
    source.append("net/score/weights 3 3 7 5")
    target.append("conv2d_12/kernel 3 3 7 5")
    found = answer(side("\n".join(sorted(source))), side("\n".join(target), order="creation")).accepted
    assert {name: truth[name] for name in found} == found
    kernels = {name.partition("/")[0].rpartition("_")[2] for name in found if name.startswith("conv2d")}
    norms = {name.partition("/")[0].rpartition("_")[2] for name in found if name.startswith("batch")}
    assert norms == kernels - {"12"}


def test_normalisations_may_stand_before_their_kernels():
    """The first variable of the model is one, so that each goes with the kernel behind it."""
    source, target, truth = [], [], {}
    widths = [3, *[16] * 24, 5]
    for i, (into, out) in enumerate(pairwise(widths)):
        block = f"net/memory_{i // 6}/unit_{i % 6}" if 0 < i < 24 else f"net/{'first' if i == 0 else 'last'}"
        for leaf in _BN:
            target.append(f"batch_normalization_{i}/{leaf} {into}")
            source.append(f"{block}/bn/{leaf} {into}")
            truth[f"batch_normalization_{i}/{leaf}"] = f"{block}/bn/{leaf}"
        target.append(f"conv2d_{i}/kernel 3 3 {into} {out}")
        source.append(f"{block}/w 3 3 {into} {out}")
        truth[f"conv2d_{i}/kernel"] = f"{block}/w"
    found = answer(side("\n".join(sorted(source))), side("\n".join(target), order="creation")).accepted
    assert {name: truth[name] for name in found} == found
    assert len(found) > 0.9 * len(truth)


@pytest.mark.parametrize("moments", ["moments/Squeeze moments/Squeeze_1", "moments/mean moments/variance"])
def test_averages_of_moments_are_a_normalisations_mean_and_variance(moments):
    """As `tf.train.ExponentialMovingAverage` names what it keeps of the tensors of `tf.nn.moments`."""
    mean, variance = (f"{moment}/ExponentialMovingAverage" for moment in moments.split())
    leaves = {"gamma": "gamma", "beta": "beta", "moving_mean": mean, "moving_variance": variance}
    source, target, truth = [], [], {}
    for i, width in enumerate((8, 12, 20)):
        for leaf, other in leaves.items():
            inner = f"net/fc{i}/bn/" if "moments" in other else ""
            target.append(f"batch_normalization_{i}/{leaf} {width}")
            source.append(f"net/fc{i}/bn/{inner}{other} {width}")
            truth[f"batch_normalization_{i}/{leaf}"] = f"net/fc{i}/bn/{inner}{other}"
        target.append(f"dense_{i}/kernel 6 {width}")
        source.append(f"net/fc{i}/weights 6 {width}")
        truth[f"dense_{i}/kernel"] = f"net/fc{i}/weights"
    found = answer(side("\n".join(sorted(source))), side("\n".join(target), order="creation")).accepted
    assert found == truth


def test_biases_without_a_scope_go_with_the_kernels_of_their_number():
    widths = (5, 12, 12, 12, 12, 7)
    source, target, truth = [], [], {}
    for i, (into, out) in enumerate(pairwise(widths), start=1):
        source += [f"w{i} 3 3 {into} {out}", f"b{i} {out}", f"alpha{i} {out}"]
        target += [
            f"conv2d_{i}/kernel 3 3 {into} {out}",
            f"conv2d_{i}/bias {out}",
            f"p_re_lu_{i}/alpha {out}",
        ]
        truth |= {
            f"conv2d_{i}/kernel": f"w{i}",
            f"conv2d_{i}/bias": f"b{i}",
            f"p_re_lu_{i}/alpha": f"alpha{i}",
        }
    assert (
        answer(side("\n".join(sorted(source))), side("\n".join(target), order="creation")).accepted == truth
    )


def test_a_large_model_whose_numbers_have_no_counterpart_is_matched_whole():
    """Blocks of one side are nothing that the other side numbers, so that no block could stand for others."""
    source, target, truth = [], [], {}
    for i in range(340):
        stage, unit, step = i // 85, i % 85 // 5, i % 5
        scope = f"net/stage_{stage}/unit_{unit}/conv_{step}"
        into = out = 16 * (stage + 1)
        target.append(Tensor(f"conv2d_{i}/kernel", (1, 1, into, out), "float32"))
        source.append(Tensor(f"{scope}/weights", (1, 1, into, out), "float32"))
        truth[f"conv2d_{i}/kernel"] = f"{scope}/weights"
        for leaf in _BN:
            target.append(Tensor(f"batch_normalization_{i}/{leaf}", (out,), "float32"))
            source.append(Tensor(f"{scope}/BatchNorm/{leaf}", (out,), "float32"))
            truth[f"batch_normalization_{i}/{leaf}"] = f"{scope}/BatchNorm/{leaf}"
    source.sort(key=lambda tensor: tensor.name)
    given = Listing(tuple(source), framework="tf1", order="sorted")
    wanted = Listing(tuple(target), framework="keras", order="creation")
    assert answer(given, wanted).accepted == truth


def test_an_offset_beside_a_scale_and_a_mean_is_no_bias():
    """One side keeps kernel and normalisation in one scope, and the other has a bias as well."""
    leaves = {"gamma": "scale", "beta": "beta", "moving_mean": "pop_mean", "moving_variance": "pop_var"}
    source, target, truth = [], [], {}
    for i, (into, out) in enumerate(pairwise((3, 16, 24, 40))):
        source += [
            f"net/conv{i}/weight 3 3 {into} {out}",
            *(f"net/conv{i}/{leaf} {out}" for leaf in leaves.values()),
        ]
        target += [f"conv2d_{i}/kernel 3 3 {into} {out}", f"conv2d_{i}/bias {out}"]
        target += [f"batch_normalization_{i}/{leaf} {out}" for leaf in leaves]
        truth[f"conv2d_{i}/kernel"] = f"net/conv{i}/weight"
        truth |= {f"batch_normalization_{i}/{leaf}": f"net/conv{i}/{other}" for leaf, other in leaves.items()}
    found = answer(side("\n".join(sorted(source))), side("\n".join(target), order="creation")).accepted
    assert {name: truth.get(name) for name in found} == found


def test_rows_of_normalisations_are_no_surer_than_their_kernels():
    """Both sides number theirs as they created them, `up` before `low` here and behind it there."""
    source, target, truth = [], [], {}
    for turn, (first, last) in enumerate((("low", "up"), ("up", "low"))):
        number = 0
        for stage in range(4):
            for branch in (first, last):
                for step in range(3):
                    scope = f"model/stage_{stage}/{branch}/step_{step}"
                    if turn:
                        source.append(f"{scope}/weights 3 3 32 32")
                        source += [f"BatchNorm_{number}/{leaf} 32" for leaf in _BN]
                        truth[scope] = f"BatchNorm_{number}"
                    else:
                        target.append(f"conv2d_{number}/kernel 3 3 32 32")
                        target += [f"batch_normalization_{number}/{leaf} 32" for leaf in _BN]
                        truth[f"batch_normalization_{number}"] = scope
                    number += 1
    found = answer(side("\n".join(sorted(source))), side("\n".join(target), order="creation")).accepted
    norms = {t.partition("/")[0]: s.partition("/")[0] for t, s in found.items() if t.startswith("batch")}
    assert {name: truth[truth[name]] for name in norms} == norms
