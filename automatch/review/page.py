"""The review page: one HTML file that needs nothing but itself.

The template, its style and its script are in `automatch/data/review`; the script's parts are joined in order.
What the page shows travels as JSON in the page, and only ever becomes text there: names are hostile input.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import msgspec

from automatch.errors import AutomatchError
from automatch.files import write_whole
from automatch.plan import Plan
from automatch.report.groups import groups
from automatch.tensor import Listing, Shape

__all__ = ["content_policy", "page", "page_data", "side", "write_report"]

_SCRIPTS = ("names", "model", "items", "view", "detail", "trees", "map", "save", "main", "keys")


def write_report(
    plan: Plan, path: str | os.PathLike[str], *, plan_path: str | os.PathLike[str] | None = None
) -> Path:
    """The path, after the review page of the plan has been written there: one file that opens from disk.

    plan_path: where the plan lies, to name the file that the page's Save offers.

    Raises:
        UnwritableFile: the file cannot be written.
    """
    name = Path(plan_path).name if plan_path else "model.plan.json"
    data = page_data(plan, source=side(plan, "source"), target=side(plan, "target"))
    return write_whole(path, page({**data, "mode": "file", "name": name}).encode("utf-8"))


def side(plan: Plan, which: str) -> Listing | None:
    """The listing a plan was made from, read again; None where it is not at hand or has changed.

    The page works without it; with it, it knows the sizes of what is not used and the order of the source.
    """
    from automatch.read import read

    record = plan.source if which == "source" else plan.target
    try:
        listing = read(record.path) if record.path else None
    except (AutomatchError, OSError):
        return None
    return listing if listing is not None and listing.fingerprint == record.fingerprint else None


def page_data(plan: Plan, *, source: Listing | None = None, target: Listing | None = None) -> dict[str, Any]:
    """What the page is made of, ready for JSON: the plan, its groups, and both sides' tensors in order."""
    return {
        "plan": msgspec.to_builtins(plan),
        "groups": [asdict(group) for group in groups(plan)],
        "source": _tensors(source) or _sources_of(plan),
        "target": _tensors(target) or _targets_of(plan),
        "known": source is not None,
    }


def _tensors(listing: Listing | None) -> list[list[Any]]:
    return [] if listing is None else [[t.name, t.shape, t.dtype] for t in listing.tensors]


def _sources_of(plan: Plan) -> list[list[Any]]:
    """The source side as far as the plan knows it: in name order, the shape only where a pair keeps it."""
    types: dict[str, tuple[Shape | None, str]] = {
        entry.source: (None if entry.shape is msgspec.UNSET else entry.shape, entry.dtype or "")
        for entry in plan.unused
    }
    for pair in plan.pairs:
        types[pair.source] = (pair.shape, pair.dtype) if pair.transform == "identity" else (None, pair.dtype)
    return [[name, *types[name]] for name in sorted(types)]


def _targets_of(plan: Plan) -> list[list[Any]]:
    met = [[pair.target, pair.shape, pair.dtype] for pair in plan.pairs]
    return met + [[entry.target, entry.shape, entry.dtype] for entry in plan.unmatched]


def page(data: Mapping[str, Any]) -> str:
    """The whole page as text, with its own content policy in it."""
    script, style = _asset("js"), _asset("css")
    title = f"{_file_name(data['plan']['source'])} to {_file_name(data['plan']['target'])}"
    return Template(_read("review.html")).substitute(
        policy=content_policy(served=data.get("mode") == "served"),
        title=_escaped(title),
        style=style,
        script=script,
        data=_island(data),
    )


def _file_name(record: Mapping[str, Any]) -> str:
    return Path(record["path"] or "a live object").name


def _island(data: Mapping[str, Any]) -> str:
    """JSON that cannot end the element it stands in; half surrogates and line separators stay escaped."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _escaped(text: str) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def content_policy(*, served: bool) -> str:
    """The Content-Security-Policy: this one script and style by their hashes, and nothing from anywhere."""
    connect = "'self'" if served else "'none'"
    return (
        f"default-src 'none'; script-src '{_hash(_asset('js'))}'; style-src '{_hash(_asset('css'))}'; "
        f"img-src data:; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(kind: str) -> str:
    """The script or the style as it stands between its tags."""
    if kind == "css":
        return "\n" + _read("review.css")
    return '\n"use strict";\n' + "\n".join(_read(f"{name}.js") for name in _SCRIPTS)


@cache
def _read(name: str) -> str:
    return (files("automatch") / "data" / "review" / name).read_text("utf-8")
