"""Rules in the report: changes in braces, at most a screen of them, tables by their ends."""

from __future__ import annotations

import pytest

from automatch.report.explain import explain
from automatch.report.lines import as_text
from automatch.report.notation import notation, renamed
from automatch.report.plan import next_steps, report
from plan_cases import LISTINGS, pair, plan, true_plan


def test_the_next_steps_say_where_the_names_of_a_table_are() -> None:
    made = true_plan("resnet50_tpu-tf1-autonames_to_torchvision")
    assert "automatch show p.json '#1'" in as_text(next_steps(made, "p.json"))
    assert len(list(explain(made, "#1"))) > 212


def by_rule(text: str) -> list[str]:
    """The lines of the accepted rules, without the heads."""
    return text.partition("By rule")[2].partition("\n\n")[0].splitlines()[2:]


@pytest.mark.parametrize("case", sorted(path.name.removesuffix(".json.gz") for path in LISTINGS.glob("*.gz")))
def test_the_rules_of_a_real_case_are_15_lines_at_most_and_none_is_left_out(case: str) -> None:
    made = true_plan(case)
    text = as_text(report(made))
    assert 0 < len(by_rule(text)) <= 15
    assert by_rule(as_text(report(made, most=15))) == by_rule(text)


def test_on_a_screen_the_rules_are_15_lines_at_most() -> None:
    made = plan([pair("shared", f"tower_{chr(97 + i)}/w", tied=True) for i in range(20)])
    text = as_text(report(made, most=15))
    assert len(by_rule(text)) == 15
    assert "in 6 rules more" in by_rule(text)[-1]
    rows = [int(row.split()[1]) for row in by_rule(text)]
    assert sum(rows) == len(made.accepted) == 20


def test_a_table_is_whole_in_a_pipe_and_shows_its_ends_on_a_screen() -> None:
    made = true_plan("resnet50_tpu-tf1-autonames_to_torchvision")
    short, whole = (as_text(report(made, whole=all_of_it)) for all_of_it in (False, True))
    assert (
        "conv2d(|_2|…|_52)/kernel => (conv1|layer1.0.conv1|…|layer4.2.conv3).weight   a table of 53" in short
    )
    assert all(f"|conv2d_{i}|" in whole for i in range(1, 52) if i != 1)
    assert max(map(len, short.splitlines())) < 250
    assert len(short.splitlines()) == len(whole.splitlines())


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("a/b/weights", "x/b/kernel", "{a => x}/b/{weights => kernel}"),
        ("b/w", "a/b/w", "{=> a}/b/w"),
        ("a/b/w", "b/w", "{a => }/b/w"),
        ("conv_1/w", "conv_2/w", "conv_{1 => 2}/w"),
        ("a.b", "c/d", "a.b => c/d"),
        ("same/w", "same/w", "same/w"),
    ],
)
def test_changes_alone_stand_in_braces(source: str, target: str, text: str) -> None:
    assert "".join(part for part, _ in renamed(source, target)) == text


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("h*/w", "h{*-1}/w", "h{* => *-1}/w"),
        ("a*/b*", "x{2}/y{1}", "a*1/b*2 => x*2/y*1"),
        ("l/{q|k}/w", "l/{query|key}/w", "l/{(q|k) => (query|key)}/w"),
        ("a/**", "b/**", "{a => b}/**"),
        ("{a/b|c/d}/w", "{e|f/g}/w", "{(a/b|c/d) => (e|f/g)}/w"),
        (
            "m/{conv|conv_1|conv_2|conv_3|conv_10|conv_11|conv_12}/w",
            "{a1|b2|c3|d4|e5|f6|g7}/w",
            "{m/conv(|_1-_3|_10-_12) => (a1|b2|…|g7)}/w   a table of 7",
        ),
        ("l{0|1|2|3|5|6|7}/w", "l{1|2|3|4|6|7|8}/w", "l{(0-3|5-7) => (1-4|6-8)}/w"),
        ("{a|b|c|d|e|f|g}/w", "{h|i|j|k|l|m|n}/w", "{(a|b|…|g) => (h|i|…|n)}/w   a table of 7"),
        (
            "{b/c1|b/c2|b/c3|b/c4|b/c5|b/c6|b/c77}/w",
            "{v10|v11|v12|v13|v14|v15|v16}/w",
            "{b/c(1-6|77) => v(10-16)}/w",
        ),
    ],
)
def test_rules_are_written_as_changes(source: str, target: str, text: str) -> None:
    assert "".join(part for part, _ in notation(source, target)) == text
