"""The corpus: real renames with ground truth, and how an answer is scored against it.

Each case is one gzipped JSON file. What counts is what would be restored: accepted pairs.

    right    the truth's source (or an alternative) with a transform that does the same
    wrong    any other accepted pair, and any accepted pair for a target without counterpart
    missed   a target with a counterpart that was not accepted
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automatch.read import read
from automatch.tensor import Listing, Tensor
from automatch.transform import same_effect

__all__ = ["Accepted", "Case", "Outcome", "cases", "score"]

LISTINGS = Path(__file__).parent / "corpus"

_NOTHING = "has no counterpart"

Accepted = Iterable[tuple[str, str, str]]
"""(target name, source name, transform) of the pairs that would be restored."""


@dataclass(frozen=True)
class Case:
    """One rename with its truth; `folder` holds the real files, where they are at hand."""

    name: str
    family: str
    data: Mapping[str, Any]
    folder: Path | None

    def listing(self, side: str) -> Listing:
        """The names, shapes and dtypes of one side, as the corpus lists them."""
        part = self.data[side]
        tensors = tuple(Tensor(name, tuple(shape), dtype) for name, shape, dtype in part["variables"])
        return Listing(tensors, framework=part["framework"], order=part["order"], path=f"{self.name}.{side}")

    def real(self, side: str) -> Listing:
        """One side as its real files say it; the corpus' listing where there are none."""
        part = self.data[side]
        listing = self.listing(side)
        files = None if self.folder is None else self.folder / "files"
        if files is None or not files.is_dir():
            return listing
        checkpoint = part.get("checkpoint")
        if checkpoint and (files / f"{checkpoint}.index").exists():
            return read(files / checkpoint)
        if part.get("file") and (files / part["file"]).exists():
            return read(files / part["file"])
        if part.get("meta") and (files / part["meta"]).exists():
            from automatch.read import enrich

            return enrich(listing, read(files / part["meta"]))
        return listing

    @property
    def tensorflow_only(self) -> bool:
        """Whether both sides are TensorFlow's own."""
        return all(self.data[side]["framework"].startswith(("tf", "keras")) for side in ("source", "target"))


@dataclass(frozen=True)
class Outcome:
    """Counts of one case, and the pairs that were wrong or missed."""

    right: int
    wrong: int
    missed: int
    wrong_pairs: tuple[tuple[str, str, str, str], ...] = ()
    missed_targets: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """Right of all that have a counterpart; 1.0 where none has."""
        mistaken = sum(truth != _NOTHING for *_, truth in self.wrong_pairs)
        possible = self.right + self.missed + mistaken
        return self.right / possible if possible else 1.0


def cases(folder: Path | None = None, only: Iterable[str] = ()) -> Iterator[Case]:
    """The corpus' cases in order of name; `only` keeps those whose name contains one of the words."""
    words = tuple(only)
    for path in sorted((folder or LISTINGS).glob("*.json.gz")):
        name = path.name.removesuffix(".json.gz")
        if words and not any(word in name for word in words):
            continue
        data = json.loads(gzip.decompress(path.read_bytes()))
        yield Case(name, re.split(r"[-_ ]", data["family"])[0], data, folder)


def score(case: Case, accepted: Accepted) -> Outcome:
    """Right, wrong and missed of the accepted pairs of one case."""
    truth, many = case.data["truth"], case.data.get("many", {})
    skipped = set(many) | set(case.data.get("ignore", ()))
    undecidable = {name for group in case.data.get("undecidable", ()) for name in group}
    shapes = {
        side: {name: tuple(shape) for name, shape, _ in case.data[side]["variables"]}
        for side in ("source", "target")
    }
    right, wrong = set(), []
    for target, source, transform in accepted:
        if target in skipped or target not in shapes["target"]:
            continue
        entry = truth.get(target)
        if entry is None:
            wrong.append((target, source, transform, _NOTHING))
            continue
        good = {entry["source"], *entry.get("also", ()), *entry.get("alternatives", ())}
        if source not in good:
            wrong.append((target, source, transform, entry["source"]))
        elif not same_effect(
            transform.removesuffix("+cast"),
            entry["transform"].removesuffix("+cast"),
            shapes["source"][source],
            shapes["target"][target],
        ):
            wrong.append((target, source, transform, entry["transform"]))
        else:
            right.add(target)
    bad = {pair[0] for pair in wrong}
    missed = [
        name
        for name, entry in truth.items()
        if name not in right
        and name not in bad
        and name not in skipped
        and name not in undecidable
        and not entry.get("optional")
    ]
    return Outcome(len(right), len(wrong), len(missed), tuple(wrong), tuple(missed))
