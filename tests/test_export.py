"""Exported code runs without automatch, and does what the plan says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from automatch.errors import PlanConflict, UnreadableFile, UsageError
from automatch.export import export
from automatch.plan import Plan, Unmatched, Unused
from automatch.read import read
from automatch.tensor import Listing, Tensor
from plan_cases import pair, plan, true_plan
from restore_helpers import plan_of

v1 = tf.compat.v1

CASES = [
    ("blog-resnet-cifar_init_to_input", 0),
    ("resnet50_tf-slim-v1_to_keras", 0),
    ("resnet50_tf-slim-v1_to_keras", 9),
    ("bert-base-train_google-tf1_to_hf-tf", 0),
    ("bert-base_google-tf1_to_bert4keras", 5),
    ("inception-v3_tf-slim_to_keras", 3),
]


def names_of(code: str) -> dict[str, Any]:
    """The names that a piece of exported code defines."""
    space: dict[str, Any] = {}
    exec(compile(code, "exported", "exec"), space)
    return space


@pytest.mark.parametrize(("case", "doubts"), CASES)
def test_regexes_rename_the_accepted_and_nothing_else(case: str, doubts: int) -> None:
    made = true_plan(case, doubts=doubts)
    renamed: Callable[[str], str | None] = names_of(export(made, "regex"))["renamed"]
    want = {entry.source: entry.target for entry in made.accepted}
    every = [entry.source for entry in made.pairs] + [entry.source for entry in made.unused]
    assert {name: renamed(name) for name in every} == {name: want.get(name) for name in every}


@pytest.mark.parametrize(("case", "doubts"), CASES)
def test_a_builder_names_the_accepted_and_nothing_else(case: str, doubts: int) -> None:
    made = true_plan(case, doubts=doubts)
    name_in_checkpoint = names_of(export(made, "saver_builder"))["name_in_checkpoint"]
    want = {entry.target: entry.source for entry in made.accepted}
    every = [entry.target for entry in made.pairs] + [entry.target for entry in made.unmatched]
    assert {name: name_in_checkpoint(name) for name in every} == {name: want.get(name) for name in every}


def test_rules_are_written_as_a_person_would_write_them() -> None:
    made = true_plan("resnet50_tf-slim-v1_to_keras")
    builder, regex = export(made, "saver_builder"), export(made, "regex")
    assert r'(r"conv1_bn/([^/.]+)", r"resnet_v1_50/conv1/BatchNorm/\g<1>"),  # 4 variables' in builder
    assert 'lambda m: f"resnet_v1_50/block{int(m[1]) - 1}/unit_{m[2]}/' in builder
    assert builder.count("\n") < 90
    assert regex.count("\n") < 40


def test_json_says_what_happens_to_the_values() -> None:
    made = plan(
        [pair("a", "b"), pair("c", "d", transform="transpose:1,0"), pair("e", "f", decision="reject")]
    )
    assert json.loads(export(made, "json")) == {"b": "a", "d": {"source": "c", "transform": "transpose:1,0"}}


HOSTILE = [
    'quote"',
    "back\\slash",
    "new\nline",
    "{brace}",
    "100%s",
    "ünï",
    "tick'",
    'triple"""',
    "\x1b[31m",
    "a|b*",
]


@pytest.mark.parametrize("form", ["json", "regex", "saver_builder", "assignment_map", "var_list"])
def test_hostile_names_stay_names(form: str) -> None:
    made = plan([pair(f"s/{name}", f"t/{name}") for name in HOSTILE], unused=[Unused('x"""', "none")])
    text = export(made, form)
    assert all(character == "\n" or character.isprintable() for character in text)
    want = {f"s/{name}": f"t/{name}" for name in HOSTILE}
    if form == "json":
        assert json.loads(text) == {target: source for source, target in want.items()}
    elif form == "regex":
        renamed = names_of(text)["renamed"]
        assert {source: renamed(source) for source in want} == want
    elif form == "saver_builder":
        named = names_of(text)["name_in_checkpoint"]
        assert {named(target): target for target in want.values()} == want
    else:
        assert names_of(text)["NAMES" if form == "var_list" else "assignment_map"] == want


def test_a_hostile_path_stays_in_its_comment() -> None:
    made = plan([pair("a", "b")])
    path = 'x"""\nimport os\nos.abort()\n"""'
    import msgspec

    bad = msgspec.structs.replace(made, source=msgspec.structs.replace(made.source, path=path))
    for form in ("regex", "saver_builder", "assignment_map", "var_list"):
        assert "os" not in names_of(export(bad, form))


def test_what_a_form_cannot_say_is_refused() -> None:
    changed = plan([pair("a", "b", transform="reshape")])
    tied = plan([pair("a", "b", tied=True), pair("a", "c", tied=True)])
    for form in ("var_list", "assignment_map"):
        for made in (changed, tied):
            with pytest.raises(PlanConflict):
                export(made, form)
    with pytest.raises(PlanConflict, match="one name"):
        export(tied, "regex")
    with pytest.raises(UnreadableFile):
        export(plan([pair("a", "b", transform="identity+cast")]), "saver_builder")
    with pytest.raises(UsageError, match="no form 'poem'"):
        export(tied, "poem")


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """A real checkpoint: layers with numbers, a matrix to turn, a partitioned table."""
    with tf.Graph().as_default(), v1.Session() as session:
        for i in range(3):
            v1.get_variable(f"net/layer_{i}/weights", initializer=np.full((2, 3), i, np.float32))
            v1.get_variable(f"net/layer_{i}/biases", initializer=np.full(3, 10 + i, np.float32))
        v1.get_variable("net/out", initializer=np.arange(6, dtype=np.float32).reshape(2, 3))
        table = np.arange(20, dtype=np.float32).reshape(10, 2)
        v1.get_variable("net/table", initializer=table, partitioner=None)
        session.run(v1.global_variables_initializer())
        return str(v1.train.Saver().save(session, str(tmp_path / "model.ckpt")))


