"""Energy and performance per watt of a network in INT8 beside the same array and schedule in FP32."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.power_model.counts import LayerCounts
from intaglio.power_model.prices import PJ_PER_J, energy_of
from intaglio.power_model.table import ENTRIES, IDLE, Band, Table
from intaglio.power_model.work import Component, Side, capacities, external_bytes, operand_bytes, terms

_MACS = Counter.MACS
BASELINES = ("equal_elements", "equal_bytes")
"""FP32 with as many elements a cycle outside (memory and bus four times as wide), or as many bytes."""


@dataclass(frozen=True)
class Energy:
    """pJ. idle None: the table prices none of it, and the total is without it."""

    arithmetic: Band
    on_chip: Band
    external: Band
    idle: Band | None
    total: Band


@dataclass(frozen=True)
class SideFigures:
    """One layer or the network on one side. cycles at the configuration's clock; bytes moved outside."""

    cycles: int
    external_bytes: float
    energy: Energy


@dataclass(frozen=True)
class LayerComparison:
    """gain: FP32's energy over INT8's, for each of BASELINES; None where neither side spends any (an operator on the
    host, a reshape that renames bytes). reuse: MACs issued for each INT8 byte outside, None without such bytes."""

    name: str
    op: str
    where: str
    macs: int
    int8: SideFigures
    fp32: dict[str, SideFigures]
    gain: dict[str, Band | None]
    reuse: float | None
    host_seconds: float | None


@dataclass(frozen=True)
class Rates:
    """Rates of the whole network on one side; None without any energy or cycles. inferences_per_joule is inferences a
    second for each watt. tops_per_watt: two operations for each of the network's MACs, none for anything else."""

    inferences_per_second: float | None
    watts: Band | None
    inferences_per_joule: Band | None
    tops_per_watt: Band | None


@dataclass(frozen=True)
class Comparison:
    """The result of `intaglio compare`. rates: 'int8' and each of BASELINES. bandwidth: FP32's bytes outside over
    INT8's (all, then operands alone, which is 4); None where nothing moves. component_gain: FP32 over INT8 by
    Component, at the table's values; None where INT8 spends nothing. extrapolated: 'side memory' of those whose size
    lies outside the table's points."""

    config: Config
    table: Table
    layers: tuple[LayerComparison, ...]
    total: LayerComparison
    rates: dict[str, Rates]
    bandwidth: float | None
    operand_bandwidth: float | None
    component_gain: dict[Component, float | None]
    extrapolated: tuple[str, ...]

    @property
    def share(self) -> dict[Component, float]:
        """Shares of INT8's energy, by component, at the table's values."""
        energy = self.total.int8.energy
        whole = energy.total.value
        parts = (energy.arithmetic, energy.on_chip, energy.external, energy.idle)
        return {c: (p.value / whole if p and whole else 0.0) for c, p in zip(Component, parts, strict=True)}


def compare(config: Config, layers: Sequence[LayerCounts], table: Table) -> Comparison:
    """layers: of one inference, in the network's order (analysis.energy_counts.layer_counts makes them).

    Bands: every entry of the table is at its low or its high end, the same end for both sides and all layers, since
    both sides use the same memory; energies take the extremes of the sum, gains those of the ratio.
    """
    int8 = _Prices(config, table, layers, Side.INT8, [c.cycles for c in layers])
    fp32 = {
        "equal_elements": _Prices(config, table, layers, Side.FP32, [c.cycles for c in layers]),
        "equal_bytes": _Prices(config, table, layers, Side.FP32, [c.fp32_cycles for c in layers]),
    }
    rows = []
    for i, counts in enumerate(layers):
        outside = external_bytes(config, counts, Side.INT8)
        rows.append(
            LayerComparison(
                counts.name,
                counts.op,
                counts.where,
                counts.macs,
                int8.figures(i),
                {name: side.figures(i) for name, side in fp32.items()},
                {name: _gain(int8, side, i) for name, side in fp32.items()},
                counts.actions[_MACS] / outside if outside else None,
                counts.host_seconds,
            )
        )
    whole = slice(None)
    outside = sum(external_bytes(config, c, Side.INT8) for c in layers)
    seconds = [c.host_seconds for c in layers if c.host_seconds is not None]
    unmeasured = any(c.where == "host" and c.host_seconds is None for c in layers)
    total = LayerComparison(
        "total",
        "",
        "accelerator",
        sum(c.macs for c in layers),
        int8.figures(whole),
        {name: side.figures(whole) for name, side in fp32.items()},
        {name: _gain(int8, side, whole) for name, side in fp32.items()},
        sum(c.actions[_MACS] for c in layers) / outside if outside else None,
        None if unmeasured else sum(seconds),
    )
    operands = [sum(operand_bytes(config, c, side) for c in layers) for side in Side]
    parts = {side: p.value.sum(axis=(0, 2)) for side, p in ((Side.INT8, int8), (Side.FP32, fp32["equal_elements"]))}
    return Comparison(
        config=config,
        table=table,
        layers=tuple(rows),
        total=total,
        rates={
            "int8": _rates(config, total.macs, total.int8),
            **{name: _rates(config, total.macs, side) for name, side in total.fp32.items()},
        },
        bandwidth=total.fp32["equal_bytes"].external_bytes / outside if outside else None,
        operand_bandwidth=operands[Side.FP32] / operands[Side.INT8] if operands[Side.INT8] else None,
        component_gain={
            c: float(parts[Side.FP32][c] / parts[Side.INT8][c]) if parts[Side.INT8][c] else None for c in Component
        },
        extrapolated=tuple(
            f"{side.name} {memory} of {capacity:,} bytes"
            for side in Side
            for memory, capacity in zip(("activations", "weights", "records"), capacities(config, side), strict=True)
            if table.extrapolated(capacity)
        ),
    )


