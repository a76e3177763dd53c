"""A time in which Python looks for no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """Work that makes many objects and no cycles, for whose sake Python would go through all others again.

    A sixth of the time that 100,000 names take, and for a restore all of TensorFlow's objects.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
