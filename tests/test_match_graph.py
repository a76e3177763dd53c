"""Real checkpoints of TensorFlow against real graphs: what the graph knows stands in for names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import automatch
from match_models import said

tf = pytest.importorskip("tensorflow").compat.v1

Names = Mapping[str, str]

TRAINED: Names = {
    "conv": "tower/conv1/weights",
    "scale": "tower/conv1/BatchNorm/gamma",
    "offset": "tower/conv1/BatchNorm/beta",
    "mean": "tower/conv1/BatchNorm/moving_mean",
    "variance": "tower/conv1/BatchNorm/moving_variance",
    "table": "tower/embedding/weights",
    "kernel": "tower/dense/weights",
    "bias": "tower/dense/biases",
}
RENAMED: Names = {
    "conv": "net/stem/kernel",
    "scale": "net/stem/bn/gamma",
    "offset": "net/stem/bn/beta",
    "mean": "net/stem/bn/moving_mean",
    "variance": "net/stem/bn/moving_variance",
    "table": "net/tokens/embeddings",
    "kernel": "net/out/kernel",
    "bias": "net/out/bias",
}
NAMELESS: Names = {part: f"Variable_{i}" for i, part in enumerate(RENAMED)}


def build(names: Names, optimizer: Callable[[], object] | None) -> None:
    """A small model in the default graph: convolution, batch normalisation, embedding, dense layer."""

    def variable(part: str, shape: tuple[int, ...], start: object) -> object:
        return tf.Variable(start(shape), name=names[part], trainable=part not in ("mean", "variance"))  # type: ignore[operator]

    images, words = tf.placeholder(tf.float32, (None, 8, 8, 3)), tf.placeholder(tf.int32, (None,))
    x = tf.nn.conv2d(images, variable("conv", (3, 3, 3, 16), tf.random.normal), 1, "SAME")
    statistics = [
        variable("scale", (16,), tf.ones),
        variable("offset", (16,), tf.zeros),
        variable("mean", (16,), tf.zeros),
        variable("variance", (16,), tf.ones),
    ]
    x, _, _ = tf.nn.fused_batch_norm(x, *statistics, is_training=False)
    x = tf.reduce_mean(x, (1, 2)) + tf.gather(variable("table", (40, 16), tf.random.normal), words)
    y = tf.matmul(x, variable("kernel", (16, 16), tf.random.normal))
    y = tf.nn.bias_add(y, variable("bias", (16,), tf.zeros))
    if optimizer is not None:
        optimizer().minimize(tf.reduce_sum(y))  # type: ignore[attr-defined]


def adam() -> object:
    return tf.train.AdamOptimizer()


def momentum() -> object:
    return tf.train.MomentumOptimizer(0.1, 0.9)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    with tf.Graph().as_default(), tf.Session() as session:
        build(TRAINED, adam)
        session.run(tf.global_variables_initializer())
        place = str(tmp_path_factory.mktemp("trained") / "model.ckpt")
        return str(tf.train.Saver().save(session, place, write_meta_graph=False))


def meta(folder: Path, names: Names, optimizer: Callable[[], object] | None = None) -> str:
    with tf.Graph().as_default():
        build(names, optimizer)
        tf.train.export_meta_graph(str(folder / "graph.meta"))
    return str(folder / "graph.meta")


def right(names: Names) -> dict[str, str]:
    return {names[part]: TRAINED[part] for part in TRAINED}


def test_a_renamed_graph_takes_its_variables(checkpoint: str, tmp_path: Path) -> None:
    found = said(automatch.suggest(checkpoint, meta(tmp_path, RENAMED)))
    assert found.accepted == right(RENAMED)
    assert set(found.transforms.values()) == {"identity"}


def test_slots_and_powers_of_adam_come_along(checkpoint: str, tmp_path: Path) -> None:
    found = said(automatch.suggest(checkpoint, meta(tmp_path, RENAMED, adam)))
    pairs = right(RENAMED)
    trained = [t for t in pairs if not t.endswith(("moving_mean", "moving_variance"))]
    slots = {f"{t}/{slot}": f"{pairs[t]}/{slot}" for t in trained for slot in ("Adam", "Adam_1")}
    assert found.accepted == pairs | slots | {"beta1_power": "beta1_power", "beta2_power": "beta2_power"}


def test_momentum_stays_as_it_starts(checkpoint: str, tmp_path: Path) -> None:
    found = said(automatch.suggest(checkpoint, meta(tmp_path, RENAMED, momentum)))
    assert found.accepted == right(RENAMED)
    assert all(name.endswith("/Momentum") for name in found.unmatched)
    assert len(found.unmatched) == 6


def test_ops_tell_what_names_do_not(checkpoint: str, tmp_path: Path) -> None:
    found = said(automatch.suggest(checkpoint, meta(tmp_path, NAMELESS)))
    pairs = right(NAMELESS)
    assert found.accepted.items() <= pairs.items()
    proposed = {**found.accepted, **found.undecided}
    told = {part: proposed[NAMELESS[part]] for part in ("scale", "offset", "mean", "variance")}
    assert told == {part: TRAINED[part] for part in told}


BLOCKS = ("oak", "ash", "elm", "yew")
BRANCHES = {"wide": (1, 1, 10, 5), "deep/first": (1, 1, 10, 2), "deep/second": (3, 3, 2, 5)}


def test_the_layers_of_a_saved_keras_model_go_with_a_graph_by_their_distance_from_the_output(
    tmp_path: Path,
) -> None:
    """Keras numbers layers by depth; the graph creates them branch by branch, and has other names."""
    keras = pytest.importorskip("tf_keras")
    net = image = keras.Input((8, 8, 10))
    order: list[str] = []
    for block in range(4):
        layer = {
            name: keras.layers.Conv2D(shape[-1], shape[0], padding="same") for name, shape in BRANCHES.items()
        }
        net = keras.layers.Concatenate()([layer["wide"](net), layer["deep/second"](layer["deep/first"](net))])
        order += [f"{BLOCKS[block]}/{name}" for name in ("deep/first", "wide", "deep/second")]
    model = keras.Model(image, net)
    model.save_weights(str(tmp_path / "model"), save_format="tf")

    with tf.Graph().as_default():
        flow = tf.placeholder(tf.float32, (None, 8, 8, 10))
        for block in range(4):
            made = {}
            for name, shape in BRANCHES.items():
                scope = f"{BLOCKS[block]}/{name}"
                kernel = tf.Variable(tf.random.normal(shape), name=f"{scope}/weights")
                made[name] = tf.nn.conv2d(made.get("deep/first", flow), kernel, 1, "SAME")
                made[name] += tf.Variable(tf.zeros(shape[-1]), name=f"{scope}/biases")
            flow = tf.concat([made["wide"], made["deep/second"]], -1)
        tf.train.export_meta_graph(str(tmp_path / "graph.meta"))

    found = said(automatch.suggest(str(tmp_path / "model"), str(tmp_path / "graph.meta")))
    leaf = {"weights": "kernel", "biases": "bias"}
    pairs = {
        f"{scope}/{here}": f"layer_with_weights-{place}/{there}/.ATTRIBUTES/VARIABLE_VALUE"
        for place, scope in enumerate(order)
        for here, there in leaf.items()
    }
    assert {**found.accepted, **found.undecided} == pairs
    assert len(found.accepted) > 20
