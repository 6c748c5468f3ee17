"""Where the shared test data lie: ../shared beside the repository, absent in a plain checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} (conformance data) is missing")
