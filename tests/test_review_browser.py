"""The review page in a real Chromium, by keyboard alone: decisions, and what becomes of them."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from automatch.plan import Plan, Unmatched
from automatch.review import write_report
from review_browser import cursor, decided, press, said, save, served, totals
from review_plans import doubtful, encoder, pair, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_three_questions_about_300_variables_take_five_keys(page: Page, tmp_path: Path) -> None:
    path = encoder(tmp_path)
    with served(path) as (url, process):
        page.goto(url)
        assert totals(page) == [269, 25, 6]
        press(page, "y y n q")
        page.wait_for_selector(".gone")
        assert process.wait(10) == 0
        assert process.stdout
        told = process.stdout.read().splitlines()
    figures = "282 to restore, 0 left to decide, 18 stay as initialised."
    assert told[-2:] == [f"Saved model.plan.json: {figures}", f"{path}: {figures}"]
    assert Plan.load(path).counts.undecided == 0
    assert sum(state == "reject" for _, state in decided(path).values()) == 12


def test_the_most_doubtful_question_is_under_the_cursor_and_answering_goes_on(review: Page) -> None:
    assert cursor(review).startswith("? to decide st/last")
    press(review, "y")
    assert cursor(review).startswith("? to decide")
    assert totals(review) == [3, 4, 1]
    assert said(review, "1 variable accepted.") == "1 variable accepted. u takes it back."


def test_accept_reject_and_save(review: Page, towers: Path) -> None:
    press(review, "y n")
    save(review)
    assert decided(towers) == {
        "t/last": ("s/last", "accept"), "t/a/1": ("s/a/1", "reject"), "t/a/2": ("s/a/2", "reject"),
    }  # fmt: skip
    assert review.inner_text("#actions").startswith("Match the rest again r\nSaved")


def test_space_accepts_what_is_open_and_only_walks_where_nothing_is(review: Page) -> None:
    press(review, "space")
    assert totals(review)[0] == 3
    press(review, "K")
    before = totals(review)
    press(review, "space")
    assert totals(review) == before
    assert "to decide" in cursor(review)


def test_the_plan_on_disk_changes_at_save_only(review: Page, towers: Path) -> None:
    before = towers.read_bytes()
    press(review, "y n u U 1")
    assert towers.read_bytes() == before
    assert review.title().startswith("•")


def test_an_alternative_nobody_has_is_taken_at_once(review: Page, towers: Path) -> None:
    press(review, "1")
    save(review)
    assert decided(towers) == {"t/last": ("s/spare", "accept")}
    assert [entry.source for entry in Plan.load(towers).unused] == ["s/Momentum", "s/last"]


def test_an_alternative_somebody_has_asks_and_swaps_for_the_whole_group(review: Page, towers: Path) -> None:
    press(review, "j 1")
    assert review.inner_text("#ask h2") == "SWAP?"
    assert "taken by t/b/1" in " ".join(review.inner_text("#ask").split())
    press(review, "y")
    save(review)
    assert {target: source for target, (source, _) in decided(towers).items()} == {
        "t/a/1": "s/b/1", "t/a/2": "s/b/2", "t/b/1": "s/a/1", "t/b/2": "s/a/2",
    }  # fmt: skip


def test_a_swap_can_be_declined_or_left(review: Page, towers: Path) -> None:
    press(review, "j 1 Escape")
    assert totals(review) == [2, 5, 1]
    press(review, "1 n")
    assert totals(review) == [4, 1, 3]
    save(review)
    assert sorted(entry.target for entry in Plan.load(towers).unmatched) == ["t/b/1", "t/b/2", "t/head"]


def test_a_split_group_is_answered_one_by_one(review: Page, towers: Path) -> None:
    press(review, "j s y n")
    save(review)
    assert decided(towers) == {"t/a/1": ("s/a/1", "accept"), "t/a/2": ("s/a/2", "reject")}


def test_undo_has_no_end_and_can_be_undone(review: Page) -> None:
    start = totals(review)
    press(review, "y n 1 y")
    end = totals(review)
    press(review, "u u u")
    assert totals(review) == start
    press(review, "u")
    assert said(review, "nothing to take back")
    press(review, "U U U")
    assert totals(review) == end


def test_bulk_decisions_obey_the_filter(review: Page, towers: Path) -> None:
    press(review, "/")
    review.keyboard.type("t/b")
    press(review, "Enter Y Escape")
    save(review)
    assert decided(towers) == {"t/b/1": ("s/b/1", "accept"), "t/b/2": ("s/b/2", "accept")}


def test_a_group_under_a_filter_is_decided_for_what_is_seen_of_it(review: Page, towers: Path) -> None:
    press(review, "/")
    review.keyboard.type("t/a/2")
    press(review, "Enter")
    assert "1 of 2" in cursor(review)
    press(review, "y")
    save(review)
    assert decided(towers) == {"t/a/2": ("s/a/2", "accept")}


def test_j_and_k_stop_at_what_is_open_and_capitals_everywhere(review: Page) -> None:
    press(review, "y k")
    assert "t/b/*" in cursor(review)
    press(review, "j")
    assert "t/a/*" in cursor(review)
    press(review, "K")
    assert "t/last" in cursor(review)
    press(review, "J J J")
    assert "t/head" in cursor(review)
    press(review, "ArrowDown")
    assert "t/first" in cursor(review) or "t/second" in cursor(review)


def test_a_variable_without_counterpart_can_be_given_an_unused_tensor(page: Page, tmp_path: Path) -> None:
    empty = [Unmatched("t/head", (4, 4), "float32", "somebody took it out")]
    path = write(
        tmp_path, [pair("s", "t", (3,))], unmatched=empty, unused=[("s/head", (4, 4)), ("s/no", (5,))]
    )
    with served(path) as (url, _):
        page.goto(url)
        assert page.locator(".instead kbd").all_inner_texts() == ["1"]
        press(page, "1")
        save(page)
    assert decided(path) == {"t/head": ("s/head", "accept")}


def test_matched_again_the_decisions_stand_and_the_page_shows_what_moved(page: Page, tmp_path: Path) -> None:
    pairs = [doubtful("s/alpha", "t/beta", (3,), "q"), doubtful("s/beta", "t/alpha", (3,), "r")]
    empty = [Unmatched("u/kernel", (5, 5), "float32", "somebody took it out")]
    path = write(tmp_path, pairs, unmatched=empty, unused=[("u/kernel", (5, 5))])
    with served(path) as (url, _):
        page.goto(url)
        before = path.read_bytes()
        press(page, "y y r")
        assert said(page, "Matched again") == "Matched again: 1 variable moved (↻). u takes it back."
        assert totals(page)[0] == 3
        press(page, "/")
        page.keyboard.type("is:moved")
        press(page, "Enter")
        assert page.inner_text("#shown") == "1 of 3 variables"
        assert path.read_bytes() == before
        press(page, "Escape u")
        assert totals(page) == [2, 0, 1]
        press(page, "r")
        said(page, "Matched again")
        save(page)
    plan = Plan.load(path)
    assert {p.target: p.source for p in plan.accepted} == {
        "t/beta": "s/alpha", "t/alpha": "s/beta", "u/kernel": "u/kernel",
    }  # fmt: skip


def test_the_keys_are_told_and_every_one_does_something(review: Page) -> None:
    press(review, "?")
    for words in ("split", "take back", "match the rest again", "save the plan"):
        assert words in review.inner_text("#sheet")
    press(review, "Escape")
    assert review.locator("#sheet[open]").count() == 0
    press(review, "o O o s h l t j J y n u U t j J K h l Enter n y x t x j y u t / Escape c 9 ?")
    assert review.inner_text("#sheet h2") == "KEYS"


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_pressed_the_file_and_the_server_write_the_same_plan(
    browser: Browser, page: Page, towers: Path, tmp_path: Path, seed: int
) -> None:
    keys = random.Random(seed).choices([*"ynsuUjkJKotxhlYN1123", "Escape", "space"], k=60)
    write_report(Plan.load(towers), tmp_path / "report.html", plan_path=towers)
    report = browser.new_page()
    report.goto(f"file://{tmp_path}/report.html")
    press(report, " ".join(keys) + " Escape Escape")
    with report.expect_download() as download:
        press(report, "w")
    download.value.save_as(tmp_path / "down.json")
    report.close()
    with served(towers) as (url, _):
        page.goto(url)
        press(page, " ".join(keys) + " Escape Escape")
        save(page)
    assert (tmp_path / "down.json").read_text() == towers.read_text()
    assert Plan.load(towers).target.tensors == 8


def test_ctrl_c_in_the_terminal_ends_it_and_says_what_was_saved(page: Page, towers: Path) -> None:
    with served(towers) as (url, process):
        page.goto(url)
        press(page, "y")
        save(page)
        press(page, "y")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stdout
        last = process.stdout.read().splitlines()[-1]
    assert last == f"{towers}: 3 to restore, 4 left to decide, 1 stay as initialised."


def test_a_plan_changed_by_somebody_else_is_kept_and_said(review: Page, towers: Path) -> None:
    press(review, "y")
    Plan.load(towers).decide("t/last", "reject").save(towers)
    theirs = towers.read_bytes()
    press(review, "w")
    review.wait_for_selector("#message.bad")
    assert "changed by somebody else" in review.inner_text("#message")
    assert towers.read_bytes() == theirs
    review.once("dialog", lambda dialog: dialog.accept())
    review.reload()
    assert totals(review) == [2, 4, 2]


def test_when_the_server_is_gone_the_decisions_can_still_be_kept(
    page: Page, towers: Path, tmp_path: Path
) -> None:
    with served(towers) as (url, process):
        page.goto(url)
        press(page, "y")
        process.terminate()
        process.wait()
        press(page, "w")
        page.wait_for_selector("#message.bad")
        with page.expect_download() as download:
            press(page, "w")
    download.value.save_as(tmp_path / "kept.json")
    assert decided(tmp_path / "kept.json") == {"t/last": ("s/last", "accept")}
