"""Models of tf-slim, restored into the same models of Keras, compute the same."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import automatch
from slim_models import saved, tf1

ROWS = 3


def images(size):
    return np.random.default_rng(1).uniform(-1, 1, (ROWS, size, size, 3)).astype("f4")


def vgg16(library, x):
    from tf_slim.nets import vgg

    # The layers behind the last pooling want 224 x 224 pixels and are not needed.
    with tf1.variable_scope("vgg_16"), library.arg_scope(vgg.vgg_arg_scope()):
        for block, (layers, channels) in enumerate(
            ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1
        ):
            x = library.repeat(x, layers, library.conv2d, channels, [3, 3], scope=f"conv{block}")
            x = library.max_pool2d(x, [2, 2], scope=f"pool{block}")
    return x


def resnet_v1_50(library, x):
    from tf_slim.nets import resnet_v1

    with library.arg_scope(resnet_v1.resnet_arg_scope()):
        return resnet_v1.resnet_v1_50(x, None, is_training=False, global_pool=False)[0]


def inception_v3(library, x):
    from tf_slim.nets import inception_v3 as nets

    settled = library.arg_scope([library.batch_norm], is_training=False)
    with library.arg_scope(nets.inception_v3_arg_scope()), settled:
        return nets.inception_v3_base(x)[0]


def mobilenet_v1(library, x):
    blocks = [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]
    convolutions = library.arg_scope(
        [library.conv2d, library.separable_conv2d],
        activation_fn=tf1.nn.relu6,
        normalizer_fn=library.batch_norm,
        normalizer_params={"is_training": False, "scale": True},
    )
    with tf1.variable_scope("MobilenetV1"), convolutions:
        x = library.conv2d(x, 32, [3, 3], 2, scope="Conv2d_0")
        for place, (channels, stride) in enumerate(blocks, start=1):
            x = library.separable_conv2d(x, None, [3, 3], 1, stride, scope=f"Conv2d_{place}_depthwise")
            x = library.conv2d(x, channels, [1, 1], scope=f"Conv2d_{place}_pointwise")
    return x


@pytest.mark.parametrize(
    ("build", "application", "size", "score"),
    [
        (mobilenet_v1, "MobileNet", 32, 0.8),
        (vgg16, "VGG16", 32, 0.8),
        # The two stride in different units of a block and pad differently: at one pixel it is the same.
        (resnet_v1_50, "ResNet50", 4, 0.8),
        # Three batch norms of one width, in blocks that are alike, are left to a person: the result shows
        # them to be right.
        (inception_v3, "InceptionV3", 75, 0.5),
    ],
)
def test_a_slim_checkpoint_in_a_keras_application_computes_what_it_did(
    tmp_path, build, application, size, score
):
    expected = saved(tmp_path / "model.ckpt", images(size), build)
    model = getattr(keras.applications, application)(
        weights=None, include_top=False, input_shape=(None, None, 3)
    )
    restored = automatch.restore_auto(model, tmp_path / "model.ckpt", min_score=score, quiet=True)
    # Keras gives the convolutions of ResNet biases besides, which are zero; all else is decided.
    assert all(name.endswith("_conv/bias") for name in restored.unmatched)
    assert not restored.unused
    found = model.predict_on_batch(images(size))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
