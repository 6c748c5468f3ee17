"""The counters, and the one function that says what each cycle was spent on."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine, token_bit
from intaglio.machine.limits import COUNTER_BITS

CAUSES = (Counter.BUSY, Counter.WAIT_LOAD, Counter.WAIT_STORE, Counter.WAIT_COMMAND, Counter.FINISHING)


class StallCause(wiring.Component):
    """COMPUTE's activity of this cycle.

    Ports
    -----
    busy : In, 1 bit
        A command runs, its first and last cycles included.
    staged : In, 1 bit
        A whole command waits at COMPUTE.
    waits, available : In, 2 bits each
        The tokens that it waits for and those that are there (isa.token_bit).
    dispatched : In, 1 bit
        No command is left in the program.
    causes : Out, 1 bit for each of CAUSES, in their order
        Exactly one is high, in the same cycle (combinational).
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "busy": In(1),
                "staged": In(1),
                "waits": In(2),
                "available": In(2),
                "dispatched": In(1),
                "causes": Out(len(CAUSES)),  # in the order of CAUSES
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        missing = self.waits & ~self.available
        with m.If(self.busy):
            m.d.comb += self.causes[CAUSES.index(Counter.BUSY)].eq(1)
        with m.Elif(self.staged & missing[token_bit(Engine.COMPUTE, Engine.LOAD)]):
            m.d.comb += self.causes[CAUSES.index(Counter.WAIT_LOAD)].eq(1)
        with m.Elif(self.staged):
            m.d.comb += self.causes[CAUSES.index(Counter.WAIT_STORE)].eq(1)
        with m.Elif(self.dispatched):
            m.d.comb += self.causes[CAUSES.index(Counter.FINISHING)].eq(1)
        with m.Else():
            m.d.comb += self.causes[CAUSES.index(Counter.WAIT_COMMAND)].eq(1)
        return m


class Ledger(wiring.Component):
    """One 64-bit counter for each member of Counter.

    Ports
    -----
    increments : In, packed, widths[c] bits for counter c, in order
        What this cycle adds.
    counters : Out, COUNTER_BITS for each counter, packed, in order
        The sums, 2 cycles later.
    """

    def __init__(self, widths: dict[Counter, int]):
        self._layout = data.StructLayout({c.name.lower(): widths[c] for c in Counter})
        super().__init__(
            {
                "increments": In(self._layout),
                "counters": Out(COUNTER_BITS * len(Counter)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(self._layout)
        m.d.sync += held.eq(self.increments)
        sums = []
        for c in Counter:
            total = Signal(COUNTER_BITS, name=c.name.lower())
            m.d.sync += total.eq(total + held[c.name.lower()])
            sums.append(total)
        m.d.comb += self.counters.eq(Cat(*sums))
        return m


class Watchdog(wiring.Component):
    """Bounds every wait.

    Ports
    -----
    run, progress : In, 1 bit each
    limit : In, 32 bits
        Cycles; 0 never expires.
    expired : Out, 1 bit
        High in the `limit`th cycle in a row with run and without progress (combinational).
    """

    def __init__(self) -> None:
        super().__init__({"run": In(1), "progress": In(1), "limit": In(32), "expired": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idle = Signal(32)
        m.d.comb += self.expired.eq(self.run & ~self.progress & (self.limit != 0) & (idle + 1 == self.limit))
        with m.If(self.progress | ~self.run):
            m.d.sync += idle.eq(0)
        with m.Else():
            m.d.sync += idle.eq(idle + 1)
        return m
