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

ELEMENTS = 4000


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def elements(dut) -> None:
    """One element each cycle, each by its own constants, LATENCY cycles later."""
    rng = generator()
    value, zero_point = (
        np.where(rng.random(ELEMENTS) < 0.2, rng.choice([-128, 127], ELEMENTS), rng.integers(-128, 128, ELEMENTS))
        for _ in range(2)
    )
    multiplier = rng.integers(2**30, 2**31, ELEMENTS)
    multiplier = np.where(rng.random(ELEMENTS) < 0.3, rng.choice([0, 1, 2**30, 2**31 - 1], ELEMENTS), multiplier)
    shift = rng.integers(-31, 1, ELEMENTS)
    right = requantize((value - zero_point) << ADD_LEFT_SHIFT, Requantize(multiplier, shift, Rounding.DOUBLE))
    ports = {dut.value: value, dut.zero_point: zero_point, dut.multiplier: multiplier, dut.shift: shift}
    await started(dut)
    for now in range(ELEMENTS + latency.OPERAND_SCALE):
        if now < ELEMENTS:
            for port, values in ports.items():
                port.value = int(values[now])
        await ReadOnly()
        at = now - latency.OPERAND_SCALE
        if at >= 0:
            assert dut.out.value.to_signed() == right[at], [int(values[at]) for values in ports.values()]
        await RisingEdge(dut.clk)
