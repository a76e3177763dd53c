"""The whole story on a small real case: a residual network for CIFAR under the names of another codebase."""

from __future__ import annotations

import os
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

from automatch.errors import RestoreError, UnwritableFile
from automatch.files import reason, write_whole
from automatch.plan import Plan
from automatch.read import read
from automatch.report.lines import Line, line, write
from automatch.report.plan import report
from automatch.suggest import suggest

__all__ = ["run"]

CHECKPOINT = "resnet_cifar10.ckpt"
GRAPH = "classifier.meta"
PLAN = f"{CHECKPOINT}.plan.json"
FILES = (f"{CHECKPOINT}.index", f"{CHECKPOINT}.data-00000-of-00001", GRAPH)


def run(folder: str | os.PathLike[str]) -> Plan:
    """The plan of the demonstration, after it has been told step by step on stdout.

    folder: where the files are put, to go on from there.

    Raises:
        UnwritableFile: the folder cannot be written to, or holds other files of these names.
        RestoreError: a value did not arrive.
    """
    place = Path(folder)
    _unpack(place)
    checkpoint, graph, plan_path = str(place / CHECKPOINT), str(place / GRAPH), str(place / PLAN)
    _tell(
        "A checkpoint of a residual network for CIFAR-10, and the graph of a classifier for CIFAR-100 that is"
    )
    _tell("to start from it. The graph's author gave every variable another name.")
    _command(f"automatch suggest {shlex.quote(checkpoint)} {shlex.quote(graph)}")
    plan = suggest(checkpoint, graph)
    plan.save(plan_path)
    write(report(plan))
    _tell()
    _tell("In Python, with the graph in a session:")
    _tell()
    _tell(f'    restored = automatch.restore_auto(session, "{checkpoint}")', style="good")
    _tell()
    _tell("Importing TensorFlow, and doing just that …")
    _restored(checkpoint, graph)
    _next(plan_path, checkpoint)
    return plan


def _tell(text: str = "", style: str = "") -> None:
    write([line(text, style)])


def _command(text: str) -> None:
    write([line(), Line("$ ", ((text, "head"),)), line()])


def _unpack(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableFile(
            f"cannot make the folder '{place}': {reason(error)}. Name another one."
        ) from error
    for name in FILES:
        data = (files("automatch") / "data" / "demo" / name).read_bytes()
        file = place / name
        if file.exists() and (not file.is_file() or file.read_bytes() != data):
            raise UnwritableFile(f"'{file}' exists and is another file. Name an empty folder for the demo.")
        write_whole(file, data)


def _restored(checkpoint: str, graph: str) -> None:
    """Restores into a session, and holds every value against the checkpoint."""
    # TensorFlow's own greeting would bury the one line that counts.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from automatch.restore import restore_auto

    v1 = tf.compat.v1
    with tf.Graph().as_default() as live:
        v1.train.import_meta_graph(graph)
        variables = {variable.op.name: variable for variable in v1.global_variables()}
        with v1.Session(graph=live) as session:
            session.run(v1.global_variables_initializer())
            before = session.run(variables)
            restored = restore_auto(session, checkpoint, quiet=True)
            after = session.run(variables)
    _tell(str(restored))
    _check(restored, checkpoint, before, after)
    _tell(
        f"Checked: {len(restored.restored)} variables hold what the checkpoint holds, bit for bit; "
        f"{len(restored.unmatched)} are as they were.",
        "good",
    )


def _check(restored: Any, checkpoint: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    values = read(checkpoint).values
    assert values is not None
    sources = {pair.target: pair.source for pair in restored.plan.accepted}
    expected = {name: values(sources[name]) for name in restored.restored}
    expected |= {name: before[name] for name in restored.unmatched}
    wrong = [name for name, value in expected.items() if value.tobytes() != after[name].tobytes()]
    if wrong or expected.keys() != after.keys():
        raise RestoreError(
            f"{len(wrong)} variables hold other values than they should: {wrong[:3]}. Report this."
        )


def _next(plan_path: str, checkpoint: str) -> None:
    plan = shlex.quote(plan_path)
    commands = (
        (f"automatch review {plan}", "look at it, and decide, in the browser"),
        (f"automatch show {plan} '#1'", "why, for the first rule"),
        (
            f"automatch apply {plan} -o {shlex.quote(checkpoint + '.renamed')}",
            "a checkpoint with the graph's names",
        ),
        ("automatch suggest CHECKPOINT GRAPH.meta", "your own"),
    )
    width = max(len(command) for command, _ in commands)
    _tell()
    _tell("Now you:")
    write(Line("    ", ((f"{command:<{width}}  ", ""), (text, "dim"))) for command, text in commands)
