"""Small netlists in Yosys's JSON, made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from intaglio.fpga.netlist import Netlist, read_netlist
from intaglio.fpga.shim import SHIM
from intaglio.fpga.synthesis import BLOCK

OUTPUTS = {
    "TRELLIS_FF": ("Q",),
    "LUT4": ("Z", "F"),
    "ALU": ("SUM", "COUT"),
    "RAM16SDP4": ("DO",),
    "DFF": ("Q",),
    "DFFRE": ("Q",),
    "CCU2C": ("S0", "COUT"),
    "DP16KD": ("DOA0",),
    "TRELLIS_DPR16X4": ("DO0",),
}


class Design:
    """Cells by hand; nets are numbered by their names."""

    def __init__(self) -> None:
        self.cells: dict[str, Any] = {}
        self.nets: dict[str, int] = {}

    def cell(self, kind: str, name: str, block: str | None = None, **ports: str) -> None:
        """block: the module that its attribute names; None for a cell without one, as tables are."""
        attributes = {} if block is None else {BLOCK: block}
        self.cells[name] = {
            "type": kind,
            "parameters": {},
            "attributes": attributes,
            "port_directions": {port: "output" if port in OUTPUTS[kind] else "input" for port in ports},
            "connections": {port: [self._net(net)] for port, net in ports.items()},
        }

    def _net(self, name: str) -> int | str:
        return name if name in ("0", "1", "x") else self.nets.setdefault(name, len(self.nets) + 2)

    def read(self, folder: Path) -> Netlist:
        names = {name: {"bits": [bit], "hide_name": 0} for name, bit in self.nets.items()}
        path = folder / "netlist.json"
        path.write_text(json.dumps({"modules": {SHIM: {"cells": self.cells, "netnames": names}}}))
        return read_netlist(path)
