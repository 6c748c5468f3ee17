"""LOAD: external memory to the memories on chip. The issue side runs ahead of the receive side."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from intaglio.hw.bursts import TRANSFER_BITS, Burst, Request, Splitter
from intaglio.hw.pipeline import register
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.limits import PAGE


class Load(wiring.Component):
    """Starts a command while beats of earlier ones are still on their way.

    Ports
    -----
    start : In, stream of 256 bits
        A LOAD command whose tokens are there; ready when the last burst of the one before is issued.
    base : In, 32 bits
        See Splitter.
    request : Out, stream of Request
        Bursts, from the cycle after start on; `valid` does not depend on `ready`. At most memory.outstanding are in
        flight, which the arbiter sees to.
    beat, beat_last, beat_data : In, 1 bit, 1 bit, a bus word
        A beat of the oldest burst in flight, and whether it is its last; always accepted.
    write_en, write_memory, write_address, write_data : Out, 1, 2 (isa.LocalMemory) and 30 bits (bytes), a bus word
        The beat's write on chip, latency.LOAD cycles later.
    retire, signal, tag : Out, 1, 2 and 16 bits
        With the command's last write, one cycle; signal and tag are that command's.
    idle : Out, 1 bit
        No command started and not retired.
    """

    def __init__(self, config: Config):
        self._config = config
        width = 8 * config.bus_bytes
        super().__init__(
            {
                "start": In(stream.Signature(TRANSFER_BITS)),
                "base": In(32),
                "request": Out(stream.Signature(Request)),
                "beat": In(1),
                "beat_last": In(1),
                "beat_data": In(width),
                "write_en": Out(1),
                "write_memory": Out(2),
                "write_address": Out(30),
                "write_data": Out(width),
                "retire": Out(1),
                "signal": Out(2),
                "tag": Out(16),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.splitter = splitter = Splitter(config)
        m.submodules.in_flight = in_flight = SyncFIFO(width=Burst.size, depth=config.memory.outstanding)
        wiring.connect(m, wiring.flipped(self.start), splitter.start)
        oldest = Signal(Burst)
        m.d.comb += [
            splitter.base.eq(self.base),
            self.request.valid.eq(splitter.bursts.valid),
            self.request.payload.eq(splitter.bursts.payload.request),
            splitter.bursts.ready.eq(self.request.ready),
            in_flight.w_en.eq(self.request.valid & self.request.ready),
            in_flight.w_data.eq(splitter.bursts.payload),
            in_flight.r_en.eq(self.beat & self.beat_last),
            oldest.as_value().eq(in_flight.r_data),
        ]
        offset = Signal(range(PAGE))
        last = Signal()
        m.d.comb += last.eq(self.beat & self.beat_last & oldest.last)
        with m.If(self.beat):
            m.d.sync += offset.eq(Mux(self.beat_last, 0, offset + config.bus_bytes))
        retiring = Signal(latency.LOAD)  # whether a command retires in as many cycles, bit 0 last
        m.d.sync += retiring.eq(Cat(retiring[1:], last))
        written = {
            "write_en": self.beat,
            "write_memory": oldest.memory,
            "write_address": oldest.local + offset,
            "write_data": self.beat_data,
            "signal": oldest.signal,
            "tag": oldest.tag,
        }
        for name, value in written.items():
            register(m, getattr(self, name), value, latency.LOAD, name)
        m.d.comb += self.retire.eq(retiring[0])
        m.d.comb += self.idle.eq(splitter.start.ready & ~in_flight.r_rdy & ~retiring.any())
        return m
