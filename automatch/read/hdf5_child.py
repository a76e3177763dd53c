"""What opens HDF5 files, in a process of its own: `python -m automatch.read.hdf5_child`.

It answers lines of JSON on standard input by lines of JSON on standard output: `null` by what the file holds,
a name by that dataset's values. It leaves by itself when it has not been asked for a while.

HDF5 can make a dataset out of bytes of any other file on the machine (external storage, external links,
virtual datasets); such a dataset is refused. Links are not followed.
"""

from __future__ import annotations

import json
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from automatch.errors import UnreadableFile
from automatch.read.archives import directory, seekable
from automatch.read.files import damage_as_error, first_bytes
from automatch.read.numpy_names import dtype_name
from automatch.tensor import Shape

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MARK", "MEMBER", "main"]

MARK = b"\x89HDF\r\n\x1a\n"
MEMBER = "model.weights.h5"
"""What the weights are called in an archive of Keras."""

# What layers and variables are called, and by which Keras: the only attributes that are read.
_TEXTS = re.compile(r"(?:layer|weight)_names\d*|name|keras_version|backend")

# What has never been written takes no space and claims any size; deflate shrinks 1,032 times at most.
_UNWRITTEN = 64 * 2**20
_SHRUNK = 1_032
# All paths together: nesting makes them longer than the file that they stand in.
_PATHS = 256 * 2**20

_IDLE = 10
_ROOM = 2 * 2**30
# To look through 100,000 datasets, in 160 MiB, takes 50 s, and damage makes the library go round in circles.
_SECONDS, _MOST_SECONDS, _BYTES_A_SECOND = 10, 3600, 2**18


def main(path: Path) -> None:
    """Answers until standard input ends, or nothing has been asked for ten seconds."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is interrupted, and ends this process
    while line := _next_line(sys.stdin.buffer):
        values = None
        try:
            with _opened(path) as file:
                name = json.loads(line)
                answer, values = (_survey(file), None) if name is None else _value(name, file[name])
        except UnreadableFile as error:
            answer = {"refused": str(error)}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        if values is not None:
            sys.stdout.buffer.write(values.reshape(-1).view("u1").data)
        sys.stdout.buffer.flush()


def _next_line(stream: BinaryIO) -> bytes:
    if sys.platform != "win32" and not select.select([stream], [], [], _IDLE)[0]:
        return b""
    return stream.readline()


def _grant(room: int, work: int) -> None:
    """From now on so many bytes more than a reader needs anyway, and time to look through so many."""
    with suppress(ImportError, OSError, ValueError):  # not every system knows such limits
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        seconds = min(_SECONDS + work // _BYTES_A_SECOND, _MOST_SECONDS)
        signal.alarm(10 * seconds)  # who waits for a disk takes no CPU time
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _lower(resource.RLIMIT_AS, pages * resource.getpagesize() + _ROOM + room)


def _lower(limit: int, value: int) -> None:
    import resource

    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, or the weights in the archive, as an `h5py.File`; damage comes out as UnreadableFile."""
    import h5py

    member = None if first_bytes(path).startswith(MARK) else directory(path)[MEMBER]
    _grant(3 * member.file_size if member and member.compress_type else 0, path.stat().st_size)
    with damage_as_error(path, "HDF5 file"), ExitStack() as stack:
        file = path if member is None else stack.enter_context(seekable(path, member))
        try:
            # Whoever writes the file anew meanwhile must not be kept from it.
            yield stack.enter_context(h5py.File(file, "r", locking=False))
        except (RuntimeError, OSError, AttributeError, NotImplementedError) as error:
            raise ValueError(str(error)) from error


def _survey(file: Any) -> dict[str, Any]:
    """All datasets by path with shape, dtype and, where they lie in one piece, their place; and the texts."""
    import h5py

    found: dict[str, Any] = {}
    texts: dict[str, dict[str, list[str]]] = {"": _texts(file)}
    room = _PATHS

    def visit(path: str | bytes, thing: Any) -> None:
        nonlocal room
        # A name that is no UTF-8 comes as bytes.
        name = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
        room -= len(name)
        if room < 0:
            raise ValueError(f"its paths take more than {_PATHS} bytes")
        if isinstance(thing, h5py.Dataset):
            described = _described(name, thing)
            found.update({name: (*described, *_place(thing))} if described else {})
        elif texts_of_group := _texts(thing):
            texts[name] = texts_of_group

    file.visititems(visit)
    return {"datasets": found, "texts": texts}


def _texts(group: Any) -> dict[str, list[str]]:
    """Attributes that hold texts, those of one text as a list of it."""
    found: dict[str, list[str]] = {}
    for key in filter(_TEXTS.fullmatch, group.attrs):
        value = group.attrs[key]
        items = [value] if isinstance(value, (str, bytes)) else list(getattr(value, "flat", ()))
        if all(isinstance(item, (str, bytes)) for item in items):
            found[key] = [_text(item) for item in items]
    return found


def _text(item: str | bytes) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _described(name: str, dataset: Any) -> tuple[Shape, str] | None:
    """Shape and dtype of a dataset; None where it is no tensor. Raises ValueError for one from elsewhere."""
    import h5py

    if dataset.external or dataset.is_virtual:
        raise ValueError(f"'{name}' takes its values from another file, which is not read")
    if dataset.shape is None:
        return None
    dtype = dataset.dtype
    if h5py.check_string_dtype(dtype) is not None:
        kind: str | None = "string"
    elif dtype.kind == "V":
        # Keras keeps what HDF5 has no type for as opaque bytes; of two bytes that is bfloat16.
        kind = "bfloat16" if dtype == "V2" else None
    else:
        kind = dtype_name(dtype) if dtype.kind != "O" else None
    return None if kind is None else (tuple(map(int, dataset.shape)), kind)


def _place(dataset: Any) -> tuple[str, int] | tuple[()]:
    """NumPy's dtype and the place of values that lie in the file as they lie in memory; else nothing."""
    import h5py

    within = dataset.id.get_offset()
    stored = dataset.id.get_type()
    # Opaque items are tagged, by Keras and by h5py, each in its own way.
    plain = isinstance(stored, h5py.h5t.TypeOpaqueID) or stored.equal(h5py.h5t.py_create(dataset.dtype))
    whole = dataset.id.get_storage_size() == dataset.nbytes and dataset.dtype.kind not in "SO"
    return (dataset.dtype.str, int(within)) if within is not None and plain and whole else ()


def _value(name: str, dataset: Any) -> tuple[dict[str, Any], np.ndarray | None]:
    """What is said of a dataset's values, and they. Raises ValueError where it claims too many."""
    import numpy as np

    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_UNWRITTEN, _SHRUNK * stored):
        raise ValueError(f"'{name}' claims {dataset.nbytes} bytes and has {stored}")
    _grant(4 * dataset.nbytes, dataset.nbytes // 64)  # unpacking is fast
    found = np.ascontiguousarray(dataset[()]).reshape(dataset.shape)
    if found.dtype.kind in "SOU":
        items = [str(item) if isinstance(item, str) else item.decode("latin-1") for item in found.flat]
        return {"texts": items, "shape": found.shape}, None
    return {"dtype": found.dtype.str, "shape": found.shape}, found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
