"""The command as a process: pipes, terminals, colours, a full disk, a kill."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from automatch.cli.shared import _Bar
from automatch.plan import Plan
from cli_helpers import NAME, command


def test_a_reader_that_has_seen_enough_is_no_error(folder: Path) -> None:
    line = f"{sys.executable} -m automatch inspect {NAME} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_under_stdout_is_one_line(folder: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "automatch", "inspect", NAME],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"automatch: error: no space left on device[^\n]*\n", done.stderr)


def test_a_full_disk_under_the_output_is_one_line(folder: Path) -> None:
    done = command("suggest", NAME, NAME, "--quiet", "--force", "-o", "/dev/full")
    assert done.returncode == 1
    assert re.fullmatch(
        r"automatch: error: cannot write '/dev/full': no space left on device[^\n]*\n", done.stderr
    )


def test_tracebacks_are_for_debug(folder: Path) -> None:
    assert "Traceback" not in command("inspect", "nowhere").stderr
    assert "Traceback" in command("--debug", "inspect", "nowhere").stderr


def test_colours_obey_the_option_and_the_environment(waiting: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"}
    assert "\x1b[" not in command("show", "p.json", env=environment).stdout
    assert "\x1b[" in command("show", "p.json", "--color", "always", env=environment).stdout
    loud = command("show", "p.json", "--color", "always", env=environment | {"NO_COLOR": "1"})
    assert "\x1b[" in loud.stdout


def test_a_terminal_of_plain_letters_gets_escapes(waiting: Path) -> None:
    plain = command("show", "p.json", "x/*", "y/w", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (plain.returncode, plain.stderr) == (0, "")
    run_plan = Plan.load("p.json")
    rule = next(entry.rule for entry in run_plan.pairs if entry.target == "x/w")
    assert (
        command("show", "p.json", f"#{rule}", env=os.environ | {"PYTHONIOENCODING": "ascii"}).returncode == 0
    )


def test_a_killed_suggest_leaves_the_old_plan_or_the_new_one(folder: Path) -> None:
    line = [sys.executable, "-m", "automatch", "suggest", NAME, NAME, "-q", "-o", "p.json"]
    subprocess.run(line, capture_output=True, check=True)
    whole = {Path("p.json").read_bytes()}
    subprocess.run([*line, "--exclude", "logit/*"], capture_output=True, check=True)
    whole.add(Path("p.json").read_bytes())
    for step in range(12):
        running = subprocess.Popen(
            [*line, "--exclude", "logit/*"][: None if step % 2 else -2], stdout=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(0.05 + 0.03 * step)
        running.kill()
        running.wait()
        assert Path("p.json").read_bytes() in whole


def _all_of(master: int) -> bytes:
    """What was written to a terminal; its reading end gives an error at the end."""
    written = b""
    with contextlib.suppress(OSError):
        while more := os.read(master, 100_000):
            written += more
    return written


def test_a_bar_shows_what_takes_long_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        bar = _Bar("matching [300] variables")
        bar.show()
        bar.update(1, 2)
        bar.close()
        bar.show()
    written = _all_of(master).decode()
    assert "matching [300] variables" in written
    assert written.endswith("\x1b[2K")
