"""`python -m automatch`."""

from __future__ import annotations

import sys

from automatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
