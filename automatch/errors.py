"""Every exception that automatch raises.

    AutomatchError              anything below
      UnreadableFile            a file is missing, damaged, foreign, or of a format that cannot be read here
      UnwritableFile            an output cannot be written, or stands already
      UnsupportedTarget         a live object that automatch cannot read variables from, or restore into
      PlanError                 a plan file or plan object that cannot be used
        PlanIsStale             the plan was made for other variables than those at hand
        PlanConflict            decisions that contradict each other, or name what does not exist
      RestoreError              values cannot be restored; no variable has changed
      UsageError                an option that names what does not exist, or contradicts another

A message is one or two sentences: what is so, with both sides named, then what to do.
"""

from __future__ import annotations

__all__ = [
    "AutomatchError",
    "PlanConflict",
    "PlanError",
    "PlanIsStale",
    "RestoreError",
    "UnreadableFile",
    "UnsupportedTarget",
    "UnwritableFile",
    "UsageError",
]


class AutomatchError(Exception):
    """Base of all errors that automatch raises on purpose."""


class UnreadableFile(AutomatchError):
    """Raised by readers: the file is missing, damaged, foreign or not readable here."""


class UnwritableFile(AutomatchError):
    """Raised by writers: the output cannot be written, or exists and may not be replaced."""


class UnsupportedTarget(AutomatchError):
    """Raised for a live object that has no variables automatch knows how to find or set."""


class PlanError(AutomatchError):
    """Raised for a plan that cannot be loaded or used."""


class PlanIsStale(PlanError):
    """Raised when a plan's fingerprints no longer fit the source or the target."""


class PlanConflict(PlanError):
    """Raised when decisions in a plan contradict each other or name what does not exist."""


class RestoreError(AutomatchError):
    """Raised by a restore before or during reading; no variable has changed."""


class UsageError(AutomatchError):
    """Raised for options that name something that does not exist or contradict each other."""
