"""A BERT of TensorFlow 1, restored into Keras, computes the same."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

import automatch
from test_forward_foreign import bert

tf1 = tf.compat.v1

TOKENS = np.arange(20).reshape(2, 10) * 7 % 50
HEADS, WIDTH, INNER = 2, 16, 24


def variable(name, *shape):
    low, high = (0.5, 1.5) if name == "gamma" else (-0.3, 0.3)
    return tf1.get_variable(
        name, shape, initializer=tf1.random_uniform_initializer(low, high, seed=len(name))
    )


def dense(x, width, name):
    with tf1.variable_scope(name):
        return tf.matmul(x, variable("kernel", x.shape[-1], width)) + variable("bias", width)


def normalized(x):
    with tf1.variable_scope("LayerNorm"):
        beta, gamma = variable("beta", WIDTH), variable("gamma", WIDTH)
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)


def attention(x):
    rows, length = TOKENS.shape
    with tf1.variable_scope("self"):
        flat = [dense(x, WIDTH, name) for name in ("query", "key", "value")]
    query, key, value = (
        tf.transpose(tf.reshape(part, [rows, length, HEADS, WIDTH // HEADS]), [0, 2, 1, 3]) for part in flat
    )
    weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) / (WIDTH // HEADS) ** 0.5)
    mixed = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
    with tf1.variable_scope("output"):
        return normalized(x + dense(tf.reshape(mixed, [rows, length, WIDTH]), WIDTH, "dense"))


def google_bert():
    """The model in the scopes of google-research/bert; the order of variables is theirs, too."""
    with tf1.variable_scope("bert"):
        with tf1.variable_scope("embeddings"):
            x = tf.gather(variable("word_embeddings", 50, WIDTH), TOKENS)
            x += variable("token_type_embeddings", 2, WIDTH)[0]
            x = normalized(x + variable("position_embeddings", 12, WIDTH)[: TOKENS.shape[1]])
        for block in range(2):
            with tf1.variable_scope(f"encoder/layer_{block}"):
                with tf1.variable_scope("attention"):
                    x = attention(x)
                with tf1.variable_scope("intermediate"):
                    y = tf.nn.gelu(dense(x, INNER, "dense"))
                with tf1.variable_scope("output"):
                    x = normalized(x + dense(y, WIDTH, "dense"))
    return x


def test_a_bert_of_tensorflow_1_computes_in_keras_what_it_did(tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        output = google_bert()
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "bert_model.ckpt"))
        expected = session.run(output)
    model = bert()
    restored = automatch.restore_auto(model, tmp_path / "bert_model.ckpt", quiet=True)
    assert not restored.unmatched
    assert not restored.unused
    found = keras.ops.convert_to_numpy(model(TOKENS))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
