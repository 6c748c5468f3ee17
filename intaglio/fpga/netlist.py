"""A mapped design: its cells, what they connect, and the blocks that they belong to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intaglio.fpga.shim import SHIM
from intaglio.fpga.synthesis import BLOCK
from intaglio.hw.verilog import TOP

_INSIDE = f"{SHIM}.{TOP}"
_MADE = re.compile(r"_(?:TRELLIS_FF|LUT4|PFUMX|CCU2C|L6MUX21|SB_\w+)_.*|\$nextpnr.*")
"""Ends that Yosys and nextpnr give the names of signals for cells."""
_NUMBER = re.compile(r"\$\d+")
OUTSIDE = "(shim)"
"""The block of what is not the accelerator's."""


@dataclass(frozen=True)
class Cell:
    """A cell. block: its module's path below the accelerator, "" for the accelerator itself. inputs, outputs: by port and
    bit the number of the net; constants are left out."""

    name: str
    kind: str
    block: str
    parameters: dict[str, str]
    inputs: dict[str, int]
    outputs: dict[str, int]

    @property
    def timed(self) -> str:
        """Its kind, and `registered` of a multiplier whose output register is in use."""
        return self.kind + " registered" * (self.parameters.get("REG_OUTPUT_CLK", "NONE") != "NONE")


@dataclass(frozen=True)
class Netlist:
    """cells: all of them. names: each net's, as the RTL has them, below the accelerator."""

    cells: list[Cell]
    names: dict[int, list[str]]

    def signal(self, cell: Cell) -> str:
        """The signal that a cell with one output drives, by its name in the cell's block if it has one there; a cell of
        many outputs, as a memory, has a name of its own."""
        if len(cell.outputs) != 1:
            return cell.name.removeprefix(f"{TOP}.")
        (net,) = cell.outputs.values()
        within = f"{cell.block}." if cell.block else ""
        names = self.names.get(net, [cell.name.removeprefix(f"{TOP}.")])

        def rank(name: str) -> tuple[bool, bool, int, str]:
            inside = name.startswith(within) and "." not in name.removeprefix(within)
            return not inside, "$" in name or "_LUT4_" in name, len(name), name

        return min(names, key=rank)

    def signal_of(self, name: str) -> str:
        """The signal of the cell of that name, where the router left it what it was; else the nearest that its name tells."""
        for cell in self.cells:
            if cell.name == name:
                return self.signal(cell)
        return _MADE.sub("", name.removeprefix(f"{TOP}."))


def read_netlist(path: Path) -> Netlist:
    """Yosys's JSON. The design must be flat: RuntimeError where a module of the RTL is left in it."""
    module = json.loads(path.read_text(encoding="utf-8"))["modules"][SHIM]
    left = {cell["type"] for cell in module["cells"].values() if cell["type"].startswith(f"{SHIM}.")}
    if left:
        raise RuntimeError(f"{path}: not flat, it has {', '.join(sorted(left))}")
    marked = {cell["attributes"].get(BLOCK) for cell in module["cells"].values()} - {None}
    blocks = {_path(name) for name in marked}
    cells = [
        Cell(
            name,
            cell["type"],
            _path(cell["attributes"][BLOCK]) if BLOCK in cell["attributes"] else block_of(name, blocks),
            cell["parameters"],
            dict(_bits(cell, "input")),
            dict(_bits(cell, "output")),
        )
        for name, cell in module["cells"].items()
    ]
    names: dict[int, list[str]] = {}
    for name, net in module["netnames"].items():
        if not net["hide_name"] and name.startswith(f"{TOP}."):
            shown = name.removeprefix(f"{TOP}.")
            for i, bit in enumerate(net["bits"]):
                if isinstance(bit, int):
                    names.setdefault(bit, []).append(shown if len(net["bits"]) == 1 else f"{shown}[{i}]")
    return Netlist(cells, names)


def block_of(name: str, blocks: set[str]) -> str:
    """The block that a cell's or a net's name lies in: Yosys names what it makes after a signal beside it."""
    if not name.startswith(TOP + "."):
        return OUTSIDE
    parts = _NUMBER.sub("", name.removeprefix(TOP + ".")).split(".")
    while parts and ".".join(parts) not in blocks:
        parts.pop()
    return ".".join(parts)


def _path(module: str) -> str:
    """The block of an RTLIL module, without the number that Amaranth gives one that is called as a signal beside it."""
    if module != _INSIDE and not module.startswith(_INSIDE + "."):
        return OUTSIDE
    return _NUMBER.sub("", module.removeprefix(_INSIDE).removeprefix("."))


def _bits(cell: dict[str, Any], direction: str) -> Iterator[tuple[str, int]]:
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == direction:
            for i, bit in enumerate(bits):
                if isinstance(bit, int):
                    yield (port if len(bits) == 1 else f"{port}[{i}]"), bit
