"""Shares of the blocks of a design in what it takes of a chip."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from intaglio.fpga.families import Family
from intaglio.fpga.netlist import OUTSIDE, Cell
from intaglio.machine.chips import RESOURCES

Taken = dict[str, float]
"""Units of each of RESOURCES."""


def taken_by_block(cells: Sequence[Cell], family: Family) -> dict[str, Taken]:
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
    for cell in _alone(cells, family):
        for block in _around(cell.block):
            own[block]["lut"] += 1
    return dict(sorted(own.items(), key=lambda item: (item[0] == OUTSIDE, item[0].split("."))))


def nothing() -> Taken:
    return dict.fromkeys(RESOURCES, 0.0)


def _alone(cells: Sequence[Cell], family: Family) -> Iterator[Cell]:
    """Registers that take the place of a table (Family.beside)."""
    if family.beside is None:
        return
    free = {net for cell in cells if re.fullmatch(family.beside, cell.kind) for net in cell.outputs.values()}
    for cell in cells:
        if "ff" in family.takes(cell.kind):
            given = cell.inputs.get("D")
            if given not in free:
                yield cell
            free.discard(given)


def _around(block: str) -> Iterable[str]:
    """The block and all that it lies in."""
    if block == OUTSIDE:
        return (OUTSIDE,)
    parts = block.split(".") if block else []
    return [".".join(parts[:depth]) for depth in range(len(parts) + 1)]
