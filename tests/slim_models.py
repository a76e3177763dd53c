"""Models of tf-slim, with random weights, saved as it saves them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1


def slim() -> Any:
    """tf-slim, which asks Keras 2 for a module by the name that it had before it was moved."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tf_keras
    from tf_keras.src import legacy_tf_layers

    sys.modules.setdefault("tf_keras.legacy_tf_layers", legacy_tf_layers)
    tf_keras.legacy_tf_layers = legacy_tf_layers
    import tf_slim

    return tf_slim


def saved(path: Path, images: np.ndarray, build: Callable[[Any, tf.Tensor], tf.Tensor]) -> np.ndarray:
    """What the model makes of the images; its variables are in a checkpoint at `path`."""
    library = slim()
    rng = np.random.default_rng(0)
    with tf.Graph().as_default(), tf1.Session(config=_plain()) as session:
        place = tf1.placeholder(tf.float32, [None, *images.shape[1:]])
        with warnings.catch_warnings():
            # tf-slim calls its layers in a way that Keras 2 warns of.
            warnings.simplefilter("ignore", UserWarning)
            output = build(library, place)
        variables = tf1.global_variables()
        # One run for all: loading one by one takes the square of their number.
        values = {v.initializer.inputs[1]: _random(rng, v.op.name, v.shape.as_list()) for v in variables}
        session.run([v.initializer for v in variables], values)
        tf1.train.Saver().save(session, str(path))
        return session.run(output, {place: images})


def _plain() -> tf1.ConfigProto:
    """No optimizing of a graph that runs once: it takes longer than to run it."""
    config = tf1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config


def _random(rng: np.random.Generator, name: str, shape: list[int]) -> np.ndarray:
    """Values under which activations stay of order one however deep the model is."""
    if len(shape) > 1:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape).astype("f4")
    spread = (
        rng.uniform(0.5, 1.5, shape) if name.endswith(("variance", "gamma")) else rng.normal(0, 0.3, shape)
    )
    return spread.astype("f4")
