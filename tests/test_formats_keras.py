"""Weights files of Keras 1 to 3: names as Keras has them, order, slots, values, nothing from other files."""

from __future__ import annotations

import zipfile
from contextlib import suppress

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.errors import UnreadableFile
from automatch.read import archives, read


def build(library):
    """Two branches with every way in which Keras nests layers and names variables."""
    image, tokens = library.Input((8, 8, 3), name="image"), library.Input((5,), name="tokens")
    x = library.layers.Conv2D(4, 3, use_bias=False)(image)
    x = library.layers.BatchNormalization()(x)
    x = library.layers.SeparableConv2D(6, 3, name="separable")(x)
    x = library.layers.GlobalAveragePooling2D()(x)
    y = library.layers.Embedding(11, 6)(tokens)
    y = library.layers.MultiHeadAttention(2, 4, name="attention")(y, y)
    y = library.layers.LayerNormalization()(y)
    y = library.layers.Bidirectional(library.layers.LSTM(3))(y)
    z = library.layers.Concatenate()([x, y])
    inner = library.Sequential([library.Input((12,)), library.layers.Dense(5)], name="inner")
    z = library.layers.Dense(2, name="head")(inner(z))
    model = library.Model([image, tokens], z, name="branches")
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def keras3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras3")
    # Names are counted on from those of models before.
    keras.utils.clear_session()
    model = build(keras)
    model.save(folder / "m.keras")
    model.save_weights(folder / "m.weights.h5")
    model.save_weights(folder / "m.weights.json", max_shard_size=0.01)
    return model, folder


@pytest.fixture(scope="module")
def keras2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras2")
    tf_keras.backend.clear_session()
    model = build(tf_keras)
    model.save(folder / "m.keras", save_format="keras")
    with pytest.warns(UserWarning, match="legacy"):
        model.save(folder / "m.h5", save_format="h5")
    model.save_weights(folder / "weights.h5")
    return model, folder


@pytest.mark.parametrize("file", ["m.keras", "m.weights.h5", "m.weights.json"])
def test_keras_3_variables_have_the_path_that_they_have_in_the_model_beside_their_number(keras3, file):
    model, folder = keras3
    listing = read(folder / file)
    found = {tensor.full_name: tensor for tensor in listing.tensors if tensor.slot is None}
    assert set(found) == {variable.path for variable in model.weights}
    for variable in model.weights:
        tensor = found[variable.path]
        np.testing.assert_array_equal(listing.values(tensor.name), variable.numpy())
    assert found["head/kernel"].name == "layers/dense/vars/0"
    assert found["batch_normalization/moving_mean"].trainable is False
    assert (listing.format, listing.framework, listing.order) == ("keras-weights", "keras3", "sorted")


def test_what_the_optimizer_keeps_is_marked(keras3):
    _, folder = keras3
    listing = read(folder / "m.weights.h5")
    slots = {tensor.name for tensor in listing.tensors if tensor.slot}
    assert slots
    assert slots == {tensor.name for tensor in listing.tensors if tensor.name.startswith("optimizer/")}


def test_numbers_are_in_the_order_of_numbers(keras3):
    _, folder = keras3
    names = [tensor.name for tensor in read(folder / "m.weights.h5").tensors]
    assert names.index("optimizer/vars/2") < names.index("optimizer/vars/10")


def test_the_configuration_of_a_model_gives_the_order_of_its_layers(tmp_path):
    layers = [keras.layers.Dense(3), keras.layers.LayerNormalization(), keras.layers.Dense(3)]
    inner = keras.Sequential([keras.Input((3,)), keras.layers.Embedding(5, 2), keras.layers.Flatten()])
    model = keras.Sequential([keras.Input((2,)), *layers, inner, keras.layers.BatchNormalization()])
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    listing = read(tmp_path / "m.keras")
    assert listing.order == "creation"
    found = [tensor.full_name.split("/")[-2:] for tensor in listing.tensors if tensor.full_name]
    assert found == [variable.path.split("/")[-2:] for variable in model.weights]
    assert read(tmp_path / "m.weights.h5").order == "sorted"


def test_layer_names_come_from_the_configuration_where_the_weights_have_none(keras2):
    _, folder = keras2
    names = {tensor.full_name for tensor in read(folder / "m.keras").tensors}
    assert {"head/kernel", "inner/dense/kernel", "separable/pointwise_kernel"} <= names


@pytest.mark.parametrize("file", ["weights.h5", "m.h5"])
def test_keras_2_variables_stand_in_the_models_order_under_the_names_in_the_file(keras2, file):
    model, folder = keras2
    listing = read(folder / file)
    tensors = [tensor for tensor in listing.tensors if tensor.slot is None]
    names = [weight.name.removesuffix(":0") for layer in model.layers for weight in layer.weights]
    assert [tensor.full_name for tensor in tensors] == names
    assert "separable/separable/pointwise_kernel:0" in listing.by_name
    values = dict(zip(names, (w.numpy() for layer in model.layers for w in layer.weights), strict=True))
    for tensor in tensors:
        np.testing.assert_array_equal(listing.values(tensor.name), values[tensor.full_name])
    assert (listing.format, listing.framework, listing.order) == ("keras-h5", "keras2-h5", "creation")


def test_an_optimizers_variable_belongs_to_the_variable_in_its_path(keras2):
    _, folder = keras2
    tensor = read(folder / "m.h5").by_name["optimizer_weights/v/head/kernel:0"]
    assert (tensor.slot, tensor.slot_of) == ("v", "head/head/kernel:0")


