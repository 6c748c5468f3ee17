"""What all tests share."""

from __future__ import annotations

import os

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it for its workers, and what a command prints would be folded to it
