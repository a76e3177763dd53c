"""One small model in the files and objects of every library: a convolution, a batch norm, a dense layer.

Every weight holds 0, 1, 2, … in the order of its own file, plus a hundred times its place in that.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

import automatch
from automatch.read.listing import dumps

tf1 = tf.compat.v1

FOREIGN = Path(__file__).parent / "files" / "foreign"
SHAPES = {
    "conv/kernel": (3, 3, 3, 4), "conv/bias": (4,), "norm/gamma": (4,), "norm/beta": (4,),
    "norm/moving_mean": (4,), "norm/moving_variance": (4,), "head/kernel": (4, 2), "head/bias": (2,),
}  # fmt: skip
TORCH = [*list(SHAPES)[:6], "", *list(SHAPES)[6:]]
FLAX = [
    "norm/moving_mean", "norm/moving_variance", "norm/beta", "norm/gamma",
    "conv/bias", "conv/kernel", "head/bias", "head/kernel",
]  # fmt: skip


def values(places: Sequence[str], turned: bool = False) -> dict[str, np.ndarray]:
    """The weights by the names in `SHAPES`, in a file that has them in these places; turned: by PyTorch."""
    found = {}
    for role, shape in SHAPES.items():
        back = {4: (2, 3, 1, 0), 2: (1, 0)}.get(len(shape) if turned else 0, range(len(shape)))
        stored = [shape[list(back).index(axis)] for axis in range(len(shape))]
        found[role] = np.arange(np.prod(shape), dtype="f4").reshape(stored).transpose(*back)
        found[role] = found[role] + 100 * places.index(role)
    return found


PLAIN = values(list(SHAPES))


def of_keras(library: ModuleType) -> Any:
    """The model, of Keras 2 or 3."""
    layers = library.layers
    parts = [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm")]
    parts += [layers.GlobalAveragePooling2D(), layers.Dense(2, name="head")]
    model = library.Sequential([library.Input((8, 8, 3)), *parts])
    model.set_weights(list(PLAIN.values()))
    return model


def in_graph() -> tf1.Session:
    """A session with the model of TensorFlow 1."""
    with tf.Graph().as_default():
        made: dict[str, Any] = {}
        for role, shape in SHAPES.items():
            made[role] = tf1.get_variable(role, initializer=PLAIN[role], trainable="moving" not in role)
            assert made[role].shape == shape
        image = tf1.placeholder(tf.float32, [1, 8, 8, 3], "image")
        x = tf.nn.bias_add(tf.nn.conv2d(image, made["conv/kernel"], 1, "SAME"), made["conv/bias"])
        statistics = [made[f"norm/{leaf}"] for leaf in ("gamma", "beta", "moving_mean", "moving_variance")]
        x = tf1.nn.fused_batch_norm(x, *statistics, is_training=False)[0]
        x = tf.matmul(tf.reduce_mean(x, [1, 2]), made["head/kernel"])
        tf.nn.bias_add(x, made["head/bias"], name="out")
        session = tf1.Session()
        session.run(tf1.global_variables_initializer())
    return session


def _saver(folder: Path, version: int) -> Path:
    with in_graph() as session, session.graph.as_default():
        saver = tf1.train.Saver(write_version=version)
        return Path(saver.save(session, str(folder / "model.ckpt"), write_meta_graph=False))


def _meta(folder: Path) -> Path:
    with in_graph() as session, session.graph.as_default():
        tf1.train.Saver()
        tf1.train.export_meta_graph(str(folder / "model.meta"))
    return folder / "model.meta"


def _frozen(folder: Path) -> Path:
    with in_graph() as session:
        graph = session.graph.as_graph_def()
        frozen = tf1.graph_util.convert_variables_to_constants(session, graph, ["out"])
    (folder / "frozen.pb").write_bytes(frozen.SerializeToString())
    return folder / "frozen.pb"


def _first_saved_model(folder: Path) -> Path:
    with in_graph() as session, session.graph.as_default():
        builder = tf1.saved_model.Builder(str(folder / "first"))
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
    return folder / "first"


def _second_saved_model(folder: Path) -> Path:
    tf.saved_model.save(of_keras(tf_keras), str(folder / "second"))
    return folder / "second"


def _object_based(folder: Path) -> Path:
    of_keras(tf_keras).save_weights(folder / "model.ckpt")
    return folder / "model.ckpt"


def _keras(library: ModuleType, method: str, name: str, **options: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        getattr(of_keras(library), method)(folder / name, **options)
        return folder / name

    return write


def _safetensors(folder: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(PLAIN, folder / "model.safetensors")
    return folder / "model.safetensors"


def _shards(folder: Path) -> Path:
    from safetensors.numpy import save_file

    names = {role: f"model-{place % 2 + 1}-of-2.safetensors" for place, role in enumerate(PLAIN)}
    for file in set(names.values()):
        save_file({role: PLAIN[role] for role in PLAIN if names[role] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return folder / "model.safetensors.index.json"


def _torch_shards(folder: Path) -> Path:
    names = dict.fromkeys(sorted(state_dict()), "model-1-of-1.bin")
    shutil.copy(FOREIGN / "legacy.pt", folder / "model-1-of-1.bin")
    (folder / "model.bin.index.json").write_text(json.dumps({"weight_map": names}))
    return folder / "model.bin.index.json"


def _npz(folder: Path) -> Path:
    np.savez(folder / "model.npz", **PLAIN)
    return folder / "model.npz"


def nested() -> dict[str, dict[str, np.ndarray]]:
    """The weights as a dictionary of dictionaries."""
    tree: dict[str, dict[str, np.ndarray]] = {}
    for role, value in PLAIN.items():
        layer, _, leaf = role.partition("/")
        tree.setdefault(layer, {})[leaf] = value
    return tree


def _pickle(folder: Path) -> Path:
    (folder / "model.pkl").write_bytes(pickle.dumps(nested()))
    return folder / "model.pkl"


def _npy(folder: Path) -> Path:
    np.save(folder / "model.npy", nested())  # type: ignore[arg-type]
    return folder / "model.npy"


def _listing(folder: Path) -> Path:
    (folder / "model.json").write_text(dumps(automatch.inspect(_npz(folder))))
    return folder / "model.json"


def state_dict() -> dict[str, np.ndarray]:
    """What a model of PyTorch would give, of NumPy's arrays."""
    listing = automatch.inspect(FOREIGN / "training.pt")
    assert listing.values is not None
    return {tensor.name: listing.values(tensor.name) for tensor in listing.tensors if tensor.slot is None}


