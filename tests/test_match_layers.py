"""What variables of one layer tell of each other: a bias goes with its kernel, siblings with their likes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from automatch.tensor import Order
from match_models import answer, side


def _pairs(rows: list[tuple[str, str, str]], order: Order = "creation") -> None:
    """Checks that rows of target name, source name and shape are paired as they are written."""
    target = side("\n".join(f"{name} {shape}" for name, _, shape in rows), order=order)
    source = side("\n".join(f"{given} {shape}" for _, given, shape in rows))
    assert answer(source, target).accepted == {name: given for name, given, _ in rows}


def test_the_bias_of_a_layer_is_not_the_offset_of_its_normalisation() -> None:
    """One program normalises where the other adds a bias: what is called beta is no bias then."""
    widths = (3, 8, 16, 24, 32)
    rows = [
        (f"net/Conv_{i}", f"depth/Conv_{i}", f"3 3 {a} {b}", b) for i, (a, b) in enumerate(pairwise(widths))
    ]
    target = side("\n".join(f"{name}/weights {shape}\n{name}/biases {b}" for name, _, shape, b in rows))
    parts = ("beta", "moving_mean", "moving_variance")
    source = side(
        "\n".join(
            "\n".join((f"{given}/weights {shape}", *(f"{given}/BatchNorm/{part} {b}" for part in parts)))
            for _, given, shape, b in rows
        )
    )
    assert answer(source, target).accepted == {
        f"{name}/weights": f"{given}/weights" for name, given, _, _ in rows
    }
    back = answer(target, source).accepted
    assert back == {f"{given}/weights": f"{name}/weights" for name, given, _, _ in rows}


def test_a_layer_may_have_a_bias_and_a_normalisation_in_one_scope() -> None:
    lines = [f"conv{i}/kernels 3 3 {4 + i} {5 + i}\nconv{i}/biases {5 + i}" for i in range(5)]
    norms = ("gamma", "beta", "moving_mean", "moving_var")
    with_norms = [
        "\n".join((line, *(f"conv{i}/{norm} {5 + i}" for norm in norms))) for i, line in enumerate(lines)
    ]
    found = answer(side("\n".join(lines)), side("\n".join(with_norms), order="creation"))
    assert found.accepted == {
        f"conv{i}/{leaf}": f"conv{i}/{leaf}" for i in range(5) for leaf in ("kernels", "biases")
    }


@pytest.mark.parametrize("order", ["sorted", "creation"])
def test_a_decoder_may_be_counted_from_its_other_end(order: Order) -> None:
    """Its ends are told by their shapes, with their biases; nothing tells what is between."""
    inputs = (32, 48, 48, 40)
    ours = [
        f"net/decoder/{i}/conv/kernel 3 3 {a} 32\nnet/decoder/{i}/conv/bias 32" for i, a in enumerate(inputs)
    ]
    theirs = [
        f"unet/dec_conv_{3 - i}/kernel 3 3 {a} 32\nunet/dec_conv_{3 - i}/bias 32"
        for i, a in enumerate(inputs)
    ]
    rest = "{0}/stem/kernel 3 3 3 16\n{0}/stem/bias 16\n{0}/out/kernel 1 1 32 2\n{0}/out/bias 2"
    target = side("\n".join((*ours, rest.format("net"))), order=order)
    found = answer(side("\n".join((*theirs, rest.format("unet")))), target).accepted
    for name, given in found.items():
        if "decoder" in name:
            assert int(name.split("/")[2]) == 3 - int(given.split("/")[1].rpartition("_")[2])
    assert found["net/decoder/0/conv/kernel"] == "unet/dec_conv_3/kernel"
    assert found["net/decoder/3/conv/kernel"] == "unet/dec_conv_0/kernel"


def test_the_first_of_two_siblings_is_the_first_whatever_its_number() -> None:
    """`b1` and `b2` of each block are `BatchNorm` and `BatchNorm_1`; one norm more makes the order unsure."""
    right = {}
    for block in range(6):
        for which, scope in enumerate(("BatchNorm", "BatchNorm_1")):
            for leaf in ("beta", "moving_mean", "moving_variance"):
                right[f"net/b{which + 1}/{block}/{leaf}"] = f"model/resblock_{block + 1}/{scope}/{leaf}"
    more = "\n".join(f"model/out/BatchNorm/{leaf} 8" for leaf in ("beta", "moving_mean", "moving_variance"))
    source = side("\n".join((*(f"{given} 8" for given in right.values()), more)))
    found = answer(source, side("\n".join(f"{name} 8" for name in right), order="creation")).accepted
    assert found == right


def test_two_layers_in_one_scope_are_told_by_the_numbers_of_their_variables() -> None:
    """`w1` and `b1` are a layer, `w2` and `b2` another; the other side has a scope for each."""
    rows: list[tuple[str, str, str]] = []
    number, before = 0, 3
    for block, width in enumerate((8, 16, 24, 16, 8)):
        for part, (a, b) in enumerate(((before, width), (width, width)), start=1):
            scope = f"conv2d_{number}" if number else "conv2d"
            rows.append((f"down_{block}/w{part}", f"{scope}/kernel", f"3 3 {a} {b}"))
            rows.append((f"down_{block}/b{part}", f"{scope}/bias", f"{b}"))
            number += 1
        before = width
    _pairs(rows)


def test_two_rows_of_layers_speak_for_themselves() -> None:
    """Convolutions and transposed ones are each numbered by themselves, and created in turn."""
    rows: list[tuple[str, str, str]] = []
    sizes = [8, 16, 24, 32]
    for i, (a, b) in enumerate(pairwise(sizes)):
        rows.append((f"down_{i}/filter", f"conv2d_{i}/kernel" if i else "conv2d/kernel", f"3 3 {a} {b}"))
    for i, (a, b) in enumerate(pairwise(sizes[::-1])):
        up = f"conv2d_transpose_{i}/kernel" if i else "conv2d_transpose/kernel"
        rows.append((f"up_{i}/filter_t", up, f"2 2 {b} {a}"))
        rows.append((f"up_{i}/filter", f"conv2d_{3 + i}/kernel", f"3 3 {a} {b}"))
    _pairs(rows)


def test_a_parameter_of_a_modules_own_may_be_kept_either_way() -> None:
    """PyTorch transposes the weight of a layer; `W_gc` is used as its author likes."""
    names = [f"W_{kind}_{i}" for i in range(3) for kind in ("gc", "bi")]
    source = side("\n".join(f"{name} 8 8\n{name.replace('W', 'b')} 1 8" for name in names), framework="tf1")
    target = side(
        "\n".join(f"weight_dict.{name} 8 8\nweight_dict.{name.replace('W', 'b')} 1 8" for name in names),
        framework="torch",
        order="creation",
    )
    found = answer(source, target)
    assert found.accepted == {
        f"weight_dict.{name.replace('W', 'b')}": name.replace("W", "b") for name in names
    }


def test_the_first_word_may_say_what_a_variable_is() -> None:
    rows = []
    for i in range(4):
        for part, width in (("skip", 8), ("gate", 8)):
            rows.append((f"net/layer_{i}/{part}/kernel", f"glow/layer_{i}/w_{part}", f"1 {4 + i} {width}"))
            rows.append((f"net/layer_{i}/{part}/scale", f"glow/layer_{i}/g_{part}", f"{width}"))
            rows.append((f"net/layer_{i}/{part}/bias", f"glow/layer_{i}/b_{part}", f"{width}"))
    _pairs(rows)


def test_what_flax_kept_below_its_optimizer_are_the_models_own_parameters() -> None:
    names = [f"encoder/layer_{i}/{leaf}" for i in range(3) for leaf in ("kernel", "bias")]
    shapes = {
        name: f"{4 + int(name.split('_')[1][0])} 6" if name.endswith("kernel") else "6" for name in names
    }
    source = side("\n".join(f"optimizer/target/{name} {shapes[name]}" for name in names), framework="flax")
    target = side("\n".join(f"{name} {shapes[name]}" for name in names), framework="flax", order="creation")
    assert answer(source, target).accepted == {name: f"optimizer/target/{name}" for name in names}


def test_a_kernel_over_images_is_not_recut_into_another() -> None:
    """(3, 3, 8, 2) and (3, 3, 16, 1) have as many elements, and no layer is both."""
    found = answer(
        side("a/disp/kernel 3 3 8 2\na/conv/kernel 3 3 4 5"),
        side("a/disp/kernel 3 3 16 1\na/conv/kernel 3 3 4 5"),
    )
    assert found.accepted == {"a/conv/kernel": "a/conv/kernel"}


def test_names_of_equal_blocks_are_in_no_order_that_their_words_do_not_give() -> None:
    """`step0_up` and `step0_low` hold the same: which was created first, the alphabet does not know."""
    ways = [f"net/step{step}_{way}" for step in range(4) for way in ("up", "low")]
    norms = [f"{way}/block/part{part}/norm" for way in ways for part in range(2)]
    leaves = ("beta", "moving_mean", "moving_variance")
    source = side("\n".join(f"{norm}/{leaf} 8" for norm in norms for leaf in leaves))
    numbers = [f"BatchNorm_{i}" if i else "BatchNorm" for i in range(len(norms))]
    target = side("\n".join(f"{number}/{leaf} 8" for number in numbers for leaf in leaves), order="creation")
    assert answer(source, target).accepted == {}
