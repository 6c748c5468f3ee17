"""Cells counted in the blocks that they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
from netlists import Design

from intaglio.errors import InputError
from intaglio.fpga.blocks import taken_by_block
from intaglio.fpga.families import FAMILIES
from intaglio.fpga.netlist import OUTSIDE
from intaglio.machine.chips import CHIPS, RESOURCES, chip_of, grade_of


def design() -> Design:
    made = Design()
    made.cell("TRELLIS_FF", "a", "shim.intaglio.core.array", DI="n", Q="intaglio.core.array.sum")
    made.cell("TRELLIS_FF", "b", "shim.intaglio.core", DI="intaglio.core.array.sum", Q="intaglio.core.held")
    made.cell("TRELLIS_FF", "c", "shim", DI="intaglio.core.held", Q="taken")
    # A block beside a signal of its name has a number.
    made.cell("TRELLIS_FF", "w", "shim.intaglio.watchdog$279", DI="n", Q="intaglio.watchdog$279.at")
    made.cell("LUT4", "intaglio.watchdog$279.at_TRELLIS_FF_Q_DI_LUT4_Z", A="1", Z="s")
    # Without an attribute: named after a signal, of a module or of none.
    made.cell("LUT4", "intaglio.core.array.sum_TRELLIS_FF_Q_DI_LUT4_Z", A="1", Z="n")
    made.cell("LUT4", "intaglio.core.other[3]_LUT4_Z", A="1", Z="m")
    made.cell("LUT4", "intaglio.top_LUT4_Z", A="1", Z="o")
    made.cell("LUT4", "taken_LUT4_Z", A="1", Z="p")
    made.cell("CCU2C", "intaglio.core.array.sum_CCU2C_S0", A0="n", S0="q", COUT="r")
    return made


def test_every_block_has_what_lies_in_it(tmp_path: Path) -> None:
    blocks = taken_by_block(design().read(tmp_path).cells, FAMILIES["ecp5"])
    assert list(blocks) == ["", "core", "core.array", "watchdog", OUTSIDE]
    assert {name: (taken["lut"], taken["ff"]) for name, taken in blocks.items()} == {
        "": (6, 3),
        "core": (4, 2),
        "core.array": (3, 1),
        "watchdog": (1, 1),
        OUTSIDE: (1, 1),
    }


def test_a_register_behind_no_table_of_its_own_takes_a_place_on_a_gowin(tmp_path: Path) -> None:
    made = Design()
    made.cell("LUT4", "t", "shim.intaglio.core", I0="1", F="made")
    made.cell("ALU", "s", "shim.intaglio.core", I0="1", SUM="sum", COUT="carry")
    made.cell("DFFRE", "beside", "shim.intaglio.core", D="made", Q="a")
    made.cell("DFFRE", "second", "shim.intaglio.core", D="made", Q="b")
    made.cell("DFF", "after", "shim.intaglio", D="a", Q="c")
    made.cell("DFF", "summed", "shim.intaglio", D="sum", Q="d")
    made.cell("DFF", "constant", "shim", D="1", Q="e")
    made.cell("RAM16SDP4", "r", "shim.intaglio.queue", RAD="a", DO="read")
    made.cell("DFFRE", "behind a RAM", "shim.intaglio.queue", D="read", Q="f")
    blocks = taken_by_block(made.read(tmp_path).cells, FAMILIES["gowin"])
    assert {name: (taken["lut"], taken["ff"]) for name, taken in blocks.items()} == {
        "": (13, 5),
        "core": (3, 2),
        "queue": (9, 1),
        OUTSIDE: (1, 1),
    }


def test_a_netlist_with_modules_in_it_is_not_counted(tmp_path: Path) -> None:
    made = design()
    made.cells["inside"] = {**made.cells["c"], "type": "shim.intaglio"}
    with pytest.raises(RuntimeError, match=r"not flat, it has shim\.intaglio"):
        made.read(tmp_path)


@pytest.mark.parametrize(
    ("family", "cell", "resource", "units"),
    [
        ("ecp5", "TRELLIS_DPR16X4", "lut", 4),
        ("ecp5", "TRELLIS_DPR16X4", "lutram", 1),
        ("ecp5", "PFUMX", "lut", 0),
        ("xilinx7", "LUT6", "lut", 1),
        ("xilinx7", "LUT6_2", "lut", 0),
        ("xilinx7", "RAM32M", "lut", 4),
        ("xilinx7", "SRL16E", "lut", 1),
        ("xilinx7", "RAMB18E1", "bram", 0.5),
        ("xilinx7", "FDRE", "ff", 1),
        ("xilinx7", "MUXF7", "lut", 0),
        ("gowin", "MULT9X9", "dsp", 0.5),
        ("gowin", "RAM16SDP4", "lut", 8),
        ("gowin", "SDPX9B", "bram", 1),
        ("gowin", "DPB", "bram", 1),
        ("gowin", "DFFRE", "ff", 1),
        ("ice40", "SB_DFFESR", "ff", 1),
    ],
)
def test_what_a_cell_takes(family: str, cell: str, resource: str, units: float) -> None:
    assert FAMILIES[family].takes(cell).get(resource, 0) == units


def test_chips_are_of_families_that_are_known_and_have_all_resources() -> None:
    for chip in CHIPS.values():
        assert chip.family in FAMILIES and tuple(chip.available) == RESOURCES and chip.grades
        assert chip_of(chip.name.upper()) is chip and grade_of(chip, None) == chip.grades[0]


def test_what_is_not_known_is_told_with_what_is() -> None:
    with pytest.raises(InputError, match=r"chip ecp6: is not known; known are .*ecp5-85f"):
        chip_of("ecp6")
    with pytest.raises(InputError, match="grade 9: ecp5-25f has 6, 7, 8"):
        grade_of(chip_of("ecp5-25f"), "9")
    assert grade_of(chip_of("xc7a35t"), "-2") == "2"
