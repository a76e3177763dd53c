"""Plans carried out: values from a checkpoint into the variables of a session, a model, a module.

    read -> check -> [nodes | feeding | eager] -> Restored

A restore is all or nothing: whatever can be checked is checked before a variable changes.
"""

from automatch.restore.front import restore, restore_auto
from automatch.restore.result import Restored

__all__ = ["Restored", "restore", "restore_auto"]
