"""Tables for tests: the shipped one as plain values, to change and write."""

from __future__ import annotations

import copy
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from intaglio.power_model import Table, load_table

SHIPPED = "horowitz45"
IDLE_VALUES = {
    "leakage_sram": 2.0,
    "leakage_int8_element": 3.0,
    "leakage_fp32_element": 30.0,
    "clock_int8_element": 0.25,
    "clock_fp32_element": 1.5,
}
"""uW/KiB, uW, uW, uW/MHz, uW/MHz: no source's, for arithmetic only."""


def shipped() -> dict[str, Any]:
    text = (resources.files("intaglio") / "power_model" / "tables" / f"{SHIPPED}.yaml").read_text()
    return copy.deepcopy(yaml.safe_load(text))


def with_idle() -> dict[str, Any]:
    """The shipped table and IDLE_VALUES."""
    out = shipped()
    for name, value in IDLE_VALUES.items():
        out["entries"][name] |= {"value": value, "band": [value / 2, value * 2]}
    return out


def write(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def loaded(path: Path, content: Any) -> Table:
    return load_table(write(path, content))
