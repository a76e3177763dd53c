"""A plan's accepted pairs, checked against what is really there, as moves of values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automatch.casts import misfit, narrows
from automatch.errors import PlanError, RestoreError
from automatch.known import parts_of, targets_of
from automatch.plan import Pair, Plan
from automatch.read import read
from automatch.slots import optimizer_slots
from automatch.tensor import Listing, Tensor, short_type
from automatch.transform import Transform, parse

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Move", "Moves", "collect", "source_of", "stored"]

# As many problems as fit a screen; the rest is counted.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Move:
    """One source tensor on its way into one target variable."""

    source: Tensor
    target: Tensor
    transform: Transform

    @property
    def nbytes(self) -> int:
        """Bytes of the source's value, one for an element of unknown width."""
        return (self.source.size or 0) * _width(self.source.dtype)

    @property
    def narrows(self) -> bool:
        """Whether the source may hold values that do not fit into the target's dtype."""
        return self.transform.cast and narrows(self.source.dtype, self.target.dtype)

    def check(self, values: np.ndarray) -> None:
        """Nothing, if these of the source's values fit into the target's dtype.

        Raises RestoreError with one that does not, and both names.
        """
        lost = misfit(values, self.target.dtype) if self.narrows else None
        if lost is not None:
            raise RestoreError(
                f"'{self.source.name}' holds {lost!s}, which does not fit into '{self.target.name}' of "
                f"{self.target.dtype}. Nothing has changed. Reject the pair to leave it out, or make the "
                f"target {self.source.dtype}."
            )


@dataclass(frozen=True, slots=True)
class Moves:
    """What will be restored, and what is left as it is: target name -> why."""

    moves: tuple[Move, ...]
    left: dict[str, str]


def collect(plan: Plan, source: Listing, target: Listing, *, cast: bool, slots: bool, strict: bool) -> Moves:
    """The moves of a plan's accepted pairs, each checked by name, shape and dtype on both sides.

    cast: pairs that convert to another dtype are wanted. slots: optimizer slots are wanted.
    strict: a pair that cannot be moved is an error rather than left out.

    Raises:
        RestoreError: all problems of the accepted pairs together.
    """
    left = _undecided(plan)
    moves: list[Move] = []
    problems: list[str] = []
    unwanted = frozenset[str]() if slots else optimizer_slots(target)
    for pair in plan.accepted:
        if pair.target in unwanted:
            left[pair.target] = "an optimizer slot, left by slots=False"
        elif problem := _problem(pair, source, target, cast=cast):
            left[pair.target] = problem
            problems.append(f"'{pair.target}': {problem}")
        else:
            moves.append(
                Move(source.by_name[pair.source], target.by_name[pair.target], parse(pair.transform))
            )
    if problems and strict:
        raise RestoreError(_told(problems))
    return Moves(tuple(moves), left)


def source_of(plan: Plan, source: Any = None) -> Listing:
    """The listing of a plan's source; `source`: where it is, if no longer where the plan says.

    Raises:
        PlanError: neither says where. PlanIsStale: it is not the one of the plan.
        UnreadableFile: it is missing or damaged.
    """
    if source is None and plan.source.path is None:
        raise PlanError("the plan does not say where its source lies. Name it with --source, or source=….")
    listing = read(plan.source.path if source is None else source)
    plan.check(source=listing)
    return listing


def stored(plan: Plan, source: Any = None) -> dict[str, Tensor]:
    """Target name -> its source's dtype and parts, as a tensor, for the accepted pairs.

    A plan keeps the target's dtypes alone: the source is read, as by `source_of`, where pairs convert them.

    Raises:
        RestoreError: a pair cannot be moved.
    """
    if source is None and not any(parse(pair.transform).cast for pair in plan.accepted):
        parts = parts_of(plan.source)
        return {
            pair.target: Tensor(pair.source, pair.shape, pair.dtype, parts=parts.get(pair.source, ()))
            for pair in plan.accepted
        }
    listing = source_of(plan, source)
    moves = collect(plan, listing, targets_of(plan), cast=True, slots=True, strict=True).moves
    return {move.target.name: move.source for move in moves}


def _undecided(plan: Plan) -> dict[str, str]:
    left = {entry.target: entry.why for entry in plan.unmatched}
    for pair in plan.pairs:
        if pair.decision != "accept":
            left[pair.target] = pair.why or pair.decision
    return left


def _problem(pair: Pair, source: Listing, target: Listing, *, cast: bool) -> str:
    """What keeps an accepted pair from being moved, in words; empty if nothing does."""
    tensor, variable = source.by_name.get(pair.source), target.by_name.get(pair.target)
    if tensor is None:
        return f"the source has no tensor '{pair.source}'"
    if variable is None:
        return f"the target has no variable '{pair.target}'"
    transform = parse(pair.transform)
    if not transform.fits(tensor.shape, variable.shape):
        return f"{_types(tensor, variable)} by '{transform}'"
    if tensor.dtype != variable.dtype and not transform.cast:
        return f"{_types(tensor, variable)} without '+cast' in its transform"
    if _meaningless(tensor.dtype, variable.dtype):
        return f"{_types(tensor, variable)}: no conversion keeps its meaning"
    if transform.cast and not cast:
        return f"it needs a cast from {tensor.dtype} to {variable.dtype}: pass cast=True"
    return ""


def _types(tensor: Tensor, variable: Tensor) -> str:
    return (
        f"'{tensor.name}' {short_type(tensor.dtype, tensor.shape)} cannot become "
        f"'{variable.name}' {short_type(variable.dtype, variable.shape)}"
    )


def _meaningless(dtype: str, wanted: str) -> bool:
    """True for casts that would lose what a value is: text to numbers, complex to real, numbers to truth."""
    if dtype == wanted:
        return False
    kinds = {"string", "bool", "resource", "variant"}
    return dtype in kinds or wanted in kinds or (dtype.startswith("complex") > wanted.startswith("complex"))


def _told(problems: Collection[str]) -> str:
    shown = "; ".join(_first(problems))
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"nothing has changed: {shown}{more}. Correct or reject these pairs."


def _first(problems: Collection[str]) -> Iterator[str]:
    for problem, _ in zip(problems, range(_SHOWN), strict=False):
        yield problem


def _width(dtype: str) -> int:
    digits = dtype[len(dtype.rstrip("0123456789")) :]
    return max(int(digits) // 8, 1) if digits else 1
