"""The review page as a file from disk, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from automatch.plan import Alternative, Plan, RuleRecord
from automatch.review import write_report
from automatch.review.answers import Answer, answered
from review_browser import cursor, press, said, totals
from review_plans import doubtful, encoder, pair, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test when it asks for anything but the file it was opened from."""
    page = browser.new_page(viewport={"width": 1280, "height": 760})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text))
    page.on(
        "request", lambda asked: wrong.append(asked.url) if not asked.url.endswith("report.html") else None
    )
    yield page
    page.close()
    assert [line for line in wrong if not line.startswith(("data:", "blob:"))] == []


def opened(page: Page, path: Path) -> Page:
    report = write_report(Plan.load(path), path.parent / "report.html", plan_path=path)
    page.goto(f"file://{report}")
    return page


def downloaded(page: Page, to: Path) -> Plan:
    with page.expect_download() as download:
        press(page, "w")
    assert download.value.suggested_filename == "model.plan.json"
    download.value.save_as(to)
    return Plan.load(to)


def test_it_opens_from_disk_and_asks_the_network_nothing(page: Page, tmp_path: Path) -> None:
    opened(page, encoder(tmp_path))
    assert totals(page) == [269, 25, 6]
    press(page, "t t t t ?")


def test_save_downloads_the_very_plan_that_the_command_would_have_written(page: Page, tmp_path: Path) -> None:
    path = encoder(tmp_path)
    opened(page, path)
    press(page, "y y n")
    downloaded(page, tmp_path / "down.json")
    plan = Plan.load(path)
    answers = [Answer(p.target, p.source, "reject" if p.group == "key" else "accept") for p in plan.undecided]
    assert (tmp_path / "down.json").read_text() == answered(plan, answers).to_json()


def test_a_swap_is_written_as_the_command_would_have_written_it(page: Page, tmp_path: Path) -> None:
    rules = [RuleRecord(1, "s/*", "t/*", 3)]
    pairs = [pair(f"s/{i}", f"t/{i}", (2, 3), rule=1, transform="reshape") for i in (1, 2)]
    other = Alternative("s/2", 0.5, "t/2", "reshape")
    pairs.append(doubtful("s/3", "t/3", (2, 3), "q", rule=1, alternatives=(other,), score=0.5))
    path = write(tmp_path, pairs, rules=rules)
    opened(page, path)
    press(page, "1 y")
    downloaded(page, tmp_path / "down.json")
    answers = [Answer("t/3", "s/2", "accept"), Answer("t/2", "s/3", "accept")]
    assert (tmp_path / "down.json").read_text() == answered(Plan.load(path), answers).to_json()


def test_untouched_it_downloads_the_same_bytes(page: Page, tmp_path: Path) -> None:
    path = encoder(tmp_path)
    opened(page, path)
    downloaded(page, tmp_path / "down.json")
    assert (tmp_path / "down.json").read_bytes() == path.read_bytes()


def test_it_says_that_a_file_cannot_match_again(page: Page, tmp_path: Path) -> None:
    opened(page, encoder(tmp_path))
    press(page, "r")
    assert said(page, "run") == "A report cannot match again: run 'automatch review' with the plan."


HOSTILE = {
    "</script><script>document.title='owned'</script>": "</script><script>document.title='owned'</script>",
    "<img src=x onerror=document.title='owned'>": "<img src=x onerror=document.title='owned'>",
    "enc[/]/w": "enc[/]/w",
    ":smile:/w": ":smile:/w",
    "${title}$policy": "${title}$policy",
    "a\x1b[31m/w": "a\\x1b[31m/w",
    "a/\u202egnp.exe": "a/\\u202egnp.exe",
    "שלום/w": "שלום/w",
    "__proto__/constructor": "__proto__/constructor",
    "a/&lt;b&gt;/\u2028w": "a/&lt;b&gt;/\\u2028w",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_text_in_every_view(page: Page, tmp_path: Path, name: str) -> None:
    opened(page, write(tmp_path, [doubtful(name, "t/" + name, (3,), "q"), pair("s/x", "t/x", (4,))]))
    title = page.title()
    for _ in range(4):
        assert HOSTILE[name][-4:] in page.inner_text("body")
        press(page, "t")
    assert HOSTILE[name] in page.inner_text("#detail")
    assert page.title() == title
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    press(page, "y")
    assert downloaded(page, tmp_path / "down.json").accepted[0].source == name


def test_names_run_from_left_to_right_whatever_they_hold(page: Page, tmp_path: Path) -> None:
    opened(page, write(tmp_path, [doubtful("שלום/a/1", "t/ש/2", (3,), "q")]))
    style = page.evaluate("getComputedStyle(document.querySelector('#detail bdi')).unicodeBidi")
    assert style == "isolate-override"


def test_a_page_of_ten_thousand_variables_is_drawn_in_rows_that_are_in_sight(
    page: Page, tmp_path: Path
) -> None:
    pairs = [
        pair(
            f"s/block{i // 10}/unit{i % 10}/kernel", f"t/b{i // 10}/u{i % 10}/w", (3, 3, i % 7 + 1), score=0.9
        )
        for i in range(10_000)
    ]
    pairs[77] = doubtful(pairs[77].source, pairs[77].target, pairs[77].shape or (), "q")
    opened(page, write(tmp_path, pairs))
    assert totals(page) == [9999, 1, 0]
    assert "t/b7/u7/w" in cursor(page)
    press(page, "t t t")
    assert page.locator("#view .row").count() < 60
    press(page, "j")
    assert "t/b7/u7/w" in cursor(page)
    press(page, "y")
    assert totals(page) == [10_000, 0, 0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 760), (1600, 1000)])
def test_nothing_runs_out_of_the_window(
    browser: Browser, tmp_path: Path, scheme: str, size: tuple[int, int]
) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    opened(page, encoder(tmp_path))
    for _ in range(4):
        width, height = page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert (width, height) == size
        press(page, "t")
    page.close()
