"""What all tests share."""

from __future__ import annotations

import os

from cli_helpers import folder, waiting
from review_browser import browser, page, review, towers

__all__ = ["browser", "folder", "page", "review", "towers", "waiting"]

# Before the first import of TensorFlow: it tells of devices and libraries that no test asks for.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
