"""What holds for files of all formats together."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile

import keras
import numpy as np
import pytest

import automatch
from automatch.cli import main
from automatch.errors import UnreadableFile
from automatch.read import read
from automatch.rewrite import apply
from model_files import NAMES_ONLY, PLAIN, SHAPES, WITH_VALUES, expected, of_keras, roles


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.ckpt.index"
    path.write_bytes(bytes(2000))
    return path


def tarred(mode):
    def pack(file, out):
        with tarfile.open(out, mode) as archive:
            archive.add(file, file.name)

    return pack


def zipped(file, out):
    with zipfile.ZipFile(out, "w") as archive:
        archive.write(file, file.name)


def squeezed(library):
    return lambda file, out: out.write_bytes(library.compress(file.read_bytes()))


@pytest.mark.parametrize(
    "pack",
    [tarred("w"), tarred("w:gz"), zipped, *map(squeezed, (gzip, bz2, lzma))],
    ids=["tar", "tar.gz", "zip", "gz", "bz2", "xz"],
)
def test_a_packed_file_is_to_be_unpacked_first(tmp_path, checkpoint, pack):
    pack(checkpoint, tmp_path / "packed")
    with pytest.raises(UnreadableFile, match="is a packed archive. Unpack it, and give the file"):
        read(tmp_path / "packed")


@pytest.mark.parametrize("kind", WITH_VALUES)
def test_every_format_is_a_source_of_values(tmp_path, kind):
    model = of_keras(keras)
    model.set_weights([0 * weight for weight in model.get_weights()])
    automatch.restore_auto(model, WITH_VALUES[kind](tmp_path), quiet=True)
    for weight, wanted in zip(model.get_weights(), expected(kind).values(), strict=True):
        np.testing.assert_array_equal(weight, wanted)


# The words of tf-slim, in a scope of its own.
SLIM = {
    "conv/kernel": "net/conv1/weights", "conv/bias": "net/conv1/biases", "norm/gamma": "net/bn/gamma",
    "norm/beta": "net/bn/beta", "norm/moving_mean": "net/bn/moving_mean",
    "norm/moving_variance": "net/bn/moving_variance",
    "head/kernel": "net/logits/weights", "head/bias": "net/logits/biases",
}  # fmt: skip


@pytest.mark.parametrize("kind", WITH_VALUES | NAMES_ONLY)
def test_every_format_is_a_target_of_names(tmp_path, kind):
    make = (WITH_VALUES | NAMES_ONLY)[kind]
    np.savez(tmp_path / "slim.npz", **{SLIM[role]: value for role, value in PLAIN.items()})
    target = automatch.inspect(make(tmp_path))
    wanted = dict(roles(kind, target))
    assert sorted(wanted.values()) == sorted(SHAPES)
    plan = automatch.suggest(tmp_path / "slim.npz", target)
    found = {pair.target: pair.source for pair in plan.pairs}
    assert found == {name: SLIM[role] for name, role in wanted.items()}


@pytest.mark.parametrize("kind", ["safetensors", "safetensors shards", "pickle", "npy", "listing"])
def test_files_of_two_formats_that_hold_the_same_are_said_to(tmp_path, capsys, kind):
    first, second = WITH_VALUES["npz"](tmp_path), (WITH_VALUES | NAMES_ONLY)[kind](tmp_path)
    assert main(["inspect", str(first), str(second)]) == 0
    assert capsys.readouterr().out.startswith("8 the same, 0 of another shape or dtype, 0 only in ")


@pytest.mark.parametrize("kind", ["tf v2", "keras 2 .h5", "keras 3 .keras", "torch training", "flax", "meta"])
def test_files_of_two_formats_that_differ_are_compared(tmp_path, capsys, kind):
    np.savez(tmp_path / "slim.npz", **{SLIM[role]: value for role, value in PLAIN.items()})
    other = (WITH_VALUES | NAMES_ONLY)[kind](tmp_path)
    assert main(["inspect", str(tmp_path / "slim.npz"), str(other)]) == 3
    out = capsys.readouterr().out
    assert "net/conv1/weights" in out
    assert all(name in out for name, _ in roles(kind, read(other)))


@pytest.mark.parametrize(
    ("kind", "form", "file"),
    [
        ("meta", "checkpoint", "new.ckpt"),
        ("tf object-based", "checkpoint", "new.ckpt"),
        ("keras 3 .keras", "keras-h5", "new.weights.h5"),
        ("keras 2 .h5", "keras-h5", "new.h5"),
        ("safetensors shards", "safetensors", "new.safetensors"),
        ("torch training", "safetensors", "new.safetensors"),
        ("flax", "npz", "new.npz"),
    ],
)
def test_weights_are_written_for_whoever_reads_the_targets_format(tmp_path, kind, form, file):
    np.savez(tmp_path / "slim.npz", **{SLIM[role]: value for role, value in PLAIN.items()})
    target = automatch.inspect((WITH_VALUES | NAMES_ONLY)[kind](tmp_path))
    # Numbers for names, as PyTorch gives them to a Sequential, leave little to go by in three layers.
    score = 0.5 if kind == "torch training" else 0.8
    plan = automatch.suggest(tmp_path / "slim.npz", target, min_score=score)
    apply(plan, tmp_path / file, to=form)
    written = read(tmp_path / file)
    for name, role in roles(kind, target):
        value = PLAIN[role]
        turned = value.transpose({4: (3, 2, 0, 1), 2: (1, 0)}.get(value.ndim, (0,)))
        wanted = turned if kind.startswith("torch") else value
        np.testing.assert_array_equal(written.values(name), wanted)
