"""The scaling of ADD's operands alone, against the network's arithmetic."""

from __future__ import annotations

import cocotb
import numpy as np
from bench_side import TIMEOUT_MS, generator, started
from cocotb.triggers import ReadOnly, RisingEdge

from intaglio.machine import latency
from intaglio.machine.isa import ADD_LEFT_SHIFT
from intaglio.network.arithmetic import requantize
from intaglio.network.graph import Requantize, Rounding

COMMANDS = 80
AHEAD = latency.OPERAND_STAGES.index("product")
"""Cycles by which a command's first value may come before its tables are written."""


def commands(rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Multiplier, shift and zero point of each: the extremes, and ones at random."""
    drawn = []
    for number in range(COMMANDS):
        multiplier = int(rng.choice([0, 1, 2, 2**30, 2**31 - 1]) if rng.random() < 0.3 else rng.integers(2**30, 2**31))
        shift = [0, -1, -31, -30][number] if number < 4 else int(rng.integers(-31, 1))
        zero_point = int(rng.choice([-128, 127, 0]) if rng.random() < 0.3 else rng.integers(-128, 128))
        drawn.append((multiplier, shift, zero_point))
    return drawn


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def elements(dut) -> None:
    """Every value in each command, one each cycle, as early as the tables allow; LATENCY cycles later they are scaled."""
    rng = generator()
    await started(dut)
    for multiplier, shift, zero_point in commands(rng):
        values = rng.permutation(np.arange(-128, 128))
        how = Requantize(np.array(multiplier), np.array(shift), Rounding.DOUBLE)
        right = requantize((values - zero_point) << ADD_LEFT_SHIFT, how)
        dut.multiplier.value, dut.shift.value, dut.zero_point.value = multiplier, shift, zero_point
        first = latency.OPERAND_TABLE - AHEAD
        for now in range(first + values.size + latency.OPERAND_SCALE):
            dut.start.value = int(now == 0)
            if 0 <= now - first < values.size:
                dut.value.value = int(values[now - first])
            await ReadOnly()
            at = now - first - latency.OPERAND_SCALE
            if at >= 0:
                scaled = dut.out.value.to_signed() + int(dut.up.value)
                assert scaled == right[at], (multiplier, shift, zero_point, int(values[at]))
            await RisingEdge(dut.clk)
