"""Delays and named stages: values meet as many cycles later as stages lie between, whatever block of the caller they are asked in."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from intaglio.hw.pipeline import Pipeline, delay


class Sum(wiring.Component):
    """a + b, b taken in the last stage; once by a read inside of an If. With `spare` a stage more that makes nothing."""

    def __init__(self, spare: bool):
        self._stages = ("first", *(("spare",) if spare else ()), "last")
        super().__init__({"a": In(8), "b": In(8), "out": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self._stages, a=self.a, b=self.b)
        entering = pipe.read("a", "first")
        m.d.sync += pipe.make("a", 8, "first").eq(entering)
        with m.If(self.a == 255):
            m.d.sync += self.out.eq(0)
        with m.Else():
            m.d.sync += self.out.eq(pipe.read("a", "last") + pipe.read("b", "last"))
        return m


@pytest.mark.parametrize("spare", [False, True])
def test_values_follow_through_stages(spare: bool) -> None:
    dut, seen = Sum(spare), []

    async def bench(ctx) -> None:
        for t in range(12):
            ctx.set(dut.a, 255 if t == 5 else t)
            ctx.set(dut.b, 10 * t)
            seen.append(ctx.get(dut.out))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    latency = 2 + spare
    for t in range(latency, 12):
        came = t - latency
        hidden = t - 1 == 5  # the If's own condition is not delayed
        assert seen[t] == (0 if hidden else ((255 if came == 5 else came) + 10 * came) % 256)


def test_no_delay_inside_of_a_block() -> None:
    m, a = Module(), Signal()
    with m.If(a), pytest.raises(AssertionError, match="x would be delayed only where a condition holds"):
        delay(m, a, 1, "x")
    with m.If(a):
        assert delay(m, a, 0, "x") is a
    m.d.sync += a.eq(delay(m, a, 1, "x"))


def test_no_value_is_read_before_it_is_made() -> None:
    pipe = Pipeline(Module(), ("first", "last"), a=Signal())
    pipe.make("a", 1, "first")
    with pytest.raises(ValueError, match="a is made in stage 1, the logic before first comes earlier"):
        pipe.read("a", "first")
    pipe.read("a", "last")
