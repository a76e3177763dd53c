"""What the review page shows, in a real Chromium: filter, reasons, trees, parameters, scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from automatch.plan import Plan, Unmatched
from review_browser import cursor, press, save, served, totals
from review_plans import doubtful, encoder, pair, write

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("is:undecided", 5),
        ("is:unmatched", 1),
        ("score<0.6", 1),
        ("score>=0.8 score<0.9", 1),
        ("-t/a is:undecided", 3),
        ("f32[4,4]", 1),
        ("by:person", 0),
        ("nothing-like-it", 0),
    ],
)
def test_the_filter_understands(review: Page, words: str, left: int) -> None:
    press(review, "/")
    review.keyboard.type(words)
    assert review.inner_text("#shown") == f"{left} of 8 variables"


def test_letters_in_the_filter_decide_nothing(review: Page) -> None:
    press(review, "/")
    review.keyboard.type("yn1sq")
    press(review, "Escape")
    assert totals(review) == [2, 5, 1]
    assert review.input_value("#filter") == ""


def test_the_pane_says_why_in_parts_that_add_up(review: Page) -> None:
    parts = [
        float(text.replace("\u2212", "-")) for text in review.locator(".evidence .value").all_inner_texts()
    ]
    assert len(parts) == 4
    assert sum(parts) == pytest.approx(0.79)
    pane = review.inner_text("#detail")
    for words in ("Nothing but the neighbours tells these apart.", "s/spare", "none: leave as initialised"):
        assert words in pane
    press(review, "j")
    beside = review.locator("#detail .beside").all_inner_texts()
    assert any("t/b/1" in text and "s/b/1" in text for text in beside)


def test_trees_stand_side_by_side_with_lines_for_the_selection_only(page: Page, tmp_path: Path) -> None:
    with served(encoder(tmp_path)) as (url, _):
        page.goto(url)
        press(page, "t")
        assert page.get_attribute("#tabs [aria-selected=true]", "aria-selected") == "true"
        assert "layer_*" in page.inner_text("#tree-source")
        assert "block*" in page.inner_text("#tree-target")
        lines = page.locator(".lines path").count()
        press(page, "J J")
        assert lines != page.locator(".lines path").count()
        press(page, "x")
        assert page.locator("#tree-source .cursor").count() == 1
        press(page, "Tab")
        assert page.locator("#tree-target .cursor").count() == 1
        press(page, "Tab Tab")
        assert page.evaluate("document.activeElement.closest('#view')") is None


def test_a_scope_is_decided_in_the_tree(page: Page, tmp_path: Path) -> None:
    path = encoder(tmp_path)
    with served(path) as (url, _):
        page.goto(url)
        press(page, "t")
        while "tower" not in cursor(page).split():
            press(page, "J")
        press(page, "y")
        assert totals(page) == [294, 0, 6]
        save(page)
    assert Plan.load(path).counts.accepted == 294


def test_the_parameters_of_both_sides_show_what_is_not_restored(page: Page, tmp_path: Path) -> None:
    pairs = [pair("s/a", "t/a", (10, 10)), doubtful("s/b", "t/b", (10, 20), "q")]
    empty = [Unmatched("t/c", (10, 70), "float32", "no tensor has this shape")]
    with served(write(tmp_path, pairs, unmatched=empty, unused=[("s/d", (100,))])) as (url, _):
        page.goto(url)
        press(page, "t t")
        assert "70.0% stay as initialised, ? 20.0% to decide" in page.inner_text("#caption-target")
        assert "25.0% not used" in page.inner_text("#caption-source")
        widths = {
            cell.inner_text(): (cell.bounding_box() or {"width": 0})["width"]
            for cell in page.locator("#map-target .cell").all()
        }
        assert widths["c"] == pytest.approx(7 * widths["a"], rel=0.05)
        assert page.locator("#map-target .cell.none").count() == 1
        assert "10.0% of 1.00k parameters restored" in page.inner_text("#totals")


def test_the_histogram_filters_by_score(review: Page) -> None:
    assert review.locator(".bins .edge").get_attribute("style") == "left: 80%;"
    review.locator(".bin").nth(10).click()
    assert review.input_value("#filter") == "score>=0.50 score<0.55"
    assert review.inner_text("#shown") == "1 of 8 variables"
