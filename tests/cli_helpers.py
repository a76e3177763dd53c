"""What tests of the command share: folders to work in, and two ways to run it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from automatch.cli import main
from automatch.plan import Unmatched, Unused
from plan_cases import doubtful, pair, plan

DEMO = Path(__file__).parent.parent / "automatch" / "data" / "demo"
NAME = "resnet_cifar10.ckpt"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a real checkpoint and graph, which is also the current one."""
    for file in DEMO.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan with something of everything."""
    monkeypatch.chdir(tmp_path)
    pairs = [
        pair("a/w", "x/w"),
        doubtful("a/b", "x/b"),
        doubtful("c/w", "y/w", score=0.7),
        doubtful("c/b", "y/b"),
    ]
    return plan(pairs, [Unmatched("h", (7,), "float32", "none left")], [Unused("o", "slot")]).save("p.json")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def command(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "automatch", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
