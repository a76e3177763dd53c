"""Several who decide at one plan: nobody's decision is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from automatch.errors import PlanError, UnwritableFile
from automatch.files import locked
from automatch.plan import Plan
from automatch.review.answers import Answer
from automatch.review.session import Session
from plan_cases import doubtful, plan

# Two commands that begin when they are told to: starting Python takes longer than deciding.
_BOTH = """
import sys
from automatch.cli import main
sys.stdin.readline()
for i in range({start}, 12, 2):
    assert main(["{verb}", "p.json", f"t{{i}}"]) == 0
"""


def questions(folder: Path) -> Path:
    return plan([doubtful(f"s{i}", f"t{i}", why=f"{i}" * 3) for i in range(12)]).save(folder / "p.json")


def test_two_processes_that_decide_at_once_lose_nothing(tmp_path: Path) -> None:
    path = questions(tmp_path)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _BOTH.format(start=start, verb=verb)],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for start, verb in ((0, "accept"), (1, "reject"))
    ]
    for process in both:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait() for process in both] == [0, 0]
    assert [pair.decision for pair in Plan.load(path).pairs] == ["accept", "reject"] * 6
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.json"]


def test_a_review_refuses_to_write_over_a_decision_made_meanwhile(tmp_path: Path) -> None:
    path = questions(tmp_path)
    session = Session(path)
    base = session.data()["base"]
    Plan.load(path).decide("t1", "reject").save(path)
    with pytest.raises(PlanError, match="changed by somebody else"):
        session.save(base, [Answer("t0", "s0", "accept")])
    assert Plan.load(path).pairs[1].decision == "reject"


def test_who_waits_for_a_file_goes_on_when_it_is_free(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "p.json"):
            order.append("second")

    with locked(tmp_path / "p.json"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_who_waits_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automatch.files.SECONDS_TO_WAIT", 0.05)
    path = tmp_path / "p.json"
    with locked(path), pytest.raises(UnwritableFile, match="another process"), locked(path):
        raise AssertionError("both hold it")


def test_where_there_is_no_folder_there_is_no_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "none" / "p.json"):
        pass
