"""Reads the program in blocks into a small FIFO, ahead of dispatch."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from intaglio.hw.bursts import Request
from intaglio.hw.dispatch import Dispatch, ProgramWords
from intaglio.hw.pipeline import delay
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.limits import FETCH_BLOCK_BYTES, FETCH_FIFO_BYTES


class Fetch(wiring.Component):
    """The command stream, in order.

    Ports
    -----
    begin : In, 1 bit
        One cycle; starts on a program, everything else idle.
    address, size : In, 32 bits each
        Of the program, in begin's cycle: a multiple of 4096, and bytes.
    request : Out, stream of Request
        A block's burst, from registers, latency.FETCH_REQUEST cycles after begin, or the burst before, at the earliest;
        only when the FIFO has room for a whole block. `valid` does not depend on `ready`.
    beat, beat_data : In, 1 bit and a bus word
        A word of the bus read for fetch; always accepted.
    words : Out, ProgramWords
        In order, latency.FETCH - Dispatch.STAGES cycles after their beats at the earliest; the last may hold padding
        beyond the program's end.
    idle : Out, 1 bit
        Nothing is left to request; from a register.
    """

    def __init__(self, config: Config):
        self.bus_bytes = config.bus_bytes
        width = 8 * config.bus_bytes
        super().__init__(
            {
                "begin": In(1),
                "address": In(32),
                "size": In(32),
                "request": Out(stream.Signature(Request)),
                "beat": In(1),
                "beat_data": In(width),
                "words": Out(ProgramWords(width)),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shift = self.bus_bytes.bit_length() - 1
        block, depth = FETCH_BLOCK_BYTES >> shift, FETCH_FIFO_BYTES >> shift
        # The FIFO's depth counts its output register; the room below keeps it from ever being full. A word's place counts
        # until it is handed over, though it is taken some cycles before.
        m.submodules.fifo = fifo = SyncFIFOBuffered(width=8 * self.bus_bytes, depth=depth + 1)
        left = Signal(33 - shift)  # words less one
        address = Signal(32)
        room = Signal(range(depth + 1), init=depth)
        taken, moves = Signal(), Signal()
        # Of the next request: its beats less one; whether it is the last one.
        length, last = Signal(range(block)), Signal()
        asks = Signal(latency.FETCH_REQUEST - 1)  # what may be asked for, on its way; the last one is the request
        waits = latency.FETCH - Dispatch.STAGES - 3
        ends = Signal()
        m.d.comb += [
            ends.eq(left[len(length) :] == 0),
            self.request.valid.eq(asks[-1]),
            self.request.payload.address.eq(address),
            self.request.payload.length.eq(length),
            taken.eq(self.request.valid & self.request.ready),
            fifo.w_en.eq(delay(m, self.beat, waits, "beat")),
            fifo.w_data.eq(delay(m, self.beat_data, waits, "beat_data", reset_less=True)),
            moves.eq(self.words.ready | ~self.words.valid),
            fifo.r_en.eq(moves),
        ]
        m.d.sync += [
            last.eq(ends),
            length.eq(left[: len(length)] | (~ends).replicate(len(length))),
            asks.eq(Mux(taken, 0, Cat(~self.idle & (room >= block), asks))),
            # Nothing is asked for behind the last block, so that it may count as a whole one.
            room.eq(room - Mux(taken, block, 0) + self.words.freed),
        ]
        with m.If(moves):
            # A register of its own: a block RAM's output comes late.
            m.d.sync += [self.words.valid.eq(fifo.r_rdy), self.words.payload.eq(fifo.r_data)]
        with m.If(self.begin):
            m.d.sync += [left.eq((self.size - 1) >> shift), address.eq(self.address)]
            m.d.sync += self.idle.eq(self.size == 0)
        with m.Elif(taken):
            m.d.sync += [left.eq(left - block), address.eq(address + FETCH_BLOCK_BYTES)]
            m.d.sync += self.idle.eq(last)
        return m
