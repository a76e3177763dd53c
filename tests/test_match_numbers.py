"""What the numbers in names tell: rows of layers, numbers that stand elsewhere, steps, and turns."""

from __future__ import annotations

import pytest

from automatch.tensor import Order
from match_models import answer, side


def test_a_row_counts_on_where_layers_of_other_names_stand_between() -> None:
    """Nothing in `block_2_out` says after which `conv2d` it was created."""
    rows: list[tuple[str, str, str]] = []
    number = 0
    for block, branches in enumerate(("abc", "dab", "ca", "bdca", "ab", "cabd")):
        for branch in branches:
            row = f"conv2d_{number}/kernel" if number else "conv2d/kernel"
            shape = {"a": "1 1 8 4", "b": "3 3 4 4", "c": "1 1 8 4", "d": "3 3 4 4"}[branch]
            rows.append((f"net/stage{block}/{branch}x/weights", row, shape))
            number += 1
        rows.append((f"net/stage{block}/out/weights", f"block_{block}_out/kernel", f"1 1 {9 + block} 8"))
    target = side("\n".join(f"{name} {shape}" for name, _, shape in rows), order="creation")
    source = side("\n".join(f"{name} {shape}" for _, name, shape in rows))
    assert answer(source, target).accepted == {name: given for name, given, _ in rows}


@pytest.mark.parametrize("order", ["sorted", "creation"])
def test_a_number_may_stand_elsewhere_in_the_name(order: Order) -> None:
    """The last layers, which differ in shape, show that `Mconv3_stage2_L1` is `stage2/paf/conv3`."""
    right = {}
    shapes = {}
    for stage in range(2, 5):
        for branch, width in (("L1", 19), ("L2", 38)):
            for conv in range(1, 5):
                name = f"stage{stage}/{'paf' if branch == 'L1' else 'heat'}/conv{conv}/kernel"
                right[name] = f"Mconv{conv}_stage{stage}_{branch}/weights"
                shapes[name] = f"1 1 8 {width}" if conv == 4 else "7 7 8 8"
    target = side("\n".join(f"{name} {shapes[name]}" for name in right), order=order)
    source = side("\n".join(f"{given} {shapes[name]}" for name, given in right.items()))
    assert answer(source, target).accepted == right


def test_siblings_follow_each_other_by_the_same_steps_in_every_block() -> None:
    """Only in the first block is the shortcut shaped like the last layer: the others show it comes first."""
    right, shapes = {}, {}
    number, before = 0, 4
    for stage, width in enumerate((4, 6, 8, 10)):
        block = f"layer{stage}"
        numbers = {"shortcut": number, "conv1": number + 1, "conv2": number + 2, "conv3": number + 3}
        number += 4
        sizes = {"conv1": (1, before, width), "conv2": (3, width, width), "conv3": (1, width, 4 * width)}
        sizes["shortcut"] = (1, before, 4 * width)
        for part, (edge, inputs, outputs) in sizes.items():
            name = f"net/{block}/{part}/kernel"
            right[name] = f"conv2d_{numbers[part]}/kernel" if numbers[part] else "conv2d/kernel"
            shapes[name] = f"{edge} {edge} {inputs} {outputs}"
        before = 4 * width
    target = side("\n".join(f"{name} {shapes[name]}" for name in right), order="creation")
    source = side("\n".join(f"{given} {shapes[name]}" for name, given in right.items()))
    found = answer(source, target)
    assert found.accepted.items() <= right.items()
    assert found.accepted.keys() >= {f"net/layer0/{part}/kernel" for part in ("conv1", "conv2", "conv3")}


def test_lists_of_layers_that_may_take_turns_are_not_guessed() -> None:
    """Created in turn (0, 0, 1, 1) or one list after the other: shapes and numbers allow both."""
    blocks = [(0, 3), (1, 5), (2, 7)]
    lists = [f"blocks/{b}/convs{k}/{i}/w {e} 8 8" for b, e in blocks for k in (1, 2) for i in range(3)]
    row = [f"net/block_{b}/conv1d_{6 * b + i}/kernel {e} 8 8" for b, e in blocks for i in range(6)]
    found = answer(side("\n".join(lists), order="creation"), side("\n".join(row), order="creation"))
    inner = {name for name in found.accepted if int(name.split("_")[2].split("/")[0]) % 6 not in (0, 5)}
    assert inner == set()


def test_default_names_are_told_by_their_order() -> None:
    """`Variable_2` says nothing of what it is, and contradicts nothing."""
    sizes = [(3, 8), (8, 8), (8, 6), (6, 8), (8, 8), (8, 6), (6, 5)]
    rows = []
    for place, (before, after) in enumerate(sizes):
        rows.append((f"net/conv_{2 * place}/weights", 2 * place, f"3 3 {before} {after}"))
        rows.append((f"net/conv_{2 * place}/biases", 2 * place + 1, f"{after}"))
    given = {number: f"Variable_{number}" if number else "Variable" for _, number, _ in rows}
    target = side("\n".join(f"{name} {shape}" for name, _, shape in rows), order="creation")
    source = side("\n".join(f"{given[number]} {shape}" for _, number, shape in rows))
    assert answer(source, target).accepted == {name: given[number] for name, number, _ in rows}


def test_words_of_no_common_order_are_not_told_apart_by_it() -> None:
    """Nothing says whether codebases create a gate before a filter."""
    source = [f"stack/layer{i}/{word} {2 + i} 8 8" for i in range(4) for word in ("filter", "gate", "skip")]
    target = [f"net/block{i}/{word}/kernel {2 + i} 8 8" for i in range(4) for word in ("tanh", "sigm", "out")]
    found = answer(side("\n".join(source)), side("\n".join(target), order="creation"))
    assert found.accepted == {}


def test_haikus_average_is_the_mean_and_hidden_is_not() -> None:
    lines = "{0}/batchnorm/{1}/average 1 1 1 8\n{0}/batchnorm/{1}/hidden 1 1 1 8"
    norm = "{0}/batchnorm/scale 1 1 1 8\n{0}/batchnorm/offset 1 1 1 8\n{0}/conv/w 3 3 8 8"
    haiku = [
        "\n".join(
            (norm.format(f"unit_{i}"), *(lines.format(f"unit_{i}", f"~/{w}_ema") for w in ("mean", "var")))
        )
        for i in range(3)
    ]
    leaves = ("gamma", "beta", "moving_mean", "moving_variance")
    keras = "\n".join(("{0}/conv/kernel 3 3 8 8", *(f"{{0}}/bn/{leaf} 8" for leaf in leaves)))
    found = answer(side("\n".join(haiku)), side("\n".join(keras.format(f"block{i}") for i in range(3))))
    for i in range(3):
        assert found.accepted[f"block{i}/bn/moving_mean"] == f"unit_{i}/batchnorm/~/mean_ema/average"
        assert found.accepted[f"block{i}/bn/moving_variance"] == f"unit_{i}/batchnorm/~/var_ema/average"
