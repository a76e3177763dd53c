"""Where what apply writes comes to stand: whole, or not at all, and over nothing that stands there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from automatch.errors import UnwritableFile
from automatch.rewrite import apply
from restore_helpers import (
    checkpoint,
)
from rewrite_helpers import VALUES, leftovers, loaded, no_links, plan_for


def test_nothing_is_overwritten_without_force_and_everything_with_it(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    out = checkpoint(tmp_path, {"x": np.ones(2, np.float32)}, "new.ckpt")
    plan = plan_for(prefix, {"t": ("old/w", "transpose:1,0")})
    with pytest.raises(UnwritableFile, match=r"new\.ckpt\.index' stands already.*--force"):
        apply(plan, out)
    assert set(loaded(out)) == {"x"}
    apply(plan, out, force=True)
    assert set(loaded(out)) == {"t"}
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("new")) == [
        "new.ckpt.data-00000-of-00002", "new.ckpt.data-00001-of-00002", "new.ckpt.index"]  # fmt: skip


def saved_meanwhile(folder: Path, to: str) -> Callable[[int, int], None]:
    """A callback that saves something else at `new` as soon as a first value has been written."""

    def save(*_: int) -> None:
        if not list(folder.glob("new*")):
            if to == "checkpoint":
                checkpoint(folder, {"x": np.ones(2, np.float32)}, "new")
            else:
                (folder / "new").write_bytes(b"precious")

    return save


@pytest.mark.parametrize("to", ["checkpoint", "safetensors", "npz"])
@pytest.mark.parametrize("seen", [True, False], ids=["seen", "in the last moment"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_what_appears_at_the_output_meanwhile_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, seen: bool, links: bool
) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"t": ("old/w", "transpose:1,0"), "b": "old/b"})
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    if not seen:
        monkeypatch.setattr("automatch.rewrite.place.check_free", lambda *_, **__: [])
    with pytest.raises(UnwritableFile, match=r"new.*' stands already.*--force"):
        apply(plan, tmp_path / "new", to=to, progress=saved_meanwhile(tmp_path, to))
    if to == "checkpoint":
        assert set(loaded(tmp_path / "new")) == {"x"}
    else:
        assert (tmp_path / "new").read_bytes() == b"precious"
    found = [name for name in leftovers(tmp_path) if "new" in name]
    assert found == {"checkpoint": ["new.data-00000-of-00001", "new.index"]}.get(to, ["new"])


def test_with_force_what_appears_meanwhile_is_replaced_by_a_whole_checkpoint(tmp_path: Path) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"t": ("old/w", "transpose:1,0")})
    apply(plan, tmp_path / "new", force=True, progress=saved_meanwhile(tmp_path, "checkpoint"))
    np.testing.assert_array_equal(loaded(tmp_path / "new")["t"], VALUES["old/w"].T)
    names = sorted(path.name for path in tmp_path.glob("new*"))
    assert names == ["new.data-00000-of-00002", "new.data-00001-of-00002", "new.index"]


def test_interrupted_when_the_new_index_has_just_come_the_new_checkpoint_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"t": ("old/w", "transpose:1,0"), "b": "old/b"})
    out = checkpoint(tmp_path, {"x": np.ones(2, np.float32)}, "new.ckpt")
    replace = Path.replace

    def interrupted(path: Path, to: Path) -> None:
        replace(path, to)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        apply(plan, out, force=True)
    found = loaded(out)
    assert set(found) == {"t", "b"}
    np.testing.assert_array_equal(found["t"], VALUES["old/w"].T)


def test_a_checkpoint_may_be_renamed_in_place(tmp_path: Path) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    apply(plan_for(prefix, {"b": "old/b"}), prefix, force=True)
    assert set(loaded(prefix)) == {"b"}


@pytest.mark.parametrize(
    "moment", ["automatch.rewrite.checkpoint.index_bytes", "automatch.rewrite.place._files"]
)
def test_an_interrupted_run_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    prefix = checkpoint(tmp_path, VALUES)
    out = checkpoint(tmp_path, {"x": np.ones(2, np.float32)}, "new.ckpt")
    plan = plan_for(prefix, {"t": ("old/w", "transpose:1,0"), "b": "old/b"})
    before = leftovers(tmp_path)
    monkeypatch.setattr(moment, interrupted_at(moment))
    with pytest.raises(KeyboardInterrupt):
        apply(plan, out, force=True)
    assert leftovers(tmp_path) == before
    assert set(loaded(out)) == {"x"}


def interrupted_at(name: str) -> Callable[..., list[Path]]:
    """The function of that name, interrupted: the one that lists files when it lists the new ones."""
    from automatch.rewrite import place

    plain = place._files

    def run(*arguments: object) -> list[Path]:
        if name.endswith("_files") and not str(arguments[0]).endswith(".tmp"):
            return plain(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    return run


def test_a_missing_folder_is_said_in_words(tmp_path: Path) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"b": "old/b"})
    with pytest.raises(UnwritableFile, match="is no folder"):
        apply(plan, tmp_path / "nowhere" / "new.ckpt")


@pytest.mark.parametrize("out", ["", ".", "..", "/", "sub/", "sub/..", ".index", "sub/.index"])
def test_a_folder_as_the_output_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"b": "old/b"})
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    before = leftovers(tmp_path.parent), sorted(tmp_path.rglob("*"))
    with pytest.raises(
        UnwritableFile, match=r"is a folder\. Name the prefix of the checkpoint to write in it"
    ):
        apply(plan, out)
    assert (leftovers(tmp_path.parent), sorted(tmp_path.rglob("*"))) == before


def test_an_address_as_the_output_is_said_to_be_one(tmp_path: Path) -> None:
    plan = plan_for(checkpoint(tmp_path, VALUES), {"b": "old/b"})
    with pytest.raises(UnwritableFile, match="^'gs://bucket/new.ckpt' is an address"):
        apply(plan, "gs://bucket/new.ckpt")
