"""What crashes or hangs the library of a format ends a process of its own, and comes out as one error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from automatch.errors import UnreadableFile
from automatch.read import apart, read
from automatch.read.hdf5 import survey

PACKED = {"compression": "gzip", "chunks": (1000,)}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A file with values that lie in it as they are, values that are packed, and texts."""
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names"] = ["dense"]
        file.create_group("dense").attrs["weight_names"] = ["kernel:0"]
        file["dense/kernel:0"] = np.arange(12, dtype="f4").reshape(3, 4)
        file.create_dataset("packed", data=np.arange(9000, dtype="i8"), **PACKED)
    yield tmp_path / "m.h5"
    apart._end_all()


def processes() -> list[subprocess.Popen[bytes]]:
    return list(apart._running.values())


def test_damage_that_makes_the_library_go_round_in_circles_is_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")  # where texts of any length lie; each says how long it is
    data[heap + 16 : heap + 48] = bytes(32)
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match="m.h5' takes far longer to read than its size accounts for"):
        read(path)


def test_a_crash_amidst_an_answer_is_one_error_and_the_next_question_is_answered(path: Path) -> None:
    values = read(path).values
    assert values is not None
    (process,) = processes()
    os.kill(process.pid, signal.SIGSTOP)
    said: list[UnreadableFile] = []

    def ask() -> None:
        try:
            values("packed")
        except UnreadableFile as error:
            said.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not apart._lock.locked():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGSEGV)
    os.kill(process.pid, signal.SIGCONT)
    asking.join()
    (error,) = said
    assert "m.h5' is damaged, and crashes the library that reads its format (SIGSEGV)" in str(error)
    np.testing.assert_array_equal(values("packed"), np.arange(9000))


def test_a_process_that_has_left_for_want_of_questions_is_started_again(path: Path) -> None:
    values = read(path).values
    assert values is not None
    (process,) = processes()
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = open(os.devnull, "wb")  # noqa: SIM115, closed with the process
    assert process.wait(60) == 0
    np.testing.assert_array_equal(values("packed"), np.arange(9000))


def test_files_do_not_share_a_process_and_few_are_kept(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    for i in range(6):
        (tmp_path / f"{i}.h5").write_bytes(data)
        read(tmp_path / f"{i}.h5")
    assert len({process.pid for process in processes()}) == apart._AT_ONCE


def test_values_that_lie_as_they_are_need_no_process(path: Path) -> None:
    listing = read(path)
    apart._end_all()
    assert listing.values is not None
    np.testing.assert_array_equal(listing.values("dense/kernel:0"), np.arange(12).reshape(3, 4))
    assert not processes()


def test_a_file_cut_off_after_it_was_surveyed_is_refused(path: Path) -> None:
    file = survey(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UnreadableFile, match="ends before its values do"):
        file.value("dense/kernel:0")


def test_the_file_may_be_written_anew_while_its_listing_is_kept(path: Path) -> None:
    listing = read(path)
    assert listing.values is not None
    listing.values("packed")
    with h5py.File(path, "w") as file:
        file["other"] = [1.0]
    assert [tensor.name for tensor in read(path).tensors] == ["other"]


def test_a_fork_asks_processes_of_its_own(path: Path) -> None:
    program = (
        "import os, sys; from automatch.read import read\n"
        "values = read(sys.argv[1]).values; values('packed'); child = os.fork()\n"
        "total = values('packed').sum()\n"
        "if child: assert os.waitpid(child, 0)[1] == 0; total += values('packed').sum()\n"
        "assert total in (9000 * 8999 / 2, 9000 * 8999)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)


def test_many_threads_read_the_same_file(path: Path) -> None:
    values = read(path).values
    assert values is not None
    wrong: list[int] = []

    def ask(number: int) -> None:
        name, total = ("packed", 9000 * 8999 / 2) if number % 2 else ("dense/kernel:0", 66)
        if values(name).sum() != total:
            wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "values",
    [
        np.array([True, False]),
        np.ones((2, 2), "c8"),
        np.arange(3, dtype=">i2"),
        np.zeros((0, 3)),
        np.float64(3.5),
        np.ones(3, "f2"),
    ],
    ids=str,
)
@pytest.mark.parametrize("packed", [True, False])
def test_values_of_any_dtype_come_as_they_were_written(
    tmp_path: Path, values: np.ndarray, packed: bool
) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        options = {"compression": "gzip"} if packed and values.ndim and values.size else {}
        file.create_dataset("x", data=values, **options)
        file.create_dataset("unwritten", (7,), "f4")
    read_value = read(tmp_path / "m.h5").values
    assert read_value is not None
    np.testing.assert_array_equal(read_value("x"), values)
    assert read_value("x").dtype == values.dtype
    np.testing.assert_array_equal(read_value("unwritten"), np.zeros(7, np.float32))
