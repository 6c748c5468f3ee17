"""The array alone: random tiles, gaps between their steps, against numpy's matrix product."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from bench_side import TIMEOUT_MS, generator, started
from cocotb.triggers import ReadOnly, RisingEdge
from rtl_bench import parameters

from intaglio.machine import latency

TILES = 60


class Tile:
    """One tile: `pixels` rows and `channels` columns in use, steps in order, each with a wait before it.

    end: the cycle of the last step in row 0. Since a column shows one row's sum a cycle, it comes at least as many
    cycles after the end of the tile before as that has pixels.
    """

    def __init__(self, rng: np.random.Generator, rows: int, cols: int, gaps: float, before: Tile | None):
        self.pixels = int(rng.integers(1, rows + 1))
        self.channels = int(rng.integers(1, cols + 1))
        steps = int(rng.choice([1, 2, rng.integers(1, 40)]))
        low, high = ((-128, 128), (-128, -127), (127, 128))[rng.choice(3, p=[0.8, 0.1, 0.1])]
        self.activations = rng.integers(low, high, (self.pixels, steps))
        self.weights = rng.integers(-128, 128, (steps, self.channels))
        waits = rng.integers(0, 4, steps) * (rng.random(steps) < gaps)
        begin = before.end + 1 if before else 0
        if before:
            waits[0] += max(0, before.pixels - steps - int(waits.sum()))
        self.cycles = begin + np.cumsum(waits) + np.arange(steps)
        self.end = int(self.cycles[-1])

    def sums(self, zero_point: int) -> np.ndarray:
        return self.activations @ (self.weights - zero_point)


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def tiles(dut) -> None:
    """Every sum comes in its cycle, and nothing in the others."""
    shape = parameters()
    rows, cols = shape["rows"], shape["cols"]
    rng, to_sum = generator(), latency.array(shape["packed"])
    zero_point = int(rng.choice([-128, 127, rng.integers(-128, 128)])) if shape["zero_points"] else 0
    if shape["zero_points"]:
        dut.weight_zero_point.value = zero_point
    await started(dut)
    tile, steps, expected = None, {}, {}
    for _ in range(TILES):
        tile = Tile(rng, rows, cols, random.random(), tile)
        steps |= {int(cycle): (tile, step) for step, cycle in enumerate(tile.cycles)}
        for (r, c), value in np.ndenumerate(tile.sums(zero_point)):
            when = tile.end + r + c + to_sum, c
            assert when not in expected
            expected[when] = int(value)
    for now in range(tile.end + rows + cols + to_sum + 2):
        for r in range(rows):
            entry = steps.get(now - r)
            valid = entry is not None and r < entry[0].pixels
            first, last = valid and entry[1] == 0, valid and now - r == entry[0].end
            getattr(dut, f"activation_{r}").value = int(
                entry[0].activations[r, entry[1]] if valid else rng.integers(-128, 128)
            )
            getattr(dut, f"control_{r}").value = valid | first << 1 | last << 2
        entry = steps.get(now)
        for c in range(cols):
            used = entry is not None and c < entry[0].channels
            getattr(dut, f"weight_{c}").value = int(entry[0].weights[entry[1], c] if used else rng.integers(-128, 128))
            getattr(dut, f"enable_{c}").value = used
        await ReadOnly()
        for c in range(cols):
            got = getattr(dut, f"sum_{c}").value.to_signed()
            assert got == expected.get((now, c), 0), f"cycle {now}, column {c}"
        await RisingEdge(dut.clk)
