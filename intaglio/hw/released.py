"""AXI's reset: active low, begun at once, released at an edge of the clock."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockDomain, Module, Signal

STAGES = 2
"""Flip-flops between the port and the reset: the first may hang between two levels for a cycle."""


def released(m: Module, clk: Signal, aresetn: Signal) -> ClockDomain:
    """The domain `sync` on clk. Its reset, active high and synchronous for all that it resets, rises with aresetn's fall, without
    a clock, and falls STAGES edges after its rise."""
    within, outside = ClockDomain("sync"), ClockDomain("aresetn", async_reset=True, local=True)
    within.clk = outside.clk = clk
    m.domains += outside
    stages = Signal(STAGES, init=(1 << STAGES) - 1, name="reset_stages", attrs={"ASYNC_REG": "TRUE"})
    m.d.aresetn += stages.eq(Cat(0, stages))
    m.d.comb += [outside.rst.eq(~aresetn), within.rst.eq(stages[-1])]
    return within
