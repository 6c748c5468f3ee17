"""What a small machine takes of an ECP5, by its netlist's cells, beside the record of it.

    python -m tests.fpga.growth [--renew]

prints both, or writes the record anew: a commit that does so says what grew, and why. The machine has every feature of the shipped
ones, as small as it is valid; its netlist takes a minute, and the packer is not asked, so that only Yosys is needed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from intaglio.fpga.blocks import taken_by_block
from intaglio.fpga.families import FAMILIES
from intaglio.fpga.netlist import read_netlist
from intaglio.fpga.synthesis import synthesize
from intaglio.fpga.tools import yosys
from intaglio.machine.config_files import load_config

SMALL = (
    "rows=2", "cols=2", "requantizers=1", "depthwise_delay=2", "weight_bytes=4096", "activation_bytes=8192",
)  # fmt: skip
"""Fields of the machine beside tiny16's."""
RECORD = Path(__file__).parent / "growth.json"
COUNTED = ("lut", "ff", "dsp", "bram")
MOST = 1.03


def measured() -> dict[str, float]:
    """Units of each of COUNTED."""
    family = FAMILIES["ecp5"]
    cells = read_netlist(synthesize(load_config("tiny16", SMALL), family, print)).cells
    taken = taken_by_block(cells, family)[""]
    return {resource: taken[resource] for resource in COUNTED}


def recorded() -> dict[str, float]:
    held: dict[str, float] = json.loads(RECORD.read_text())["used"]
    return held


def grown(now: Mapping[str, float], before: Mapping[str, float]) -> list[str]:
    """The resources of which more than MOST times the record is used, each in words."""
    return [
        f"{resource}: {now[resource]:,.6g}, {before[resource]:,.6g} in the record"
        for resource in COUNTED
        if now[resource] > MOST * before[resource]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fpga.growth")
    parser.add_argument("--renew", action="store_true", help="write the record anew")
    options = parser.parse_args()
    now = measured()
    for resource, units in now.items():
        held = recorded()[resource] if RECORD.exists() else units
        print(f"{resource:>5} {units:8,.6g}  record {held:8,.6g}  {100 * (units / held - 1):+.2f} %")
    if options.renew:
        RECORD.write_text(json.dumps({"tool": yosys().version, "used": now}, indent=1) + "\n")


if __name__ == "__main__":
    main()
