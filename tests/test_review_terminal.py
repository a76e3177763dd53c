"""The review in the terminal: one line an answer, the same keys as on the page."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from automatch.plan import Plan
from automatch.review import terminal
from review_plans import doubtful, encoder, pair, write


def answer(path: Path, *keys: str) -> tuple[Plan, str]:
    """The plan on disk and all that was shown after these answers."""
    out = io.StringIO()
    terminal(path, lines=io.StringIO("".join(key + "\n" for key in keys)), out=out)
    return Plan.load(path), out.getvalue()


def decisions(plan: Plan) -> dict[str, tuple[str, str]]:
    return {p.target: (p.source, p.decision) for p in plan.pairs if p.by == "person"}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two towers that nothing tells apart, each the other's runner-up, and one variable beside them."""
    pairs = [pair("s/first", "t/first", (9,))]
    for mine, other in (("a", "b"), ("b", "a")):
        for i in (1, 2):
            rival = (f"s/{other}/{i}", f"t/{other}/{i}")
            pairs.append(doubtful(f"s/{mine}/{i}", f"t/{mine}/{i}", (3,), f"tower {mine}", rival))
    pairs.append(doubtful("s/last", "t/last", (4,), "", ("s/spare", ""), score=0.5))
    return write(tmp_path, pairs, unused=[("s/spare", (4,))])


def test_three_keys_decide_twenty_five_variables(tmp_path: Path) -> None:
    plan, text = answer(encoder(tmp_path), "y", "y", "n", "q")
    assert plan.counts.undecided == 0
    assert sum(state == ("reject") for _, state in decisions(plan).values()) == 12
    assert text.splitlines()[-1].endswith("282 to restore, 0 left to decide, 18 stay as initialised.")


def test_each_question_says_what_why_and_what_else(two: Path) -> None:
    _, text = answer(two, "q")
    assert "1 of 3   1 variable   0.50, margin 0.09" in text
    assert "  {s => t}/last\n  Nothing but the neighbours tells these apart.\n  1  0.70  s/spare\n" in text
    assert "load this one [y,n,1,u,j,k,J,K,/,r,w,q,?]? " in text


def test_the_end_of_the_input_keeps_what_was_decided(two: Path) -> None:
    plan, _ = answer(two, "y")
    assert decisions(plan) == {"t/last": ("s/last", "accept")}


def test_a_space_accepts(two: Path) -> None:
    assert decisions(answer(two, " ", "q")[0]) == {"t/last": ("s/last", "accept")}


def test_an_alternative_is_taken_by_its_number(two: Path) -> None:
    plan, _ = answer(two, "1", "q")
    assert decisions(plan) == {"t/last": ("s/spare", "accept")}
    assert [entry.source for entry in plan.unused] == ["s/last"]


def test_taking_what_another_has_asks_and_swaps_the_whole_group(two: Path) -> None:
    plan, text = answer(two, "J", "1", "y", "q")
    assert "t/b/1 has it and 1 more like it. y: swap, so that it gets s/a/1" in text
    assert {t: s for t, (s, _) in decisions(plan).items()} == {
        "t/a/1": "s/b/1", "t/a/2": "s/b/2", "t/b/1": "s/a/1", "t/b/2": "s/a/2",
    }  # fmt: skip


def test_an_alternative_that_few_of_a_group_have_waits_for_the_split(tmp_path: Path) -> None:
    others = {0: [("s/x", "")], 1: [], 2: []}
    pairs = [doubtful(f"s/a/{i}", f"t/a/{i}", (3,), "q", *others[i]) for i in range(3)]
    path = write(tmp_path, pairs, unused=[("s/x", (3,))])
    plan, text = answer(path, "1", "s", "1", "q")
    assert "There is no alternative 1." in text
    assert decisions(plan) == {"t/a/0": ("s/x", "accept")}


