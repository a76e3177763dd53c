"""Makes the files of `automatch demo`.

A small residual network for CIFAR, saved under the names of one codebase, and the graph of another codebase
that is to load it, with a head for 100 classes instead of 10.

    python -m benchmarks.make_demo automatch/data/demo

The network is ResNet-14 (He et al. 2015, section 4.2). A few steps on random pictures give its moving
averages values of their own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNITS = 2
WIDTHS = (16, 32, 64)


@dataclass(frozen=True)
class Style:
    """How a codebase names its variables; each function is given what it names."""

    stem: str
    unit: Callable[[int, int], str]
    conv: Callable[[int], str]
    norm: Callable[[int], str]
    kernel: str
    mean: str
    variance: str
    head: str
    head_names: tuple[str, str]


BEFORE = Style(
    stem="input/init_conv",
    unit=lambda stage, unit: f"unit_{stage}_{unit}",
    conv=lambda place: f"sub{place}/conv{place}",
    norm=lambda place: f"sub{place}/bn{place}",
    kernel="DW",
    mean="moving_mean",
    variance="moving_variance",
    head="logit",
    head_names=("DW", "biases"),
)
AFTER = Style(
    stem="encoder/stem/conv",
    unit=lambda stage, unit: f"encoder/stage{stage}/block{unit + 1}",
    conv=lambda place: f"conv_{place}",
    norm=lambda place: f"norm_{place}",
    kernel="kernel",
    mean="running_mean",
    variance="running_variance",
    head="head/classifier",
    head_names=("kernel", "bias"),
)


def main(argv: list[str]) -> None:
    """Writes the files into the folder that is named."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = Path(argv[0])
    folder.mkdir(parents=True, exist_ok=True)
    _checkpoint(folder / "resnet_cifar10.ckpt")
    _graph(folder / "classifier.meta")


def _checkpoint(prefix: Path) -> None:
    import numpy as np
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        v1.set_random_seed(14)
        loss, updates = _network(v1, BEFORE, classes=10)
        step = v1.train.get_or_create_global_step()
        descent = v1.train.GradientDescentOptimizer(0.05).minimize(loss, global_step=step)
        saver = v1.train.Saver()
        random = np.random.default_rng(14)
        with v1.Session() as session, tempfile.TemporaryDirectory() as scratch:
            session.run(v1.global_variables_initializer())
            for _ in range(4):
                feed = {
                    "images:0": random.normal(size=(16, 32, 32, 3)),
                    "labels:0": random.integers(10, size=16),
                }
                session.run([descent, *updates], feed)
            saved = Path(saver.save(session, f"{scratch}/{prefix.name}", write_meta_graph=False))
            for file in saved.parent.glob(f"{prefix.name}.*"):
                (prefix.parent / file.name).write_bytes(file.read_bytes())


def _graph(path: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        _network(v1, AFTER, classes=100)
        v1.train.get_or_create_global_step()
        v1.train.export_meta_graph(str(path), clear_devices=True, strip_default_attrs=True)


def _network(v1: Any, style: Style, classes: int) -> tuple[Any, list[Any]]:
    """The loss, and the operations that move the averages along."""
    import tensorflow as tf

    images = v1.placeholder(tf.float32, [None, 32, 32, 3], name="images")
    labels = v1.placeholder(tf.int64, [None], name="labels")
    updates: list[Any] = []
    x = _conv(v1, style, style.stem, images, 3, WIDTHS[0], 1)
    for stage, width in enumerate(WIDTHS, start=1):
        for unit in range(UNITS):
            scope = style.unit(stage, unit)
            before = x.shape[-1]
            stride = 2 if stage > 1 and unit == 0 else 1
            shortcut = x
            for place in (1, 2):
                x = tf.nn.relu(_norm(v1, style, f"{scope}/{style.norm(place)}", x, updates))
                name = f"{scope}/{style.conv(place)}"
                x = _conv(v1, style, name, x, int(x.shape[-1]), width, stride if place == 1 else 1)
            if stride > 1:
                shortcut = tf.nn.avg_pool2d(shortcut, stride, stride, "VALID")
                margin = (width - int(before)) // 2
                shortcut = tf.pad(shortcut, [[0, 0], [0, 0], [0, 0], [margin, margin]])
            x += shortcut
    x = tf.reduce_mean(tf.nn.relu(x), [1, 2])
    weights = v1.get_variable(
        f"{style.head}/{style.head_names[0]}",
        [WIDTHS[-1], classes],
        initializer=v1.glorot_uniform_initializer(),
    )
    biases = v1.get_variable(
        f"{style.head}/{style.head_names[1]}", [classes], initializer=v1.zeros_initializer()
    )
    logits = tf.nn.bias_add(tf.matmul(x, weights), biases)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    return loss, updates


def _conv(v1: Any, style: Style, scope: str, x: Any, before: int, after: int, stride: int) -> Any:
    import tensorflow as tf

    spread = (2.0 / (9 * after)) ** 0.5
    kernel = v1.get_variable(
        f"{scope}/{style.kernel}",
        [3, 3, before, after],
        initializer=v1.random_normal_initializer(stddev=spread),
    )
    return tf.nn.conv2d(x, kernel, stride, "SAME")


def _norm(v1: Any, style: Style, scope: str, x: Any, updates: list[Any]) -> Any:

    width = [int(x.shape[-1])]
    zeros, ones = v1.zeros_initializer(), v1.ones_initializer()
    beta = v1.get_variable(f"{scope}/beta", width, initializer=zeros)
    gamma = v1.get_variable(f"{scope}/gamma", width, initializer=ones)
    mean = v1.get_variable(f"{scope}/{style.mean}", width, initializer=zeros, trainable=False)
    variance = v1.get_variable(f"{scope}/{style.variance}", width, initializer=ones, trainable=False)
    y, batch_mean, batch_variance = v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3)
    updates += [
        v1.assign_sub(mean, 0.1 * (mean - batch_mean)),
        v1.assign_sub(variance, 0.1 * (variance - batch_variance)),
    ]
    return y


if __name__ == "__main__":
    main(sys.argv[1:])
