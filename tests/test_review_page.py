"""The review page as a file, and what stands behind it: groups, answers, matching again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automatch.errors import PlanConflict
from automatch.plan import Plan, Unmatched
from automatch.planfile import validate
from automatch.report.groups import groups, pattern
from automatch.review import serve, write_report
from automatch.review.answers import Answer, answered
from automatch.review.page import page, page_data
from automatch.review.resolve import moves, resolve
from automatch.review.session import Session
from review_plans import doubtful, encoder, pair, write

HOSTILE = [
    "enc[/]/w",
    "layers[x]/w",
    ":smile:/w",
    "a\x1b[31m/w",
    "a/\u202ew",
    "</script><b>x/w",
    "$title/${x}",
    "a\\u003c/w",
]


def test_every_entry_of_a_plan_stands_in_exactly_one_group(tmp_path: Path) -> None:
    plan = Plan.load(encoder(tmp_path))
    found = groups(plan)
    for kind, entries in (("none", plan.unmatched), ("unused", plan.unused)):
        members = sorted(m for group in found if group.kind == kind for m in group.members)
        assert members == list(range(len(entries)))
    members = sorted(m for group in found if group.kind in ("ask", "rule") for m in group.members)
    assert members == list(range(len(plan.pairs)))


def test_one_question_stands_for_all_its_repetitions_and_the_most_doubtful_comes_first(
    tmp_path: Path,
) -> None:
    asked = [group for group in groups(Plan.load(encoder(tmp_path))) if group.kind == "ask"]
    assert [(group.target, len(group.members)) for group in asked] == [
        ("tower/shift", 1),
        ("tower/block*/attention/query", 12),
        ("tower/block*/attention/key", 12),
    ]


def test_a_rule_is_shown_as_the_plan_words_it(tmp_path: Path) -> None:
    rules = [group for group in groups(Plan.load(encoder(tmp_path))) if group.kind == "rule"]
    assert ("{bert/encoder/layer_* => tower/block*}/output/*", 24) in [
        ("".join(text for text, _ in group.title), len(group.members)) for group in rules
    ]


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["a/b"], "a/b"),
        (["h1/w", "h2/w", "h10/w"], "h*/w"),
        (["b1/u1/w", "b1/u2/w"], "b1/u*/w"),
        (["a/x/w", "a/w"], "a/**/w"),
    ],
)
def test_names_that_differ_in_numbers_are_written_as_one(names: list[str], folded: str) -> None:
    assert pattern(names) == folded


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_answered_the_plan_adds_up_and_keeps_every_name(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = [f"v{i}" for i in range(6)]
    folder = tmp_path_factory.mktemp("plan")
    pairs = [doubtful(f"s{i}", name, (3,), "q", (f"s{i + 1}", "")) for i, name in enumerate(names[:4])]
    empty = [Unmatched(name, (3,), "float32", "nothing fits") for name in names[4:]]
    plan = Plan.load(write(folder, pairs, unmatched=empty, unused=[("s4", (3,)), ("s5", (3,))]))
    sources = data.draw(st.permutations([f"s{i}" for i in range(6)]))
    decisions = st.sampled_from(["accept", "reject", "undecided"])
    answers = [
        Answer(name, data.draw(st.sampled_from([source, None])), data.draw(decisions))
        for name, source in zip(names, sources, strict=True)
    ]
    after = answered(plan, answers)
    validate(after)
    assert {entry.target for entry in (*after.pairs, *after.unmatched)} == set(names)
    assert {p.target: (p.source, p.decision) for p in after.pairs} == {
        a.target: (a.source, a.decision) for a in answers if a.source
    }


def test_no_answers_leave_every_byte_of_the_plan_as_it_was(tmp_path: Path) -> None:
    path = encoder(tmp_path)
    assert answered(Plan.load(path), []).to_json() == path.read_text()


def test_sources_change_places_all_at_once(tmp_path: Path) -> None:
    plan = Plan.load(write(tmp_path, [pair(f"s{i}", f"t{i}", (3,)) for i in range(3)]))
    after = answered(plan, [Answer(f"t{i}", f"s{(i + 1) % 3}", "accept") for i in range(3)])
    assert {p.target: p.source for p in after.pairs} == {"t0": "s1", "t1": "s2", "t2": "s0"}
    assert {p.by for p in after.pairs} == {"person"}


def test_an_alternative_brings_its_own_transform_and_the_old_source_stays_at_hand(tmp_path: Path) -> None:
    import msgspec

    first = doubtful("s0", "t0", (3,), "q", ("s1", ""))
    other = msgspec.structs.replace(first.alternatives[0], transform="reshape")
    pairs = [msgspec.structs.replace(first, alternatives=(other,))]
    plan = Plan.load(write(tmp_path, pairs, unused=[("s1", (1, 3))]))
    [after] = answered(plan, [Answer("t0", "s1", "accept")]).pairs
    assert (after.transform, after.score, [entry.source for entry in after.alternatives]) == (
        "reshape",
        0.7,
        ["s0"],
    )


def test_a_source_for_two_is_refused_naming_both(tmp_path: Path) -> None:
    plan = Plan.load(write(tmp_path, [pair("s0", "t0", (3,)), pair("s1", "t1", (3,))]))
    with pytest.raises(PlanConflict, match="'s0' is given to 't0', 't1'"):
        answered(plan, [Answer("t1", "s0", "accept")])


def test_what_is_decided_holds_while_the_rest_is_matched_again(tmp_path: Path) -> None:
    crossed = [pair("s/alpha", "t/beta", (3,)), doubtful("s/beta", "t/alpha", (3,), "q")]
    same = [Unmatched("u/kernel", (5, 5), "float32", "somebody took it out")]
    path = write(tmp_path, crossed, unmatched=same, unused=[("u/kernel", (5, 5))])
    session = Session(path)
    answers = [Answer("t/beta", "s/alpha", "accept"), Answer("t/alpha", "s/beta", "accept")]
    before = answered(session.plan, answers)
    assert session.source
    assert session.target
    after = resolve(before, session.source, session.target)
    found = {p.target: (p.source, p.by) for p in after.pairs}
    assert found["t/beta"] == ("s/alpha", "person")
    assert found["t/alpha"] == ("s/beta", "person")
    assert found["u/kernel"][0] == "u/kernel"
    assert moves(before, after) == [{"target": "u/kernel", "before": None, "after": "u/kernel"}]


def test_what_was_refused_is_not_accepted_when_matched_again(tmp_path: Path) -> None:
    path = write(tmp_path, [pair("a/w", "a/w", (3,)), pair("b/w", "b/w", (4,))])
    session = Session(path)
    data = session.solve(session.data()["base"], [Answer("a/w", "a/w", "reject")])
    accepted = {p["target"]: p["source"] for p in data["plan"]["pairs"] if p["decision"] == "accept"}
    assert accepted == {"b/w": "b/w"}
    # Nor the time after that, although the new plan may no longer speak of it.
    data = session.solve(data["base"], [])
    assert {p["target"] for p in data["plan"]["pairs"] if p["decision"] == "accept"} == {"b/w"}


def test_matching_again_without_the_files_is_refused_in_words(tmp_path: Path) -> None:
    path = encoder(tmp_path)
    (tmp_path / "graph.json").unlink()
    session = Session(path)
    with pytest.raises(Exception, match=r"the target '.*graph\.json' is not there, or has changed"):
        session.solve(session.data()["base"], [])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_nothing_but_data_in_the_page(tmp_path: Path, name: str) -> None:
    plan = Plan.load(write(tmp_path, [pair(name, "x/" + name, (3,))]))
    text = page({**page_data(plan), "mode": "file", "name": "model.plan.json"})
    island = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert island
    assert json.loads(island[1])["plan"]["pairs"][0]["source"] == name
    assert text.count("</script>") == 2
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", text)


def test_the_report_is_one_file_that_names_no_other(tmp_path: Path) -> None:
    report = write_report(Plan.load(encoder(tmp_path)), tmp_path / "report.html")
    text = Path(report).read_text()
    markup = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", text)
    assert not re.search(r"""(src|href)=["'](?!data:)""", markup)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "connect-src 'none'" in markup


def test_the_same_plan_gives_the_same_report(tmp_path: Path) -> None:
    plan = Plan.load(encoder(tmp_path))
    first = Path(write_report(plan, tmp_path / "one.html")).read_bytes()
    assert Path(write_report(plan, tmp_path / "two.html")).read_bytes() == first


def test_a_report_needs_no_more_than_the_plan(tmp_path: Path) -> None:
    path = encoder(tmp_path)
    (tmp_path / "model.json").unlink()
    (tmp_path / "graph.json").unlink()
    assert "tower/shift" in Path(write_report(Plan.load(path), tmp_path / "report.html")).read_text()


def test_serving_a_plan_that_is_none_fails_before_a_port_is_open(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    lines: list[str] = []
    with pytest.raises(Exception, match="is no plan"):
        serve(tmp_path / "plan.json", open_browser=False, tell=lines.append)
    assert lines == []
