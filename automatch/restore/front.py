"""The two calls that people put into their code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from automatch.cycles import uncollected
from automatch.errors import UnsupportedTarget
from automatch.moves import collect
from automatch.plan import Plan
from automatch.read import read
from automatch.restore.outline import saveables
from automatch.restore.prepare import Prepared, prepare, with_values
from automatch.restore.result import Restored
from automatch.restore.sinks import sink_for

__all__ = ["restore", "restore_auto"]


def restore_auto(
    target: Any,
    source: Any,
    min_score: float = 0.8,
    *,
    exclude: Sequence[str] = (),
    pairs: Mapping[str, str] | None = None,
    use_ema: bool = False,
    values: bool = False,
    slots: bool = True,
    cast: bool = False,
    quiet: bool = False,
) -> Restored:
    """What was restored, after the pairs that automatch proposes with at least `min_score` got their values.

    target: a session, Keras model, `tf.Module`, `tf.train.Checkpoint`, or a list or dict of variables.
    source: a checkpoint prefix, or anything else that automatch reads values from.
    exclude: globs over target names to leave alone. pairs: target name -> source name, decided by you.
    use_ema: take moving averages for the variables that they shadow.
    values: read vectors whose names give no role, to tell scales and variances from offsets and means.
    slots: restore optimizer slots as well.
    cast: convert dtypes where they differ; without it such variables are left, and `why` says so. Values may
        be rounded; one that does not fit (a count of 2**40 into int32) is an error.
    quiet: do not print the one line.

    Raises:
        UnreadableFile: the checkpoint is missing, damaged or foreign.
        UnsupportedTarget: the target has no variables, or is a path.
        RestoreError: a value cannot be restored. No variable has changed in either case.
    """
    # What only matching needs is not loaded for a plan that is there.
    from automatch.suggest import suggest

    _check_order(target)
    here, there = read(target), with_values(source)
    if not here.tensors:
        raise UnsupportedTarget(
            "the target's graph has no variables. Build the model first, or pass the session of the graph "
            "that has it."
        )
    plan = suggest(
        there, here, min_score=min_score, exclude=exclude, pairs=pairs, use_ema=use_ema, values=values
    )
    with uncollected():
        moves = collect(plan, there, here, cast=cast, slots=slots, strict=False)
        return _carried_out(target, Prepared(there, here, moves), plan, quiet=quiet)


def restore(
    target: Any,
    source: Any,
    plan: Plan | str | os.PathLike[str],
    *,
    slots: bool = True,
    cast: bool = False,
    quiet: bool = False,
) -> Restored:
    """What was restored, after the accepted pairs of a reviewed plan got their values; see `restore_auto`.

    Raises:
        PlanIsStale: the plan was made for other variables.
        UnreadableFile: the checkpoint is missing, damaged or foreign.
        RestoreError: a value cannot be restored, or needs `cast=True`. No variable has changed in any case.
    """
    _check_order(target)
    agreed = plan if isinstance(plan, Plan) else Plan.load(plan)
    with uncollected():
        prepared = prepare(target, source, agreed, cast=cast, slots=slots)
        return _carried_out(target, prepared, agreed, quiet=quiet)


def _check_order(target: Any) -> None:
    if isinstance(target, (str, os.PathLike)):
        raise UnsupportedTarget(
            f"'{os.fspath(target)}' is a path, and values go into variables. "
            "The target comes first, then the checkpoint; 'automatch apply' writes checkpoints."
        )


def _carried_out(target: Any, prepared: Prepared, plan: Plan, *, quiet: bool) -> Restored:
    moves, left = prepared.moves.moves, prepared.moves.left
    alone = [tensor for tensor in prepared.target.tensors if tensor.name in left]
    uninitialized = sink_for(target).restore(moves, prepared.source, alone)
    taken = {move.source.name for move in moves}
    restored = Restored(
        restored=[move.target.name for move in moves],
        unmatched=[tensor.name for tensor in alone],
        unused=[tensor.name for tensor in prepared.source.tensors if tensor.name not in taken],
        uninitialized=uninitialized,
        plan=plan,
        why=dict(left),
        excluded=saveables(target) or list(prepared.target.saveables),
    )
    if not quiet:
        print(restored)
    return restored