class _Prices:
    """Energy of one side in pJ: value, low and high, [layers, Component, entries of the table]."""

    def __init__(self, config: Config, table: Table, layers: Sequence[LayerCounts], side: Side, cycles: Sequence[int]):
        shape = (len(layers), len(Component), len(ENTRIES))
        self.value, self.low, self.high = (np.zeros(shape) for _ in range(3))
        self._cycles = cycles
        self._bytes = [external_bytes(config, c, side) for c in layers]
        self._idle = len(table.not_priced) < len(IDLE)
        for i, (counts, time) in enumerate(zip(layers, cycles, strict=True)):
            for term in terms(config, counts, side, time):
                energy = energy_of(table, term)
                if energy is None:
                    continue
                at = (i, term.component, ENTRIES.index(term.entry))
                self.value[at] += energy.value
                self.low[at] += energy.low
                self.high[at] += energy.high

    def figures(self, which: int | slice) -> SideFigures:
        """Figures of one layer, or of all."""
        rows = slice(which, which + 1) if isinstance(which, int) else which
        ends = [a[rows].sum(axis=(0, 2)) for a in (self.value, self.low, self.high)]
        parts = [Band(*(float(end[c]) for end in ends)) for c in Component]
        whole = Band(*(float(end.sum()) for end in ends))
        energy = Energy(parts[0], parts[1], parts[2], parts[3] if self._idle else None, whole)
        return SideFigures(sum(self._cycles[rows]), sum(self._bytes[rows]), energy)

    def by_entry(self, which: int | slice) -> tuple[np.ndarray, np.ndarray, float]:
        """low and high of each entry, and the total's value."""
        rows = slice(which, which + 1) if isinstance(which, int) else which
        low, high = (a[rows].sum(axis=(0, 1)) for a in (self.low, self.high))
        return low, high, float(self.value[rows].sum())


def _gain(int8: _Prices, fp32: _Prices, which: int | slice) -> Band | None:
    """A ratio of two sums with positive prices is monotone in each price, so its extremes are at ends of bands."""
    (low, high, value), (fp32_low, fp32_high, fp32_value) = int8.by_entry(which), fp32.by_entry(which)
    if not value:
        return None
    varying = np.flatnonzero((low < high) | (fp32_low < fp32_high))
    ends = list(itertools.product((0.0, 1.0), repeat=len(varying)))
    corners = np.array(ends).reshape(len(ends), len(varying))
    a = low.sum() + corners @ (high - low)[varying]
    b = fp32_low.sum() + corners @ (fp32_high - fp32_low)[varying]
    ratios = b / a
    gain = fp32_value / value
    return Band(gain, min(gain, float(ratios.min())), max(gain, float(ratios.max())))


def _rates(config: Config, macs: int, side: SideFigures) -> Rates:
    energy = side.energy.total
    if not side.cycles or not energy.value:
        return Rates(None, None, None, None)
    rate = config.clock_mhz * 1e6 / side.cycles
    per_joule = Band(PJ_PER_J / energy.value, PJ_PER_J / energy.high, PJ_PER_J / energy.low)
    return Rates(rate, energy.times(rate / PJ_PER_J), per_joule, per_joule.times(2 * macs / PJ_PER_J))
