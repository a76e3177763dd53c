"""Values tell vectors apart whose names do not, when they are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import automatch
from automatch.cli import main
from automatch.evidence.values import hinted
from automatch.read import read
from automatch.read.listing import dumps
from automatch.tensor import Listing, Tensor

RNG = np.random.default_rng(0)
KINDS = {
    "p": RNG.uniform(0.5, 2.0, 16),
    "q": RNG.normal(0.0, 0.3, 16),
}
LAYERS = ("one", "two", "three")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file whose layers have a kernel, and two vectors that are named by letters."""
    arrays = {f"net/{layer}/kernel": RNG.normal(size=(8 + i, 16)) for i, layer in enumerate(LAYERS)}
    arrays |= {f"net/{layer}/{letter}": values for layer in LAYERS for letter, values in KINDS.items()}
    path = tmp_path / "weights.npz"
    np.savez(path, **{name: values.astype(np.float32) for name, values in arrays.items()})
    return path


def target(*leaves: str) -> Listing:
    tensors = []
    for i, layer in enumerate(LAYERS):
        tensors += [Tensor(f"model/{layer}/kernel", (8 + i, 16), "float32")]
        tensors += [Tensor(f"model/{layer}/{leaf}", (16,), "float32") for leaf in leaves]
    return Listing(tuple(tensors))


@pytest.mark.parametrize("leaves", [("gamma", "beta"), ("moving_variance", "moving_mean"), ("scale", "bias")])
def test_what_is_positive_is_the_scale(checkpoint: Path, leaves: tuple[str, str]) -> None:
    plain = automatch.suggest(str(checkpoint), target(*leaves))
    assert not [pair for pair in plain.accepted if not pair.target.endswith("kernel")]
    asked = automatch.suggest(str(checkpoint), target(*leaves), values=True)
    assert {pair.target: pair.source for pair in asked.accepted} == {
        f"model/{layer}/{wanted}": f"net/{layer}/{given}"
        for layer in LAYERS
        for wanted, given in (("kernel", "kernel"), (leaves[0], "p"), (leaves[1], "q"))
    }


def test_a_name_that_says_more_is_believed(checkpoint: Path) -> None:
    listing = hinted(read(checkpoint))
    assert {t.name.rpartition("/")[2]: t.hint for t in listing.tensors} == {
        "kernel": None,
        "p": "positive",
        "q": "signed",
    }
    assert listing.fingerprint == read(checkpoint).fingerprint


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (np.ones(8), "positive"),
        (np.zeros(8), "signed"),
        (np.array([1.0, 2.0, 0.0, 3.0]), None),
        (np.array([1.0, np.nan, 2.0, -1.0]), None),
        (np.array([1.0, 2.0, 3.0]), None),
    ],
    ids=["ones", "zeros", "a zero among them", "no number", "too few"],
)
def test_what_values_show(values: np.ndarray, hint: str | None) -> None:
    listing = Listing((Tensor("x/y", values.shape, "float32"),), values=lambda _: values.astype(np.float32))
    assert [tensor.hint for tensor in hinted(listing).tensors] == [hint]


def test_without_values_nothing_is_said() -> None:
    listing = target("p", "q")
    assert hinted(listing) is listing


def test_the_command_asks_when_told_and_the_plan_remembers(checkpoint: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.plan.json"
    model = tmp_path / "model.json"
    model.write_text(dumps(target("gamma", "beta")), "utf-8")
    for flags, accepted in (([], 3), (["--values"], 9)):
        assert main(["suggest", str(checkpoint), str(model), "-o", str(made), "-q", *flags]) == 0
        plan = automatch.Plan.load(made)
        assert len(plan.accepted) == accepted
        assert (plan.options.values is True) == bool(flags)
