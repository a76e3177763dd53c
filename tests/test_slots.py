"""Slots, moving averages and the optimizer's own numbers follow their variable, kind to kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from automatch.slots import satellites
from automatch.tensor import Listing, Tensor
from match_models import Model, Vocabulary, answer, keras, listing, slim, transformer, truth

ADAM = ("Adam", "Adam_1")


def trained(model: Model, write: Vocabulary, slots: Sequence[str], *numbers: str) -> Listing:
    """A checkpoint of a training run: each variable with its slots, and numbers."""
    tensors = [Tensor(name, (), "float32") for name in numbers]
    for part, shape in model.items():
        name = write(part)
        tensors += [Tensor(one, shape, "float32") for one in (name, *(f"{name}/{slot}" for slot in slots))]
    return Listing(tuple(sorted(tensors, key=lambda tensor: tensor.name)))


MODEL = transformer(2, 8)


def slots_of(pairs: Mapping[str, str], *slots: str) -> dict[str, str]:
    return {f"{t}/{slot}": f"{s}/{slot}" for t, s in pairs.items() for slot in slots}


def test_slots_follow_their_variables_kind_to_kind() -> None:
    powers = ("beta1_power", "beta2_power")
    found = answer(trained(MODEL, slim, ADAM, *powers), trained(MODEL, keras, ADAM, *powers))
    right = truth(MODEL, keras, slim)
    assert found.accepted == right | slots_of(right, *ADAM) | {name: name for name in powers}


def test_momentum_does_not_come_from_adam() -> None:
    found = answer(trained(MODEL, slim, ADAM), trained(MODEL, keras, ("Momentum",)))
    assert found.accepted == truth(MODEL, keras, slim)
    assert all("slot" in found.unmatched[f"{name}/Momentum"] for name in truth(MODEL, keras, slim))


def test_a_variable_never_comes_from_a_slot() -> None:
    source = trained(MODEL, slim, ADAM)
    found = answer(source.without({slim(part) for part in MODEL}), listing(MODEL, keras))
    assert found.accepted == {}


def test_slots_of_a_scope_of_the_optimizer_belong_to_the_variable() -> None:
    names = ["dense/kernel", "training/Adam/dense/kernel/m", "training/Adam/dense/kernel/v"]
    names += ["dense/bias", "training/Adam/dense/bias/m", "training/Adam/dense/bias/v"]
    shapes = [(3, 4)] * 3 + [(4,)] * 3
    found = satellites(Listing(tuple(Tensor(n, s, "float32") for n, s in zip(names, shapes, strict=True))))
    assert {names[i]: (names[it.base or 0], it.kind) for i, it in found.items()} == {
        name: (name.removeprefix("training/Adam/")[:-2], name[-1]) for name in names if "Adam" in name
    }


@pytest.mark.parametrize(
    ("variable", "slot", "kind"),
    [
        ("decoder/{}", "decoder/{}_slot_v", "adafactor"),
        ("decoder/{}", "decoder/{}_slot_vr", "slot_vr"),
        ("target/{}/scale", "state/param_states/{}/scale/v", "adafactor"),
        ("target/{}/scale", "state/param_states/{}/scale/v_row", "slot_v_row"),
    ],
)
def test_the_states_of_adafactor_belong_to_the_variable(variable: str, slot: str, kind: str) -> None:
    """As Mesh TensorFlow and T5X write them."""
    names = [name.format(which) for name in (variable, slot) for which in ("first", "last")]
    found = satellites(Listing(tuple(Tensor(name, (8,), "float32") for name in names)))
    assert {i: (it.base, it.kind) for i, it in found.items()} == {2: (0, kind), 3: (1, kind)}


@pytest.mark.parametrize(
    ("slot", "kind"),
    [
        ("Adam/m/net/dense/kernel", "m"),
        ("v/net/dense/kernel", "v"),
        ("SGD/momentum/net/dense/kernel", "momentum"),
        ("adam_w_1/net_dense_kernel_velocity", "v"),
        ("adadelta/net_dense_kernel_accumulated_delta_var", "accumulated_delta_var"),
    ],
)
def test_what_an_optimizer_of_keras_keeps_belongs_to_the_variable(slot: str, kind: str) -> None:
    names = ("net/dense/kernel", "net/dense_1/kernel")
    slots = (slot, slot.replace("dense", "dense_1"))
    found = satellites(Listing(tuple(Tensor(name, (4, 3), "float32") for name in (*names, *slots))))
    assert {i: (it.base, it.kind) for i, it in found.items()} == {2: (0, kind), 3: (1, kind)}


@pytest.mark.parametrize("slots", [("m", "v"), ("Adam/m", "Adam/v")])
def test_the_slots_of_a_single_variable_are_slots(slots: tuple[str, str]) -> None:
    names = ("dense/kernel", *(f"{slot}/dense/kernel" for slot in slots))
    found = satellites(Listing(tuple(Tensor(name, (4, 3), "float32") for name in names)))
    assert {i: (it.base, it.kind) for i, it in found.items()} == {1: (0, "m"), 2: (0, "v")}


def test_a_scope_named_like_a_slot_that_holds_more_is_part_of_the_model() -> None:
    names = ("dense/kernel", "dense_1/kernel", "v/dense/kernel", "v/dense_1/kernel", "v/head/kernel")
    assert not satellites(Listing(tuple(Tensor(name, (4, 3), "float32") for name in names)))


def test_a_layer_called_linear_is_no_slot() -> None:
    names = ["tower/linear", "tower", "other/kernel"]
    found = satellites(Listing(tuple(Tensor(name, (4, 4), "float32") for name in names)))
    assert found == {}


@pytest.mark.parametrize("use_ema", [False, True])
def test_moving_averages_are_taken_when_asked_for(use_ema: bool) -> None:
    averaged = "ExponentialMovingAverage"
    found = answer(trained(MODEL, slim, (averaged,)), listing(MODEL, keras), use_ema=use_ema)
    right = truth(MODEL, keras, slim)
    assert found.accepted == {t: f"{s}/{averaged}" if use_ema else s for t, s in right.items()}


def test_averages_stay_averages_where_both_sides_have_them() -> None:
    averaged = "ExponentialMovingAverage"
    found = answer(trained(MODEL, slim, (averaged,)), trained(MODEL, keras, (averaged,)))
    right = truth(MODEL, keras, slim)
    assert found.accepted == right | slots_of(right, averaged)


def test_the_powers_of_two_optimizers_are_not_told_apart() -> None:
    names = ("beta1_power", "beta1_power_1")
    source = trained(MODEL, slim, (), *(f"train/{name}" for name in names))
    found = answer(source, trained(MODEL, keras, (), *(f"opt/{name}" for name in names)))
    assert found.accepted.items() >= truth(MODEL, keras, slim).items()
    wrong = {"opt/beta1_power": "train/beta1_power_1", "opt/beta1_power_1": "train/beta1_power"}
    assert not found.accepted.items() & wrong.items()


def test_the_step_is_the_step() -> None:
    source = Listing((*listing(MODEL, slim).tensors, Tensor("global_step", (), "int64")))
    target = Listing((*listing(MODEL, keras).tensors, Tensor("train/global_step", (), "int64")))
    assert answer(source, target).accepted["train/global_step"] == "global_step"
