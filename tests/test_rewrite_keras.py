"""apply --to keras-h5: files that Keras loads as its own, written piece by piece."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from types import ModuleType

import keras
import ml_dtypes
import numpy as np
import pytest
import tf_keras

import automatch
from automatch.errors import RestoreError
from automatch.read import read
from automatch.rewrite import apply
from automatch.tensor import Listing, Tensor
from restore_helpers import checkpoint, plan_of, random_values


def model_of(library: ModuleType, *, first: float) -> keras.Model:
    """A model whose every weight has values of its own, with nested layers and names given and made."""
    layers = library.layers
    inner = library.Sequential([library.Input((6,)), layers.Dense(5, name="deep")], name="inner")
    model = library.Sequential(
        [
            library.Input((8, 8, 3)),
            layers.SeparableConv2D(4, 3, name="stem"),
            layers.BatchNormalization(),
            layers.Conv2D(6, 3),
            layers.GlobalAveragePooling2D(),
            inner,
            layers.Dense(2, name="head"),
        ]
    )
    model.set_weights([np.full(w.shape, first + i, "f4") for i, w in enumerate(model.get_weights())])
    return model


def saved(model: keras.Model, path: Path) -> Path:
    model.save_weights(path)
    return path


@pytest.mark.parametrize("library", [keras, tf_keras])
@pytest.mark.parametrize("whole", [False, True], ids=["weights", "model"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_written_for_an_h5_file_loads_into_the_model_that_wrote_it(tmp_path, library, whole):
    source, model = model_of(keras, first=1), model_of(library, first=100)
    saved(source, tmp_path / "source.weights.h5")
    template = tmp_path / "template.h5"
    if whole or library is keras:
        # Keras 3 writes this format for whole models alone.
        model.save(template)
    else:
        model.save_weights(template)
    given, wanted = read(tmp_path / "source.weights.h5"), read(template)
    pairs = dict(zip(*(sorted_by_value(listing) for listing in (wanted, given)), strict=True))
    apply(plan_of(given, wanted, pairs), tmp_path / "new.h5", to="keras-h5")
    assert read(tmp_path / "new.h5").by_name.keys() == wanted.by_name.keys()
    assert [t.full_name for t in read(tmp_path / "new.h5").tensors] == [t.full_name for t in wanted.tensors]
    model.load_weights(tmp_path / "new.h5")
    for found, value in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(found, value)


def sorted_by_value(listing: Listing) -> list[str]:
    return sorted(listing.by_name, key=lambda name: listing.values(name).flat[0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_are_written_for_keras_3_and_load_into_its_model(tmp_path, dtype):
    values = {name: value.astype(dtype) for name, value in random_values({"w": (3, 4), "b": (3,)}).items()}
    prefix = checkpoint(tmp_path, values)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=dtype), keras.layers.ReLU()])
    target = read(saved(model, tmp_path / "template.weights.h5"))
    kernel, bias = (next(t.name for t in target.tensors if t.shape == shape) for shape in [(4, 3), (3,)])
    plan = plan_of(read(prefix), target, {kernel: ("w", "transpose:1,0"), bias: "b"})
    apply(plan, tmp_path / "new.weights.h5", to="keras-h5")
    model.load_weights(tmp_path / "new.weights.h5")
    found = [np.asarray(keras.ops.convert_to_numpy(weight)) for weight in model.weights]
    assert all(value.dtype == getattr(ml_dtypes, dtype, dtype) for value in found)
    np.testing.assert_array_equal(found[0].astype("f4"), values["w"].T.astype("f4"))
    np.testing.assert_array_equal(found[1].astype("f4"), values["b"].astype("f4"))


def test_names_of_other_formats_and_what_hdf5_has_not_are_refused(tmp_path):
    listing = read(checkpoint(tmp_path, {"b": np.zeros(3, "f4"), "words": np.array([b"a"], object)}))
    for name, source, reason in (
        ("net/b", "b", "'net/b' is no place in a Keras 3 weights file"),
        ("words/vars/0", "words", "'words/vars/0' is string, which keras-h5 cannot hold"),
    ):
        tensor = listing.by_name[source]
        plan = plan_of(listing, Listing((Tensor(name, tensor.shape, tensor.dtype),)), {name: source})
        with pytest.raises(RestoreError, match=reason):
            apply(plan, tmp_path / "other.weights.h5", to="keras-h5")
    assert not list(tmp_path.glob("*other*"))


def test_names_too_many_for_one_attribute_are_all_listed(tmp_path):
    names = [f"a_layer_with_quite_a_long_name_{i}" for i in range(3000)]
    target = Listing(tuple(Tensor(f"{name}/kernel:0", (1,), "float32") for name in names), "keras-h5")
    source = read(checkpoint(tmp_path, {name: np.full(1, i, "f4") for i, name in enumerate(names)}))
    plan = plan_of(source, target, {f"{name}/kernel:0": name for name in names})
    apply(plan, tmp_path / "new.h5", to="keras-h5")
    found = read(tmp_path / "new.h5")
    assert [tensor.name for tensor in found.tensors] == [tensor.name for tensor in target.tensors]
    assert found.values(f"{names[-1]}/kernel:0") == 2999
    assert automatch.inspect(tmp_path / "new.h5").order == "creation"


def test_a_large_tensor_is_written_piece_by_piece_even_where_its_axes_change(tmp_path):
    value = np.arange(8000 * 5000, dtype="f4").reshape(8000, 5000)
    source = read(checkpoint(tmp_path, {"w": value}))
    target = Listing((Tensor("layers/dense/vars/0", (5000, 8000), "float32"),), "keras-weights")
    plan = plan_of(source, target, {"layers/dense/vars/0": ("w", "transpose:1,0")})
    tracemalloc.start()
    apply(plan, tmp_path / "new.weights.h5", to="keras-h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.5 * value.nbytes
    np.testing.assert_array_equal(read(tmp_path / "new.weights.h5").values("layers/dense/vars/0"), value.T)
