"""A real Chromium for the tests of the review page, and the server run as a user runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from automatch.plan import Plan, Unmatched
from review_plans import doubtful, pair, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOW_TO_GET_IT = "Chromium is missing: apt-get install -y chromium   (and: pip install playwright)"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox, as containers give none; nothing in the background, so that every request is the page's own.
_OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Fails, and says how to get it, where there is none."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    assert path, HOW_TO_GET_IT
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise AssertionError(HOW_TO_GET_IT) from error
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_OPTIONS)
        yield browser
        browser.close()


@contextmanager
def served(plan_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of the review of a plan, and the process that serves it."""
    command = [sys.executable, "-m", "automatch", "review", str(plan_path), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        try:
            yield line.split(" at ")[-1].strip(), process
        finally:
            process.terminate()


def press(page: Page, keys: str) -> None:
    """Presses one key after the other."""
    for key in keys.split():
        page.keyboard.press({"space": " "}.get(key, key))


def said(page: Page, words: str) -> str:
    """What the page says at its foot, once these words are in it."""
    page.wait_for_selector(f"#message:has-text('{words}')", timeout=20_000)
    return page.inner_text("#message")


def cursor(page: Page) -> str:
    """The row under the cursor, as one line."""
    return " ".join(page.inner_text(".row.cursor").split())


def totals(page: Page) -> list[int]:
    """Restored, to decide, as initialised: the numbers at the head of the page."""
    return [
        int(text.split()[-1].replace(",", "")) for text in page.locator("#totals .total b").all_inner_texts()
    ]


def decided(path: Path) -> dict[str, tuple[str, str]]:
    return {p.target: (p.source, p.decision) for p in Plan.load(path).pairs if p.by == "person"}


def save(page: Page) -> None:
    press(page, "w")
    said(page, "Saved")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which any error or refused resource fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 760})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    # A refused save is an answer, not a fault: the page says it in words.
    expected = re.compile("409|REFUSED")
    page.on("console", lambda line: None if expected.search(line.text) else wrong.append(line.text))
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def towers(tmp_path: Path) -> Path:
    """Two towers that nothing tells apart, each the other's runner-up, and one variable beside them."""
    pairs = [pair("s/first", "t/first", (9,)), pair("s/second", "t/second", (8,), score=0.85)]
    for mine, other in (("a", "b"), ("b", "a")):
        for i in (1, 2):
            rival = (f"s/{other}/{i}", f"t/{other}/{i}")
            pairs.append(doubtful(f"s/{mine}/{i}", f"t/{mine}/{i}", (3,), f"tower {mine}", rival))
    pairs.append(doubtful("s/last", "t/last", (4,), "", ("s/spare", ""), score=0.5))
    empty = [Unmatched("t/head", (4, 4), "float32", "no tensor has this shape")]
    return write(tmp_path, pairs, unmatched=empty, unused=[("s/spare", (4,)), ("s/Momentum", (9,))])


@pytest.fixture
def review(page: Page, towers: Path) -> Iterator[Page]:
    """The page of the towers, served."""
    with served(towers) as (url, _):
        page.goto(url)
        yield page
