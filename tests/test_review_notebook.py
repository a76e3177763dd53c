"""Plans and listings in a notebook."""

from __future__ import annotations

import queue
import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import pytest

from automatch.plan import Plan
from automatch.review import review
from automatch.tensor import Listing, Tensor
from review_client import Client
from review_plans import doubtful, encoder, pair, write


class Shape(HTMLParser):
    """Whether tags close in the order they opened, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_a_plan_shows_totals_questions_rules_and_what_is_left(tmp_path: Path) -> None:
    shape = Shape(Plan.load(encoder(tmp_path))._repr_html_())
    assert shape.open == []
    text = re.sub(r"\s+", " ", shape.text)
    assert re.search(r"✓ 269 to restore .*\? 25 to decide .*\u2013 6 stay as initialised", text)
    assert "Nothing but the neighbours tells these apart." in text
    assert "head/**" in text
    assert "svg" in shape.tags


@pytest.mark.parametrize(
    "name", ["</td><script>x", "<img src=x onerror=x>", "a&b", "a\x1b[31m/\u202ew", '" onload="x']
)
def test_names_are_text_in_a_notebook(tmp_path: Path, name: str) -> None:
    plan = Plan.load(write(tmp_path, [doubtful(name, "t/" + name, (3,), "q"), pair("x", "y", (3,))]))
    listing = Listing((Tensor(name, (3,), "float32"),), path=name, notes=(name,))
    for html in (plan._repr_html_(), listing._repr_html_()):
        shape = Shape(html)
        assert shape.open == []
        assert not shape.tags & {"script", "img"}
        assert "onerror=x>" not in html
        assert not set(html) & {"\x1b", "\u202e"}


def test_a_listing_shows_its_scopes_and_sums() -> None:
    tensors = [
        Tensor(f"enc/layer_{i}/{leaf}", (4, 4), "float32") for i in range(3) for leaf in ("kernel", "bias")
    ]
    shape = Shape(Listing((*tensors, Tensor("step", (), "int64")), path="model.ckpt")._repr_html_())
    assert shape.open == []
    text = re.sub(r"\s+", " ", shape.text)
    for words in (
        "model.ckpt",
        "7 tensors, 97 parameters",
        "enc 6 tensors, 96 parameters",
        "step i64[]",
        "kernel f32[4,4]",
    ):
        assert words in text


def test_an_enormous_listing_stays_a_page() -> None:
    tensors = [Tensor(f"layer_{i}/part_{j}/w", (4,), "float32") for i in range(300) for j in range(100)]
    html = Listing(tuple(tensors))._repr_html_()
    assert "and 280 more" in html
    assert len(html) < 500_000


def test_an_empty_plan_and_an_empty_listing_show_something(tmp_path: Path) -> None:
    assert "0 to restore" in re.sub("<[^>]*>", "", Plan.load(write(tmp_path, []))._repr_html_())
    assert "0 tensors" in Listing(())._repr_html_()


def test_review_gives_back_the_plan_that_was_saved_and_leaves_no_file(tmp_path: Path) -> None:
    plan = Plan.load(encoder(tmp_path))
    before = set(tmp_path.rglob("*"))
    lines: queue.Queue[str] = queue.Queue()
    results: list[Plan] = []
    thread = threading.Thread(target=lambda: results.append(review(plan, open_browser=False, tell=lines.put)))
    thread.start()
    client = Client(lines.get(timeout=10).split(" at ")[-1])
    assert client.save(["tower/shift", "bert/mean", "accept"])[0] == 200
    client.ask("POST", "/done", {})
    thread.join(10)
    assert results[0].counts.undecided == plan.counts.undecided - 1
    assert set(tmp_path.rglob("*")) == before
