"""Start-up is a feature: what does not restore imports no TensorFlow, and help next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import automatch
from plan_cases import true_plan

DEMO = Path(__file__).parent.parent / "automatch" / "data" / "demo"
CHECKPOINT, GRAPH = str(DEMO / "resnet_cifar10.ckpt"), str(DEMO / "classifier.meta")
HEAVY = ("tensorflow", "keras", "numpy", "scipy", "networkx", "h5py", "rich", "torch", "msgspec")


def imported(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has imported after running the code."""
    lines = f"import sys\n{code}\nprint('\\n' + ' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def ran(*arguments: str) -> set[str]:
    return imported(f"from automatch.cli import main\nmain({list(arguments)!r})")


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not imported("import automatch")


def test_the_check_itself_sees_imports() -> None:
    assert imported("import numpy") == {"numpy"}


def test_help_imports_nothing_heavy() -> None:
    assert not ran("--help")
    assert not ran("suggest", "--help")


def test_inspect_imports_no_numbers() -> None:
    assert not ran("inspect", CHECKPOINT) & {"tensorflow", "keras", "scipy", "networkx", "rich"}


@pytest.mark.parametrize("verb", ["show", "check", "export"])
def test_what_reads_a_plan_imports_no_numbers(verb: str, tmp_path: Path) -> None:
    path = str(true_plan("blog-resnet-cifar_init_to_input").save(tmp_path / "p.json"))
    options = {"export": ("--as", "json")}.get(verb, ())
    assert ran(verb, path, *options) <= {"msgspec"}


def test_suggest_imports_no_tensorflow(tmp_path: Path) -> None:
    assert not ran("suggest", CHECKPOINT, GRAPH, "-o", str(tmp_path / "p")) & {"tensorflow", "keras", "torch"}


@pytest.mark.parametrize("name", automatch.__all__)
def test_every_public_name_is_there_and_has_a_docstring(name: str) -> None:
    assert getattr(automatch, name).__doc__
    assert name in dir(automatch)


def test_functions_stay_functions_when_their_modules_are_imported() -> None:
    code = (
        "import automatch.suggest, automatch.restore, automatch\nprint(automatch.suggest, automatch.restore)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<function suggest")
    assert "<function restore" in done.stdout


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        automatch.nothing  # noqa: B018
