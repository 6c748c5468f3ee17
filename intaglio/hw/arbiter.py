"""The one way out: chooses whose burst goes to the external port, and remembers whose beats come back."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from intaglio.hw.bursts import Request
from intaglio.machine.config import Config

_READ = data.StructLayout({"address": 32, "fetch": 1})


class Arbiter(wiring.Component):
    """One request a cycle; priority FETCH, STORE, LOAD; at most memory.outstanding bursts in flight.

    Ports
    -----
    run : In, 1 bit
        Requests are taken only where it was high in the cycle before. A request that was taken goes out all the same.
    fetch, load : In, streams of Request
        Bursts to read. `ready` depends on registers, on ar_ready and aw_ready, and on the valids of higher priority.
    store : In, stream of Request
        Bursts to write, as the others.
    ar_valid, aw_valid : Out, 1 bit each
        The address channels, from registers, the cycle after a request is taken; never both. They stand until ar_ready,
        aw_ready.
    ar_ready, aw_ready : In, 1 bit each
    request : Out, Request
        Of both address channels; from a register.
    r_last : In, 1 bit
        The last beat of the oldest read is accepted in this cycle.
    b : In, 1 bit
        The oldest write is answered; may come with r_last.
    r_known, b_known : Out, 1 bit each
        At least one read, write is among the bursts in flight.
    r_fetch : Out, 1 bit
        The oldest read in flight is FETCH's (else LOAD's).
    r_address, b_address : Out, 32 bits each
        First address of the oldest read, write.
    in_flight : Out, bits for memory.outstanding
        Bursts taken and not finished; from a register.
    """

    def __init__(self, config: Config):
        self._outstanding = config.memory.outstanding
        super().__init__(
            {
                "run": In(1),
                "fetch": In(stream.Signature(Request)),
                "store": In(stream.Signature(Request)),
                "load": In(stream.Signature(Request)),
                "ar_valid": Out(1),
                "ar_ready": In(1),
                "aw_valid": Out(1),
                "aw_ready": In(1),
                "request": Out(Request),
                "r_last": In(1),
                "b": In(1),
                "r_known": Out(1),
                "r_fetch": Out(1),
                "r_address": Out(32),
                "b_known": Out(1),
                "b_address": Out(32),
                "in_flight": Out(range(self._outstanding + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reads = reads = SyncFIFO(width=_READ.size, depth=self._outstanding)
        m.submodules.writes = writes = SyncFIFO(width=32, depth=self._outstanding)
        free, taken, finished_read, finished_write = Signal(), Signal(), Signal(), Signal()
        full, was_full, closed = Signal(), Signal(), Signal(init=1)
        chosen, new, oldest = Signal(Request), Signal(_READ), Signal(_READ)
        m.d.comb += free.eq(~closed & ~(self.ar_valid & ~self.ar_ready) & ~(self.aw_valid & ~self.aw_ready))
        fetch, store, load = self.fetch.valid, self.store.valid, self.load.valid
        is_read, is_write = Signal(), Signal()
        m.d.comb += [
            chosen.eq(
                Mux(
                    fetch,
                    self.fetch.payload.as_value(),
                    Mux(store, self.store.payload.as_value(), self.load.payload.as_value()),
                )
            ),
            self.fetch.ready.eq(free),
            self.store.ready.eq(free & ~fetch),
            self.load.ready.eq(free & ~fetch & ~store),
            is_read.eq(free & (fetch | (load & ~store))),
            is_write.eq(free & ~fetch & store),
            taken.eq(free & (fetch | store | load)),
            new.address.eq(chosen.address),
            new.fetch.eq(fetch),
            reads.w_en.eq(is_read),
            reads.w_data.eq(new),
            writes.w_en.eq(is_write),
            writes.w_data.eq(chosen.address),
            oldest.as_value().eq(reads.r_data),
            finished_read.eq(self.r_last & reads.r_rdy),
            reads.r_en.eq(self.r_last),
            finished_write.eq(self.b & writes.r_rdy),
            writes.r_en.eq(self.b),
            self.r_known.eq(reads.r_rdy),
            self.r_fetch.eq(oldest.fetch),
            self.r_address.eq(oldest.address),
            self.b_known.eq(writes.r_rdy),
            self.b_address.eq(writes.r_data),
        ]
        m.d.comb += full.eq(
            # Without a comparison behind the count: where all are in flight none is taken.
            ~(finished_read | finished_write) & (was_full | (taken & (self.in_flight == self._outstanding - 1)))
        )
        m.d.sync += [
            self.in_flight.eq(self.in_flight + taken - finished_read - finished_write),
            was_full.eq(full),
            closed.eq(full | ~self.run),
        ]
        with m.If(self.ar_ready):
            m.d.sync += self.ar_valid.eq(0)
        with m.If(self.aw_ready):
            m.d.sync += self.aw_valid.eq(0)
        with m.If(is_read):
            m.d.sync += self.ar_valid.eq(1)
        with m.If(is_write):
            m.d.sync += self.aw_valid.eq(1)
        with m.If(taken):
            m.d.sync += self.request.eq(chosen)
        return m