def test_taking_without_a_swap_leaves_the_other_without(two: Path) -> None:
    plan, _ = answer(two, "J", "1", "n", "q")
    assert sorted(entry.target for entry in plan.unmatched) == ["t/b/1", "t/b/2"]
    assert sorted(entry.source for entry in plan.unused) == ["s/a/1", "s/a/2", "s/spare"]


def test_any_other_answer_to_the_swap_leaves_all_as_it_is(two: Path) -> None:
    assert decisions(answer(two, "J", "1", "x", "q")[0]) == {}


def test_a_split_group_is_answered_one_by_one(two: Path) -> None:
    plan, text = answer(two, "J", "s", "y", "n", "q")
    assert decisions(plan) == {"t/a/1": ("s/a/1", "accept"), "t/a/2": ("s/a/2", "reject")}
    assert "2 of 4   1 variable" in text


def test_undo_goes_back_answer_by_answer(two: Path) -> None:
    plan, text = answer(two, "y", "y", "u", "u", "u", "n", "q")
    assert decisions(plan) == {"t/last": ("s/last", "reject")}
    assert "There is nothing to take back." in text


def test_j_and_k_go_to_what_is_open_and_capitals_to_all(two: Path) -> None:
    _, text = answer(two, "y", "j", "j", "K", "J", "K", "q")
    heads = [line.split("   ")[0] for line in text.splitlines() if " of 3   " in line]
    assert heads == ["1 of 3", "2 of 3", "3 of 3", "2 of 3", "1 of 3", "2 of 3", "1 of 3"][: len(heads)]
    assert len(heads) >= 5


def test_the_filter_bounds_what_is_decided_in_bulk(two: Path) -> None:
    plan, text = answer(two, "/t/b", "Y", "/", "q")
    assert decisions(plan) == {"t/b/1": ("s/b/1", "accept"), "t/b/2": ("s/b/2", "accept")}
    assert "2 variables accepted." in text


def test_a_filter_that_nothing_meets_is_said_and_dropped(two: Path) -> None:
    plan, text = answer(two, "/nowhere", "N", "q")
    assert "No question has 'nowhere' in a name." in text
    assert plan.counts.undecided == 0


def test_matched_again_the_decisions_stand(tmp_path: Path) -> None:
    crossed = [doubtful("s/alpha", "t/beta", (3,), "q"), doubtful("s/beta", "t/alpha", (3,), "r")]
    plan, text = answer(write(tmp_path, crossed), "y", "y", "r", "q")
    assert {p.target: (p.source, p.decision) for p in plan.pairs} == {
        "t/beta": ("s/alpha", "accept"),
        "t/alpha": ("s/beta", "accept"),
    }
    assert "0 variables have another source now" in text


def test_the_command_asks_in_the_terminal(two: Path) -> None:
    command = [sys.executable, "-m", "automatch", "review", "--terminal", str(two)]
    done = subprocess.run(command, input="y\ny\nq\n", capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(decisions(Plan.load(two))) == 3


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [doubtful("a\x1b[31m[/]", "t/\u202e:smile:\x07", (3,), "q", ("b\x9b2J", ""))],
        unused=[("b\x9b2J", (3,))],
    )
    _, text = answer(path, "q")
    assert not set(text) & {"\x1b", "\u202e", "\x07", "\x9b"}
    assert "a\\x1b[31m[/]" in text
    assert "t/\\u202e:smile:\\x07" in text


def test_a_key_that_means_nothing_is_said_and_the_question_stays(two: Path) -> None:
    plan, text = answer(two, "x", "?", "9", "", "y", "q")
    assert "'x' is no answer here. ? shows the keys." in text
    assert "There is no alternative 9." in text
    assert "split: answer for each variable by itself" in text
    assert decisions(plan) == {"t/last": ("s/last", "accept")}


def test_a_plan_without_questions_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, [pair("s", "t", (3,))])
    before = path.read_bytes()
    _, text = answer(path)
    assert text.startswith("There is nothing to decide in this plan.\n")
    assert path.read_bytes() == before
