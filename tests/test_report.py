"""The report: sums that hold, names whole and harmless, readable on a terminal and in a pipe."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.errors import PlanConflict
from automatch.export import export
from automatch.plan import Alternative, Pair, Plan, RuleRecord, Suggestion, Unmatched, Unused
from automatch.report.explain import explain
from automatch.report.folding import fold_names
from automatch.report.lines import Line, as_text, line, shown, write
from automatch.report.listing import compare, comparison, listed, totals, tree
from automatch.report.plan import next_steps, report, summary
from automatch.rules import fold
from automatch.suggest import suggest
from automatch.tensor import Listing, Tensor
from benchmarks.corpus import cases
from plan_cases import doubtful, listing, pair, plan, true_plan

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = [
    "enc[/]/w",
    "layers[x]/w",
    ":smile:/w",
    "a\x1b[31mred",
    "b\u202egnp.exe",
    "</script>",
    "c\nd",
    "e\rf",
]


def counted(text: str) -> dict[str, tuple[int, int]]:
    """For each section of a report: the number in its head, and the sum of its lines."""
    sections: dict[str, tuple[int, int]] = {}
    for block in text.split("\n\n")[1:]:
        head, *lines = block.splitlines()
        found = re.match(r"(By rule|To decide|Rejected|No counterpart|Not used): ([\d,]+)", head)
        if found:
            rows = [re.match(r"  (?: *(?:#\d+|…)| {4}) +(\d+)  ", row) for row in lines]
            total = sum(int(row[1]) for row in rows if row)
            sections[found[1]] = (int(found[2].replace(",", "")), total)
    return sections


STEPS = st.sampled_from(["enc", "layer_1", "layer_2", "l3", "w", "b", "gamma", *HOSTILE])
NAMES = st.lists(STEPS, min_size=1, max_size=4).map("/".join)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    targets = draw(st.lists(NAMES, unique=True, max_size=14))
    sources = draw(st.lists(NAMES, unique=True, min_size=len(targets), max_size=len(targets) + 6))
    paired = draw(st.integers(0, len(targets)))
    pairs = []
    for source, target in list(zip(sources, targets, strict=False))[:paired]:
        decision = draw(st.sampled_from(["accept", "undecided", "reject"]))
        group = draw(st.sampled_from(["", "", "q1", "q2"])) if decision == "undecided" else ""
        transform = draw(st.sampled_from(["identity", "transpose:1,0"]))
        make = doubtful if decision == "undecided" else pair
        pairs.append(make(source, target, decision=decision, group=group, transform=transform))
    reasons = st.sampled_from(["no tensor left has this shape", "its shape differs from 'a/b'", "a slot"])
    unmatched = [Unmatched(name, (3,), "float32", draw(reasons)) for name in targets[paired:]]
    return plan(pairs, unmatched, [Unused(name, draw(reasons)) for name in sources[paired:]])


@settings(max_examples=150, deadline=None)
@given(plans(), st.sampled_from([None, 1, 3]))
def test_the_sums_of_any_report_hold(made: Plan, most: int | None) -> None:
    text = as_text(report(made, most=most))
    sections = counted(text)
    assert all(stated == total for stated, total in sections.values()), text
    found = re.search(r"^([\d,]+) variables?: ([^\n]*)\.$", text, re.MULTILINE)
    assert found
    parts = [int(number) for number in re.findall(r"(\d+) ", found[2] + " ")]
    assert sum(parts) == int(found[1]) == made.target.tensors
    assert sections.get("By rule", (0, 0))[0] == made.counts.accepted
    assert sections.get("No counterpart", (0, 0))[0] == made.counts.unmatched
    used = len({entry.source for entry in made.pairs})
    assert sections.get("Not used", (0, 0))[0] + used == made.source.tensors


@settings(max_examples=60, deadline=None)
@given(plans())
def test_no_report_holds_a_control_byte(made: Plan) -> None:
    text = as_text(report(made))
    assert all(character == "\n" or character.isprintable() for character in text)


def sample() -> Plan:
    pairs = [
        *(pair(f"resnet/block{i}/conv/weights", f"enc/stage{i}/conv/kernel") for i in range(1, 5)),
        doubtful("resnet/mean", "pre/shift", shape=(3,)),
        doubtful("tower_a/w", "left/w", group="towers", why="left and right could be swapped"),
        doubtful("tower_b/w", "right/w", group="towers", why="left and right could be swapped"),
        pair("resnet/fc", "head/fc", transform="transpose:1,0", decision="reject", by="person"),
    ]
    unmatched = [
        Unmatched(f"neck/p{i}/w", (7,), "float32", "no tensor left has this shape") for i in range(3)
    ]
    unused = [Unused(f"resnet/block{i}/conv/weights/Momentum", "optimizer slot") for i in range(1, 5)]
    made = plan(pairs, unmatched, unused)
    suggestion = Suggestion("neck/p0/w", ("q/w", "k/w"), "concat axis 0")
    return msgspec.structs.replace(made, suggestions=(suggestion,))


def test_the_report_says_what_a_person_needs() -> None:
    text = as_text(report(sample()))
    for part in (
        "{resnet/block* => enc/stage*}/conv/{weights => kernel}",
        "To decide: 3 variables in 2 questions, most doubtful first",
        "only shape and order speak for it",
        "or 0.41  resnet/mean_other",
        "left and right could be swapped",
        "Rejected: 1 variable stay",
        "values: transpose:1,0",
        "neck/**/w   no tensor left has this shape",
        "neck/p0/w could be made: concat axis 0 of q/w + k/w",
        "resnet/**/conv/weights/Momentum   optimizer slot",
    ):
        assert part in text, text
    assert text.count("left and right could be swapped") == 1


def test_the_last_lines_are_the_commands_to_type_next() -> None:
    text = as_text(next_steps(sample(), "my plan.json"))
    assert "automatch review 'my plan.json'" in text
    assert "decide the 3 (2 questions)" in text
    assert "Nothing has been restored." in text
    assert not as_text(next_steps(sample(), None))


def test_the_next_step_works_as_it_is_typed() -> None:
    decided = plan([pair("a/w", "x/w")])
    assert "automatch apply p.json -o OUT" in as_text(next_steps(decided, "p.json"))
    assert "automatch apply p.json --skip-undecided -o OUT" in as_text(next_steps(sample(), "p.json"))
    words = "automatch apply p.json --source CHECKPOINT -o OUT"
    assert words in as_text(next_steps(decided, "p.json", names_only=True))


@pytest.mark.parametrize(
    ("transform", "form"),
    [("identity", "var_list"), ("transpose:1,0", "saver_builder"), ("identity+cast", "json")],
)
def test_the_next_step_is_an_export_that_works(transform: str, form: str) -> None:
    made = plan([pair("a/w", "x/w", transform=transform), pair("a/b", "x/b")])
    assert f"automatch export p.json --as {form}" in as_text(next_steps(made, "p.json"))
    assert export(made, form)


def test_in_a_pipe_a_rule_is_a_line_and_nothing_is_cut() -> None:
    name = "/".join(f"a_rather_long_step_{i}" for i in range(30))
    out = io.StringIO()
    write(report(plan([pair(name, f"m/{name}x")])), file=out)
    assert any("a_rather_long_step_0" in line and "{=> x}" in line for line in out.getvalue().splitlines())
    assert "\x1b" not in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [80, 160])
def test_on_a_terminal_lines_wrap_and_nothing_is_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    name = "/".join(f"step{i}" for i in range(60))
    out = Terminal()
    write(report(plan([pair(name, f"m/{name}"), pair("b", "c")])), file=out)
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(len(line) for line in text.splitlines()) <= width
    assert name in re.sub(r"\s", "", text)


@pytest.mark.parametrize("width", [80, 160])
def test_a_real_report_fits_a_terminal_with_every_name_whole(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    made, out = true_plan("bert-base_google-tf1_to_hf-torch", doubts=3), Terminal()
    write(report(made), color=False, file=out)
    assert max(len(row) for row in out.getvalue().splitlines()) <= width
    squeezed = re.sub(r"\s", "", out.getvalue())
    assert all(re.sub(r"\s", "", str(row)) in squeezed for row in report(made))


@pytest.mark.parametrize(
    ("color", "terminal", "coloured"),
    [
        (None, False, False),
        (None, True, True),
        (False, True, False),
        (True, False, True),
    ],
)
def test_colours_come_when_they_are_wanted(
    color: bool | None, terminal: bool, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal() if terminal else io.StringIO()
    write([Line("  ", (("text", "old"),))], color=color, file=out)
    assert ("\x1b[31m" in out.getvalue()) == coloured


def test_who_wants_no_colour_gets_no_escapes_at_all() -> None:
    out = Terminal()
    write([line("head", "head"), line("a note", "dim")], color=False, file=out)
    assert out.getvalue() == "head\na note\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_no_markup(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    write([line(shown(name))], color=False, file=out)
    assert out.getvalue() == shown(name) + "\n"
    assert shown(name).isprintable()


def test_names_are_folded_by_reason_and_place() -> None:
    entries = [(f"neck/p{i}/w", "none") for i in range(3)] + [("head/b", "none"), ("step", "'x' is 3 long")]
    assert [(fold.count, fold.pattern) for fold in fold_names(entries)] == [
        (3, "neck/**/w"),
        (1, "head/b"),
        (1, "step"),
    ]


def test_what_is_not_used_is_shown_with_its_type() -> None:
    made = plan([pair("a", "b")], unused=[Unused("step", "none", (), "int64"), Unused("old/w", "none")])
    text = as_text(report(made))
    assert "step    i64[]   none" in text
    assert "old/w   none" in text
    assert "i64[]" in as_text(explain(made, "step"))


def test_why_a_pair_is_proposed_adds_up() -> None:
    text = as_text(explain(sample(), "pre/shift"))
    parts = [float(value) for value in re.findall(r"([+-]\d\.\d\d)", text)]
    score = re.search(r"score +(\d\.\d\d)", text)
    assert score
    assert sum(parts) == pytest.approx(float(score[1]))
    assert "1  0.41  resnet/mean_other" in text
    assert "n        none: leave as initialised" in text


def test_a_rule_is_explained_with_its_members_and_votes() -> None:
    made = sample()
    rule = next(entry.rule for entry in made.pairs if entry.target == "enc/stage1/conv/kernel")
    text = as_text(explain(made, f"#{rule}"))
    assert "4 variables: 4 accepted; scores 0.97 to 0.97" in text
    assert "enc/stage4/conv/kernel  <-  resnet/block4/conv/weights" in text


def test_a_variable_without_counterpart_and_an_unused_tensor_say_why() -> None:
    assert "no tensor left has this shape" in as_text(explain(sample(), "neck/p1/w"))
    assert "concat axis 0 of q/w + k/w" in as_text(explain(sample(), "neck/p0/w"))
    assert "optimizer slot" in as_text(explain(sample(), "resnet/block1/conv/weights/Momentum"))
    with pytest.raises(PlanConflict):
        list(explain(sample(), "nothing/of/this/name"))


def test_a_glob_explains_the_first_and_lists_the_rest() -> None:
    made = plan([pair(f"a{i}", f"b{i}") for i in range(9)])
    text = as_text(explain(made, "b*"))
    assert "and 4 more:" in text
    assert all(f"b{i}" in text for i in range(9))


@pytest.mark.parametrize(
    "case",
    [
        "blog-resnet-cifar_init_to_input",
        "resnet50_tf-slim-v1_to_keras",
        "bert-base-train_google-tf1_to_hf-tf",
        "bert-base_google-tf1_to_hf-torch",
        "mobilenet-v2_tf-slim_to_ssd-od-api",
        "inception-v3_tf-slim_to_keras",
        "albert-base-v2_google-tf1_to_hf-tf",
    ],
)
def test_reports_of_real_cases_read_as_they_did(case: str) -> None:
    """`GOLDEN=write pytest tests/test_report.py` writes the files anew; look at the difference."""
    sides = next(entry for entry in cases(only=[case]) if entry.name == case)
    text = as_text(report(suggest(sides.listing("source"), sides.listing("target"))))
    if os.environ.get("GOLDEN") == "write":
        (GOLDEN / f"{case}.txt").write_text(text, encoding="utf-8")
    assert text == (GOLDEN / f"{case}.txt").read_text(encoding="utf-8")
    assert len(re.findall(r"^ +#\d+", text.partition("To decide")[0], re.MULTILINE)) <= 15


def test_a_checkpoint_is_listed_as_tensorflow_lists_it() -> None:
    tensors = (
        Tensor("a/w", (3, 3, 3, 16), "float32"),
        Tensor("step", (), "int64"),
        Tensor("open", (-1, 2), "bfloat16"),
        Tensor("any", None, "string"),
    )
    found = as_text(listed(Listing(tensors))).splitlines()
    assert found == [
        "a/w (DT_FLOAT) [3,3,3,16]",
        "step (DT_INT64) []",
        "open (DT_BFLOAT16) [?,2]",
        "any (DT_STRING) <unknown>",
    ]
    assert totals(Listing(tensors)).startswith(
        "4 tensors, 433 parameters, 1.7 KiB, not counting 2 of unknown size"
    )


def test_a_tree_shows_the_sizes_of_its_scopes() -> None:
    text = as_text(tree(listing("a/b/w", "a/b/v", "a/c", "d")))
    assert text.splitlines()[0].startswith("d  DT_FLOAT [2,3]")
    assert "a/  3 tensors, 18 parameters" in text
    assert "  b/  2 tensors, 12 parameters" in text


def test_two_listings_are_compared_by_name() -> None:
    second = Listing((Tensor("a", (2, 3), "float16"), Tensor("c", (2, 3), "float32")))
    found = compare(listing("a", "b", "c"), second)
    text = as_text(comparison(found, "one", "two"))
    assert "! a (DT_FLOAT) [2,3] => (DT_HALF) [2,3]" in text
    assert "< b (DT_FLOAT) [2,3]" in text
    assert "1 the same, 1 of another shape or dtype, 1 only in one, 0 only in two" in text
    assert not found.is_same
    assert compare(second, second).is_same


def test_a_plan_prints_as_its_report() -> None:
    assert str(sample()) + "\n" == as_text(report(sample()))


def test_the_summary_is_one_line() -> None:
    assert summary(sample()) == "11 variables: 4 by rule, 3 to decide, 1 rejected, 3 without counterpart."


def test_runners_up_say_who_has_them() -> None:
    other = Alternative("c/d", 0.5, "e/f")
    made: list[Pair] = [doubtful("a", "b", alternatives=(other,))]
    assert "or 0.50  c/d, taken by e/f" in as_text(report(plan(made)))


def test_doubts_that_one_answer_settles_are_one_question() -> None:
    doubts = {"why": "student and teacher could be swapped"}
    pairs = [doubtful(f"student/l{i}/w", f"net/l{i}/w", group=f"w{i}", **doubts) for i in range(4)]
    pairs += [doubtful(f"teacher/x{i}/b", f"old/y{i}/c", group=f"w{i}", **doubts) for i in range(4)]
    labels = [("undecided", "swapped")] * 8
    rules = fold([(entry.source, entry.target) for entry in pairs], labels=labels)
    assert len(rules) == 2
    numbered = {member: number for number, rule in enumerate(rules, start=1) for member in rule.members}
    pairs = [msgspec.structs.replace(entry, rule=numbered[i]) for i, entry in enumerate(pairs)]
    records = tuple(RuleRecord(n, *rule.pattern.text(), 4) for n, rule in enumerate(rules, start=1))
    made = msgspec.structs.replace(plan(pairs), rules=records, pairs=tuple(pairs))
    text = as_text(report(made))
    assert "To decide: 8 variables in 1 question," in text
    assert "one answer to #1 decides these 8" in text
    assert not made.decide("#1", "accept").undecided
