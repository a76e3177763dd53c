"""Plans: the same bytes for the same plan, nothing wrong read, every decision a new plan."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import automatch
from automatch.errors import PlanConflict, PlanError, PlanIsStale, UnreadableFile, UnwritableFile
from automatch.plan import Alternative, Plan, Unmatched, Unused
from automatch.planfile import decode
from automatch.tensor import Listing, Tensor
from match_models import side
from plan_cases import doubtful, listing, pair, plan, true_plan


@pytest.fixture
def small() -> Plan:
    pairs = [
        pair("old/a", "new/a"),
        doubtful(
            "old/b", "new/b", alternatives=(Alternative("old/c", 0.5, "new/c"), Alternative("spare", 0.4))
        ),
        doubtful("old/c", "new/c"),
        doubtful("x/0", "y/0", group="towers"),
        doubtful("p/q", "r/s", group="towers"),
    ]
    return plan(
        pairs,
        [Unmatched("head/w", (6,), "float32", "no tensor left has this shape")],
        [Unused("spare", "no target takes it")],
    )


def test_a_plan_comes_back_from_its_file_as_it_was(small: Plan, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    small.save(path)
    assert Plan.load(path) == small


def test_the_same_plan_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (true_plan("resnet50_tf-slim-v1_to_keras", doubts=5) for _ in range(2))
    assert one.save(tmp_path / "1").read_bytes() == two.save(tmp_path / "2").read_bytes()


def test_each_pair_is_a_line_with_the_fields_of_the_format(small: Plan) -> None:
    lines = [line for line in small.to_json().splitlines() if line.startswith('  {"target":"new/')]
    assert len(lines) == 3
    first = json.loads(lines[0].rstrip(",]"))
    fields = "target source shape dtype transform score margin rule decision by"
    assert list(first) == fields.split()
    whole = json.loads(small.to_json())
    head = "automatch_plan made_by source target options rules pairs unmatched unused suggestions"
    assert list(whole) == head.split()
    assert list(whole["rules"][0]) == ["id", "from", "to", "pairs"]
    assert list(whole["source"]) == ["path", "format", "tensors", "fingerprint"]


HOSTILE = [
    "enc[/]/w",
    "layers[x]/w",
    ":smile:/w",
    "a\x1b[31m",
    "</script>",
    "\u202eb",
    'quote"\\',
    "ünï/ß",
    "{*}",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)), unique=True, max_size=8))
def test_any_names_come_back_from_a_file(names: list[str]) -> None:
    try:
        text = (made := plan([pair(name, f"t{name}") for name in names])).to_json()
    except PlanError as error:
        assert "no Unicode text" in str(error)
        return
    assert decode(text) == made


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"score":0.97', '"score":"high"', "expected `float`, got `str` at `$.pairs[0].score`"),
        ('"score":0.97', '"score":1.5', "<= 1.0 at `$.pairs[0].score`"),
        ('"decision":"accept"', '"decision":"maybe"', "'maybe' at `$.pairs[0].decision`"),
        ('"target":"new/a",', '"target":"new/a","colour":1,', "unknown field `colour` at `$.pairs[0]`"),
        ('"source":"old/a",', "", "missing required field `source` at `$.pairs[0]`"),
        ('"automatch_plan": 1', '"automatch_plan": 2', "at `$.automatch_plan`"),
        ('"shape":[2,3]', '"shape":[2,-3]', "at `$.pairs[0].shape[1]`"),
        ('"transform":"identity"', '"transform":"twist"', "'twist' no transform"),
        ('"target":"new/a"', '"target":"new/c"', "'new/c' in more than one entry"),
        ('"source":"old/a"', '"source":"old/b"', "'old/b' given to several targets"),
        ('"source":"old/a"', '"source":"spare"', "'spare' unused, and again"),
        ('"target":"head/w"', '"target":"new/a"', "'new/a' in more than one entry of pairs and unmatched"),
        ('"rule":1', '"rule":77', "rule"),
        ('"tensors":6', '"tensors":9', "9 are stated"),
        (
            ':1"}',
            ':1","parts":{"new/a":[[[0,0],[2,2]],[[0,1],[2,2]]]}}',
            "parts of 'new/a' are none that",
        ),
        (':1"}', ':1","parts":{"new/z":[[[0],[2]]]}}', "parts of 'new/z' are none that"),
    ],
)
def test_what_is_wrong_in_a_plan_is_said_with_its_place(small: Plan, old: str, new: str, words: str) -> None:
    text = small.to_json()
    assert old in text
    with pytest.raises(PlanError) as caught:
        decode(text.replace(old, new, 1), "p.json")
    assert words in str(caught.value)
    assert str(caught.value).startswith("'p.json' ")
    assert "automatch suggest" in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b'{"automatch_plan": 1}']
)
def test_what_is_no_plan_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(data)
    with pytest.raises(PlanError, match="is no plan"):
        Plan.load(tmp_path / "p")


def test_a_missing_plan_and_a_folder_are_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        Plan.load(tmp_path / "nowhere")
    with pytest.raises(UnreadableFile, match="is no file"):
        Plan.load(tmp_path)


def test_a_plan_that_cannot_be_written_leaves_the_old_one(small: Plan, tmp_path: Path) -> None:
    path = small.save(tmp_path / "p.json")
    before = path.read_bytes()
    broken = msgspec.structs.replace(small, pairs=(pair("\ud800", "t"),))
    with pytest.raises(PlanError):
        broken.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["p.json"]


def test_unwritable_places_are_said_in_words(small: Plan, tmp_path: Path) -> None:
    with pytest.raises(UnwritableFile, match="no such file or directory"):
        small.save(tmp_path / "nowhere" / "p.json")
    with pytest.raises(UnwritableFile, match="is a folder"):
        small.save(tmp_path)
    with pytest.raises(UnwritableFile, match="no space left"):
        small.save("/dev/full")


def test_saving_to_a_device_or_link_keeps_it(small: Plan, tmp_path: Path) -> None:
    small.save("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    line = "from automatch.files import write_whole; write_whole('/dev/stdout', b'whole')"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", line], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"whole"
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    small.save(link)
    assert link.is_symlink()
    assert Plan.load(real) == small


def test_saving_keeps_the_permissions(small: Plan, tmp_path: Path) -> None:
    path = small.save(tmp_path / "p.json")
    assert path.stat().st_mode & 0o600 == 0o600
    path.chmod(0o640)
    small.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def decisions(made: Plan) -> dict[str, str]:
    return {entry.target: entry.decision for entry in made.pairs}


def test_a_name_a_glob_and_a_source_are_selections(small: Plan) -> None:
    assert decisions(small.decide("new/b", "accept"))["new/b"] == "accept"
    assert decisions(small.decide("old/b", "reject"))["new/b"] == "reject"
    assert set(decisions(small.decide("new/*", "reject")).values()) == {"reject", "undecided"}
    assert decisions(small.decide(["new/b", "new/c"], "accept"))["new/c"] == "accept"


def test_deciding_gives_a_new_plan_and_says_who(small: Plan) -> None:
    decided = small.decide("new/b", "accept")
    assert decisions(small)["new/b"] == "undecided"
    assert {entry.target: entry.by for entry in decided.pairs}["new/b"] == "person"
    assert decided.counts.accepted == small.counts.accepted + 1


def test_a_rule_decides_what_one_answer_decides(small: Plan) -> None:
    rule = next(entry.rule for entry in small.pairs if entry.target == "y/0")
    decided = decisions(small.decide(f"#{rule}", "accept"))
    assert decided["y/0"] == decided["r/s"] == "accept"
    assert decided["new/b"] == "undecided"


@pytest.mark.parametrize("word", ["#99", "new/z", "zzz*", "head/w"])
def test_a_selection_of_nothing_is_refused(small: Plan, word: str) -> None:
    with pytest.raises(PlanConflict, match=word.replace("*", r"\*")):
        small.decide(word, "accept")


def test_taking_a_free_source_frees_the_old_one(small: Plan) -> None:
    taken = small.take("new/b", "spare")
    assert decode(taken.to_json()) == taken
    entry = next(entry for entry in taken.pairs if entry.target == "new/b")
    assert (entry.source, entry.decision, entry.by) == ("spare", "accept", "person")
    assert [entry.source for entry in taken.unused] == ["old/b"]


def test_taking_a_taken_source_asks_for_a_swap(small: Plan) -> None:
    with pytest.raises(PlanConflict, match="taken by 'new/c'"):
        small.take("new/b", "old/c")
    swapped = small.take("new/b", "old/c", swap=True)
    assert decode(swapped.to_json()) == swapped
    sources = {entry.target: entry.source for entry in swapped.pairs}
    assert (sources["new/b"], sources["new/c"]) == ("old/c", "old/b")


def test_a_target_without_counterpart_may_be_given_one(small: Plan) -> None:
    taken = small.take("head/w", "spare", transform="reshape")
    assert decode(taken.to_json()) == taken
    assert not taken.unmatched
    assert not taken.unused
    assert taken.pairs[-1].transform == "reshape"


def test_a_source_of_another_shape_leaves_its_holder_with_nothing(small: Plan) -> None:
    taken = small.take("head/w", "old/a", swap=True)
    assert decode(taken.to_json()) == taken
    assert [entry.target for entry in taken.unmatched] == ["new/a"]
    assert "a person gave its source 'old/a'" in taken.unmatched[0].why
    assert taken.pairs[-1].transform == "reshape"


def test_a_source_that_several_share_is_shared_with_one_more(small: Plan) -> None:
    shared = small.take("new/b", "old/a", tied=["new/a"])
    for made in (shared, shared.take("new/c", "old/a"), shared.take("new/c", "old/a", swap=True)):
        assert decode(made.to_json()) == made
        holders = [entry for entry in made.pairs if entry.source == "old/a"]
        assert all(entry.tied for entry in holders)
        assert [entry.target for entry in holders][:2] == ["new/a", "new/b"]
    assert not any(entry.tied for entry in shared.take("new/b", "spare").pairs)


def test_a_square_kernel_that_is_taken_is_transposed_as_the_others_are() -> None:
    source = side("a.fc.weight 8 4\na.out.weight 3 8\na.mid.weight 8 8", framework="torch")
    target = side("b/fc/kernel 4 8\nb/out/kernel 8 3\nb/mid/kernel 8 8")
    made = automatch.suggest(source, target, exclude="b/mid/*")
    taken = made.take("b/mid/kernel", "a.mid.weight", sides=(source, target))
    assert taken.pairs[-1].transform == "transpose:1,0"


def test_a_source_that_was_given_up_keeps_its_type(small: Plan) -> None:
    (entry,) = small.take("new/b", "spare").unused
    assert entry.type == "f32[2,3]"


def test_unknown_names_cannot_be_taken(small: Plan) -> None:
    with pytest.raises(PlanConflict, match="no variable 'new/x'.*Did you mean 'new/"):
        small.take("new/x", "spare")
    with pytest.raises(PlanConflict, match="no tensor 'spar'.*Did you mean 'spare'"):
        small.take("new/b", "spar")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_takings_leave_a_plan_that_agrees_with_itself(data: st.DataObject) -> None:
    made = plan(
        [pair(f"s{i}", f"t{i}", shape=((2,), (2, 1))[i % 2]) for i in range(5)],
        [Unmatched("u0", (2, 1), "float32", "none"), Unmatched("u1", (2,), "float32", "none")],
        [Unused("f0", "none"), Unused("f1", "none")],
    )
    for _ in range(data.draw(st.integers(1, 6))):
        targets = [entry.target for entry in (*made.pairs, *made.unmatched)]
        sources = [entry.source for entry in (*made.pairs, *made.unused)]
        target, source = data.draw(st.sampled_from(targets)), data.draw(st.sampled_from(sources))
        made = made.take(target, source, swap=True, tied=data.draw(st.sets(st.sampled_from(targets))))
        assert decode(made.to_json()) == made
        assert sum(msgspec.structs.astuple(made.counts)[:4]) == 7


SOURCE = listing("a/w", "a/b", "step")
TARGET = listing("x/w", "x/b", "step", "head", path="graph.meta")


def fitting() -> Plan:
    return automatch.suggest(SOURCE, TARGET, pairs={"x/w": "a/w", "x/b": "a/b"})


def test_a_plan_fits_the_sides_that_it_was_made_for() -> None:
    fitting().check(SOURCE, TARGET)


def test_a_stale_plan_names_what_differs_on_both_sides() -> None:
    source = listing("a/w", "a/c", "step")
    target = Listing((*TARGET.tensors[:3], Tensor("head", (9,), "float32")), path="graph.meta")
    with pytest.raises(PlanIsStale) as caught:
        fitting().check(source, target)
    message = str(caught.value)
    for part in (
        "'a/c f32[2,3]'",
        "lacks 1 that the plan names, 'a/b'",
        "'head f32[9]'",
        "'graph.meta' has 1 of",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transform": "transpose:1,0"}, "'transpose:1,0' does not make f32[2,3] 'x/w' of f32[2,3] 'a/w'"),
        ({"source": "a/z"}, "the source has no 'a/z'"),
        ({"target": "x/z"}, "the target has no 'x/z'"),
    ],
)
def test_a_plan_edited_into_nonsense_is_refused(changes: dict[str, str], words: str) -> None:
    made = fitting()
    edited = [
        msgspec.structs.replace(entry, **changes) if entry.target == "x/w" else entry for entry in made.pairs
    ]
    with pytest.raises(PlanConflict) as caught:
        msgspec.structs.replace(made, pairs=tuple(edited)).check(SOURCE, TARGET)
    assert words in str(caught.value)


def test_a_hidden_cast_is_refused() -> None:
    made = fitting()
    half = Listing((Tensor("x/w", (2, 3), "float16"), *TARGET.tensors[1:]), path="graph.meta")
    side = msgspec.structs.replace(made.target, fingerprint=half.fingerprint)
    with pytest.raises(PlanConflict, match="float16.*does not say"):
        msgspec.structs.replace(made, target=side).check(SOURCE, half)


def test_plans_do_not_change_in_place(small: Plan) -> None:
    with pytest.raises(AttributeError):
        small.pairs[0].decision = "reject"  # type: ignore[misc]


@cache
def whole() -> bytes:
    return true_plan("albert-base-v2_google-tf1_to_hf-tf", doubts=2).to_json().encode()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_plan_is_refused_or_still_a_plan(data: st.DataObject) -> None:
    text = bytearray(whole())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        if data.draw(st.booleans()):
            text[place] = data.draw(st.integers(0, 255))
        else:
            del text[place : place + data.draw(st.integers(1, 400))]
    try:
        found = decode(bytes(text))
    except PlanError:
        return
    assert decode(found.to_json()) == found
    assert sum(msgspec.structs.astuple(found.counts)[:4]) == found.target.tensors
