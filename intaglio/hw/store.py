"""STORE: activation memory to external memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from intaglio.hw.bursts import LENGTH_BITS, TRANSFER_BITS, Request, Splitter
from intaglio.hw.pipeline import delay, register
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.limits import STORE_BUFFER_WORDS

_READ = data.StructLayout({"local": 30, "last": LENGTH_BITS, "one": 1})
"""One burst's words on chip. last: the number of the last one, from 0; one: there is no other."""
_ENDING = data.StructLayout({"last": 1, "signal": 2, "tag": 16})
"""Meaning of the burst's response."""


class Store(wiring.Component):
    """Starts a command while responses to earlier ones are still on their way.

    Ports
    -----
    start : In, stream of 256 bits
        A STORE command whose tokens are there; ready when the last burst of the one before is issued.
    base : In, 32 bits
        See Splitter.
    request : Out, stream of Request
        Bursts, as a Splitter's; `valid` does not depend on `ready`. At most memory.outstanding are in
        flight, which the arbiter sees to.
    read_en, read_address : Out, 1 and 30 bits (bytes)
        A read of the activation memory; from registers, 1 + latency.STORE_ISSUE cycles after the burst's request is
        taken at the earliest, one a cycle.
    read_data : In, a bus word
        latency.ACTIVATION_READ cycles after its read.
    words : Out, stream of bus words
        The write channel: words of the bursts in order. From registers, valid latency.STORE_BUFFER cycles after
        read_data at the earliest, then one a cycle; `valid` does not depend on `ready`.
    word_last : Out, 1 bit
        With words: it is its burst's last.
    response : In, 1 bit
        The oldest burst in flight is answered; always accepted.
    retire, signal, tag : Out, 1, 2 and 16 bits
        1 cycle after the command's last response, one cycle; signal and tag are that command's.
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
                "read_en": Out(1),
                "read_address": Out(30),
                "read_data": In(width),
                "words": Out(stream.Signature(width)),
                "word_last": Out(1),
                "response": In(1),
                "retire": Out(1),
                "signal": Out(2),
                "tag": Out(16),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        depth = config.memory.outstanding
        m.submodules.splitter = splitter = Splitter(config)
        m.submodules.to_read = to_read = SyncFIFO(width=_READ.size, depth=depth)
        m.submodules.in_flight = in_flight = SyncFIFO(width=_ENDING.size, depth=depth)
        m.submodules.buffer = buffer = SyncFIFOBuffered(width=8 * config.bus_bytes + 1, depth=STORE_BUFFER_WORDS + 1)
        wiring.connect(m, wiring.flipped(self.start), splitter.start)

        # Requests, and what is to be remembered of each.
        burst = splitter.bursts.payload
        read, oldest = Signal(_READ), Signal(_READ)
        ending, answered = Signal(_ENDING), Signal(_ENDING)
        taken = Signal()
        m.d.comb += [
            splitter.base.eq(self.base),
            self.request.valid.eq(splitter.bursts.valid),
            self.request.payload.eq(burst.request),
            splitter.bursts.ready.eq(self.request.ready),
            taken.eq(self.request.valid & self.request.ready),
            read.local.eq(burst.local),
            read.last.eq(burst.request.length),
            read.one.eq(burst.request.length == 0),
            ending.last.eq(burst.last),
            ending.signal.eq(burst.signal),
            ending.tag.eq(burst.tag),
            to_read.w_en.eq(taken),
            to_read.w_data.eq(read),
            in_flight.w_en.eq(taken),
            in_flight.w_data.eq(ending),
            oldest.as_value().eq(to_read.r_data),
            answered.as_value().eq(in_flight.r_data),
        ]

        # Reads, as long as there is room for their words.
        shift = config.bus_bytes.bit_length() - 1
        room = Signal(range(STORE_BUFFER_WORDS + 1), init=STORE_BUFFER_WORDS)
        beat = Signal(LENGTH_BITS)
        issue, last_beat, sent = Signal(), Signal(), Signal()
        first, ends_next = Signal(init=1), Signal()  # the next word begins a burst; it ends one, if it begins none
        m.d.comb += [
            issue.eq(to_read.r_rdy & (room != 0)),
            last_beat.eq(Mux(first, oldest.one, ends_next)),
            to_read.r_en.eq(issue & last_beat),
        ]
        m.d.sync += [
            room.eq(room - issue + sent),
        ]
        register(m, self.read_en, issue, latency.STORE_ISSUE, "read_en")
        register(
            m, self.read_address, oldest.local + (beat << shift), latency.STORE_ISSUE, "read_address", reset_less=True
        )
        with m.If(issue):
            m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
            m.d.sync += [first.eq(last_beat), ends_next.eq(beat + 1 == oldest.last)]

        # Words on their way, and the write channel.
        to_buffer = latency.STORE_BUFFER - 2  # registers before the buffer, whose own are two
        back = latency.STORE_ISSUE + latency.ACTIVATION_READ + to_buffer
        m.d.comb += [
            buffer.w_en.eq(delay(m, issue, back, "word")),
            buffer.w_data.eq(
                Cat(
                    delay(m, self.read_data, to_buffer, "read_data", reset_less=True),
                    delay(m, last_beat, back, "word_last"),
                )
            ),
            self.words.valid.eq(buffer.r_rdy),
            Cat(self.words.payload, self.word_last).eq(buffer.r_data),
            sent.eq(self.words.valid & self.words.ready),
            buffer.r_en.eq(sent),
        ]

        # Responses.
        m.d.comb += in_flight.r_en.eq(self.response)
        m.d.sync += [
            self.retire.eq(self.response & in_flight.r_rdy & answered.last),
            self.signal.eq(answered.signal),
            self.tag.eq(answered.tag),
        ]
        m.d.comb += self.idle.eq(splitter.start.ready & ~in_flight.r_rdy & ~self.retire)
        return m
