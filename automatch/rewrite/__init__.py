"""Plans carried out on files: a checkpoint, or another file of weights, under the target's names."""

from automatch.rewrite.front import Rewritten, apply

__all__ = ["Rewritten", "apply"]
