"""Families of chips: how Yosys maps a design to one, what each of its cells takes, and which nextpnr routes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from intaglio.errors import InputError
from intaglio.hw.packed_products import PACKED
from intaglio.hw.target import target_of
from intaglio.machine.chips import Chip
from intaglio.machine.config import Config


@dataclass(frozen=True)
class Router:
    """A nextpnr. program: its name where it is installed natively; `yowasp-` and that name is its package on PyPI.
    options: what it needs beside the chip. otherwise: options of another router, for a design on which its own gets no
    further; none where it has one alone. used: a resource's names in its report, with the units that each is;
    none where the netlist's cells tell as much. files: by
    name, those that its options name."""

    program: str
    options: tuple[str, ...]
    used: Mapping[str, Mapping[str, float]]
    files: Mapping[str, str] = field(default_factory=dict)
    otherwise: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellDelay:
    """Nanoseconds of a type of cells at the slowest grade. launch: from the clock to its outputs; None for a cell without a
    clock. setup: at the inputs where paths end. arcs: from inputs to outputs, by a pattern of `input output`. ends: a pattern
    of the inputs at which paths end. free: of those that nets from a neighbour reach in no time, as carries do."""

    launch: float | None = None
    setup: float = 0.0
    arcs: Mapping[str, float] = field(default_factory=dict)
    ends: str = ""
    free: str = ""


@dataclass(frozen=True)
class Delays:
    """cells: by type. net, net_per_doubling: nanoseconds of a net to one input, and what each doubling of its fan-out
    adds; with them estimates are nearest to routed designs (docs/fpga.md)."""

    cells: Mapping[str, CellDelay]
    net: float
    net_per_doubling: float


@dataclass(frozen=True)
class Family:
    """synth: Yosys's command for the family, with its options. multiplier: bits of a DSP block's operands, signed, the wider one
    first. cells: by regular expression of a cell's type what one takes.
    router: None where no open tool routes. delays: None where no estimate has been held against routed designs. beside: of a
    family whose register takes its input from the table in its place alone, a pattern of the cells that a register's place can
    hold too; a register behind any other cell, or behind one that already has a register, takes the place of a table. None
    elsewhere. ram_style: of memories whose reads are registered; None where Yosys chooses well."""

    name: str
    synth: str
    multiplier: tuple[int, int]
    cells: Mapping[str, Mapping[str, float]]
    router: Router | None = None
    delays: Delays | None = None
    beside: str | None = None
    ram_style: str | None = None

    @property
    def target(self) -> str:
        """The target (hw/target.py) that the hardware is written for."""
        return target_of(self.name)

    def takes(self, cell: str) -> Mapping[str, float]:
        """Units that a cell of that type takes of a chip; nothing for one that is in none of its resources, as multiplexers
        between tables are."""
        return next((takes for pattern, takes in self.cells.items() if re.fullmatch(pattern, cell)), {})


_LUT = 0.236
_ECP5 = Delays(
    # Project Trellis' timings of grade 6 as nextpnr prints them.
    {
        "TRELLIS_FF": CellDelay(launch=0.525, ends="DI|M|CE|LSR"),
        "LUT4": CellDelay(arcs={".*": _LUT}),
        "PFUMX": CellDelay(arcs={"C0 Z": 0.256, ".*": 0.165}, free="ALUT|BLUT"),
        "L6MUX21": CellDelay(arcs={"SD Z": 0.256, ".*": 0.165}, free="D0|D1"),
        "CCU2C": CellDelay(arcs={"CIN COUT": 0.071, ".* COUT": 0.45, ".*": 0.45}, free="CIN"),
        "TRELLIS_DPR16X4": CellDelay(arcs={"RAD.*": _LUT}, ends="DI.*|WAD.*|WRE"),
        "DP16KD": CellDelay(launch=5.61, ends="(?!CLK).*"),
        "PDPW16KD": CellDelay(launch=5.61, ends="(?!CLK).*"),
        "MULT18X18D": CellDelay(arcs={"[AB].*": 4.0}),
        "MULT18X18D registered": CellDelay(launch=0.4, ends="[AB].*|CE0", setup=3.5),
    },
    net=0.75,
    net_per_doubling=0.1,
)
_GOWIN_PINS = {"clk": 4, "rst": 88, "serial_in": 87, "take": 85, "serial_out": 15}
"""Pins of the package QN88 for the shim's ports: any that are inputs and outputs."""
_FAMILIES = (
    Family(
        "ecp5",
        "synth_ecp5",
        (18, 18),
        {
            "LUT4": {"lut": 1},
            "CCU2C": {"lut": 2},
            "TRELLIS_DPR16X4": {"lut": 4, "lutram": 1},
            "TRELLIS_FF": {"ff": 1},
            "MULT18X18D": {"dsp": 1},
            "DP16KD|PDPW16KD": {"bram": 1},
        },
        Router(
            "nextpnr-ecp5",
            ("--package", "CABGA381", "--lpf-allow-unconstrained"),
            {
                "lut": {"TRELLIS_COMB": 1},
                "ff": {"TRELLIS_FF": 1},
                "dsp": {"MULT18X18D": 1},
                "bram": {"DP16KD": 1},
                "lutram": {"TRELLIS_RAMW": 1},
            },
            otherwise=("--router", "router2"),
        ),
        _ECP5,
    ),
    Family(
        "gowin",
        # A register is in no place of a wide multiplexer, but in that of the last table of a tree of them.
        "synth_gowin -family gw2a -nowidelut",
        (18, 18),
        {
            "LUT[1-4]|INV": {"lut": 1},
            "ALU": {"lut": 1},
            # One takes the places of a block's eight tables, whatever its width.
            "RAM16SDP[124]": {"lut": 8, "lutram": 4},
            "DFF.*": {"ff": 1},
            "MULT9X9": {"dsp": 0.5},
            "MULT18X18": {"dsp": 1},
            "MULT36X36": {"dsp": 4},
            "(SP|SDP|DP)X?9?B?": {"bram": 1},
        },
        Router(
            "nextpnr-himbaechel-gowin",
            ("--vopt", "cst=pins.cst"),
            {},
            # It takes no port without a pin.
            {"pins.cst": "".join(f'IO_LOC "{port}" {pin};\n' for port, pin in _GOWIN_PINS.items())},
        ),
        # Not in those of a RAM, whose block nextpnr gives no registers.
        beside="LUT[1-4]|INV|ALU",
        # A RAM of tables takes eight of their places for four bits.
        ram_style="block",
    ),
    Family(
        "ice40",
        "synth_ice40 -dsp -spram -device u",
        (16, 16),
        {
            "SB_LUT4": {"lut": 1},
            "SB_DFF.*": {"ff": 1},
            "SB_MAC16": {"dsp": 1},
            "SB_RAM40_4K.*": {"bram": 1},
        },
        Router(
            "nextpnr-ice40",
            ("--package", "sg48"),
            {"lut": {"ICESTORM_LC": 1}, "dsp": {"ICESTORM_DSP": 1}, "bram": {"ICESTORM_RAM": 1}},
            otherwise=("--router", "router2"),
        ),
    ),
    Family(
        "xilinx7",
        "synth_xilinx -family xc7 -flatten",
        (25, 18),
        {
            "LUT[1-6]|INV": {"lut": 1},
            "RAM(32|64)M": {"lut": 4, "lutram": 4},
            "RAM(32|64)X1D": {"lut": 2, "lutram": 2},
            "RAM128X1D": {"lut": 4, "lutram": 4},
            "SRL16E|SRLC32E": {"lut": 1, "lutram": 1},
            "FD[RSCP]E(_1)?": {"ff": 1},
            "DSP48E1": {"dsp": 1},
            "RAMB18E1": {"bram": 0.5},
            "RAMB36E1": {"bram": 1},
        },
    ),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _FAMILIES}


def check_products(config: Config, chip: Chip) -> None:
    """Refuses products that the chip's multipliers do not hold in pairs, with an InputError."""
    a, b = FAMILIES[chip.family].multiplier
    if config.packed and max(a, b) < PACKED:
        raise InputError(
            f"configuration field multipliers = packed: {chip.name}'s DSP blocks multiply {a} x {b} bits, two products take "
            f"{PACKED} x 9 and so two of them; dsp takes as many with less around them (--set multipliers=dsp)"
        )
