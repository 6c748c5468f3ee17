"""Elements of the array in several forms on an ECP5 and an Artix-7: tables, registers, DSP blocks and clock of each.

`python -m benchmarks.elements [--rows N] [--cols N] [--sum-bits N ...] [--only WORD] [--chip CHIP] [--seeds N] [--json FILE]`.
Each form is an array of its own, without DEPTHWISE's bus and weights' zero points: the shipped one, with one sum an element, and those
of benchmarks.element_forms, whose elements have one, two or four and take 8-bit, 4-bit and 2-bit weights at run time. Figures are the
array's, its skew of weights and gathering of sums in them, divided by its elements; packed products are left out where a DSP block does
not hold them. Seeds are those of the router (ECP5 alone; 0 only synthesizes); the clock is their median. What was made before is taken
from the cache.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from amaranth.lib import wiring
from rich.console import Console
from rich.table import Table

from benchmarks.element_forms import Form, TrialArray
from intaglio.fpga.families import FAMILIES
from intaglio.fpga.synth import synth
from intaglio.hw.array import Array
from intaglio.hw.packed_products import PACKED
from intaglio.machine.chips import chip_of, grade_of
from intaglio.machine.row_product import row_products

CHIPS = ("ecp5-85f", "xc7a35t")
SHIPPED = ("dsp", "lut", "packed")
SUMS = (1, 2, 4)


@dataclass(frozen=True)
class Trial:
    """form: the shipped array's `multipliers`, or a Form's name. sums: of an element. weights: the widths in bits that a
    step's weights can have."""

    form: str
    shipped: bool
    sums: int
    sum_bits: int

    @property
    def weights(self) -> str:
        return ", ".join(str(8 >> at) for at in range(self.sums.bit_length()))

    def array(self, rows: int, cols: int, multiplier: int) -> wiring.Component:
        """multiplier: bits of the wider operand of the chip's DSP blocks."""
        if self.shipped:
            return Array(rows, cols, weight_zero_points=False, products=row_products(self.form, rows, 1))
        return TrialArray(rows, cols, Form[self.form.upper()], self.sums, self.sum_bits, multiplier)


def trials(sum_bits: list[int]) -> Iterator[Trial]:
    for form in SHIPPED:
        yield Trial(form, True, 1, 32)
    for form in Form:
        for sums in SUMS:
            for bits in sum_bits:
                yield Trial(form.name.lower(), False, sums, bits)


def measured(trial: Trial, chip_name: str, rows: int, cols: int, seeds: int, tell: Console) -> dict[str, object]:
    """A row of the table: units of each element, and the clock; None where the chip's family is not routed or estimated."""
    chip = chip_of(chip_name)
    family = FAMILIES[chip.family]
    array = trial.array(rows, cols, max(family.multiplier))
    routed = range(1, seeds + 1) if family.router is not None else ()
    found = synth(array, chip, grade_of(chip, None), routed, tell.print)
    return {
        "chip": chip.name,
        **asdict(trial),
        "weights": trial.weights,
        **{resource: found.used[resource] / (rows * cols) for resource in ("lut", "ff", "dsp")},
        "estimate_mhz": found.estimate_mhz,
        "fmax_mhz": found.fmax_mhz,
        "tools": list(found.tools),
    }


def table(rows: list[dict[str, object]]) -> Table:
    headers = (
        "chip",
        "array",
        "products",
        "sums",
        "bits",
        "weights",
        "LUT",
        "FF",
        "DSP",
        "estimated MHz",
        "routed MHz",
    )
    out = Table(*headers)
    for row in rows:
        numbers = [f"{row[name]:.2f}" if name == "dsp" else f"{row[name]:.0f}" for name in ("lut", "ff", "dsp")]
        clocks = [f"{row[name]:.1f}" if row[name] else "" for name in ("estimate_mhz", "fmax_mhz")]
        array = "shipped" if row["shipped"] else "trial"
        words = [str(row[name]) for name in ("form", "sums", "sum_bits", "weights")]
        out.add_row(str(row["chip"]), array, *words, *numbers, *clocks)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.elements", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4, choices=range(1, 65), metavar="N", help="of the array (4)")
    parser.add_argument("--cols", type=int, default=4, choices=range(1, 129), metavar="N", help="of the array (4)")
    parser.add_argument(
        "--sum-bits", type=int, nargs="+", default=[32], choices=range(24, 49), metavar="N", help="24 to 48 (32)"
    )
    parser.add_argument("--only", metavar="WORD", default="", help="forms of this name: dsp, lut or packed")
    parser.add_argument("--chip", choices=CHIPS, help="this one alone")
    parser.add_argument("--seeds", type=int, default=1, choices=range(101), metavar="N", help="of the router (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    options = parser.parse_args()
    tell = Console(stderr=True)
    rows: list[dict[str, object]] = []
    for chip in [options.chip] if options.chip else CHIPS:
        for trial in trials(options.sum_bits):
            holds = max(FAMILIES[chip_of(chip).family].multiplier) >= PACKED
            if options.only in trial.form and (holds or trial.form != "packed"):
                tell.print(f"{chip}: {trial.form}, {trial.sums} sums of {trial.sum_bits} bits")
                rows.append(measured(trial, chip, options.rows, options.cols, options.seeds, tell))
    Console(width=140).print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
