"""The read of one row of a slot: where its pixel lies, which of its bytes are padding."""

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.feed_step import FeedRequest
from intaglio.hw.padding import clipped, inside, unwrapped
from intaglio.hw.pipeline import register
from intaglio.hw.ram import Collision, ram
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode

Y_SHAPE = signed(18)
"""Rows of the input, those of padding below 0."""


class Pixel(data.StructLayout):
    """A pixel of the output: the address of its window's first byte, and where that lies in the row (bytes) and in the
    image (rows)."""

    def __init__(self, config: Config):
        bits = ceil_log2(config.activation_bytes)
        super().__init__({"base": bits, "x": signed(bits + 3), "y": Y_SHAPE})


class RowRequest(wiring.Component):
    """Makes a row's request of its pixel and of the slot's place in the window; keeps a tile's pixels from its first
    slot on.

    Ports
    -----
    command : In, 1024 bits
        A CONV, stable while rows are fetched and two cycles longer.
    fetch : In, 1 bit
        A row is fetched in this cycle.
    first_slot : In, 1 bit
        It belongs to a tile's first slot: the pixel is taken from `pixel`, later from the store.
    row : In, index_bits(rows)
    pixel : In, Pixel
    x_offset : In, signed, Pixel's x
        From the window's first byte to the slot's, along the row.
    y_offset : In, signed 18
        From the window's first row to the slot's.
    row_offset : In, bits of an address
        Bytes from the window's first row to the slot's.
    length : In, 16 bits
        Bytes of the slot.
    request : Out, FeedRequest
        latency.SEQUENCER_REQUEST - 1 cycles later: gather, add, clip, choice.

    No flow control: a row every cycle.
    """

    def __init__(self, config: Config):
        self.config = config
        bits = ceil_log2(config.activation_bytes)
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "fetch": In(1),
                "first_slot": In(1),
                "row": In(unsigned(index_bits(config.rows))),
                "pixel": In(Pixel(config)),
                "x_offset": In(signed(bits + 3)),
                "y_offset": In(Y_SHAPE),
                "row_offset": In(unsigned(bits)),
                "length": In(16),
                "request": Out(FeedRequest(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f = CommandView(self.command, Opcode.CONV)
        pixel = self._pixel(m)

        # Gather.
        valid1, row1 = Signal(), Signal.like(self.row, reset_less=True)
        pixel1 = Signal.like(self.pixel, reset_less=True)
        offset1 = Signal.like(self.row_offset, reset_less=True)
        y_offset1 = Signal.like(self.y_offset, reset_less=True)
        # Bytes of the slot before the row's beginning, and before its end, if the pixel lay at the row's beginning.
        before1 = Signal(signed(len(self.x_offset) + 1), reset_less=True)
        room1 = Signal(signed(34), reset_less=True)
        wrap1 = Signal(signed(Y_SHAPE.width + 1), reset_less=True)  # the pixel's row from which the slot's wraps
        length1 = Signal(ceil_log2(self.config.feed_bytes + 1), reset_less=True)
        m.d.sync += [
            valid1.eq(self.fetch),
            row1.eq(self.row),
            pixel1.eq(pixel),
            before1.eq(-self.x_offset),
            room1.eq(f["in_row_bytes"] - self.x_offset),
            y_offset1.eq(self.y_offset),
            wrap1.eq(f["wrap_iy"] - self.y_offset),
            offset1.eq(self.row_offset + self.x_offset),
            length1.eq(self.length),
        ]

        # Add.
        valid2, row2, length2, wraps2 = Signal(), Signal.like(row1), Signal.like(length1), Signal(reset_less=True)
        address2 = Signal.like(offset1)
        before2 = Signal(signed(len(before1) + 1), reset_less=True)
        room2 = Signal(signed(len(room1) + 1), reset_less=True)
        y2 = Signal(signed(len(y_offset1) + 1), reset_less=True)
        m.d.sync += [
            valid2.eq(valid1),
            row2.eq(row1),
            address2.eq(pixel1.base + offset1),
            before2.eq(before1 - pixel1.x),
            room2.eq(room1 - pixel1.x),
            y2.eq(pixel1.y + y_offset1),
            length2.eq(length1),
            wraps2.eq(pixel1.y >= wrap1),
        ]

        # Clip.
        clip, choice = Signal.like(self.request), Signal.like(self.request)
        m.d.sync += [
            clip.row_valid.eq(valid2),
            clip.read.eq(valid2 & inside(y2, f["in_rows"])),
            clip.address.eq(unwrapped(address2, wraps2, f["wrap_bytes"])),
            clip.low.eq(clipped(before2, length2)),
            clip.high.eq(clipped(room2, length2)),
            clip.row.eq(row2),
        ]

        # Choice.
        m.d.comb += [choice.eq(clip), choice.read.eq(clip.read & (clip.low < clip.high))]
        register(m, self.request, choice, latency.SEQUENCER_REQUEST - 4, "chosen")
        return m

    def _pixel(self, m: Module) -> Mux:
        """The row's pixel: the first slot's, kept in a store of one word a row for the others."""
        shape = Pixel(self.config)
        store = ram(m, "row_store", shape=shape, depth=self.config.rows, read_latency=0, collision=Collision.OLD)
        m.d.comb += [
            store.write_en.eq(self.fetch & self.first_slot),
            store.write_address.eq(self.row),
            store.write_data.eq(self.pixel),
            store.read_address.eq(self.row),
        ]
        return Mux(self.first_slot, self.pixel.as_value(), store.read_data.as_value())
