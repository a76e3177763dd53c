"""Processes of their own for a library that damaged files crash: its crash comes out as an error."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from automatch.errors import UnreadableFile

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Answer", "ask"]

Answer = tuple[dict[str, Any], "np.ndarray | None"]
"""What was said, and the array that came behind it where a dtype and a shape were said."""

_Key = tuple[str, str]

# One file a process: what a file breaks inside of the library does not reach another file.
_AT_ONCE = 4
_running: OrderedDict[_Key, subprocess.Popen[bytes]] = OrderedDict()
_lock = Lock()


def ask(program: str, path: Path, question: Any) -> Answer:
    """What a program (a module that answers line by line) says of a file.

    A process is started where none stands ready for that file, and a few stay for the next question.
    Raises UnreadableFile for a file that the program refuses, that crashes it, or takes too long or too much.
    """
    key = program, str(path)
    with _lock:
        try:
            answer = _answer(_ready(key), question)
            code = 0 if answer else _end(key, 10)
            if not answer and code == 0:  # it had just left, for want of questions
                answer = _answer(_ready(key), question)
        except BaseException:
            _end(key)  # half an answer may be left in the pipe
            raise
    if answer is None:
        raise UnreadableFile(f"'{path}' {_fate(code)}. Copy it again from where it was made.")
    if "refused" in answer[0]:
        raise UnreadableFile(answer[0]["refused"])
    return answer


def _ready(key: _Key) -> subprocess.Popen[bytes]:
    """The process for a file, started where there is none; the one unused for the longest makes room."""
    if key in _running and _running[key].poll() is None:
        _running.move_to_end(key)
        return _running[key]
    _end(key)
    while len(_running) >= _AT_ONCE:
        _end(next(iter(_running)))
    # The same packages as here; and one thread, for each would take room of its own.
    places = os.pathsep.join(place or str(Path.cwd()) for place in sys.path)
    _running[key] = subprocess.Popen(  # noqa: S603, our own program, and a path that is no option
        [sys.executable, "-P", "-m", *key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": places, "OPENBLAS_NUM_THREADS": "1"},
        pipesize=2**20,
    )
    return _running[key]


def _answer(process: subprocess.Popen[bytes], question: Any) -> Answer | None:
    """One answer; None from a process that ends before it has given it."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        return None
    said = json.loads(line)
    if "dtype" not in said:
        return said, None
    import numpy as np

    array = np.empty(said["shape"], said["dtype"])
    read = process.stdout.readinto(array.reshape(-1).view("u1"))  # type: ignore[attr-defined]
    return (said, array) if read == array.nbytes else None


def _end(key: _Key, patience: float = 0) -> int:
    """The code with which a process ends, by itself within so many seconds or killed."""
    process = _running.pop(key, None)
    if process is None:
        return 0
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _close(process)
    return process.returncode


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what was not taken any more
            pipe.close()  # type: ignore[union-attr]


def _fate(code: int) -> str:
    """What is said of a file that ended the process which read it."""
    if -code in (getattr(signal, "SIGXCPU", 0), getattr(signal, "SIGALRM", 0)):
        return "takes far longer to read than its size accounts for"
    if code < 0:
        return f"is damaged, and crashes the library that reads its format ({signal.Signals(-code).name})"
    return f"cannot be read: the process that reads it ended with code {code}"


@atexit.register
def _end_all() -> None:
    for key in list(_running):
        _end(key)


def _forget() -> None:
    """A fork has no right to its parent's processes."""
    for process in _running.values():
        _close(process)
        process.returncode = 0
    _running.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget)
