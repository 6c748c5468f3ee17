"""The counted tokens between engines, and the gate that they are to the start of a command."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.machine.isa import Engine, token_bit
from intaglio.machine.limits import TOKEN_BITS


class Tokens(wiring.Component):
    """Six counters, one for each ordered pair of engines.

    Ports hold one element for each engine, in Engine order, packed: bit e, or bits [2e, 2e + 2) where each engine has a
    mask over the other two (isa.token_bit).

    Ports
    -----
    available : Out, 2 bits for each engine
        Tokens that wait for an engine; from registers only.
    start : In, 1 bit for each engine
        An engine starts a command.
    waits : In, 2 bits for each engine
        With start: the tokens that the command waits for, all available; they are consumed.
    retire : In, 1 bit for each engine
        A command is complete.
    signals : In, 2 bits for each engine
        With retire: its tokens; they are available from the next cycle on.
    overflow : Out, 1 bit
        A counter would have passed limits.MOST_TOKENS in the cycle before; from registers.
    """

    def __init__(self) -> None:
        each = len(Engine)
        super().__init__(
            {
                "available": Out(2 * each),
                "start": In(each),
                "waits": In(2 * each),
                "retire": In(each),
                "signals": In(2 * each),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        available, overflow = [], []
        for to in Engine:
            others = sorted((e for e in Engine if e != to), key=lambda e: token_bit(to, e))
            for bit, of in enumerate(others):
                count = Signal(TOKEN_BITS, name=f"{of.name.lower()}_to_{to.name.lower()}")
                up, down = Signal(name=f"up_{of}_{to}"), Signal(name=f"down_{of}_{to}")
                m.d.comb += [
                    down.eq(self.start[to] & self.waits[2 * to + bit]),
                    up.eq(self.retire[of] & self.signals[2 * of + token_bit(of, to)]),
                ]
                some = Signal(name=f"some_{of.name.lower()}_to_{to.name.lower()}")
                # A start comes late in its cycle: it only lets the counter step.
                with m.If(up ^ down):
                    m.d.sync += count.eq(count + Mux(up, 1, -1))
                m.d.sync += [
                    some.eq(up | count[1:].any() | (count[0] & ~down)),  # any after this cycle
                ]
                available.append(some)
                over = Signal(name=f"over_{of.name.lower()}_to_{to.name.lower()}")
                m.d.sync += over.eq(up & ~down & count.all())
                overflow.append(over)
        m.d.comb += [self.available.eq(Cat(*available)), self.overflow.eq(Cat(*overflow).any())]
        return m
