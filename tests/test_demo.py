"""The demonstration does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from automatch import demo
from automatch.errors import UnwritableFile
from automatch.plan import Plan


def test_the_demo_restores_and_checks_every_value(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "automatch", "demo", str(tmp_path / "d")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "$ automatch suggest " in done.stdout
    # All but the new head, which has another number of classes.
    assert re.search(r"restored 62 of 64 variables", done.stdout)
    assert (
        "Checked: 62 variables hold what the checkpoint holds, bit for bit; 2 are as they were."
        in done.stdout
    )
    made = Plan.load(tmp_path / "d" / demo.PLAN)
    assert [entry.target for entry in made.unmatched] == ["head/classifier/kernel", "head/classifier/bias"]


def test_the_demo_writes_over_nothing(tmp_path: Path) -> None:
    (tmp_path / demo.GRAPH).write_text("mine")
    with pytest.raises(UnwritableFile, match="is another file"):
        demo.run(tmp_path)
    assert (tmp_path / demo.GRAPH).read_text() == "mine"


def test_a_place_that_is_no_folder_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableFile, match="cannot make the folder"):
        demo.run(tmp_path / "file")


def test_the_package_carries_its_files_in_a_megabyte_and_a_half() -> None:
    folder = Path(demo.__file__).parent / "data" / "demo"
    assert {file.name for file in folder.iterdir()} == set(demo.FILES)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 1_500_000
