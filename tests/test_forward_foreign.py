"""Models of PyTorch and Flax, restored into the same models of Keras, compute the same.

The weights, the inputs and what the models made of them were written by those libraries.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import automatch

FORWARD = Path(__file__).parent / "files" / "forward"


def bert():
    tokens = keras.Input((10,), dtype="int32")
    counted = keras.ops.cumsum(keras.ops.ones_like(tokens), 1) - 1
    places = layers.Embedding(12, 16, name="position_embedding")(counted)
    kinds = layers.Embedding(2, 16, name="segment_embedding")(keras.ops.zeros_like(tokens))
    x = layers.Embedding(50, 16, name="token_embedding")(tokens) + places + kinds
    x = layers.LayerNormalization(epsilon=1e-12, name="embedding_norm")(x)
    for block in range(2):
        y = layers.MultiHeadAttention(2, 8, name=f"block_{block}_attention")(x, x)
        x = layers.LayerNormalization(epsilon=1e-12, name=f"block_{block}_attention_norm")(x + y)
        y = layers.Dense(24, "gelu", name=f"block_{block}_intermediate")(x)
        y = layers.Dense(16, name=f"block_{block}_output")(y)
        x = layers.LayerNormalization(epsilon=1e-12, name=f"block_{block}_output_norm")(x + y)
    return keras.Model(tokens, x)


def convolution(x, channels, size, stride, name, activation="relu"):
    x = layers.ZeroPadding2D(size // 2)(x)
    x = layers.Conv2D(channels, size, stride, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation(activation)(x)


def resnet():
    images = keras.Input((32, 32, 3))
    x = convolution(images, 8, 7, 2, "stem")
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for stage, channels in enumerate((8, 12), start=1):
        for block in (1, 2):
            name, stride = f"stage{stage}_block{block}", 2 if (stage, block) == (2, 1) else 1
            y = convolution(x, channels, 3, stride, f"{name}_1")
            y = convolution(y, channels, 3, 1, f"{name}_2", "linear")
            if stride == 2:
                x = convolution(x, channels, 1, 2, f"{name}_shortcut", "linear")
            x = layers.Activation("relu")(x + y)
    return keras.Model(images, x)


class LayerScale(layers.Layer):
    """A factor for each channel."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=shape[-1:], name="gamma")

    def call(self, x):
        return x * self.gamma


def convnext():
    images = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 4, 4, name="embeddings_conv")(images)
    x = layers.LayerNormalization(epsilon=1e-6, name="embeddings_norm")(x)
    for stage, (channels, depth) in enumerate(((8, 1), (12, 2))):
        if stage:
            x = layers.LayerNormalization(epsilon=1e-6, name=f"downsample_{stage}_norm")(x)
            x = layers.Conv2D(channels, 2, 2, name=f"downsample_{stage}_conv")(x)
        for block in range(depth):
            name = f"stage_{stage}_block_{block}"
            y = layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise_conv")(x)
            y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(y)
            y = layers.Dense(4 * channels, "gelu", name=f"{name}_pointwise_conv_1")(y)
            y = layers.Dense(channels, name=f"{name}_pointwise_conv_2")(y)
            x = x + LayerScale(name=f"{name}_layer_scale")(y)
    pooled = layers.LayerNormalization(name="norm")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, [x, pooled])


def flax():
    images = keras.Input((18, 18, 3))
    x = layers.Conv2D(8, 3, name="conv_1")(images)
    x = layers.Activation("relu")(layers.BatchNormalization(epsilon=1e-5, name="bn_1")(x))
    x = layers.Reshape((16, 16))(layers.Conv2D(16, 4, 4, name="conv_2")(x))
    for block in range(1, 3):
        y = layers.LayerNormalization(epsilon=1e-6, name=f"encoder_{block}_attention_norm")(x)
        x = x + layers.MultiHeadAttention(2, 8, name=f"encoder_{block}_attention")(y, y)
        y = layers.LayerNormalization(epsilon=1e-6, name=f"encoder_{block}_mlp_norm")(x)
        y = layers.Dense(24, "gelu", name=f"encoder_{block}_mlp_1")(y)
        x = x + layers.Dense(16, name=f"encoder_{block}_mlp_2")(y)
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(images, layers.Dense(5, name="dense")(x))


def efficientnet():
    images = keras.Input((32, 32, 3))
    keys = ("kernel_size", "repeats", "filters_in", "filters_out", "expand_ratio", "strides")
    stages = [
        dict(zip(keys, numbers, strict=True)) for numbers in ((3, 1, 32, 64, 1, 2), (5, 2, 64, 96, 4, 2))
    ]
    return keras.src.applications.efficientnet.EfficientNet(
        *(0.25, 1.0, 32),
        blocks_args=[{**stage, "id_skip": True, "se_ratio": 0.25} for stage in stages],
        input_tensor=layers.Rescaling(255.0)(images),
        include_top=False,
        weights=None,
        weights_name=None,
    )


# Keras scales images within this model, by statistics that it has from the data.
SCALING = ["normalization/mean", "normalization/variance", "normalization/count"]


@pytest.mark.parametrize(
    ("file", "build", "left"),
    [
        ("bert.safetensors", bert, []),
        ("resnet.pt", resnet, []),
        ("convnext.bin", convnext, []),
        ("efficientnet.pt", efficientnet, SCALING),
        ("flax.msgpack", flax, []),
    ],
)
def test_a_model_of_another_library_computes_in_keras_what_it_did(file, build, left):
    known = np.load((FORWARD / file).with_suffix(".npz"))
    torch_images = known["input"].ndim == 4 and not file.startswith("flax")
    given = known["input"].transpose(0, 2, 3, 1) if torch_images else known["input"]
    expected = known["output"].transpose(0, 2, 3, 1) if torch_images else known["output"]
    model = build()
    restored = automatch.restore_auto(model, FORWARD / file, quiet=True)
    assert restored.unmatched == left
    found = model.predict_on_batch(given)
    np.testing.assert_allclose(found[0] if isinstance(found, list) else found, expected, rtol=1e-3, atol=1e-4)
