"""Splits a LOAD's or STORE's rows into bursts: whole bus words, at most 256 beats, none across 4 KiB."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.command_view import CommandView
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import WORDS_OF, Opcode
from intaglio.machine.limits import MOST_BEATS, PAGE

TRANSFER_BITS = 32 * WORDS_OF[Opcode.LOAD]
LENGTH_BITS = (MOST_BEATS - 1).bit_length()

Request = data.StructLayout({"address": 32, "length": LENGTH_BITS})
"""One burst on the external port. address: bytes, a multiple of the bus; length: beats less one, as AXI's AxLEN."""

_OF_COMMAND = {"memory": 2, "signal": 2, "tag": 16}
"""Fields of a burst that say which command it is of, with their bits."""

Burst = data.StructLayout({"request": Request, "local": 30, "last": 1, **_OF_COMMAND})
"""One burst and what it means to its command. local: byte address on chip of its first word; last: it is the
command's last; memory, signal, tag: the command's."""


class Splitter(wiring.Component):
    """The bursts of one command at a time.

    Ports
    -----
    start : In, stream of 256 bits
        A LOAD or STORE command (its 8 words, word 0 lowest); ready while no command is under way (1 cycle between the
        last burst of one and the start of the next).
    base : In, 32 bits
        Added to the command's external address in the start's cycle.
    bursts : Out, stream of Burst
        Row after row, in address order; the first is valid latency.TRANSFER_REQUEST cycles after start, each other one
        latency.TRANSFER_STEP after the one before is taken. From registers; `valid` does not depend on `ready`, behind which
        lie a few bits alone: what it steps is stepped a cycle later.
    """

    def __init__(self, config: Config):
        self.bus_bytes = config.bus_bytes
        super().__init__(
            {
                "start": In(stream.Signature(TRANSFER_BITS)),
                "base": In(32),
                "bursts": Out(stream.Signature(Burst)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shift = self.bus_bytes.bit_length() - 1
        command = CommandView(self.start.payload, Opcode.LOAD)
        active = Signal()
        # Byte addresses; of the row and of the burst. Counts of bus words; of a row, left in this row.
        row_address, address, stride = (
            Signal(32, name=n, reset_less=True) for n in ("row_address", "address", "stride")
        )
        row_local, local, local_stride = (
            Signal(30, name=n, reset_less=True) for n in ("row_local", "local", "local_stride")
        )
        # Less one: of the row, of what is left of it, of the burst.
        row_words, left, length = (
            Signal(bits, name=n, reset_less=True)
            for n, bits in (("row_words", 32 - shift), ("left", 32 - shift), ("length", LENGTH_BITS))
        )
        # Of the last two: that is less than a burst may have.
        short_row, near = Signal(), Signal()
        rows = Signal(32, reset_less=True)
        memory, signal, tag = (Signal(bits, name=n, reset_less=True) for n, bits in _OF_COMMAND.items())

        # Of the burst, found in the cycle before it stands at the output.
        most = Signal(LENGTH_BITS)
        ends_row, stands, taken = Signal(), Signal(latency.TRANSFER_REQUEST - 1), Signal()
        last_of_row, last = Signal(), Signal()
        steps = Signal()  # one was taken in the cycle before that is not the last one
        in_page = address[shift : PAGE.bit_length() - 1]
        m.d.comb += [
            # To the page's end, or a whole burst where that is further.
            most.eq(~in_page[:LENGTH_BITS] | (~in_page[LENGTH_BITS:]).any().replicate(LENGTH_BITS)),
            ends_row.eq(near & (left[:LENGTH_BITS] <= most)),
            taken.eq(self.bursts.valid & self.bursts.ready),
            self.start.ready.eq(~active),
            self.bursts.valid.eq(stands[-1]),
            self.bursts.payload.request.address.eq(address),
            self.bursts.payload.request.length.eq(length),
            self.bursts.payload.local.eq(local),
            self.bursts.payload.last.eq(last),
            self.bursts.payload.memory.eq(memory),
            self.bursts.payload.signal.eq(signal),
            self.bursts.payload.tag.eq(tag),
        ]
        m.d.sync += [
            length.eq(Mux(ends_row, left, most)),
            last_of_row.eq(ends_row),
            last.eq(ends_row & (rows == 1)),
            steps.eq(taken & ~last),
            stands.eq(Mux(taken | steps, 0, Cat(active, stands))),
        ]
        with m.If(taken & last):
            m.d.sync += active.eq(0)
        with m.If(self.start.valid & self.start.ready):
            external = Signal(32)
            words = command["row_bytes"][shift:]
            m.d.comb += external.eq(self.base + Cat(Const(0, shift), command["external"][shift:]))
            m.d.sync += [
                active.eq(1),
                row_address.eq(external),
                address.eq(external),
                stride.eq(Cat(Const(0, shift), command["external_stride"][shift:])),
                row_local.eq(command["local"]),
                local.eq(command["local"]),
                local_stride.eq(command["local_stride"]),
                *(register.eq(words - 1) for register in (row_words, left)),
                *(register.eq((words - 1)[LENGTH_BITS : len(left)] == 0) for register in (short_row, near)),
                rows.eq(command["rows"]),
                memory.eq(command["memory"]),
                signal.eq(command["signal"]),
                tag.eq(command["tag"]),
            ]
        with m.If(steps):
            with m.If(~last_of_row):
                m.d.sync += [
                    address[shift:].eq(_and_one_more(address[shift:], length)),
                    local[shift:].eq(_and_one_more(local[shift:], length)),
                    left.eq(left + ~Cat(length, Const(0, 1)).as_signed()),
                    # Without the difference: its carry takes the one that is above.
                    near.eq(near | ((left[LENGTH_BITS:] == 1) & (left[:LENGTH_BITS] <= length))),
                ]
            with m.Else():
                next_row, next_local = Signal(32), Signal(30)
                m.d.comb += [next_row.eq(row_address + stride), next_local.eq(row_local + local_stride)]
                m.d.sync += [
                    row_address.eq(next_row),
                    address.eq(next_row),
                    row_local.eq(next_local),
                    local.eq(next_local),
                    left.eq(row_words),
                    near.eq(short_row),
                    rows.eq(rows - 1),
                ]
        return m


def _and_one_more(value: Value, count: Value) -> Value:
    """value + count + 1 by one adder, of value's bits."""
    return (Cat(1, value) + Cat(1, count))[1 : len(value) + 1]
