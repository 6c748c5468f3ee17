"""Chips by name: what each has, and which family's tools make designs for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intaglio.errors import InputError
from intaglio.text import shown

RESOURCES = ("lut", "ff", "dsp", "bram", "lutram")
"""Resources that are counted: lookup tables as they are placed, flip-flops, DSP blocks, block RAMs, and of the tables those that
are RAM (or what writes them), in the units of the family."""


@dataclass(frozen=True)
class Chip:
    """A chip: `family` as in families.py, `device` what its router is told, `available` how many of each of RESOURCES,
    `grades` its speed grades, slowest first, as the router names them."""

    name: str
    title: str
    family: str
    device: tuple[str, ...]
    available: Mapping[str, float]
    grades: tuple[str, ...]


def _has(lut: int, ff: int, dsp: int, bram: int, lutram: int) -> Mapping[str, float]:
    return dict(zip(RESOURCES, (lut, ff, dsp, bram, lutram), strict=True))


_ECP5 = ("6", "7", "8")
_XILINX = ("1", "2", "3")
_CHIPS = (
    # Lattice FPGA-DS-02012 (ECP5), a slice of 2 LUT4 and 2 registers; every second slice pair writes a RAM of LUTs.
    Chip("ecp5-25f", "Lattice ECP5 LFE5U-25F", "ecp5", ("--25k",), _has(24_288, 24_288, 28, 56, 3_036), _ECP5),
    Chip("ecp5-45f", "Lattice ECP5 LFE5U-45F", "ecp5", ("--45k",), _has(43_848, 43_848, 72, 108, 5_481), _ECP5),
    Chip("ecp5-85f", "Lattice ECP5 LFE5U-85F", "ecp5", ("--85k",), _has(83_640, 83_640, 156, 208, 10_455), _ECP5),
    # Gowin DS226 (GW2AR-18): 20,736 LUT4, 15,552 registers, 48 18x18 multipliers, 46 block RAMs.
    Chip(
        "gw2ar-18",
        "Gowin GW2AR-18",
        "gowin",
        ("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"),
        _has(20_736, 15_552, 48, 46, 2_592),
        ("8",),
    ),
    # Lattice FPGA-DS-02008 (iCE40 UltraPlus): logic cells of a LUT4 and a register.
    Chip("ice40up5k", "Lattice iCE40UP5K", "ice40", ("--up5k",), _has(5_280, 5_280, 8, 30, 0), ("6",)),
    # Xilinx DS180, DS190: LUT6, registers, DSP48E1, RAMB36, LUTs of SLICEMs.
    Chip("xc7a35t", "Xilinx Artix-7 XC7A35T", "xilinx7", (), _has(20_800, 41_600, 90, 50, 9_600), _XILINX),
    Chip("xc7a100t", "Xilinx Artix-7 XC7A100T", "xilinx7", (), _has(63_400, 126_800, 240, 135, 19_000), _XILINX),
    Chip("xc7z020", "Xilinx Zynq-7000 XC7Z020", "xilinx7", (), _has(53_200, 106_400, 220, 140, 17_400), _XILINX),
)
CHIPS: Mapping[str, Chip] = {chip.name: chip for chip in _CHIPS}


def chip_of(name: str) -> Chip:
    """The chip of that name. InputError with those that are known."""
    try:
        return CHIPS[name.lower()]
    except KeyError:
        raise InputError(f"chip {shown(name)}: is not known; known are {', '.join(CHIPS)}") from None


def grade_of(chip: Chip, grade: str | None) -> str:
    """A speed grade of the chip's, its slowest for None. InputError with those that it has."""
    if grade is None:
        return chip.grades[0]
    if grade.removeprefix("-") not in chip.grades:
        raise InputError(f"grade {shown(grade)}: {chip.name} has {', '.join(chip.grades)}")
    return grade.removeprefix("-")
