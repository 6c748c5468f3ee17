"""A network's place between 4X (all traffic) and the MACs' ratio (all arithmetic), and its reason.

A layer that fetches a byte and computes with it r times (r MACs for each INT8 byte outside) costs r INT8 MACs and a
byte in INT8, r FP32 MACs and four bytes in FP32. So FP32 over INT8 is a curve against r, from 4 at r = 0 to the ratio
of the MACs. A real network adds memories on chip, requantization and commands, and so lies off the curve.
"""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.power_model.comparison import Comparison
from intaglio.power_model.table import Band, Table
from intaglio.power_model.work import FP32_BYTES, Component

QUALCOMM_EFFICIENCY = 16.0
QUALCOMM_BANDWIDTH = 4.0
QUALCOMM_SOURCE = (
    'Qualcomm, "The Future of Model Efficiency for Edge AI" (2023): up to 16X performance per watt and a 4X lower '
    "memory bandwidth from FP32 to INT8"
)
REUSES = (0, 1, 10, 100, 1000, 10000)
"""MACs for each INT8 byte, of the curve's printed points."""
REGISTERS = (
    "The MACs' ratio is of multipliers and adders alone, as the table has them; with its registers a MAC gains less, "
    "6.6X to 8.7X on synthesised gates by this project's notes, of which no table ships yet"
)
_PHRASES = {
    Component.ARITHMETIC: "arithmetic",
    Component.ON_CHIP: "memory on chip",
    Component.EXTERNAL: "external memory",
    Component.IDLE: "leakage and clock",
}


@dataclass(frozen=True)
class Place:
    """start and end: the curve's, FP32 over INT8. points: (reuse, gain). reuse: the network's MACs for each INT8
    byte outside, None without such bytes. ideal: the curve at that reuse; gain: the network's. of_qualcomm: gain
    over 16; bandwidth_of_qualcomm: the fall of bytes outside over 4. reasons: sentences for a person."""

    start: float
    end: float
    points: tuple[tuple[float, Band], ...]
    reuse: float | None
    ideal: Band | None
    gain: Band | None
    of_qualcomm: float | None
    bandwidth_of_qualcomm: float | None
    reasons: tuple[str, ...]


def curve(table: Table, reuse: float) -> Band:
    """FP32 over INT8 of `reuse` MACs for each INT8 byte outside; the band over the ends of the external memory's."""
    dram = table.price("dram")
    value, *ends = (
        (table.fp32_mac.value * reuse + FP32_BYTES * 8 * bit) / (table.int8_mac.value * reuse + 8 * bit)
        for bit in (dram.value, dram.low, dram.high)
    )
    return Band(value, min(value, *ends), max(value, *ends))


def place(compared: Comparison) -> Place:
    """The network's place, in energy; with equal bytes a cycle its gain differs by idle energy only."""
    table, total = compared.table, compared.total
    gain = total.gain["equal_elements"]
    return Place(
        start=curve(table, 0).value,
        end=table.fp32_mac.value / table.int8_mac.value,
        points=tuple((reuse, curve(table, reuse)) for reuse in REUSES),
        reuse=total.reuse,
        ideal=None if total.reuse is None else curve(table, total.reuse),
        gain=gain,
        of_qualcomm=gain.value / QUALCOMM_EFFICIENCY if gain else None,
        bandwidth_of_qualcomm=compared.bandwidth / QUALCOMM_BANDWIDTH if compared.bandwidth else None,
        reasons=tuple(_reasons(compared)),
    )


def _reasons(compared: Comparison) -> list[str]:
    gain = compared.total.gain["equal_elements"]
    if gain is None:
        return ["nothing runs on the accelerator, so there is nothing to place"]
    parts = sorted(((share, c) for c, share in compared.share.items() if share), reverse=True)
    largest = parts[0][1]
    factors = compared.component_gain
    end = compared.table.fp32_mac.value / compared.table.int8_mac.value
    told = ", ".join(f"{_PHRASES[c]} {100 * share:.1f} % (gains {factors[c]:.2f}X)" for share, c in parts)
    out = [
        f"performance per watt gains {gain.value:.2f}X, {100 * gain.value / QUALCOMM_EFFICIENCY:.0f} % of Qualcomm's "
        f"up to {QUALCOMM_EFFICIENCY:g}X; it is the mean of the components' gains, weighted by their shares of INT8's "
        f"energy: {told}",
        {
            Component.EXTERNAL: f"external memory decides: its bytes fall by {FP32_BYTES}X and no more, and 16X needs "
            f"MACs, which gain {end:.1f}X, to outweigh them: more reuse of what was fetched",
            Component.ON_CHIP: "the memories on chip decide: four times fewer bits, from memories a quarter as large, "
            f"which is less than the MACs' {end:.1f}X",
            Component.ARITHMETIC: f"arithmetic decides: MACs gain {end:.1f}X, the rest of it (requantizing, adds, "
            "pools) less, as INT8 scales its results and FP32 does not",
            Component.IDLE: "leakage and clock decide: they are paid for time, not for work",
        }[largest],
    ]
    if compared.bandwidth:
        exact = (
            ""
            if compared.bandwidth == QUALCOMM_BANDWIDTH
            else (
                "; weights and activations alone fall by exactly 4X, commands stay as they are, and a channel's record "
                "is 16 bytes in INT8 and 4 in FP32"
            )
        )
        out.append(f"bytes outside fall by {compared.bandwidth:.3f}X of Qualcomm's {QUALCOMM_BANDWIDTH:g}X{exact}")
    slower = compared.total.fp32["equal_bytes"].cycles / compared.total.int8.cycles if compared.total.int8.cycles else 0
    if slower:
        out.append(
            f"with as many bytes a cycle outside, FP32 takes {slower:.2f} times the cycles; performance per "
            f"watt differs by that only where leakage and clock are priced"
        )
    return out
