"""Variable names that differ, matched: a checkpoint here, the graph or model that must load it there.

    import automatch

    plan = automatch.suggest("model.ckpt", "graph.meta")     # what goes where, how sure, and why
    restored = automatch.restore_auto(session, "model.ckpt")  # the same, and the values set

Names are imported when they are first used: `import automatch` costs nothing, and TensorFlow is imported by
what restores and by what reads live objects, never by what reads files.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from automatch.version import VERSION

if TYPE_CHECKING:
    from automatch.errors import AutomatchError as AutomatchError
    from automatch.errors import PlanConflict as PlanConflict
    from automatch.errors import PlanError as PlanError
    from automatch.errors import PlanIsStale as PlanIsStale
    from automatch.errors import RestoreError as RestoreError
    from automatch.errors import UnreadableFile as UnreadableFile
    from automatch.errors import UnsupportedTarget as UnsupportedTarget
    from automatch.errors import UnwritableFile as UnwritableFile
    from automatch.errors import UsageError as UsageError
    from automatch.plan import Plan as Plan
    from automatch.read import read as inspect  # noqa: F401
    from automatch.restore import restore as restore
    from automatch.restore import restore_auto as restore_auto
    from automatch.rewrite import apply as apply
    from automatch.saver import SaverBuilder as SaverBuilder
    from automatch.suggest import suggest as suggest
    from automatch.tensor import Listing as Listing
    from automatch.tensor import Tensor as Tensor
    from automatch.tracking import track_variables as track_variables

__version__ = VERSION

_HOME = {
    "AutomatchError": "errors",
    "Listing": "tensor",
    "Plan": "plan",
    "PlanConflict": "errors",
    "PlanError": "errors",
    "PlanIsStale": "errors",
    "RestoreError": "errors",
    "SaverBuilder": "saver",
    "Tensor": "tensor",
    "UnreadableFile": "errors",
    "UnsupportedTarget": "errors",
    "UnwritableFile": "errors",
    "UsageError": "errors",
    "apply": "rewrite",
    "inspect": "read",
    "restore": "restore",
    "restore_auto": "restore",
    "suggest": "suggest",
    "track_variables": "tracking",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'automatch' has no attribute '{name}'")
    module = import_module(f"automatch.{_HOME[name]}")
    return getattr(module, "read" if name == "inspect" else name)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # `suggest` and `restore` are functions and the modules they live in; whoever imports such a module
        # first would have the import system put it in the function's place.
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted(__all__)
