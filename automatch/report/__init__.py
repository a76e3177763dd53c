"""Plans and listings as text that a person reads: the report, the reasons of a pair, what a file holds.

Text is for people and may change; `--json` is for programs.
"""

from __future__ import annotations
