"""The core's memories hold as many bytes as the configuration says, and no more."""

from __future__ import annotations

import re

import pytest

from intaglio.hw.core import ComputeCore
from intaglio.hw.verilog import component_rtlil
from intaglio.machine.config_files import load_config

MODULE = re.compile(r"^module \\top\.(\S+)\n(.*?)^end$", re.MULTILINE | re.DOTALL)
MEMORY = re.compile(r"^ *memory width (\d+) size (\d+) ", re.MULTILINE)
MACHINES = {
    "tiny16": ["tiny16"],
    "edge64": ["edge64"],
    "edge256": ["edge256"],
    "one lane": ["edge64", "weight_lanes=1"],
    "3x5": [
        "tiny16",
        "rows=3",
        "cols=5",
        "activation_bytes=3072",
        "activation_banks=3",
        "bus_bytes=4",
        "memory.bytes_per_cycle=4",
    ],
}


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_as_many_bytes_as_configured(machine: list[str]) -> None:
    config = load_config(machine[0], machine[1:])
    found: dict[str, int] = {}
    for name, body in MODULE.findall(component_rtlil(ComputeCore(config), "top")):
        name = name.removeprefix("array_path.")
        part = "partial" if name == "drain.partial" else name.split(".")[0]
        found[part] = found.get(part, 0) + sum(int(width) * int(size) for width, size in MEMORY.findall(body)) // 8
    assert found["activations"] == config.activation_bytes
    assert found["weights"] == config.weight_bytes
    assert found["channels"] == config.channel_bytes
    assert found["partial"] == config.partial_bytes
    assert found["drain"] == 4 * config.cols * (2 << (config.rows - 1).bit_length())  # two tiles of sums
