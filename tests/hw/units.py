"""Helpers of the unit tests: configurations, running a component, the bursts that a transfer should make."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.sim import Simulator

from intaglio.machine.config import Config, MemoryConfig
from intaglio.machine.isa import Command

BUSES = (4, 8, 16, 32, 64)


def small_config(bus: int, outstanding: int = 4) -> Config:
    return Config(
        rows=4,
        cols=4,
        requantizers=2,
        activation_bytes=16384,
        weight_bytes=16384,
        channel_bytes=4096,
        bus_bytes=bus,
        memory=MemoryConfig(bus, 8, outstanding),
    )


MOST_CYCLES = 60_000
"""Of one simulation: far more than any test takes, so that one in which something never comes ends all the same."""


def simulate(dut, *testbenches: Callable, background: tuple[Callable, ...] = ()) -> None:
    """Until every testbench but the ones in the background has ended."""

    async def limit(ctx):
        for _ in range(MOST_CYCLES):
            await ctx.tick()
        raise AssertionError(f"no end within {MOST_CYCLES} cycles")

    sim = Simulator(dut)
    sim.add_testbench(limit, background=True)
    sim.add_clock(1e-6)
    for testbench in testbenches:
        sim.add_testbench(testbench)
    for testbench in background:
        sim.add_testbench(testbench, background=True)
    sim.run()


def payload_of(command: Command) -> int:
    """A command's words as one number, word 0 lowest."""
    return sum(w << 32 * i for i, w in enumerate(command.words()))


def expected_bursts(command: Command, bus: int, base: int = 0) -> list[tuple[int, int, int, bool]]:
    """(address, beats, local, last) as isa.py's loop and the limits of AXI4 make them."""
    out = []
    for row in range(command["rows"]):
        at = base + command["external"] + row * command["external_stride"] & 0xFFFFFFFF
        local = command["local"] + row * command["local_stride"] & 0x3FFFFFFF
        left = command["row_bytes"]
        while left:
            size = min(left, 256 * bus, 4096 - at % 4096)
            out.append((at, size // bus, local, False))
            at, local, left = at + size & 0xFFFFFFFF, local + size & 0x3FFFFFFF, left - size
    out[-1] = (*out[-1][:3], True)
    return out
