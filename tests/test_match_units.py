"""Normalisations go with their kernels where no scope holds the two together."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest

import automatch
from match_models import answer, listed, side

Variable = tuple[str, str, str]
"""Source, target and shape."""

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


def _norm(source: str, target: str, width: int) -> list[Variable]:
    return [(f"{source}/{leaf}", f"{target}/{leaf}", f"{width}") for leaf in _BN]


def _found(variables: list[Variable], *more: str) -> tuple[dict[str, str], dict[str, str]]:
    """What is accepted, and what is right; more: lines that only the target has."""
    source, target, right = listed(variables)
    wanted = side("\n".join([target, *more]), order="creation")
    return dict(answer(side(source), wanted).accepted), right


def test_a_row_without_normalisations_at_its_end_leaves_the_others_known():
    """Branches of one shape are listed before any of their normalisations; the head has none."""
    variables = []
    for block in range(6):
        into, width = 4 + block, 8 << (block % 3)
        scopes = {2 * block: f"net/block_{block}/main", 2 * block + 1: f"net/block_{block}/side"}
        variables += [
            (f"{scopes[number]}/weights", f"conv2d_{number}/kernel", f"3 3 {into} {width}")
            for number in sorted(scopes, reverse=True)
        ]
        for number, scope in scopes.items():
            variables += _norm(f"{scope}/BatchNorm", f"batch_normalization_{number}", width)
    variables.append(("net/score/weights", "conv2d_12/kernel", "3 3 7 5"))
    found, right = _found(variables)
    assert {name: right[name] for name in found} == found
    kernels = {name.partition("/")[0].rpartition("_")[2] for name in found if name.startswith("conv2d")}
    norms = {name.partition("/")[0].rpartition("_")[2] for name in found if name.startswith("batch")}
    assert norms == kernels - {"12"}


def test_a_row_of_normalisations_may_go_on_behind_dense_layers():
    """Two branches, listed by their depth, and a dense layer whose normalisation is the last of the row."""
    variables = []
    for step, (into, out) in enumerate(pairwise((1, 16, 32, 32, 32))):
        branches = {
            step + 4: (f"l{step + 1}_conv", f"{8 if step else 50} {into} {out}"),
            step: (f"l{step + 9}_conv", f"{6 if step else 40} {into} {out}"),
        }
        for number, (scope, shape) in branches.items():
            variables.append((f"{scope}/conv/weights", f"{_keras('conv1d', number)}/kernel", shape))
        for number, (scope, _) in branches.items():
            variables += _norm(f"{scope}/bn", _keras("batch_normalization", number), out)
    variables.append(("l19_fc/fc/weights", "dense/kernel", "96 64"))
    variables += _norm("l19_fc/bn", "batch_normalization_8", 64)
    variables.append(("l22_softmax/weights", "dense_1/kernel", "64 5"))
    found, right = _found(variables)
    assert {name: right[name] for name in found} == found
    assert found["batch_normalization_4/gamma"] == "l1_conv/bn/gamma"


def _keras(kind: str, number: int) -> str:
    """What Keras calls a layer of its kind that nobody has named."""
    return f"{kind}_{number}" if number else kind


def test_a_list_of_normalisations_does_not_begin_with_that_of_the_last_kernel():
    """Blocks with a list of kernels and one of normalisations, then one of normalisations for the blocks."""
    made, variables = [], []
    for block in range(4):
        layers = [
            [(f"mlps.{block}.linears.0.weight", f"dense_{2 * block}/kernel", "16 16")],
            _norm(f"mlps.{block}.norms.0", f"batch_normalization_{2 * block}", 16),
            [(f"mlps.{block}.linears.1.weight", f"dense_{2 * block + 1}/kernel", "16 16")],
            _norm(f"norms.{block}", f"batch_normalization_{2 * block + 1}", 16),
        ]
        variables += [one for layer in layers for one in layer]
        made += [*layers[0], *layers[2], *layers[1]]
    made += [one for one in variables if one[0].startswith("norms.")]
    _, target, right = listed(variables)
    source = "\n".join(f"{name} {shape}" for name, _, shape in made)
    given = side(source, order="creation", framework="torch")
    found = answer(given, side(target, order="creation", framework="keras")).accepted
    assert {name: right[name] for name in found} == found


def test_normalisations_may_stand_before_their_kernels():
    """The first variable of the model is one, so that each goes with the kernel behind it."""
    variables = []
    for i, (into, out) in enumerate(pairwise([3, *[16] * 24, 5])):
        block = f"net/memory_{i // 6}/unit_{i % 6}" if 0 < i < 24 else f"net/{'first' if i == 0 else 'last'}"
        variables += _norm(f"{block}/bn", f"batch_normalization_{i}", into)
        variables.append((f"{block}/w", f"conv2d_{i}/kernel", f"3 3 {into} {out}"))
    found, right = _found(variables)
    assert {name: right[name] for name in found} == found
    assert len(found) > 0.9 * len(right)


def test_a_normalisation_that_is_created_last_on_one_side_does_not_move_the_others():
    """A constructor makes that of the embedding behind all layers, Keras where it is called."""
    variables = _layer_norm("embed_ln", 0)
    for i in range(4):
        variables += _layer_norm(f"h.{i}.ln_1", 2 * i + 1)
        variables += [(f"h.{i}.attn.weight", f"dense_{3 * i}/kernel", "16 48")]
        variables += _layer_norm(f"h.{i}.ln_2", 2 * i + 2)
        variables += [(f"h.{i}.fc.weight", f"dense_{3 * i + 1}/kernel", "16 80")]
        variables += [(f"h.{i}.proj.weight", f"dense_{3 * i + 2}/kernel", "80 16")]
    _, target, right = listed(variables)
    made = "\n".join(f"{name} {shape}" for name, _, shape in [*variables[2:], *variables[:2]])
    found = answer(side(made, order="creation"), side(target, order="creation")).accepted
    assert {name: right[name] for name in found} == found


def _layer_norm(source: str, number: int) -> list[Variable]:
    names = (("weight", "gamma"), ("bias", "beta"))
    return [(f"{source}.{one}", f"layer_normalization_{number}/{other}", "16") for one, other in names]


def test_a_layer_has_as_many_outputs_as_its_bias_is_long():
    """GPT-2 in PyTorch keeps its kernels as TensorFlow does: only their biases say so."""
    variables = []
    for i in range(3):
        layers = (("attn", 16, 48), ("out", 16, 16), ("fc", 16, 64), ("proj", 64, 16))
        for number, (word, into, out) in enumerate(layers):
            layer = f"dense_{4 * i + number + 2}"
            variables += [(f"h.{i}.{word}.weight", f"{layer}/kernel", f"{into} {out}")]
            variables += [(f"h.{i}.{word}.bias", f"{layer}/bias", f"{out}")]
    embedded = [(f"embed_{width}", f"dense_{number}", width) for number, width in enumerate((11, 3))]
    called = [
        line for _, layer, width in embedded for line in (f"{layer}/kernel {width} 16", f"{layer}/bias 16")
    ]
    called += [f"{name} {shape}" for _, name, shape in variables]
    made = [f"{name} {shape}" for name, _, shape in variables]
    made += [line for name, _, width in embedded for line in (f"{name}.weight 16 {width}", f"{name}.bias 16")]
    source = side("\n".join(made), order="creation", framework="torch")
    target = side("\n".join(called), order="creation", framework="keras2")
    right = {target: source for source, target, _ in variables}
    found = answer(source, target).accepted
    assert all(found.get(name, source) == source for name, source in right.items())


@pytest.mark.parametrize("moments", [("Squeeze", "Squeeze_1"), ("mean", "variance")])
def test_averages_of_moments_are_a_normalisations_mean_and_variance(moments):
    """As `tf.train.ExponentialMovingAverage` names what it keeps of the tensors of `tf.nn.moments`."""
    variables = []
    for i, width in enumerate((8, 12, 20)):
        bn = f"net/fc{i}/bn"
        kept = (f"{bn}/{bn}/moments/{moment}/ExponentialMovingAverage" for moment in moments)
        sources = (f"{bn}/gamma", f"{bn}/beta", *kept)
        for source, leaf in zip(sources, _BN, strict=True):
            variables.append((source, f"batch_normalization_{i}/{leaf}", f"{width}"))
        variables.append((f"net/fc{i}/weights", f"dense_{i}/kernel", f"6 {width}"))
    found, right = _found(variables)
    assert found == right


def test_biases_without_a_scope_go_with_the_kernels_of_their_number():
    variables = []
    for i, (into, out) in enumerate(pairwise((5, 12, 12, 12, 12, 7)), start=1):
        variables += [
            (f"w{i}", f"conv2d_{i}/kernel", f"3 3 {into} {out}"),
            (f"b{i}", f"conv2d_{i}/bias", f"{out}"),
            (f"alpha{i}", f"p_re_lu_{i}/alpha", f"{out}"),
        ]
    found, right = _found(variables)
    assert found == right


def test_a_large_model_whose_numbers_have_no_counterpart_is_matched_whole():
    """Blocks of one side are nothing that the other side numbers, so that no block could stand for others."""
    variables = []
    for i in range(340):
        scope, width = f"net/stage_{i // 85}/unit_{i % 85 // 5}/conv_{i % 5}", 16 * (i // 85 + 1)
        variables.append((f"{scope}/weights", f"conv2d_{i}/kernel", f"1 1 {width} {width}"))
        variables += _norm(f"{scope}/BatchNorm", f"batch_normalization_{i}", width)
    found, right = _found(variables)
    assert found == right


def test_an_offset_beside_a_scale_and_a_mean_is_no_bias():
    """One side keeps kernel and normalisation in one scope, and the other has a bias as well."""
    variables, biases = [], []
    for i, (into, out) in enumerate(pairwise((3, 16, 24, 40))):
        variables.append((f"net/conv{i}/weight", f"conv2d_{i}/kernel", f"3 3 {into} {out}"))
        for other, leaf in zip(("scale", "beta", "pop_mean", "pop_var"), _BN, strict=True):
            variables.append((f"net/conv{i}/{other}", f"batch_normalization_{i}/{leaf}", f"{out}"))
        biases.append(f"conv2d_{i}/bias {out}")
    found, right = _found(variables, *biases)
    assert {name: right.get(name) for name in found} == found


def test_rows_of_normalisations_are_no_surer_than_their_kernels():
    """Both sides number theirs as they created them, `up` before `low` on one and behind it on the other."""
    scopes = [
        f"model/stage_{n}/{branch}/step_{i}" for n in range(4) for branch in ("low", "up") for i in range(3)
    ]
    turned = [scope.replace("low", "?").replace("up", "low").replace("?", "up") for scope in scopes]
    variables = []
    for number, scope in enumerate(scopes):
        variables.append((f"{scope}/weights", f"conv2d_{number}/kernel", "3 3 32 32"))
        variables += _norm(f"BatchNorm_{turned.index(scope)}", f"batch_normalization_{number}", 32)
    found, right = _found(variables)
    norms = {name: source for name, source in found.items() if name.startswith("batch")}
    assert {name: right[name] for name in norms} == norms


def test_biases_go_with_the_kernels_of_their_number_that_they_fit():
    """`embed_1` and `w1` have one number; `b1` is as long as `w1` is wide."""
    variables = [(f"embed_{i}", f"sparse_emb_{'abcd'[i]}/embeddings", f"{20 + 7 * i} 10") for i in range(4)]
    variables += [("w1", "dnn/kernel0", "40 50"), ("w2", "dnn/kernel1", "50 50")]
    variables += [("b1", "dnn/bias0", "50"), ("b2", "dnn/bias1", "50"), ("w3", "dense/kernel", "50 1")]
    found, right = _found(variables)
    assert found == right


def test_a_few_normalisations_run_the_way_their_kernels_do():
    """By themselves four that are alike could as well be counted from the end."""
    variables = []
    for i, width in enumerate((3, 5, 7, 9)):
        variables.append((f"net/fc{i + 1}/w", f"{_keras('dense', i)}/kernel", f"{width} 16"))
        variables += [
            (f"net/post{i + 1}_{leaf}", f"{_keras('layer_normalization', i)}/{leaf}", "16")
            for leaf in ("gamma", "beta")
        ]
    found, right = _found(variables)
    assert found == right


def test_a_scope_of_kernel_bias_and_normalisation_is_two_layers_of_keras():
    """One side has the axis of width that `Conv1D` has not, and another order of the two heads."""
    variables, given = [], []
    for i, (into, out) in enumerate(pairwise((1, 16, 32, 64, 128, 256, 512, 1024))):
        scope, batch = f"SoundNet/conv{i + 1}", _keras("batch_normalization", i)
        variables.append((f"{scope}/weights", f"{_keras('conv1d', i)}/kernel", f"8 {into} {out}"))
        variables.append((f"{scope}/biases", f"{_keras('conv1d', i)}/bias", f"{out}"))
        norm = zip(("gamma", "beta", "mean", "var"), _BN, strict=True)
        variables += [(f"{scope}/{one}", f"{batch}/{other}", f"{out}") for one, other in norm]
    for name, number, classes in (("conv8", 8, 1000), ("conv8_2", 7, 401)):
        variables.append((f"SoundNet/{name}/weights", f"conv1d_{number}/kernel", f"8 1024 {classes}"))
        variables.append((f"SoundNet/{name}/biases", f"conv1d_{number}/bias", f"{classes}"))
    source, target, right = listed(variables)
    given = [line.replace("weights 8", "weights 8 1") for line in source.splitlines()]
    assert answer(side("\n".join(given)), side(target, order="creation")).accepted == right
