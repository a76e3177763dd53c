"""The command: what it prints, writes and answers, on real files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from automatch.plan import Plan
from automatch.planfile import decode
from cli_helpers import DEMO, NAME, run
from plan_cases import pair, plan
from restore_helpers import checkpoint, random_values


def test_help_lists_every_verb_in_the_order_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    verbs = ["inspect", "suggest", "show", "review", "accept", "reject", "check", "apply", "export", "demo"]
    assert code == 0
    assert re.findall(r"^  ([a-z]+)  ", out, re.MULTILINE) == verbs
    for verb in verbs:
        code, out, _ = run(capsys, verb, "--help")
        assert code == 0
        assert f"Usage: automatch {verb}" in out


def test_inspect_prints_lines_a_tree_and_a_listing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inspect", NAME)
    assert code == 0
    assert "input/init_conv/DW (DT_FLOAT) [3,3,3,16]\n" in out
    assert "\n# 64 tensors, " in out
    assert "unit_3_1/  10 tensors" in run(capsys, "inspect", "--tree", NAME)[1]
    listing = json.loads(run(capsys, "inspect", "--json", NAME)[1])
    assert listing["automatch_listing"] == 1
    assert ["input/init_conv/DW", [3, 3, 3, 16], "float32"] in listing["tensors"]


def test_a_listing_stands_for_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "l.json").write_text(run(capsys, "inspect", "--json", NAME)[1])
    assert run(capsys, "inspect", NAME, "l.json")[0] == 0
    code, out, _ = run(capsys, "suggest", "l.json", NAME, "--names")
    assert code == 0
    assert "input/init_conv/DW\tinput/init_conv/DW\t1.00\n" in out


def test_an_index_alone_is_enough_for_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(f"{NAME}.index", "bare.index")
    code, out, err = run(capsys, "suggest", "bare.index", NAME, "--quiet")
    assert (code, out) == (0, "64 variables: 64 by rule, 0 to decide, 0 without counterpart.\n")
    assert "values cannot be restored" in err
    assert run(capsys, "inspect", "bare")[1] == run(capsys, "inspect", NAME)[1]


def test_two_files_that_differ_exit_with_3(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inspect", NAME, "classifier.meta")
    assert code == 3
    assert "< input/init_conv/DW (DT_FLOAT) [3,3,3,16]" in out
    assert "> head/classifier/bias (DT_FLOAT) [100]" in out
    assert "63 only in classifier.meta" in out


def test_suggest_writes_the_plan_beside_the_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "suggest", NAME, "classifier.meta")
    path = folder / f"{NAME}.plan.json"
    made = Plan.load(path)
    assert code == 0
    assert f"Saved the plan to {NAME}.plan.json." in out
    assert (made.source.tensors, made.target.tensors) == (64, 64)
    first = path.read_bytes()
    run(capsys, "suggest", NAME, "classifier.meta", "-q")
    assert path.read_bytes() == first


def test_suggest_takes_its_output_elsewhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "suggest", NAME, "classifier.meta", "-o", "-")
    assert code == 0
    assert decode(out).target.tensors == 64
    code, out, _ = run(capsys, "suggest", NAME, "classifier.meta", "-o", "other.json", "--quiet")
    assert re.fullmatch(r"64 variables: .*\n", out)
    assert Plan.load("other.json").source.tensors == 64
    assert decode(run(capsys, "suggest", NAME, "classifier.meta", "--json")[1]) == Plan.load("other.json")


def test_a_person_s_pair_is_taken_and_what_is_excluded_left(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--exclude", "head/*", "--exclude", "nothing/*"]
    options += ["--pair", "encoder/stem/conv/kernel=input/init_conv/DW"]
    code, out, err = run(capsys, "suggest", NAME, "classifier.meta", "--json", *options)
    made = decode(out)
    chosen = {entry.target: (entry.source, entry.by, entry.decision) for entry in made.pairs}
    assert code == 0
    assert chosen["encoder/stem/conv/kernel"] == ("input/init_conv/DW", "person", "accept")
    left = {entry.target: entry.why for entry in made.unmatched}
    assert left["head/classifier/bias"] == "excluded by --exclude 'head/*'"
    assert "note: --exclude 'nothing/*' matches no variable" in err


def test_the_threshold_decides_what_is_accepted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for bound in ("0", "0.5", "1"):
        made = decode(run(capsys, "suggest", NAME, "classifier.meta", "--json", "--min-score", bound)[1])
        assert all((entry.score >= float(bound)) == (entry.decision == "accept") for entry in made.pairs)


def test_a_plan_with_a_person_s_decisions_is_not_lost(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "suggest", NAME, NAME)
    run(capsys, "reject", f"{NAME}.plan.json", "logit/*")
    before = Path(f"{NAME}.plan.json").read_bytes()
    code, _, err = run(capsys, "suggest", NAME, NAME)
    assert code == 1
    assert "holds decisions of a person" in err
    assert Path(f"{NAME}.plan.json").read_bytes() == before
    assert run(capsys, "suggest", NAME, NAME, "--force")[0] == 0


def test_no_other_file_is_written_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(f"{NAME}.index").read_bytes()
    code, _, err = run(capsys, "suggest", NAME, NAME, "-o", f"{NAME}.index")
    assert code == 1
    assert "exists and is no plan" in err
    assert Path(f"{NAME}.index").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["inspect", "nowhere"], "'nowhere'"),
        (["suggest", NAME, "nowhere"], "'nowhere'"),
        (["suggest", NAME, NAME, "--pair", "logit/DX=logit/DW"], "no 'logit/DX'. Did you mean 'logit/DW'"),
        (["suggest", NAME, NAME, "--pair", "logit/DW=logit/DV"], "the source has no 'logit/DV'"),
        (
            ["suggest", NAME, NAME, "--pair", "logit/DW=logit/biases"],
            "'logit/biases' f32[10] cannot become 'logit/DW' f32[64,10]",
        ),
        (["suggest", NAME, NAME, "-o", "nowhere/p.json"], "cannot write 'nowhere/p.json'"),
        (["suggest", NAME, "foreign"], "'foreign'"),
        (["suggest", "", NAME], "'' names no file"),
        (["inspect", "empty"], "'empty' is empty"),
        (
            ["suggest", "bare", NAME],
            "shard 'bare.data-00000-of-00001' is missing. Copy it beside 'bare.index'",
        ),
        (["inspect", "cut.index"], "cut"),
        (["show", "nowhere.json"], "cannot read 'nowhere.json'"),
        (["show", "foreign"], "'foreign' is no plan"),
        (["check", f"{NAME}.index"], "is no plan"),
        (["apply", "nowhere.json", "-o", "out"], "cannot read 'nowhere.json'"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    arguments: list[str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("foreign").write_text("to be or not to be")
    Path("empty").touch()
    shutil.copy(f"{NAME}.index", "bare.index")
    Path("cut.index").write_bytes(Path(f"{NAME}.index").read_bytes()[:700])
    before = sorted(folder.iterdir())
    code, out, err = run(capsys, *arguments)
    assert code == 1
    assert out == ""
    assert re.fullmatch(r"automatch: error: [^\n]*[.?]\n", err)
    assert words in err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sugest"],
        ["suggest", NAME],
        ["suggest", NAME, NAME, "--min-score", "7"],
        ["suggest", NAME, NAME, "--pair", "no sign"],
        ["suggest", NAME, NAME, "--json", "--names"],
        ["inspect", NAME, NAME, "--tree"],
        ["accept", "p.json"],
        ["export", "p.json", "--as", "haiku"],
        ["apply", "p.json"],
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], waiting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(DEMO / f"{NAME}.index", ".")
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert "Usage: automatch" in err
    assert "Traceback" not in err


def test_a_mistyped_verb_gets_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "automatch: error: No such command 'sugest'. Did you mean 'suggest'?" in run(capsys, "sugest")[2]


def test_show_prints_the_report_and_the_reasons(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "5 variables: 1 by rule, 3 to decide, 1 without counterpart." in run(capsys, "show", "p.json")[1]
    code, out, _ = run(capsys, "show", "p.json", "y/w", "h")
    assert code == 0
    assert "y/w  <-  c/w" in out
    assert "none left" in out
    assert run(capsys, "show", "p.json", "--names", "x/*")[1] == "a/w\tx/w\t0.97\na/b\tx/b\t0.58\n"
    assert [entry["target"] for entry in json.loads(run(capsys, "show", "p.json", "--json", "y/*")[1])] == [
        "y/w",
        "y/b",
    ]
    assert decode(run(capsys, "show", "p.json", "--json")[1]) == Plan.load("p.json")
    assert run(capsys, "show", "p.json", "#99")[0] == 1


def states() -> dict[str, str]:
    return {entry.target: entry.decision for entry in Plan.load("p.json").pairs}


def test_accept_and_reject_decide_in_bulk(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "accept", "p.json", "--min-score", "0.6")
    assert (code, out) == (0, "accepted 1; 5 variables: 2 by rule, 2 to decide, 1 without counterpart.\n")
    assert states()["y/w"] == "accept"
    run(capsys, "reject", "p.json", "x/*", "--min-score", "0.9")
    assert (states()["x/b"], states()["x/w"]) == ("reject", "accept")
    run(capsys, "accept", "p.json", "y/b", "-o", "q.json")
    assert states()["y/b"] == "undecided"
    assert not Plan.load("q.json").undecided


def test_accept_takes_a_pair_and_exchanges(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "accept", "p.json", "--pair", "x/b=c/b")[0] == 0
    sources = {entry.target: entry.source for entry in Plan.load("p.json").pairs}
    assert (sources["x/b"], sources["y/b"]) == ("c/b", "a/b")
    assert run(capsys, "accept", "p.json", "--pair", "x/b=nothing")[0] == 1


VALUES = random_values({"a/w": (4, 3), "a/u": (2,), "a/q": (5, 5)})
SHAPES = {"b/w1": (4, 3), "b/w2": (4, 3), "b/t": (3, 4), "b/q": (5, 5)}


@pytest.fixture
def proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plan:
    """The plan in p.json for two checkpoints of TensorFlow, in which b/w2 has a/w."""
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path, VALUES, "s.ckpt")
    checkpoint(tmp_path, random_values(SHAPES, seed=1), "t.ckpt")
    run(capsys, "suggest", "s.ckpt", "t.ckpt", "-o", "p.json", "--exclude", "b/w1")
    return Plan.load("p.json")


def applied(capsys: pytest.CaptureFixture[str]) -> dict[str, np.ndarray]:
    assert run(capsys, "apply", "p.json", "-o", "out.ckpt", "--skip-undecided")[0] == 0
    reader = tf.train.load_checkpoint("out.ckpt")
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.parametrize("order", [("b/w1", "b/w2"), ("b/w2", "b/w1"), ("b/w1", "b/t")])
def test_one_source_that_accept_gives_to_two_goes_to_both(
    order: tuple[str, str], proposed: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(
        capsys, "accept", "p.json", *(word for name in order for word in ("--pair", f"{name}=a/w"))
    )
    assert code == 0
    assert out.startswith("accepted 2; ")
    made = {entry.target: entry for entry in Plan.load("p.json").pairs if entry.source == "a/w"}
    assert set(made) == set(order)
    assert all(entry.tied and entry.by == "person" for entry in made.values())
    assert run(capsys, "check", "p.json")[0] in (0, 3, 4)
    values = applied(capsys)
    for name in order:
        np.testing.assert_array_equal(values[name], VALUES["a/w"].T if name == "b/t" else VALUES["a/w"])


def test_accept_says_which_variable_gives_up_its_source(
    proposed: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "accept", "p.json", "--pair", "b/w1=a/w")
    assert (code, out.startswith("accepted 1; ")) == (0, True)
    assert err == "automatch: note: 'b/w2' gave up 'a/w' and has no counterpart now\n"
    assert {entry.target for entry in Plan.load("p.json").pairs} == {"b/w1", "b/q"}
    assert run(capsys, "accept", "p.json", "--pair", "b/w1=a/w")[2] == ""


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize("wanted", [("b/q=a/w", "f32[4,3]", "f32[5,5]"), ("b/w1=a/u", "f32[2]", "f32[4,3]")])
def test_accept_refuses_a_pair_whose_shapes_cannot_meet(
    wanted: tuple[str, str, str], at_hand: bool, proposed: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    pair, given, asked = wanted
    target, source = pair.split("=")
    before = Path("p.json").read_bytes()
    if not at_hand:
        Path("s.ckpt.index").unlink()
    code, out, err = run(capsys, "accept", "p.json", "--pair", "b/w1=a/w", "--pair", pair.replace("w1", "w2"))
    assert (code, out) == (1, "")
    words = f"'{source}' {given} cannot become '{target.replace('w1', 'w2')}' {asked}: "
    assert re.fullmatch(rf"automatch: error: {re.escape(words)}[^\n]*\n", err)
    assert Path("p.json").read_bytes() == before


@pytest.mark.parametrize("at_hand", [True, False])
def test_accept_finds_how_the_source_fits(
    at_hand: bool, proposed: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    if not at_hand:
        Path("s.ckpt.index").rename("elsewhere")
    assert run(capsys, "accept", "p.json", "--pair", "b/t=a/w")[0] == 0
    if not at_hand:
        Path("elsewhere").rename("s.ckpt.index")
    assert run(capsys, "check", "p.json")[0] == 4
    np.testing.assert_array_equal(applied(capsys)["b/t"], VALUES["a/w"].T)


def test_accept_corrects_the_transform_of_a_pair_that_cannot_be(
    proposed: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "accept", "p.json", "--pair", "b/t=a/w")
    Path("p.json").write_text(Path("p.json").read_text().replace("transpose:1,0", "identity"))
    assert run(capsys, "check", "p.json")[0] == 1
    assert run(capsys, "accept", "p.json", "--pair", "b/t=a/w")[0] == 0
    assert run(capsys, "check", "p.json")[0] == 4


def test_check_says_whether_anything_waits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "suggest", NAME, NAME, "-o", "p.json")
    assert run(capsys, "check", "p.json")[:2] == (
        0,
        f"The plan fits {NAME} and {NAME}.\n64 variables: 64 by rule, 0 to decide, 0 without counterpart.\n",
    )
    code, _, err = run(capsys, "check", "p.json", NAME, "classifier.meta")
    assert code == 1
    assert "the plan was made for other variables" in err
    assert "encoder/stem/conv/kernel f32[3,3,3,16]" in err


def test_check_exits_with_3_then_4_then_0(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "check", "p.json")[0] == 3
    assert "not compared with model.ckpt" in run(capsys, "check", "p.json")[2]
    run(capsys, "accept", "p.json", "*")
    assert run(capsys, "check", "p.json")[0] == 4


def test_exit_codes_of_suggest_are_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "suggest", NAME, NAME, "-o", "-", "--exit-code")[0] == 0
    assert run(capsys, "suggest", NAME, NAME, "-o", "-", "--exit-code", "--exclude", "logit/*")[0] == 4
    assert run(capsys, "suggest", NAME, NAME, "-o", "-", "--exclude", "logit/*")[0] == 0


def test_export_prints_or_writes(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(run(capsys, "export", "p.json", "--as", "json")[1]) == {"x/w": "a/w"}
    assert run(capsys, "export", "p.json", "--as", "json", "-o", "m.json")[1] == "Wrote m.json.\n"
    assert json.loads(Path("m.json").read_text()) == {"x/w": "a/w"}


def test_a_checkpoint_that_is_not_where_the_plan_says_can_be_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "suggest", NAME, NAME, "-q", "-o", "p.json")[0] == 0
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    code, _, err = run(capsys, "apply", "../p.json", "-o", "out")
    assert code == 1
    assert f"'{NAME}' does not exist" in err
    assert "name it with --source" in err
    assert run(capsys, "apply", "../p.json", "-o", "out", "--source", f"../{NAME}")[0] == 0
    code, _, err = run(capsys, "apply", "../p.json", "-o", "new", "--source", "nowhere")
    assert (code, "--source" in err) == (1, False)


def test_apply_writes_a_checkpoint_under_the_target_s_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = ["--pair", "encoder/stem/conv/kernel=input/init_conv/DW"]
    run(capsys, "suggest", NAME, "classifier.meta", "-o", "p.json", *pairs)
    code, _, err = run(capsys, "apply", "p.json", "-o", "out.ckpt", "--skip-undecided")
    assert (code, err) == (0, "")
    assert "encoder/stem/conv/kernel (DT_FLOAT) [3,3,3,16]" in run(capsys, "inspect", "out.ckpt")[1]


def test_review_writes_its_page(waiting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "review", "p.json", "--report", "page.html")[0] == 0
    assert "<!doctype html>" in Path("page.html").read_text(encoding="utf-8").lower()


def test_a_hundred_thousand_variables_go_through_every_verb_of_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pairs = [pair(f"a/layer_{i}/expert_{j}/w", f"b/block_{i}/{j}/v") for i in range(100) for j in range(1000)]
    plan(pairs).save("p.json")
    assert "100,000 by rule" in run(capsys, "show", "p.json")[1]
    assert run(capsys, "reject", "p.json", "b/block_7/*")[1].startswith("rejected 1,000;")
    assert run(capsys, "check", "p.json")[0] == 0
    assert len(json.loads(run(capsys, "export", "p.json", "--as", "json")[1])) == 99_000