def build(*, resource: bool) -> None:
    """The graph that is to load it, every value -1."""
    minus = v1.constant_initializer(-1.0)
    with v1.variable_scope("", use_resource=resource):
        for i in range(3):
            v1.get_variable(f"new/block{i + 1}/kernel", [2, 3], initializer=minus)
            v1.get_variable(f"new/block{i + 1}/bias", [3], initializer=minus)
        v1.get_variable("new/head", [5], initializer=minus)
        v1.get_variable("new/table", [10, 2], initializer=minus, partitioner=v1.fixed_size_partitioner(3))


def pairs() -> list[Any]:
    made = [pair(f"net/layer_{i}/weights", f"new/block{i + 1}/kernel") for i in range(3)]
    made += [pair(f"net/layer_{i}/biases", f"new/block{i + 1}/bias", shape=(3,)) for i in range(3)]
    return [*made, pair("net/table", "new/table", shape=(10, 2))]


def mapping(*more: Any) -> Plan:
    return plan(
        [*pairs(), *more], [Unmatched("new/head", (5,), "float32", "none")], [Unused("net/out", "none")]
    )


def check(values: dict[str, np.ndarray]) -> None:
    """Asserts that the values arrived, and that the head is as it was."""
    for i in range(3):
        assert (values[f"new/block{i + 1}/kernel"] == i).all()
        assert (values[f"new/block{i + 1}/bias"] == 10 + i).all()
    parts = [values[f"new/table/part_{i}"] for i in range(3)]
    assert (np.concatenate(parts) == np.arange(20).reshape(10, 2)).all()
    assert (values["new/head"] == -1).all()


def variables() -> dict[str, Any]:
    return {variable.op.name: variable for variable in v1.global_variables()}


@pytest.mark.parametrize("resource", [False, True])
def test_an_exported_var_list_restores(checkpoint: str, resource: bool) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        build(resource=resource)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(names_of(export(mapping(), "var_list"))["var_list"]())
        saver.restore(session, checkpoint)
        check(session.run(variables()))


@pytest.mark.parametrize("resource", [False, True])
def test_an_exported_builder_restores_turns_and_saves(
    checkpoint: str, resource: bool, tmp_path: Path
) -> None:
    turned = pair("net/out", "new/turned", shape=(3, 2), transform="transpose:1,0")
    made = plan([*pairs(), turned], [Unmatched("new/head", (5,), "float32", "none")])
    with tf.Graph().as_default(), v1.Session() as session:
        build(resource=resource)
        v1.get_variable("new/turned", [3, 2], use_resource=resource)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver(builder=names_of(export(made, "saver_builder"))["RenamingBuilder"]())
        saver.restore(session, checkpoint)
        values = session.run(variables())
        check(values)
        assert (values["new/turned"] == np.arange(6).reshape(2, 3).T).all()
        saved = saver.save(session, str(tmp_path / "again.ckpt"))
        assert "new/head" in dict(tf.train.list_variables(saved))


WITHOUT_AUTOMATCH = """
import sys
sys.modules["automatch"] = None  # as if it were not installed
import exported, numpy as np, tensorflow as tf
tf1 = tf.compat.v1
with tf.Graph().as_default(), tf1.Session() as session:
    half = tf1.get_variable("new/half", [3, 2], tf.bfloat16)
    table = tf1.get_variable("new/table", [10, 2], tf.float16, partitioner=tf1.fixed_size_partitioner(3))
    tf1.train.Saver(builder=exported.RenamingBuilder()).restore(session, sys.argv[1])
    assert (session.run(half) == np.arange(6).reshape(2, 3).T).all()
    assert (session.run(table.as_tensor()) == np.arange(20).reshape(10, 2)).all()
print("restored")
"""


def test_an_exported_builder_converts_where_automatch_is_not_installed(
    checkpoint: str, tmp_path: Path
) -> None:
    source = read(checkpoint)
    target = Listing((Tensor("new/half", (3, 2), "bfloat16"), Tensor("new/table", (10, 2), "float16")))
    made = plan_of(source, target, {"new/half": ("net/out", "transpose:1,0+cast"),
                                    "new/table": ("net/table", "identity+cast")})  # fmt: skip
    (tmp_path / "exported.py").write_text(export(made, "saver_builder"))
    line = [sys.executable, "-c", WITHOUT_AUTOMATCH, checkpoint]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "restored\n", done.stderr


def test_an_exported_assignment_map_restores(checkpoint: str) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        build(resource=True)
        names = names_of(export(mapping(), "assignment_map"))["assignment_map"]
        v1.train.init_from_checkpoint(checkpoint, names)
        session.run(v1.global_variables_initializer())
        check(session.run(variables()))


def test_exported_code_does_not_import_automatch(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(export(mapping(), "regex"))
    line = "import sys, code_; print(code_.renamed('net/layer_2/weights'), 'automatch' in sys.modules)"
    (tmp_path / "code.py").rename(tmp_path / "code_.py")
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["new/block3/kernel", "False"]
    for form in ("var_list", "assignment_map", "saver_builder", "regex"):
        assert "import automatch" not in export(mapping(), form)
