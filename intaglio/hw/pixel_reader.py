"""CONV's reader of the drain memory: a tile's pixels in turn, wherever the region's rows end."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.output_pass import DrainRead
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class PixelReader(wiring.Component):
    """Walks a CONV's tiles pixel by pixel, channel group by channel group.

    command: In, 1024 bits, stable while a CONV runs. start: In, a pulse before its first tile. begin: In, a pulse a tile;
    read: Out, DrainRead, its passes from the next cycle on without a gap. No flow control: passes of a tile end before
    those of the next begin.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({"command": In(COMMAND_BITS), "start": In(1), "begin": In(1), "read": Out(DrainRead(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        f = CommandView(self.command, Opcode.CONV)
        q, groups = config.requantizers, config.channel_groups
        address_bits = ceil_log2(config.activation_bytes)

        active = Signal()
        row = Signal.like(self.read.row)
        group = Signal.like(self.read.group)
        half = Signal()
        tile_p = Signal(16)
        tile_c = Signal(16)
        last_p = Signal()
        last_c = Signal()
        pixels = Signal(ceil_log2(config.rows + 1))
        channels = Signal(ceil_log2(config.cols + 1))
        first_channel = Signal(range(groups * q + 1))
        m.d.comb += [
            last_p.eq(tile_p == f["pixel_tiles"] - 1),
            last_c.eq(tile_c == f["channel_tiles"] - 1),
            pixels.eq(Mux(f["split"], 1, Mux(last_p, f["last_pixels"], f["rows_per_tile"]))),
            channels.eq(Mux(last_c, f["last_channels"], config.cols)),
        ]
        # Of each channel tile's pixels the first `drain_from` are kept.
        partial = Signal.like(self.read.partial)
        to_keep = Signal.like(f["drain_from"])
        # And the first `early_pixels` have records of their own.
        early = Signal.like(f["early_pixels"])
        last_group = Signal()
        last_row = Signal()
        m.d.comb += [
            last_group.eq(first_channel + q >= channels),
            last_row.eq(row == pixels - 1),
        ]

        col = Signal(16)
        tile_out = Signal(address_bits)  # out_base + tile_c * cols
        row_out = Signal(address_bits)
        pixel_out = Signal(address_bits)
        channel_tile = Signal.like(self.read.records)
        early_tile = Signal.like(self.read.records)
        with m.If(active):
            m.d.sync += [group.eq(group + 1), first_channel.eq(first_channel + q), partial.eq(partial + 1)]
            with m.If(last_group):
                m.d.sync += [group.eq(0), first_channel.eq(0), row.eq(row + 1)]
                with m.If(to_keep != 0):
                    m.d.sync += to_keep.eq(to_keep - 1)
                with m.If(early != 0):
                    m.d.sync += early.eq(early - 1)
                with m.If(col == f["region_width"] - 1):
                    following = Signal(address_bits)
                    m.d.comb += following.eq(row_out + f["out_row_stride"])
                    m.d.sync += [col.eq(0), row_out.eq(following), pixel_out.eq(following)]
                with m.Else():
                    m.d.sync += [col.eq(col + 1), pixel_out.eq(pixel_out + f["out_pixel_stride"])]
                with m.If(last_row):
                    m.d.sync += [active.eq(0), row.eq(0), half.eq(~half), tile_p.eq(tile_p + 1)]
                    with m.If(last_p):
                        tile_following = Signal(address_bits)
                        m.d.comb += tile_following.eq(tile_out + config.cols)
                        m.d.sync += [
                            tile_p.eq(0),
                            tile_c.eq(tile_c + 1),
                            channel_tile.eq(channel_tile + groups),
                            early_tile.eq(early_tile + groups),
                            tile_out.eq(tile_following),
                            row_out.eq(tile_following),
                            pixel_out.eq(tile_following),
                            col.eq(0),
                            to_keep.eq(f["drain_from"]),
                            early.eq(f["early_pixels"]),
                        ]
        with m.If(self.begin):
            m.d.sync += active.eq(1)
        with m.If(self.start):
            m.d.sync += [  # the rest every command leaves at 0
                half.eq(0),
                tile_c.eq(0),
                channel_tile.eq(f["channel_base"]),
                early_tile.eq(f["early_base"]),
                tile_out.eq(f["out_base"]),
                row_out.eq(f["out_base"]),
                pixel_out.eq(f["out_base"]),
                partial.eq(f["partial_base"]),
                to_keep.eq(f["drain_from"]),
                early.eq(f["early_pixels"]),
            ]

        left = Signal.like(channels)
        output = self.read.output
        m.d.comb += [
            left.eq(channels - first_channel),
            output.count.eq(Mux(active & (to_keep == 0), Mux(left > q, q, left), 0)),
            output.address.eq(pixel_out + first_channel),
            output.final.eq(active & last_group & last_row & last_p & last_c),
            self.read.row.eq(row),
            self.read.half.eq(half),
            self.read.group.eq(group),
            self.read.records.eq(Mux(early != 0, early_tile, channel_tile) + group),
            self.read.take.eq(active & ~f["start"]),
            self.read.keep.eq(active & (to_keep != 0)),
            self.read.partial.eq(partial),
        ]
        return m
