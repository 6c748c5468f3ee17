"""JSON and text as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intaglio.files import write_bytes


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def json_text(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, allow_nan=False) + "\n"
