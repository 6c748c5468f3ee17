"""AXI's reset: active low, begun at once, released at an edge of the clock."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockDomain, Module, Signal

STAGES = 2
"""Flip-flops between the port and the reset: the first may hang between two levels for a cycle."""


def released(m: Module, clk: Signal, aresetn: Signal) -> Signal:
    """Makes the domain `sync` on clk, which has no reset of its own. Returns one, active high: it rises with aresetn's fall, without
    a clock, and falls STAGES edges after its rise."""
    within, outside = ClockDomain("sync", reset_less=True), ClockDomain("aresetn", async_reset=True, local=True)
    within.clk = outside.clk = clk
    m.domains += [within, outside]
    stages = Signal(STAGES, init=(1 << STAGES) - 1, name="reset_stages", attrs={"ASYNC_REG": "TRUE"})
    m.d.aresetn += stages.eq(Cat(0, stages))
    m.d.comb += outside.rst.eq(~aresetn)
    return stages[-1]
