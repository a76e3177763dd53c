"""Plan files: read strictly, written whole, the same plan in the same bytes.

The file is JSON with one pair a line and no time stamps, so that a plan in version control has small diffs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from automatch.errors import PlanError, UnreadableFile
from automatch.files import reason, write_whole
from automatch.plan import Plan
from automatch.plancheck import REDO, some, validate

__all__ = ["decode", "encode", "load", "save", "some", "validate"]

# A plan of a million pairs has about 300 MB; what is larger is no plan, and would only eat the memory.
LARGEST = 1 << 30

_HEAD = ("made_by", "source", "target", "options")
_LISTS = ("rules", "pairs", "unmatched", "unused", "suggestions")


def encode(plan: Plan) -> bytes:
    """The plan as JSON, UTF-8, one entry of each list a line.

    Raises:
        PlanError: a name holds what no text file can (half of a surrogate pair).
    """
    try:
        head = [f'"{name}": {_json(getattr(plan, name))}' for name in _HEAD]
        lists = [_lines(name, getattr(plan, name)) for name in _LISTS]
    except UnicodeEncodeError as error:
        raise PlanError(
            f"the name {error.object!r} is no Unicode text, which no plan can hold. Use --exclude."
        ) from error
    return ('{"automatch_plan": 1, ' + ",\n ".join([*head, *lists]) + "}\n").encode("utf-8")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")


def _lines(name: str, entries: Sequence[object]) -> str:
    if not entries:
        return f'"{name}": []'
    return f'"{name}": [\n  ' + ",\n  ".join(_json(entry) for entry in entries) + "]"


def save(plan: Plan, path: str | os.PathLike[str]) -> Path:
    """The path, after the plan has been written there in one step.

    Raises:
        UnwritableFile: the file cannot be written; an old one is as it was.
    """
    return write_whole(path, encode(plan))


def load(path: str | os.PathLike[str]) -> Plan:
    """The plan in a file, checked for contradictions.

    Raises:
        UnreadableFile: there is no such file, or it cannot be read.
        PlanError: it is no plan. PlanConflict: its entries contradict each other.
    """
    place = Path(path)
    if place.exists() and not place.is_file():
        raise UnreadableFile(f"'{path}' is no file. Name the plan that 'automatch suggest' has written.")
    try:
        if place.stat().st_size > LARGEST:
            raise PlanError(
                f"'{path}' has {place.stat().st_size:,} bytes, more than any plan. Name a plan file."
            )
        data = place.read_bytes()
    except OSError as error:
        raise UnreadableFile(
            f"cannot read '{path}': {reason(error)}. 'automatch suggest SOURCE TARGET -o {path}' makes it."
        ) from error
    return decode(data, str(path))


def decode(data: bytes | str, path: str = "plan") -> Plan:
    """The plan in a JSON text; path is what messages call it.

    Raises:
        PlanError: it is no plan. PlanConflict: its entries contradict each other.
    """
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlanError(f"'{path}' is no plan: {_in_words(error)}. {REDO}") from error
    validate(plan, path)
    return plan


def _in_words(error: Exception) -> str:
    """msgspec's message with its place set off: 'expected `float`, got `str` at `$.pairs[3].score`'."""
    text = str(error).replace(" - at ", " at ")
    return text[:1].lower() + text[1:]
