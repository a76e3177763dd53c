"""Real checkpoints and graphs, written by TensorFlow 0.12 to 2.21, with what is known to be in them.

A folder of more of them may be named by the environment variable AUTOMATCH_CORPUS.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class RealFile:
    """One side of a real rename: the file, and the variables that its owner listed."""

    case: str
    path: Path
    side: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.case}-{self.path.name}"

    @property
    def variables(self) -> list[tuple[str, tuple[int, ...], str]]:
        return [(name, tuple(shape), dtype) for name, shape, dtype in self.side["variables"]]


@cache
def _cases() -> dict[Path, dict[str, Any]]:
    """The description of each case, by its own path."""
    corpus = os.environ.get("AUTOMATCH_CORPUS")
    paths = sorted(DATA.glob("*/case.json.gz")) + (sorted(Path(corpus).glob("*.json.gz")) if corpus else [])
    return {path: json.loads(gzip.decompress(path.read_bytes())) for path in paths}


def _real(kind: str, sides: tuple[str, ...]) -> Iterator[RealFile]:
    for where, case in _cases().items():
        root = DATA if where.is_relative_to(DATA) else where.parent / "files"
        for side in sides:
            relative = case[side].get(kind)
            if relative is None:
                continue
            path = root / relative
            if path.exists() or path.with_name(path.name + ".index").exists():
                yield RealFile(case["case"], path, case[side])


CHECKPOINTS = list(_real("checkpoint", ("source",)))
GRAPHS = list(_real("meta", ("target",)))
