"""Listing files: names, shapes and dtypes as JSON, standing for a checkpoint or graph without its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from automatch.errors import UnreadableFile
from automatch.read.files import damage_as_error, read_whole
from automatch.tensor import Dataflow, Listing, Order, Part, Shape, Tensor

__all__ = ["dumps", "loads", "matches", "read"]

# A hundred thousand variables with dataflow are 30 MB.
_LIMIT = 128 * 2**20

_Row = tuple[str, tuple[int, ...] | None, str]


class _Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a tensor beyond its row; everything optional."""

    trainable: bool | None = None
    slot_of: str | None = None
    slot: str | None = None
    full_name: str | None = None
    parts: tuple[tuple[str, Shape, Shape], ...] = ()
    initializer: str | None = None
    consumers: tuple[str, ...] = ()
    depth: int | None = None
    place: int | None = None


class _File(msgspec.Struct, frozen=True):
    automatch_listing: int
    tensors: tuple[_Row, ...]
    framework: str = "tf1"
    order: Order = "sorted"
    format: str = "listing"
    notes: tuple[str, ...] = ()
    saveables: tuple[str, ...] = ()
    details: dict[str, _Details] = {}


def matches(_path: Path, head: bytes) -> bool:
    """Whether the first bytes are those of a JSON object."""
    return head.lstrip().startswith(b"{")


def read(path: Path) -> Listing:
    """The listing that a file holds. Raises UnreadableFile."""
    data = read_whole(path, _LIMIT)
    with damage_as_error(path, "listing"):
        return loads(data, str(path))


def loads(data: bytes, path: str) -> Listing:
    """The listing in JSON bytes; `path` stands in messages and in the result. Raises UnreadableFile."""
    try:
        file = msgspec.json.decode(data, type=_File)
    except msgspec.MsgspecError as error:
        hint = "Write one with 'automatch inspect FILE --json'."
        raise UnreadableFile(f"'{path}' is no listing: {error}. {hint}") from error
    if file.automatch_listing != 1:
        raise UnreadableFile(
            f"'{path}' is a listing of version {file.automatch_listing}, and version 1 is read here. "
            "Write it again with this automatch."
        )
    tensors = tuple(_tensor(row, file.details.get(row[0])) for row in file.tensors)
    _check(tensors, path)
    return Listing(
        tensors,
        format=file.format,
        framework=file.framework,
        order=file.order,
        path=path,
        notes=file.notes,
        saveables=file.saveables,
    )


def _tensor(row: _Row, more: _Details | None) -> Tensor:
    name, shape, dtype = row
    if more is None:
        return Tensor(name, shape, dtype)
    flow = None
    if more.initializer or more.consumers or (more.depth, more.place) != (None, None):
        flow = Dataflow(more.initializer, more.consumers, more.depth, more.place)
    parts = tuple(Part(*part) for part in more.parts)
    return Tensor(name, shape, dtype, more.trainable, more.slot_of, more.slot, more.full_name, parts, flow)


def _check(tensors: tuple[Tensor, ...], path: str) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise UnreadableFile(
                f"'{path}' lists '{tensor.name}' twice. Names in a listing have to be unique."
            )
        if tensor.shape is not None and any(axis < -1 for axis in tensor.shape):
            raise UnreadableFile(
                f"'{path}' gives '{tensor.name}' the shape {list(tensor.shape)}. "
                "Sizes are 0 or more, or -1 where an axis is open."
            )
        seen.add(tensor.name)


def dumps(listing: Listing) -> str:
    """The listing as JSON text, one tensor a line; reading it gives back all but path and values."""
    rows = ",\n".join("  " + _json([t.name, t.shape, t.dtype]) for t in listing.tensors)
    details = {t.name: more for t in listing.tensors if (more := _details(t)) != _Details()}
    known = ",\n".join(f"  {_json(name)}: {_json(more)}" for name, more in details.items())
    lines = [
        '"automatch_listing": 1',
        f'"framework": {_json(listing.framework)}',
        f'"order": {_json(listing.order)}',
        f'"format": {_json(listing.format)}',
        f'"tensors": [\n{rows}\n ]' if rows else '"tensors": []',
    ]
    if known:
        lines.append(f'"details": {{\n{known}\n }}')
    lines += [
        f'"{key}": {_json(value)}' for key in ("saveables", "notes") if (value := getattr(listing, key))
    ]
    return "{" + ",\n ".join(lines) + "}\n"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _details(tensor: Tensor) -> _Details:
    flow = tensor.dataflow or Dataflow()
    return _Details(
        tensor.trainable,
        tensor.slot_of,
        tensor.slot,
        tensor.full_name,
        tuple((part.name, part.offset, part.shape) for part in tensor.parts),
        flow.initializer,
        flow.consumers,
        flow.depth,
        flow.place,
    )