def test_keras_3_in_the_older_format_says_the_same_of_its_slots(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="one")])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "m.h5")
    listing = read(tmp_path / "m.h5")
    slots = {(tensor.slot, tensor.slot_of) for tensor in listing.tensors if tensor.slot_of}
    kernel, bias = (tensor.name for tensor in listing.tensors[:2])
    assert slots == {(kind, owner) for kind in ("momentum", "velocity") for owner in (kernel, bias)}
    assert listing.framework == "keras3"


def test_bfloat16_is_seen_as_what_it_is(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, dtype="bfloat16")])
    model.save_weights(tmp_path / "m.weights.h5")
    listing = read(tmp_path / "m.weights.h5")
    kernel = listing.values("layers/dense/vars/0")
    assert listing.tensors[0].dtype == "bfloat16"
    assert kernel.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(
        kernel.astype("f4"), keras.ops.convert_to_numpy(model.weights[0]).astype("f4")
    )


def test_names_too_many_for_one_attribute_are_all_there(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"b"], [b"a"]
        for layer in "ab":
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/kernel:0".encode()]
            group[f"{layer}/kernel:0"] = np.ones(2)
    assert [tensor.name for tensor in read(tmp_path / "m.h5").tensors] == ["b/b/kernel:0", "a/a/kernel:0"]


def test_an_hdf5_file_of_some_other_program_is_a_tree_of_datasets(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["encoder/layer0/w"] = np.ones((2, 3), "f4")
        file["encoder/labels"] = ["a", "b"]
        file["encoder/when"] = np.zeros(2, "V3")
    listing = read(tmp_path / "m.h5")
    assert {tensor.name: tensor.dtype for tensor in listing.tensors} == {
        "encoder/labels": "string", "encoder/layer0/w": "float32",
    }  # fmt: skip
    assert listing.values("encoder/labels").tolist() == [b"a", b"b"]


def test_theano_is_noted_for_its_kernels_are_turned(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names"], file.attrs["backend"] = [b"c"], "theano"
        file.create_group("c").attrs["weight_names"] = [b"c/W"]
        file["c/c/W"] = np.ones((3, 3, 3, 4))
    assert "180 degrees" in read(tmp_path / "m.h5").notes[0]


def external(file, secret):
    file.create_dataset("w", (4,), "u1", external=[(str(secret), 0, 4)])


def virtual(file, secret):
    with h5py.File(secret.with_suffix(".h5"), "w") as other:
        other["data"] = np.arange(4)
    layout = h5py.VirtualLayout((4,), "i8")
    layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "data", (4,))
    file.create_virtual_dataset("w", layout)


@pytest.mark.parametrize("kind", [external, virtual])
def test_values_that_lie_in_another_file_are_refused(tmp_path, kind):
    (tmp_path / "secret").write_bytes(b"secret")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        kind(file, tmp_path / "secret")
    with pytest.raises(UnreadableFile, match="'w' takes its values from another file"):
        read(tmp_path / "m.h5")


def test_links_to_another_file_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["layer/kernel:0"] = np.ones(2)
        other["layer"].attrs["weight_names"] = ["kernel:0"]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names"] = ["layer"]
        file["layer"] = h5py.ExternalLink("other.h5", "layer")
        file["own"] = np.ones(3)
    assert [tensor.name for tensor in read(tmp_path / "m.h5").tensors] == ["own"]


def test_a_dataset_that_claims_terabytes_is_refused_when_it_is_read(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("w", (2**20, 2**20), "f4", chunks=(64, 64), compression="gzip")
    listing = read(tmp_path / "m.h5")
    with pytest.raises(UnreadableFile, match="claims 4398046511104 bytes"):
        listing.values("w")


def test_a_packed_archive_is_read_and_a_bomb_is_not(keras3, tmp_path, monkeypatch):
    model, folder = keras3
    with zipfile.ZipFile(folder / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    listing = read(tmp_path / "m.keras")
    np.testing.assert_array_equal(listing.values("layers/conv2d/vars/0"), model.weights[0].numpy())
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(2**22))
    monkeypatch.setattr(archives, "_UNPACKED", 2**21)
    with pytest.raises(UnreadableFile, match="unpacks"):
        read(tmp_path / "bomb.keras")


@pytest.mark.parametrize(
    "config",
    [
        b"[]",
        b"{",
        b'{"config": {"layers": [1]}}',
        b'{"config": {"layers": [{"class_name": []}]}}',
        b'{"a": ' * 9000,
    ],
)
def test_a_strange_configuration_is_refused_or_left_aside(keras3, tmp_path, config):
    _, folder = keras3
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(folder / "m.keras") as given_, zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", config)
        made.writestr("model.weights.h5", given_.read("model.weights.h5"))
    with suppress(UnreadableFile):
        assert len(read(path)) == len(read(folder / "m.keras"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_comes_out_as_one_error(keras3, keras2, tmp_path_factory, data):
    _, folder = data.draw(st.sampled_from([keras3, keras2]))
    original = data.draw(st.sampled_from(sorted(path for path in folder.iterdir() if path.suffix != ".json")))
    damaged = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / original.name
    path.write_bytes(
        damaged[: data.draw(st.integers(1, len(damaged)))] if data.draw(st.booleans()) else damaged
    )
    with suppress(UnreadableFile):
        listing = read(path)
        for tensor in listing.tensors:
            listing.values(tensor.name)
