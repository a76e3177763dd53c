"""weightbridge, the closest other tool, on the same cases: right, wrong, raised or timed out, and its time.

It answers for all variables or for none, and gives no scores. It is called as its documentation asks: with
the formats where layouts differ, the separators, and leave to ignore what has no counterpart.
https://github.com/fferflo/weightbridge
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from automatch.layout import convention
from automatch.shapes import options
from automatch.tensor import Listing, Shape, Tensor
from automatch.transform import parse
from benchmarks.corpus import Case, Outcome, cases, score

if TYPE_CHECKING:
    from benchmarks.accuracy import Result

__all__ = ["compare"]

SECONDS = 60
"""CPU seconds that one case may take."""

Array = npt.NDArray[np.int32]

_MARKS = 16


@dataclass(frozen=True)
class Reply:
    """What became of one case: `answered`, `raised` or `timed out`, and the CPU seconds it took."""

    how: str
    seconds: float
    outcome: Outcome


def compare(chosen: Sequence[Case], results: Sequence[Result]) -> None:
    """Run it on each case in a process of its own; print it beside automatch's results on the same cases."""
    if find_spec("weightbridge") is None:
        print("\nweightbridge is not installed. Install it with `pip install weightbridge` to compare.")
        return
    print(f"\nweightbridge, at most {SECONDS} CPU s a case (automatch in brackets)")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        replies = []
        for result, reply in zip(results, pool.map(_ask, chosen), strict=True):
            replies.append(reply)
            print(_line(result, reply), flush=True)
    print(_total(results, replies))


def _line(result: Result, reply: Reply) -> str:
    theirs, ours = reply.outcome, result.outcome
    return (
        f"  {result.case.name:64s} {reply.how:10s} right {theirs.right:5d} ({ours.right:5d})  "
        f"wrong {theirs.wrong:4d} ({ours.wrong:3d})  {reply.seconds:6.2f} s ({result.seconds:5.2f} s)"
    )


def _total(results: Sequence[Result], replies: Sequence[Reply]) -> str:
    how = Counter(reply.how for reply in replies)
    seconds = sum(reply.seconds for reply in replies), sum(result.seconds for result in results)
    lines = [f"  {how['answered']} answered, {how['raised']} raised, {how['timed out']} timed out"]
    for name, outcomes in (
        ("weightbridge", [reply.outcome for reply in replies]),
        ("automatch", [result.outcome for result in results]),
        ("automatch where weightbridge answers", _where_answered(results, replies)),
    ):
        right, wrong, missed = (sum(map(attrgetter(w), outcomes)) for w in ("right", "wrong", "missed"))
        lines.append(f"  {name:36s} right {right:6d}  wrong {wrong:5d}  missed {missed:6d}")
    more = " or more" if how["timed out"] else ""
    ratio = seconds[0] / max(seconds[1], 1e-9)
    lines.append(
        f"  CPU s: weightbridge {seconds[0]:.1f}, automatch {seconds[1]:.1f}: {ratio:.1f} times as long{more}"
    )
    return "\n".join(lines)


def _where_answered(results: Sequence[Result], replies: Sequence[Reply]) -> list[Outcome]:
    both = zip(results, replies, strict=True)
    return [result.outcome for result, reply in both if reply.how == "answered"]


def _ask(case: Case) -> Reply:
    """Its reply on one case, from a child process that the system ends after so many CPU seconds."""
    line = [sys.executable, "-m", "benchmarks.peer", case.name, *([str(case.folder)] if case.folder else [])]
    where, limit = Path(__file__).parent.parent, 10 * SECONDS
    try:
        child = subprocess.run(line, capture_output=True, text=True, cwd=where, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return Reply("timed out", SECONDS, score(case, ()))
    if child.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return Reply("timed out", SECONDS, score(case, ()))
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(line)} failed:\n{child.stderr}")
    found = json.loads(child.stdout)
    pairs = [(target, source, transform) for target, source, transform in found["pairs"]]
    return Reply(found["how"], found["seconds"], score(case, pairs))


def main(argv: Sequence[str]) -> int:
    """Answer one case in this process and print the answer as JSON; the exit code is 0."""
    from weightbridge import adapt  # type: ignore[import-untyped]

    case = next(c for c in cases(Path(argv[1]) if argv[1:] else None, [argv[0]]) if c.name == argv[0])
    source, target = case.listing("source"), case.listing("target")
    given = {tensor.name: _marked(i, _shape(tensor)) for i, tensor in enumerate(source.tensors)}
    wanted = {tensor.name: np.broadcast_to(np.int32(-1), _shape(tensor)) for tensor in target.tensors}
    spent = time.process_time()
    _limit(SECONDS + spent)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = adapt(given, wanted, **_settings(source, target))
        how = "answered"
    except Exception:  # noqa: BLE001 - whatever it raises is its answer
        how, found = "raised", None
    spent = time.process_time() - spent
    _limit(10 * SECONDS)
    pairs = [] if found is None else list(_pairs(case, source, target, given, found))
    print(json.dumps({"how": how, "seconds": spent, "pairs": pairs}))
    return 0


def _limit(seconds: float) -> None:
    """Have the system end this process after so many CPU seconds from its start."""
    resource.setrlimit(resource.RLIMIT_CPU, (round(seconds), resource.RLIM_INFINITY))


def _settings(source: Listing, target: Listing) -> dict[str, Any]:
    settings: dict[str, Any] = {"ignore_unmatched_inputs": True, "ignore_unmatched_outputs": True}
    for side, listing in (("in", source), ("out", target)):
        text = "".join(tensor.name for tensor in listing.tensors)
        settings[f"{side}_separator"] = max("/.", key=text.count)
        if convention(source.framework) != convention(target.framework):
            torch = convention(listing.framework) == "torch"
            settings[f"{side}_format"] = "pytorch" if torch else "tensorflow"
    return settings


def _shape(tensor: Tensor) -> Shape:
    """The shape of a tensor; an axis of unknown length is empty."""
    return tuple(max(axis, 0) for axis in tensor.shape or ())


def _marked(number: int, shape: Shape) -> Array:
    """Zeros, which cost no memory until they are touched, with marks that tell tensor and axes apart.

    The marks stand at the origin, one step along each axis, and at the end.
    """
    array = np.zeros(shape, np.int32)
    flat = array.reshape(-1)
    steps = [stride // array.itemsize for stride in array.strides]
    for mark, place in enumerate([*steps, array.size - 1, 0]):
        if place < array.size:
            flat[place] = 1 + _MARKS * number + mark
    return array


def _pairs(
    case: Case, source: Listing, target: Listing, given: Mapping[str, Array], found: Mapping[str, Array]
) -> Iterator[tuple[str, str, str]]:
    for tensor in target.tensors:
        value, shape = found[tensor.name], tensor.shape or ()
        if value.size == 0 or value.flat[0] < 0:
            continue
        origin = source.tensors[(int(value.flat[0]) - 1) // _MARKS]
        ways = [text for text, _ in options(origin.shape or (), shape, source.framework, target.framework)]
        true = case.data["truth"].get(tensor.name, {}).get("transform", "reshape")
        texts = (*ways, true.removesuffix("+cast"), "reshape")
        yield tensor.name, origin.name, _transform(given[origin.name], value, texts)


def _transform(given: Array, value: Array, texts: Sequence[str]) -> str:
    """The first of the transforms that puts all marks where they are; "reshape" where none does."""
    for text in texts:
        transform = parse(text)
        if transform.fits(given.shape, value.shape):
            expected = transform.view(given).reshape(value.shape)
            if np.array_equal(expected, value):
                return text
    return "reshape"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
