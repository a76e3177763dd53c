"""A plan's accepted pairs as code or a map to paste, which runs without automatch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from automatch.errors import PlanConflict, UsageError
from automatch.export.regexes import literal, ruled
from automatch.export.templates import ASSIGNMENT_MAP, LOOK_UP, REGEX, SAVER_BUILDER, VAR_LIST
from automatch.moves import stored
from automatch.pieces import places, reads
from automatch.plan import Pair, Plan
from automatch.transform import parse

__all__ = ["export"]


def export(plan: Plan, form: str) -> str:
    """The accepted pairs as text of a form: `var_list`, `assignment_map`, `saver_builder`, `regex` or `json`.

    A saver_builder that converts has to know the stored dtypes: for these the plan's source is looked at.

    Raises:
        PlanConflict: a pair changes values in a way that the form cannot say, or two take one tensor.
        PlanError, PlanIsStale, UnreadableFile, RestoreError: pairs convert, and nothing says from what.
        UsageError: there is no such form.
    """
    forms: dict[str, Callable[[Plan], str]] = {
        "var_list": _var_list,
        "assignment_map": _assignment_map,
        "saver_builder": _saver_builder,
        "regex": _regex,
        "json": _json,
    }
    if form not in forms:
        raise UsageError(f"there is no form '{form}' to export. Take one of {', '.join(forms)}.")
    return forms[form](plan)


def _json(plan: Plan) -> str:
    """Target name -> source name; where values change, an object with the transform beside the source."""
    lines = []
    for pair in plan.accepted:
        plain = pair.transform == "identity"
        entry: object = pair.source if plain else {"source": pair.source, "transform": pair.transform}
        lines.append(f" {json.dumps(pair.target)}: {json.dumps(entry)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _var_list(plan: Plan) -> str:
    return _filled(VAR_LIST, plan, _by_source(plan, "a var_list"))


def _assignment_map(plan: Plan) -> str:
    return _filled(ASSIGNMENT_MAP, plan, _by_source(plan, "an assignment map"))


def _by_source(plan: Plan, form: str) -> str:
    taken: dict[str, str] = {}
    for pair in plan.accepted:
        if pair.transform != "identity":
            raise PlanConflict(
                f"{form} can only rename, and '{pair.source}' becomes '{pair.target}' by '{pair.transform}'. "
                "Export a saver_builder, use automatch.restore, or reject the pair."
            )
        if taken.setdefault(pair.source, pair.target) != pair.target:
            raise PlanConflict(
                f"{form} names each tensor once, and '{pair.source}' goes to both '{taken[pair.source]}' and "
                f"'{pair.target}'. Export a saver_builder, use automatch.restore, or reject one."
            )
    return _entries(taken.items())


def _entries(items: Iterable[tuple[str, str | None]]) -> str:
    return "\n".join(
        f"    {literal(key)}: {None if value is None else literal(value)}," for key, value in items
    )


def _filled(template: str, plan: Plan, names: str, **more: str) -> str:
    count = len(plan.accepted)
    return template.format(
        variables=f"{count:,} variable{'' if count == 1 else 's'}",
        source=_place(plan.source.path, "a checkpoint"),
        target=_place(plan.target.path, "a graph"),
        path=literal(plan.source.path or "model.ckpt"),
        names=names,
        look_up=LOOK_UP,
        **more,
    )


def _place(path: str | None, otherwise: str) -> str:
    """A path that may stand in a docstring."""
    return re.sub(r"[^A-Za-z0-9_./:@+ -]", "?", path) if path else otherwise


def _saver_builder(plan: Plan) -> str:
    rules, rest = ruled(plan, inverse=True)
    sources = stored(plan)
    changes, parts, dtypes = [], [], []
    for pair in plan.accepted:
        source = sources[pair.target]
        if steps := _steps(pair):
            changes.append(f"    {literal(pair.target)}: {steps!r},")
        if not reads(source, ""):
            parts.append(f"    {literal(pair.target)}: {[place.spec for place in places(source)]!r},")
        if parse(pair.transform).cast:
            dtypes.append((pair.target, source.dtype))
    return _filled(
        SAVER_BUILDER,
        plan,
        _entries(rest),
        rules="\n".join(rules),
        changes="\n".join(changes),
        parts="\n".join(parts),
        dtypes=_entries(dtypes),
    )


def _steps(pair: Pair) -> list[tuple[str, list[int]]]:
    """The transform as `(step, axes)`, less its cast; the last reshape is to the target's shape.

    Raises:
        PlanConflict: the target's shape is not known.
    """
    transform = parse(pair.transform)
    steps = []
    for step in transform.steps:
        axes = step.axes if step.axes is not None else pair.shape
        if axes is None:
            raise PlanConflict(
                f"the shape of '{pair.target}' is not known, and nothing can be reshaped to it."
            )
        steps.append((step.kind, list(axes)))
    if steps and steps[0][0] == "reshape" and len(transform.steps) > 1 and pair.shape is not None:
        steps.append(("reshape", list(pair.shape)))
    return steps


def _regex(plan: Plan) -> str:
    taken: dict[str, str] = {}
    for pair in plan.accepted:
        if taken.setdefault(pair.source, pair.target) != pair.target:
            raise PlanConflict(
                f"a rename gives a tensor one name, and '{pair.source}' goes to both '{taken[pair.source]}' "
                f"and '{pair.target}'. Export json, or reject one."
            )
    rules, rest = ruled(plan, inverse=False)
    return _filled(REGEX, plan, _entries(rest), rules="\n".join(rules))
