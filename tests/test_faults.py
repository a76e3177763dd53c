"""Killed processes, full disks, read-only folders, several writers: the old file or the new one, whole."""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from automatch.plan import Plan
from automatch.read import read
from automatch.read.listing import dumps
from automatch.tensor import Listing, Tensor
from plan_cases import pair, plan
from restore_helpers import checkpoint, plan_of, random_values

COUNT = 20
OLD, NEW = np.zeros(3, np.float32), random_values({f"a/{i}": (50, 60) for i in range(COUNT)})


def automatch(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "automatch", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture
def turning(tmp_path: Path) -> Path:
    """A plan for a checkpoint of 240 kB, every second tensor of which is transposed."""
    source = read(checkpoint(tmp_path, NEW))
    shapes = [(60, 50) if i % 2 else (50, 60) for i in range(COUNT)]
    target = Listing(tuple(Tensor(f"b/{i}", shape, "float32") for i, shape in enumerate(shapes)))
    how = {f"b/{i}": (f"a/{i}", "transpose:1,0" if i % 2 else "identity") for i in range(COUNT)}
    return plan_of(source, target, how).save(tmp_path / "p.json")


def state(prefix: Path) -> str:
    """Which checkpoint stands there; every value of it is read and compared."""
    listing = read(prefix)
    assert listing.values is not None
    if set(listing.by_name) == {"x"}:
        np.testing.assert_array_equal(listing.values("x"), OLD)
        return "old"
    for i in range(COUNT):
        value = NEW[f"a/{i}"]
        np.testing.assert_array_equal(listing.values(f"b/{i}"), value.T if i % 2 else value)
    return "new"


# A process kills itself at its first, second, third … call of the operating system for the new checkpoint;
# random moments would mostly fall between two of them. Prints what became of each.
DYING = """
import os, signal, sys
from automatch.rewrite import apply
def kill_at(step):
    def hook(event, arguments):
        nonlocal step
        if event in ("open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir"):
            step -= "new.ckpt" in repr(arguments[:2])
            if step < 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
for step, out in enumerate(sys.argv[2:]):
    if not (child := os.fork()):
        kill_at(step)
        apply(sys.argv[1], out, force=True)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""


def test_apply_killed_at_any_step_leaves_the_old_checkpoint_or_the_new_one(
    turning: Path, tmp_path: Path
) -> None:
    checkpoint(tmp_path, {"x": OLD}, "new.ckpt")
    outs = [tmp_path / str(step) / "new.ckpt" for step in range(30)]
    for out in outs:
        out.parent.mkdir()
        for file in tmp_path.glob("new.ckpt*"):
            shutil.copy(file, out.parent)
    line = [sys.executable, "-c", DYING, str(turning), *map(str, outs)]
    codes = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
    assert set(codes) == {"9", "0"}
    found = [state(out) for out in outs]
    assert found[0] == "old"
    assert found == sorted(found, reverse=True), "once the new one is there, it stays"
    assert sum(code == "9" and was == "new" for code, was in zip(codes, found, strict=True)) > 1
    assert sum(was == "old" for was in found) > 3


# Several processes write to the same place at once, over and over. Prints how many of each time ended well.
TOGETHER = """
import os, sys
from automatch.errors import UnwritableFile
from automatch.rewrite import apply
for out in sys.argv[3:]:
    ready, go = os.pipe()
    children = []
    for _ in range(3):
        if not (child := os.fork()):
            os.close(go)
            os.read(ready, 1)
            try:
                apply(sys.argv[1], out, force=sys.argv[2] == "force")
            except UnwritableFile:
                os._exit(1)
            os._exit(0)
        children.append(child)
    os.close(go)
    print(sum(os.waitpid(child, 0)[1] == 0 for child in children))
"""


@pytest.mark.parametrize("force", [False, True], ids=["", "force"])
@pytest.mark.parametrize("turned", [True, False], ids=["changed values", "names alone"])
def test_several_that_write_one_checkpoint_at_once_leave_one_that_is_whole(
    turning: Path, tmp_path: Path, force: bool, turned: bool
) -> None:
    given = Plan.load(turning)
    if not turned:
        given = given.decide([f"b/{i}" for i in range(1, COUNT, 2)], "reject")
        given.save(turning)
    outs = [tmp_path / str(number) / "new.ckpt" for number in range(20)]
    for out in outs:
        out.parent.mkdir()
    line = [sys.executable, "-c", TOGETHER, str(turning), "force" if force else "", *map(str, outs)]
    counts = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
    assert set(counts) == {"3" if force else "1"}
    for out in outs:
        listing = read(out)
        assert listing.values is not None
        for entry in given.accepted:
            value = NEW[entry.source]
            np.testing.assert_array_equal(
                listing.values(entry.target), value if entry.transform == "identity" else value.T
            )
        shards = {path.name for path in out.parent.iterdir()} - {"new.ckpt.index"}
        assert len({name.rpartition("-")[2] for name in shards}) == 1, "one checkpoint's alone"


# The command, which is sent a signal whenever it opens something in its temporary folder, to clean up too.
ENDED = """
import os, signal, sys
from automatch.cli import main
def hook(event, arguments):
    if event == "open" and ".new.ckpt." in repr(arguments[0]):
        os.kill(os.getpid(), signal.Signals[sys.argv[1]])
sys.addaudithook(hook)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_that_ends_the_command_leaves_nothing_half_done(
    turning: Path, tmp_path: Path, name: str, code: int
) -> None:
    out = checkpoint(tmp_path, {"x": OLD}, "new.ckpt")
    before = listed(tmp_path)
    line = [sys.executable, "-c", ENDED, name, "apply", str(turning), "-o", out, "--force"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
    assert listed(tmp_path) == before


def test_under_nohup_the_command_goes_on_when_the_terminal_goes(turning: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-c", ENDED, "SIGHUP", "apply", str(turning), "-o", str(tmp_path / "new.ckpt")]
    done = subprocess.run(["nohup", *line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert state(tmp_path / "new.ckpt") == "new"


def test_several_writers_of_one_plan_do_not_mix(tmp_path: Path) -> None:
    plans = [plan([pair(f"a/{i}", f"{writer}/{i}") for i in range(300)]) for writer in range(4)]
    paths = [made.save(tmp_path / f"{i}.json") for i, made in enumerate(plans)]
    program = (
        "import sys; from automatch import Plan; plan = Plan.load(sys.argv[1])\n"
        "for _ in range(50): plan.save(sys.argv[2])"
    )
    line = [sys.executable, "-c", program]
    place = plans[0].save(tmp_path / "p.json")
    writers = [subprocess.Popen([*line, str(path), str(place)]) for path in paths]
    whole = {path.read_bytes() for path in paths}
    while any(writer.poll() is None for writer in writers):
        assert place.read_bytes() in whole
    assert [writer.returncode for writer in writers] == [0] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(path.name for path in paths), "p.json"]


def test_what_killed_writers_have_left_goes_with_the_next_that_ends_well(
    turning: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new.ckpt"
    line = [sys.executable, "-c", DYING, str(turning)]
    subprocess.run([*line, *[str(out)] * 8], check=True, capture_output=True)
    left = sorted(tmp_path.glob(".new.ckpt.*.tmp"))
    assert len(left) > 3
    foreign = [
        tmp_path / name for name in (".new.ckpt.tmp", ".new.ckpt.0123456789ab.tmp2", ".x.0123456789ab.tmp")
    ]
    for path in foreign:
        path.mkdir()
    kept, young, *stale = left
    for path in (kept, *stale, *foreign):
        os.utime(path, (0, 0))
    handle = os.open(kept, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert automatch("apply", turning, "-o", out, "--force").returncode == 0
    assert sorted(tmp_path.glob(".*")) == sorted([kept, young, *foreign])
    os.close(handle)
    assert automatch("apply", turning, "-o", out, "--force").returncode == 0
    assert sorted(tmp_path.glob(".*")) == sorted([young, *foreign])


def test_a_plan_that_was_killed_while_it_was_saved_leaves_nothing_for_long(tmp_path: Path) -> None:
    place = plan([pair("a", "b")]).save(tmp_path / "p.json")
    program = (
        "import os, signal, sys; from automatch import Plan; plan = Plan.load(sys.argv[1])\n"
        "sys.addaudithook(lambda event, _: event == 'os.rename' and os.kill(os.getpid(), signal.SIGKILL))\n"
        "plan.save(sys.argv[1])"
    )
    assert subprocess.run([sys.executable, "-c", program, str(place)], check=False).returncode == -9
    (left,) = tmp_path.glob(".p.json.*.tmp")
    Plan.load(place).save(place)
    assert left.exists(), "somebody may be writing it this very moment"
    os.utime(left, (0, 0))
    Plan.load(place).save(place)
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def listed(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with what is in it, hidden ones and those below too."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def little_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))


def without_privileges() -> None:
    # Root may write into folders that nobody may write into, unless it has lost CAP_DAC_OVERRIDE for good.
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def without_any_privileges() -> None:
    # Nor does root read what nobody may read without CAP_DAC_READ_SEARCH.
    without_privileges()
    ctypes.CDLL(None).prctl(24, 2, 0, 0, 0)


VERBS = [
    ("suggest", "old.ckpt", "target.json", "-o", "out/new.json"),
    ("suggest", "old.ckpt", "target.json", "-o", "out/old.json", "--force"),
    ("accept", "p.json", "*", "-o", "out/new.json"),
    ("reject", "p.json", "b/7", "-o", "out/old.json"),
    ("export", "p.json", "--as", "json", "-o", "out/new.json"),
    ("review", "p.json", "--report", "out/page.html"),
    ("apply", "p.json", "-o", "out/new.ckpt"),
    ("apply", "p.json", "-o", "out/new.ckpt", "--copy"),
    ("apply", "p.json", "-o", "out/old.ckpt", "--force"),
    ("apply", "p.json", "-o", "out/new.safetensors", "--to", "safetensors"),
    ("apply", "p.json", "-o", "out/new.npz", "--to", "npz"),
    ("apply", "k.json", "-o", "out/new.weights.h5", "--to", "keras-h5"),
]
FAULTS = [(little_disk, "file too large"), (without_privileges, "permission denied")]


@pytest.fixture
def workplace(turning: Path, tmp_path: Path) -> Path:
    """A folder with all that the verbs read, and one below with a plan and a checkpoint to write over."""
    given = Plan.load(turning)
    targets = Listing(tuple(Tensor(entry.target, entry.shape, entry.dtype) for entry in given.pairs))
    (tmp_path / "target.json").write_text(dumps(targets))
    (tmp_path / "out").mkdir()
    given.save(tmp_path / "out" / "old.json")
    checkpoint(tmp_path / "out", {"x": OLD})
    places = {f"layers/d{i}/vars/0": f"a/{i}" for i in range(COUNT)}
    tensors = tuple(Tensor(name, (50, 60), "float32") for name in places)
    plan_of(read(tmp_path / "old.ckpt"), Listing(tensors), places).save(tmp_path / "k.json")
    return tmp_path


@pytest.mark.parametrize(("fault", "words"), FAULTS, ids=["full disk", "read-only folder"])
def test_what_cannot_be_written_is_one_line_and_leaves_everything_as_it_was(
    workplace: Path, fault: Callable[[], None], words: str
) -> None:
    if fault is without_privileges:
        (workplace / "out").chmod(0o555)
    before = listed(workplace)
    for verb in VERBS:
        done = automatch(*verb, cwd=workplace, preexec_fn=fault)
        errors = [line for line in done.stderr.splitlines() if not line.startswith("automatch: note:")]
        assert (done.returncode, len(errors)) == (1, 1), (verb, done.stderr)
        assert errors[0].startswith("automatch: error: "), verb
        assert words in errors[0], (verb, errors[0])
        assert listed(workplace) == before, verb
    (workplace / "out").chmod(0o755)


@pytest.mark.parametrize(
    "options",
    [("new.ckpt",), ("new.ckpt", "--copy"), ("new.npz", "--to", "npz"), ("new.st", "--to", "safetensors")],
    ids=" ".join,
)
def test_a_data_shard_that_may_not_be_read_is_named_rather_than_the_output(
    turning: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (shard,) = tmp_path.glob("old.ckpt.data-*")
    before = listed(tmp_path)
    shard.chmod(0)
    done = automatch("apply", turning, "-o", *options, cwd=tmp_path, preexec_fn=without_any_privileges)
    shard.chmod(0o644)
    said = f"'{shard}' cannot be opened: Permission denied. Check the path and its permissions."
    assert (done.returncode, done.stderr) == (1, f"automatch: error: {said}\n")
    assert listed(tmp_path) == before
