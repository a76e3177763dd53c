"""How far a long piece of work has come."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "Report"]

Report = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


class Progress:
    """Counts bytes and reports them; `total` is known once the work has been laid out."""

    def __init__(self, report: Report | None = None, total: int = 0) -> None:
        self.total = total
        self._done = 0
        self._report = report

    def step(self, size: int) -> None:
        """Reports that so many more bytes are done."""
        self._done += size
        if self._report is not None:
            self._report(self._done, max(self.total, self._done))
