"""One question about many variables, with one answer for all: in the terminal, on the page, in the report."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from automatch.plan import Plan
from automatch.read.listing import dumps
from automatch.report.lines import as_text
from automatch.report.plan import report
from automatch.review import terminal
from automatch.suggest import suggest
from benchmarks.corpus import cases
from review_browser import cursor, decided, press, said, save, served, totals
from review_plans import doubtful, write

if TYPE_CHECKING:
    from playwright.sync_api import Page


def proposed(folder: Path, name: str) -> Path:
    """The plan for a real pair of models, on disk with its two listings."""
    (case,) = cases(only=[name])
    sides = []
    for side in ("source", "target"):
        path = folder / f"{side}.json"
        sides.append(replace(case.listing(side), path=str(path)))
        path.write_text(dumps(sides[-1]))
    return suggest(*sides).save(folder / "model.plan.json")


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A graph of one network, and a checkpoint that holds two equal ones, `teacher` and `student`."""
    return proposed(tmp_path, "hard-teacher-and-student_in-one-checkpoint")


@pytest.fixture
def crossed(tmp_path: Path) -> Path:
    """Two layers of each of two blocks in one question, each the other's runner-up."""
    pairs = []
    for block in (1, 2):
        for mine, other in (("first", "second"), ("second", "first")):
            rival = (f"s/{block}/{other}/w", f"t/{block}/{other}/w")
            pairs.append(doubtful(f"s/{block}/{mine}/w", f"t/{block}/{mine}/w", (3,), "q", rival))
    return write(tmp_path, pairs)


EXCHANGED = {
    f"t/{block}/{mine}/w": (f"s/{block}/{other}/w", "accept")
    for block in (1, 2)
    for mine, other in (("first", "second"), ("second", "first"))
}


def answer(path: Path, *keys: str) -> str:
    out = io.StringIO()
    terminal(path, lines=io.StringIO("".join(key + "\n" for key in keys)), out=out)
    return out.getvalue()


def towers(plan: Plan) -> Counter[str]:
    """How many restored variables come from each network."""
    return Counter(pair.source.partition("/")[0] for pair in plan.accepted if "/" in pair.source)


@pytest.mark.parametrize(("key", "tower"), [("y", "student"), ("1", "teacher")])
def test_one_key_in_the_terminal_takes_one_network_for_all(teacher: Path, key: str, tower: str) -> None:
    text = answer(teacher, key, "q")
    assert "1 of 1   52 variables" in text
    assert "\n  {student => net}/**\n" in text
    assert "teacher/**\nload these 52 [y,n,1,s," in text
    assert "swap" not in text
    assert towers(Plan.load(teacher)) == {tower: 52}


@pytest.mark.parametrize(("key", "tower"), [("y", "student"), ("1", "teacher")])
def test_one_key_on_the_page_takes_one_network_for_all(
    page: Page, teacher: Path, key: str, tower: str
) -> None:
    with served(teacher) as (url, _):
        page.goto(url)
        assert cursor(page).startswith("? to decide ▸ studentnet/** 52")
        instead = page.locator(".instead li").all_inner_texts()
        assert [" ".join(text.split()) for text in instead] == [
            "10.31teacher/** 52 of 52",
            "n none: leave as initialised",
        ]
        press(page, key)
        assert page.locator("#ask[open]").count() == 0
        assert totals(page) == [53, 0, 0]
        save(page)
    assert towers(Plan.load(teacher)) == {tower: 52}


def test_the_page_words_the_other_answer_as_it_did_the_first(page: Page, teacher: Path) -> None:
    with served(teacher) as (url, _):
        page.goto(url)
        press(page, "1 K")
        assert "teachernet/** 52" in cursor(page)


def test_one_variable_of_the_other_network_brings_all_of_it_when_matched_again(
    page: Page, teacher: Path
) -> None:
    with served(teacher) as (url, _):
        page.goto(url)
        press(page, "s 1 r")
        assert said(page, "Matched again").startswith("Matched again: 51 variables moved")
        press(page, "Y")
        assert totals(page) == [53, 0, 0]
        save(page)
    assert towers(Plan.load(teacher)) == {"teacher": 52}


def test_the_report_names_the_other_network_once_for_all(teacher: Path) -> None:
    text = as_text(report(Plan.load(teacher)))
    assert "{student => net}/**\n" in text
    assert "or 0.31  {teacher => net}/** for all 52\n" in text
    assert text.count("teacher => net") == 1


def test_what_changes_places_within_a_question_is_one_answer_in_the_terminal(crossed: Path) -> None:
    text = answer(crossed, "1", "u", "1", "q")
    assert "\n  1  0.70  s/*/{first <=> second}/w\nload these 4 [y,n,1,s," in text
    assert "swap" not in text
    assert decided(crossed) == EXCHANGED


def test_what_changes_places_within_a_question_is_one_answer_on_the_page(page: Page, crossed: Path) -> None:
    with served(crossed) as (url, _):
        page.goto(url)
        assert page.locator(".instead .name").all_inner_texts() == ["s/*/{first <=> second}/w"]
        press(page, "1")
        assert page.locator("#ask[open]").count() == 0
        save(page)
    assert decided(crossed) == EXCHANGED


def test_the_report_says_once_what_would_change_places(crossed: Path) -> None:
    text = as_text(report(Plan.load(crossed)))
    assert "or 0.70  s/*/{first <=> second}/w for all 4\n" in text
    assert text.count("<=>") == 1


def test_a_chain_of_runners_up_is_no_exchange(tmp_path: Path) -> None:
    """Each may take what the next has; the last has nobody to take from."""
    pairs = [doubtful(f"s/{i}/w", f"t/{i}/w", (3,), "q", (f"s/{i + 1}/w", f"t/{i + 1}/w")) for i in (1, 2, 3)]
    path = write(tmp_path, pairs, unused=[("s/4/w", (3,))])
    text = answer(path, "1", "q")
    assert "<=>" not in text
    assert {target: source for target, (source, _) in decided(path).items()} == {
        "t/1/w": "s/2/w", "t/2/w": "s/3/w", "t/3/w": "s/4/w",
    }  # fmt: skip


def test_a_question_of_several_rules_is_told_rule_by_rule(tmp_path: Path) -> None:
    path = proposed(tmp_path, "inception-v3_tf-slim_to_keras")
    rules = {f"#{pair.rule}" for pair in Plan.load(path).undecided}
    told = answer(path, "q").split("nothing tells")[0].split("margin")[1].splitlines()[1:]
    assert len([line for line in told if " => " in line]) == len(rules) == 4
    assert all("InceptionV3/Mixed_7b/Branch_1/Conv2d_0b_" in line for line in told if line.strip())
