"""Shares of the blocks of a design in what it takes of a chip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from intaglio.fpga.chips import RESOURCES
from intaglio.fpga.families import Family
from intaglio.fpga.netlist import OUTSIDE, Cell

Taken = dict[str, float]
"""Units of each of RESOURCES."""


def taken_by_block(cells: Iterable[Cell], family: Family) -> dict[str, Taken]:
    """Units that each block takes with all inside of it, by its cells; the accelerator ("") first, each before those within.
    OUTSIDE has what is not the accelerator's.

    A look-up table is counted in the block of the signal that Yosys names it after: where two blocks share one, it is
    either's.
    """
    own: dict[str, Taken] = {"": nothing(), OUTSIDE: nothing()}
    for (within, kind), count in Counter((cell.block, cell.kind) for cell in cells).items():
        takes = family.takes(kind)
        for block in _around(within):
            taken = own.setdefault(block, nothing())
            for resource, units in takes.items():
                taken[resource] += count * units
    return dict(sorted(own.items(), key=lambda item: (item[0] == OUTSIDE, item[0].split("."))))


def nothing() -> Taken:
    return dict.fromkeys(RESOURCES, 0.0)


def _around(block: str) -> Iterable[str]:
    """The block and all that it lies in."""
    if block == OUTSIDE:
        return (OUTSIDE,)
    parts = block.split(".") if block else []
    return [".".join(parts[:depth]) for depth in range(len(parts) + 1)]
