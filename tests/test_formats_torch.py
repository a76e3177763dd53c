"""PyTorch files are read without PyTorch, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from automatch.errors import UnreadableFile
from automatch.read import inert_pickle, read
from torch_files import Fake, floats, pickled, whole, write

FOREIGN = Path(__file__).parent / "files" / "foreign"
STATE = {
    "0.weight": (4, 3, 3, 3), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "1.running_mean": (4,),
    "1.running_var": (4,), "1.num_batches_tracked": (), "3.weight": (2, 4), "3.bias": (2,),
}  # fmt: skip


@pytest.mark.parametrize("file", ["training.pt", "legacy.pt", "module.pt", "script.pt"])
def test_every_kind_of_file_gives_the_names_order_and_values_of_state_dict(file):
    listing = read(FOREIGN / file)
    model = [tensor for tensor in listing.tensors if tensor.slot is None]
    assert {tensor.name: tensor.shape for tensor in model} == STATE
    assert [tensor.name for tensor in model] == list(STATE)
    assert (listing.framework, listing.order) == ("torch", "creation")
    for place, tensor in enumerate(model):
        value = listing.values(tensor.name)
        expected = np.arange(value.size).reshape(tensor.shape) + 100 * place
        np.testing.assert_array_equal(value, expected)
        assert value.dtype == tensor.dtype == ("int64" if tensor.name.endswith("tracked") else "float32")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_the_older_format_is_known_in_every_version_of_pickles(tmp_path, protocol):
    file = io.BytesIO((FOREIGN / "legacy.pt").read_bytes())
    magic, version, system = (pickle.load(file) for _ in range(3))
    path = tmp_path / "m.pt"
    path.write_bytes(
        b"".join(pickle.dumps(part, protocol) for part in (magic, version, system)) + file.read()
    )
    assert {tensor.name: tensor.shape for tensor in read(path).tensors} == STATE


def test_the_first_format_is_refused_in_words(tmp_path):
    with tarfile.open(tmp_path / "m.pt", "w:", format=tarfile.PAX_FORMAT) as archive:
        for name in ("storages", "tensors", "pickle"):
            (tmp_path / name).write_bytes(pickle.dumps(0, 2))
            archive.add(tmp_path / name, name)
    with pytest.raises(
        UnreadableFile, match=r"before 0\.1\.10\. Load it with a later PyTorch and save it again"
    ):
        read(tmp_path / "m.pt")


def test_what_the_optimizer_keeps_is_a_slot_under_its_own_path():
    slots = [tensor for tensor in read(FOREIGN / "training.pt").tensors if tensor.slot]
    assert len(slots) == 18
    assert {tensor.slot for tensor in slots} == {"step", "exp_avg", "exp_avg_sq"}
    assert slots[1].name == "optimizer.state.0.exp_avg"


def test_views_of_a_storage_have_the_values_that_they_had_in_the_program():
    listing = read(FOREIGN / "views.pt")
    table = np.arange(12.0).reshape(3, 4)
    for name, expected in {
        "output": table, "turned": table.T, "part": table[1:, 1:3], "spread": np.ones(5), "brain": table,
        "eight": table, "parameter": table, "counter": 7, "nothing": np.zeros((0, 3)),
    }.items():  # fmt: skip
        np.testing.assert_allclose(listing.values(name).astype(float), expected, rtol=0.15)
    assert {listing.by_name[name].dtype for name in ("brain", "eight")} == {"bfloat16", "float8_e5m2"}


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_of_numpy_beside_tensors_are_read(tmp_path, packing):
    arrays = {"mean": np.arange(3.0), "large": np.arange(2000, dtype="f4").reshape(40, 50)}
    entries = b"".join(pickle.dumps(part, 2)[2:-1] for item in arrays.items() for part in item)
    tree = b"\x80\x02}(" + pickled({"w": whole("0", 2)})[4:-2] + entries + b"u."
    listing = read(write(tmp_path / "m.pt", tree, {"0": floats(2)}, packing))
    assert [tensor.name for tensor in listing.tensors] == ["w", "mean", "large"]
    for name, value in arrays.items():
        np.testing.assert_array_equal(listing.values(name), value)


def test_names_of_one_tensor_are_noted():
    (note,) = read(FOREIGN / "views.pt").notes
    assert "'embedding' = 'output' = 'parameter'" in note


def test_reading_imports_no_torch():
    code = f"import sys; from automatch.read import read; read({str(FOREIGN / 'training.pt')!r})"
    code += "; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


def test_a_pickle_that_calls_the_shell_calls_nothing(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    tree = b"\x80\x02}(" + pickle.dumps("trap", 2)[2:-1] + pickle.dumps(Trap(), 2)[2:-1]
    tree += pickled({"w": whole("0", 2)})[4:-2] + b"u."
    listing = read(write(tmp_path / "trap.pt", tree, {"0": floats(2)}))
    assert [tensor.name for tensor in listing.tensors] == ["w"]
    assert list(tmp_path.iterdir()) == [tmp_path / "trap.pt"]


def test_a_wrapper_is_no_part_of_the_names_but_two_models_keep_theirs(tmp_path):
    one = {"state_dict": {"a.weight": whole("0", 2)}, "epoch": 3}
    assert read(write(tmp_path / "one.pt", one, {"0": floats(2)})).tensors[0].name == "a.weight"
    two = {"actor": {"w": whole("0", 2)}, "critic": {"w": whole("1", 2)}}
    listing = read(write(tmp_path / "two.pt", two, {"0": floats(2), "1": floats(2)}))
    assert [tensor.name for tensor in listing.tensors] == ["actor.w", "critic.w"]


def test_an_averaged_copy_belongs_to_the_variables_that_it_shadows(tmp_path):
    tree = {"model": {"a.weight": whole("0", 2)}, "model_ema": {"a.weight": whole("1", 2)}}
    listing = read(write(tmp_path / "ema.pt", tree, {"0": floats(2), "1": floats(2)}))
    model, average = listing.tensors
    assert (model.name, model.slot) == ("a.weight", None)
    assert (average.name, average.slot, average.slot_of) == ("model_ema.a.weight", "ema", "a.weight")


def test_a_packed_archive_is_read_as_well(tmp_path):
    path = write(tmp_path / "packed.pt", {"w": whole("0", 3, 4)}, {"0": floats(3, 4)}, zipfile.ZIP_DEFLATED)
    np.testing.assert_array_equal(read(path).values("w"), np.arange(12).reshape(3, 4))


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (Fake("0", 4, (3, 2), (2, 1)), "reaches beyond its storage"),
        (Fake("0", 4, (2,), (1,), offset=3), "reaches beyond its storage"),
        (Fake("0", 4, (2,), (-1,), offset=1), "reaches beyond its storage"),
        (Fake("0", 4, (10**12,), (0,)), "repeats 4 elements"),
        (Fake("0", 40, (40,), (1,)), "has only 16 bytes"),
        (Fake("missing", 4, (4,), (1,)), "damaged"),
    ],
)
def test_a_tensor_that_is_not_in_the_file_is_refused_when_it_is_read(tmp_path, tensor, reason):
    listing = read(write(tmp_path / "bad.pt", {"w": tensor}, {"0": floats(4)}))
    with pytest.raises(UnreadableFile, match=reason):
        listing.values("w")


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (b"\x80\x02" + b"]" * 9_000, "more than"),
        (b"\x80\x02}" + b")" + b"\x85" * 20_000 + b"K\x01s.", "holds no tensors"),
        (b"\x80\x02}r\xff\xff\xff\xff.", "holds no tensors"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00", "damaged"),
        (b"\x80\x04\x96\xff\xff\xff\xff\xff\xff\xff\x00", "damaged"),
        (b"\x80\x02]" + b"".join(b"q%c](h%ch%ce" % (i, i, i) for i in range(60)) + b".", "holds no tensors"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"", "damaged"),
        (b"\x80\x02}.", "holds no tensors"),
    ],
    ids=[
        "many",
        "deep-key",
        "far-memo",
        "long-bytes",
        "long-array",
        "laughs",
        "registry",
        "empty",
        "no-tensors",
    ],
)
def test_a_pickle_made_to_exhaust_the_machine_is_refused(tmp_path, monkeypatch, tree, reason):
    monkeypatch.setattr(inert_pickle, "_MOST_INSTRUCTIONS", 50_000 if reason != "more than" else 5_000)
    with pytest.raises(UnreadableFile, match=reason):
        read(write(tmp_path / "bad.pt", tree, {}, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("file", ["training.pt", "legacy.pt"])
def test_half_a_file_is_refused(tmp_path, file):
    data = (FOREIGN / file).read_bytes()
    half = tmp_path / file
    half.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableFile):
        _last_value(half)


def _last_value(path):
    listing = read(path)
    return listing.values(listing.tensors[-1].name)
