"""What people do wrong around a restore: refused in words, and no variable has changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tensorflow as tf

import automatch
from automatch.errors import AutomatchError, PlanConflict, PlanIsStale, RestoreError, UnsupportedTarget
from automatch.plan import Plan
from automatch.read import read
from restore_helpers import checkpoint, plan_of, random_values, tf1

VALUES = random_values({"old/w": (3, 4), "old/v": (3, 4), "old/b": (4,)})
PAIRS = {"new/w": "old/w", "new/v": "old/v", "new/b": "old/b"}
SHAPES = {"new/w": (3, 4), "new/v": (3, 4), "new/b": (4,)}


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return checkpoint(tmp_path, VALUES)


@pytest.fixture
def session() -> Iterator[tf1.Session]:
    """A session whose three variables are all 7."""
    graph = tf.Graph()
    with graph.as_default(), tf1.Session() as session:
        for name, shape in SHAPES.items():
            tf1.get_variable(name, shape, initializer=tf1.constant_initializer(7.0))
        session.run(tf1.global_variables_initializer())
        yield session


def sevens(session: tf1.Session) -> bool:
    """True as long as nothing has changed."""
    values = [session.run(f"{name}/Read/ReadVariableOp:0") for name in SHAPES]
    return all((value == 7).all() for value in values)


def fitting(prefix: str, session: tf1.Session) -> Plan:
    return plan_of(read(prefix), read(session.graph), PAIRS)


def refused(
    session: tf1.Session, prefix: str, plan: Plan | Path, error: type[AutomatchError], words: str
) -> None:
    """Restoring gives that error, and has changed nothing."""
    with pytest.raises(error, match=words):
        automatch.restore(session, prefix, plan)
    assert sevens(session)


@pytest.mark.parametrize("name", ["pair", "plan"])
def test_a_checkpoint_replaced_after_planning_is_refused(
    prefix: str, session: tf1.Session, tmp_path: Path, name: str
) -> None:
    plan = fitting(prefix, session)
    wrong = {**VALUES, "old/w": np.ones((4, 3), np.float32)} if name == "pair" else {"other": VALUES["old/b"]}
    checkpoint(tmp_path, wrong)
    refused(session, prefix, plan, PlanIsStale, r"old\.ckpt")


def test_a_checkpoint_replaced_between_two_restores_is_read_anew(
    prefix: str, session: tf1.Session, tmp_path: Path
) -> None:
    plan = fitting(prefix, session)
    automatch.restore(session, prefix, plan, quiet=True)
    checkpoint(tmp_path, {name: 2 * value for name, value in VALUES.items()})
    automatch.restore(session, prefix, plan, quiet=True)
    np.testing.assert_array_equal(session.run("new/w/Read/ReadVariableOp:0"), 2 * VALUES["old/w"])
    checkpoint(tmp_path, {**VALUES, "old/w": np.ones((4, 3), np.float32)})
    with pytest.raises(PlanIsStale):
        automatch.restore(session, prefix, plan)
    np.testing.assert_array_equal(session.run("new/w/Read/ReadVariableOp:0"), 2 * VALUES["old/w"])


def test_data_of_another_checkpoint_under_an_index_is_refused(
    prefix: str, session: tf1.Session, tmp_path: Path
) -> None:
    plan = fitting(prefix, session)
    other = checkpoint(tmp_path, {name: 2 * value for name, value in VALUES.items()}, "other.ckpt")
    shutil.copy(f"{other}.data-00000-of-00001", f"{prefix}.data-00000-of-00001")
    refused(session, prefix, plan, AutomatchError, "is damaged")


def test_a_graph_that_has_grown_since_the_last_restore_is_refused(
    prefix: str, session: tf1.Session, tmp_path: Path
) -> None:
    plan = fitting(prefix, session)
    automatch.restore(session, prefix, plan, quiet=True)
    session.run(tf1.global_variables_initializer())
    tf1.get_variable("head/kernel", (5, 6))
    refused(session, prefix, plan, PlanIsStale, r"1 that the plan has not seen, 'head/kernel f32\[5,6\]'")


NONSENSE = [
    ({"source": "old/v"}, "'old/v' given to several targets"),
    ({"source": "old/x"}, "the source has no 'old/x'"),
    ({"target": "new/x"}, "the target has no 'new/x'"),
    ({"transform": "transpose:1,0"}, r"'transpose:1,0' does not make f32\[3,4\] 'new/w'"),
    ({"transform": "rotate"}, "'rotate' no transform"),
    ({"transform": "transpose:0,0"}, "'transpose:0,0' no transform"),
]


@pytest.mark.parametrize(("changes", "words"), NONSENSE)
@pytest.mark.parametrize("from_file", [True, False], ids=["file", "object"])
def test_a_plan_edited_into_nonsense_changes_nothing(
    prefix: str,
    session: tf1.Session,
    tmp_path: Path,
    changes: dict[str, str],
    words: str,
    from_file: bool,
) -> None:
    plan = fitting(prefix, session)
    pairs = tuple(
        msgspec.structs.replace(pair, **changes) if pair.target == "new/w" else pair for pair in plan.pairs
    )
    edited: Plan | Path = msgspec.structs.replace(plan, pairs=pairs)
    if from_file:
        edited = edited.save(tmp_path / "edited.json")  # type: ignore[union-attr]
    refused(
        session, prefix, edited, PlanConflict if from_file else AutomatchError, words if from_file else "."
    )


@pytest.mark.parametrize("finalized", [True, False])
def test_a_closed_session_is_said_in_words(prefix: str, session: tf1.Session, finalized: bool) -> None:
    plan = fitting(prefix, session)
    if finalized:
        session.graph.finalize()
    session.close()
    with pytest.raises(RestoreError, match="closed session. Restore while it is open"):
        automatch.restore(session, prefix, plan)
    with pytest.raises(RestoreError, match="closed session. Restore while it is open"):
        automatch.restore_auto(session, prefix)


def test_a_monitored_session_that_has_ended_is_said_in_words(prefix: str) -> None:
    with tf.Graph().as_default():
        tf1.get_variable("new/w", (3, 4))
        tf1.train.get_or_create_global_step()
        with tf1.train.MonitoredTrainingSession() as session:
            pass
        with pytest.raises(UnsupportedTarget, match="MonitoredSession is closed"):
            automatch.restore_auto(session, prefix)


@pytest.mark.parametrize("wrong", [None, 7, "model", b"model", {}, [], [1.0], {"new/w": None}, object()])
def test_what_holds_no_variables_is_no_target(prefix: str, wrong: object) -> None:
    with pytest.raises(AutomatchError):
        automatch.restore_auto(wrong, prefix)


@pytest.mark.parametrize("wrong", ["", "nowhere", ".", None, 7, {}, object()])
def test_what_holds_no_values_is_no_source(session: tf1.Session, wrong: object) -> None:
    with pytest.raises(AutomatchError):
        automatch.restore_auto(session, wrong)
    assert sevens(session)


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.5])
def test_a_score_that_is_no_probability_is_refused(prefix: str, session: tf1.Session, wrong: float) -> None:
    with pytest.raises(AutomatchError):
        automatch.restore_auto(session, prefix, min_score=wrong)
    assert sevens(session)
