"""What every bench begins with, in the simulator."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

TIMEOUT_MS = 4
"""Simulated time, 400,000 cycles, after which a test has failed."""


def generator() -> np.random.Generator:
    """numpy's random numbers from the run's seed; `random` follows it by itself."""
    return np.random.default_rng(cocotb.RANDOM_SEED)


async def started(dut) -> None:
    """A running clock and two cycles of reset; returns at a rising edge."""
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2)
    dut.rst.value = 0


async def tick(dut) -> None:
    """The next rising edge. Reads after it show the cycle that it ends, writes set the cycle that it begins."""
    await RisingEdge(dut.clk)


class Odds:
    """Yes or no at random, with odds that change now and then, so that both long stalls and full speed occur."""

    def __init__(self) -> None:
        self._yes = 0.5

    def __call__(self) -> bool:
        if random.random() < 0.01:
            self._yes = random.choice([0.05, 0.5, 0.95, 1.0])
        return random.random() < self._yes