Make = Callable[[Path], Any]

WITH_VALUES: dict[str, Make] = {
    "tf v2": lambda folder: _saver(folder, 2),
    "tf v1": lambda folder: _saver(folder, 1),
    "tf object-based": _object_based,
    "savedmodel tf1": _first_saved_model,
    "savedmodel tf2": _second_saved_model,
    "frozen graph": _frozen,
    "keras 3 .keras": _keras(keras, "save", "m.keras"),
    "keras 3 .weights.h5": _keras(keras, "save_weights", "m.weights.h5"),
    "keras 3 .h5": _keras(keras, "save", "m.h5"),
    "keras 3 shards": _keras(keras, "save_weights", "m.weights.json", max_shard_size=6e-7),
    "keras 2 .keras": _keras(tf_keras, "save", "m.keras", save_format="keras"),
    "keras 2 .h5": _keras(tf_keras, "save_weights", "m.h5"),
    "safetensors": _safetensors,
    "safetensors shards": _shards,
    "npz": _npz,
    "pickle": _pickle,
    "npy": _npy,
    "dict": lambda _: nested(),
    "state_dict": lambda _: state_dict(),
    **{
        f"torch {name}": lambda _, name=name: FOREIGN / f"{name}.pt"
        for name in ("training", "legacy", "script")
    },
    "torch shards": _torch_shards,
    "flax": lambda _: FOREIGN / "variables.msgpack",
    **{
        f"orbax {name}": lambda _, name=name: FOREIGN / f"orbax_{name}"
        for name in ("apart", "packed", "zarr3")
    },
}
NAMES_ONLY: dict[str, Make] = {
    "meta": _meta,
    "session": lambda _: in_graph(),
    "graph": lambda _: in_graph().graph,
    "keras 3 model": lambda _: of_keras(keras),
    "keras 2 model": lambda _: of_keras(tf_keras),
    "listing": _listing,
}


def expected(kind: str) -> dict[str, np.ndarray]:
    """The weights in a file of this kind."""
    if kind.startswith(("torch", "state_dict")):
        return values(TORCH, turned=True)
    return values(FLAX) if kind.startswith(("flax", "orbax")) else PLAIN


def roles(kind: str, listing: automatch.Listing) -> Iterator[tuple[str, str]]:
    """Name of each weight in a listing of this kind, and what it is."""
    model = [tensor for tensor in listing.tensors if tensor.slot is None]
    if kind.startswith(("torch", "state_dict", "flax", "orbax")):
        places = TORCH if kind.startswith(("torch", "state")) else FLAX
        yield from ((tensor.name, role) for tensor, role in zip(model, places, strict=True) if role)
        return
    for tensor in model:
        words = (tensor.full_name or tensor.name).partition(":")[0].split("/")
        role = "/".join(words[-2:])
        if role in SHAPES:
            yield tensor.name, role
