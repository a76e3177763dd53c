"""What a restore did."""

from __future__ import annotations

from dataclasses import dataclass, field

from automatch.plan import Plan

__all__ = ["Restored"]


@dataclass(frozen=True, slots=True)
class Restored:
    """The outcome of a restore; `str()` is one line.

    restored: names of the target variables that have new values, in the order of the target.
    unmatched: names of those left as they were; `why` says the reason for each.
    unused: names of source tensors that went nowhere.
    uninitialized: names among `unmatched` that have no value at all yet; initialise just these. Of a
        partitioned variable it has the names of those parts.
    excluded: keys that a Saver of the target would handle and that are no variables, such as lookup tables.
    plan: the whole plan, with scores, reasons and runners-up.
    """

    restored: list[str]
    unmatched: list[str]
    unused: list[str]
    uninitialized: list[str]
    plan: Plan
    why: dict[str, str] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        total = len(self.restored) + len(self.unmatched)
        parts = [f"restored {len(self.restored)} of {total} variables"]
        if self.unmatched:
            state = f", {self._without_value} of them without any value" if self.uninitialized else ""
            parts.append(f"{len(self.unmatched)} left as they were{state}")
        if self.unused:
            parts.append(f"{len(self.unused)} source tensors unused")
        if self.excluded:
            parts.append(f"{len(self.excluded)} saveables that are no variables left out")
        return "automatch: " + "; ".join(parts)

    @property
    def _without_value(self) -> int:
        """How many variables, whole or partitioned, lack a value."""
        names = set(self.uninitialized)
        return len(names.intersection(self.unmatched)) + len(
            {name.rpartition("/")[0] for name in names.difference(self.unmatched)}
        )
