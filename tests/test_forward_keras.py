"""Models of Keras 2, saved in each of its formats and restored into Keras 3, compute the same."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tf_keras

import automatch


def shaken(model):
    """The model with random vectors: scales of one and biases of zero would forgive being swapped."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if len(weight.shape) == 1:
            low, high = (
                (0.5, 1.5) if weight.name.rstrip(":0").endswith(("gamma", "variance")) else (-0.3, 0.3)
            )
            weight.assign(rng.uniform(low, high, weight.shape))
    return model


@pytest.mark.parametrize(
    ("application", "options", "file"),
    [
        ("MobileNetV2", {"alpha": 0.35}, "m.keras"),
        ("EfficientNetB0", {}, "m.h5"),
        ("MobileNet", {"alpha": 0.25}, "m.ckpt"),
    ],
)
def test_an_application_of_keras_2_computes_in_keras_3_what_it_did(tmp_path, application, options, file):
    options = {"weights": None, "include_top": False, "input_shape": (32, 32, 3), **options}
    images = np.random.default_rng(1).uniform(0, 1, (2, 32, 32, 3)).astype("f4")
    source = shaken(getattr(tf_keras.applications, application)(**options))
    if file.endswith(".keras"):
        source.save(tmp_path / file, save_format="keras")
    else:
        source.save_weights(tmp_path / file)
    model = getattr(keras.applications, application)(**options)
    restored = automatch.restore_auto(model, tmp_path / file, quiet=True)
    assert not restored.unmatched
    expected = source.predict_on_batch(images)
    np.testing.assert_allclose(model.predict_on_batch(images), expected, rtol=1e-3, atol=1e-4)
