"""What the README says runs, and says what comes out."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import automatch
from automatch.cli import main
from torch_files import floats, whole, write

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

v1 = tf.compat.v1


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def build_model() -> list[Any]:
    return [tf.Variable(tf.zeros([4, 3]), name="dense/kernel"), tf.Variable(tf.zeros([3]), name="dense/bias")]


def foreign_models(folder: Path) -> keras.Model:
    """A Keras model, in old_model.h5 and new_model.weights.h5; pytorch_model.bin is of its shapes."""
    shapes = {"conv.weight": (8, 3, 3, 3), "conv.bias": (8,), "head.weight": (5, 8), "head.bias": (5,)}
    state = {name: whole(str(key), *shape) for key, (name, shape) in enumerate(shapes.items())}
    write(folder / "pytorch_model.bin", state, {t.key: floats(*t.shape) for t in state.values()})
    layers = [keras.layers.Conv2D(8, 3, name="conv"), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((6, 6, 3)), *layers, keras.layers.Dense(5, name="head")])
    model.save_weights("new_model.weights.h5")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save("old_model.h5")
    return model


def test_the_examples_of_each_direction_run(folder: Path) -> None:
    model = foreign_models(folder)
    for file in folder.glob("resnet_cifar10.ckpt.*"):
        shutil.copy(file, file.name.replace("resnet_cifar10", "old_model"))
    shutil.copy("classifier.meta", "new_model.meta")
    for row in next(block for block in blocks("sh") if "automatch suggest" in block).splitlines():
        for part in row.split("&&"):
            assert main(part.split()[1:]) == 0, part
    assert automatch.suggest("renamed.ckpt", "new_model.meta").counts.accepted == 62
    keras_names = automatch.inspect("old_model.h5").by_name
    assert automatch.inspect("from_pytorch.ckpt").by_name.keys() == keras_names.keys()
    model.load_weights("from_pytorch.h5")
    np.testing.assert_array_equal(model.layers[-1].get_weights()[0], np.arange(40).reshape(5, 8).T)
    assert automatch.inspect("to_pytorch.safetensors").by_name["head.weight"].shape == (5, 8)
    written, wanted = map(automatch.inspect, ("renamed.weights.h5", "new_model.weights.h5"))
    assert written.fingerprint == wanted.fingerprint


def test_the_python_of_the_readme_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(
        "old_model.npz",
        **{"model/dense/weights": np.ones((4, 3), "f"), "model/dense/biases": np.ones(3, "f")},
    )
    space: dict[str, Any] = {"tf": tf, "build_model": build_model}
    *in_graph, foreign, eager = blocks("python")
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph("classifier.meta")
        space["session"] = session
        for block in in_graph:
            exec(compile(block, "README.md", "exec"), space)
        assert len(space["restored"].restored) == 62
        assert session.run(v1.report_uninitialized_variables()).size == 0
    space["keras_model"] = foreign_models(folder)
    exec(compile(foreign, "README.md", "exec"), space)
    assert len(space["restored"].restored) == 4
    exec(compile(eager, "README.md", "exec"), space)
    assert len(space["restored"].restored) == 2
    said = next(line for line in README.splitlines() if line.startswith("automatch: restored"))
    assert said in capsys.readouterr().out
    assert all((variable.numpy() == 1).all() for variable in space["created"])


def unscored(text: str) -> str:
    """A report without the figures that a better calibration changes."""
    return re.sub(r"\b[01]\.\d\d\b", "0.00", text)


def test_the_console_of_the_readme_is_what_comes_out(folder: Path) -> None:
    for block in blocks("console"):
        command, *shown = block.splitlines()
        line = [sys.executable, "-m", *command.removeprefix("$ ").split()]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        lines = iter(unscored(done.stdout).splitlines())
        assert all(wanted in lines for wanted in unscored("\n".join(shown)).splitlines() if wanted), (
            done.stdout
        )


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    command = next(block for block in blocks("sh") if "pytest" in block)
    assert command in script


def test_every_verb_is_in_the_table() -> None:
    from automatch.cli.verbs import automatch

    for verb in automatch.commands:
        assert f"`automatch {verb} " in README
