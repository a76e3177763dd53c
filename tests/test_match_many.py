"""What is fused on one side and split on the other is told, with the axis, and never restored."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import automatch
from automatch.tensor import Listing, Tensor

Shapes = Mapping[str, tuple[int, ...]]


def layers(rows: Shapes, *, count: int = 3, framework: str = "tf1") -> Listing:
    """A listing of equal layers; `{}` in a name is the number of the layer."""
    tensors = [
        Tensor(name.format(i), shape, "float32")
        for i in range(count if any("{}" in name for name in rows) else 1)
        for name, shape in rows.items()
    ]
    return Listing(tuple({tensor.name: tensor for tensor in tensors}.values()), framework=framework)


REST: Shapes = {
    "net/layer_{}/attention/output/kernel": (8, 8),
    "net/layer_{}/attention/output/bias": (8,),
    "net/layer_{}/mlp/up/kernel": (8, 32),
    "net/layer_{}/mlp/down/kernel": (32, 8),
}
FUSED: Shapes = {
    **{name.replace("net/layer_{}", "model/h{}"): shape for name, shape in REST.items()},
    "model/h{}/attention/qkv/kernel": (8, 24),
    "model/h{}/attention/qkv/bias": (24,),
}
SPLIT: Shapes = {
    **REST,
    **{f"net/layer_{{}}/attention/{word}/kernel": (8, 8) for word in ("query", "key", "value")},
    **{f"net/layer_{{}}/attention/{word}/bias": (8,) for word in ("query", "key", "value")},
}


def told(source: Listing, target: Listing) -> dict[str, tuple[tuple[str, ...], str]]:
    """The suggestions of a plan; none of them has a pair, and all are among what has no counterpart."""
    plan = automatch.suggest(source, target)
    unmatched = {entry.target for entry in plan.unmatched}
    assert {entry.target for entry in plan.suggestions} <= unmatched
    assert not {entry.target for entry in plan.suggestions} & {pair.target for pair in plan.pairs}
    return {entry.target: (entry.sources, entry.how) for entry in plan.suggestions}


def test_a_fused_kernel_is_cut_in_the_order_of_query_key_value() -> None:
    found = told(layers(FUSED), layers(SPLIT))
    assert len(found) == 18
    for i in range(3):
        for place, word in enumerate(("query", "key", "value")):
            cut = f"[{8 * place}:{8 * place + 8}]"
            for leaf, axis in (("kernel", 1), ("bias", 0)):
                assert found[f"net/layer_{i}/attention/{word}/{leaf}"] == (
                    (f"model/h{i}/attention/qkv/{leaf}",),
                    f"slice axis {axis} {cut}",
                )


def test_three_kernels_are_joined_in_the_order_of_query_key_value() -> None:
    found = told(layers(SPLIT), layers(FUSED))
    assert found == {
        f"model/h{i}/attention/qkv/{leaf}": (
            tuple(f"net/layer_{i}/attention/{word}/{leaf}" for word in ("query", "key", "value")),
            f"concat axis {axis} of 3",
        )
        for i in range(3)
        for leaf, axis in (("kernel", 1), ("bias", 0))
    }


def test_a_fused_kernel_is_cut_along_the_axis_of_its_own_layout() -> None:
    torch = {
        name.replace("/", ".").replace("kernel", "weight"): tuple(reversed(shape))
        for name, shape in FUSED.items()
    }
    found = told(layers(torch, framework="torch"), layers(SPLIT))
    assert found["net/layer_1/attention/key/kernel"] == (
        ("model.h1.attention.qkv.weight",),
        "slice axis 0 [8:16]",
    )


def test_parts_of_unequal_size_are_cut_by_their_numbers() -> None:
    whole = layers({"tower/users": (10, 4), "tower/dense/kernel": (4, 3), "tower/dense/bias": (3,)})
    parts: Shapes = {
        "m/tower/users/part_0": (4, 4),
        "m/tower/users/part_1": (3, 4),
        "m/tower/users/part_2": (3, 4),
        "m/tower/dense/kernel": (4, 3),
        "m/tower/dense/bias": (3,),
    }
    cuts = ("[0:4]", "[4:7]", "[7:10]")
    assert told(whole, layers(parts)) == {
        f"m/tower/users/part_{i}": (("tower/users",), f"slice axis 0 {cut}") for i, cut in enumerate(cuts)
    }


def test_experts_are_stacked_in_the_order_of_their_numbers() -> None:
    router = {"moe/layer_{}/router/kernel": (4, 12), "moe/layer_{}/norm/scale": (4,)}
    experts = {f"moe/layer_{{}}/expert_{e}/up/kernel": (4, 6) for e in range(12)}
    stacked = {"moe/layer_{}/experts/up/kernel": (12, 4, 6)}
    found = told(layers({**router, **experts}), layers({**router, **stacked}))
    assert found == {
        f"moe/layer_{i}/experts/up/kernel": (
            tuple(f"moe/layer_{i}/expert_{e}/up/kernel" for e in range(12)),
            "stack axis 0",
        )
        for i in range(3)
    }


def test_the_slots_of_what_is_fused_are_told_with_it() -> None:
    def trained(rows: Shapes) -> Listing:
        plain = layers(rows)
        slots = [
            Tensor(f"{t.name}/{slot}", t.shape, t.dtype) for t in plain.tensors for slot in ("Adam", "Adam_1")
        ]
        return Listing((*plain.tensors, *slots))

    found = told(trained(FUSED), trained(SPLIT))
    assert found["net/layer_2/attention/value/kernel/Adam_1"] == (
        ("model/h2/attention/qkv/kernel/Adam_1",),
        "slice axis 1 [16:24]",
    )
    assert len(found) == 54


@pytest.mark.parametrize("words", [("one", "two", "three"), ("alpha", "query", "beta")])
def test_pieces_whose_order_is_unknown_are_not_told(words: tuple[str, str, str]) -> None:
    renamed = dict(zip(("query", "key", "value"), words, strict=True))
    split = {
        "/".join(renamed.get(step, step) for step in name.split("/")): shape for name, shape in SPLIT.items()
    }
    assert told(layers(FUSED), layers(split)) == {}


def test_a_bias_that_fits_by_chance_is_not_told() -> None:
    wider = {
        **REST,
        "net/layer_{}/attention/mixed/bias": (24,),
        "net/layer_{}/attention/mixed/kernel": (9, 24),
    }
    assert told(layers(SPLIT), layers(wider)) == {}
