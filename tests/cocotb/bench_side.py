"""What every bench begins with, in the simulator."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles


def generator() -> np.random.Generator:
    """numpy's random numbers from the run's seed; `random` follows it by itself."""
    return np.random.default_rng(cocotb.RANDOM_SEED)


async def started(dut) -> None:
    """A running clock and two cycles of reset; returns at a rising edge."""
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0
