"""CONV's reader of the drain memory: a tile's pixels in turn, wherever the region's rows end."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.nest import Ahead, Either, Last, Nest, Walk
from intaglio.hw.output_pass import DrainRead
from intaglio.hw.tile_passes import TilePasses
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class PixelReader(wiring.Component):
    """Walks a CONV's tiles pixel by pixel, channel group by channel group.

    Ports
    -----
    command : In, 1024 bits
        Stable while a CONV runs.
    start : In, 1 bit
        A pulse, at least three cycles before `begin` of its first tile.
    begin : In, 1 bit
        A pulse a tile; its first pass comes two cycles later.
    read : Out, DrainRead
        A tile's passes without a gap.

    No flow control: passes of a tile end before those of the next begin.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({"command": In(COMMAND_BITS), "start": In(1), "begin": In(1), "read": Out(DrainRead(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        f = CommandView(self.command, Opcode.CONV)
        tiles = {"tile": f["pixel_tiles"], "channel": f["channel_tiles"]}
        passes = TilePasses(m, config, self.start, self.begin, f["last_channels"], Const(config.cols), **tiles)
        short, usual = (Mux(f["split"], 1, f[name]) for name in ("last_pixels", "rows_per_tile"))
        passes.over(row=Either((passes.flags["tile"],), short, usual))
        first, turned = passes.first, passes.first | passes.tiles.turns["channel"]
        pixel = passes.passes.turns["row"]  # the last pass of a pixel

        # Of each channel tile's pixels the first `drain_from` are kept, the first `early_pixels` have records of their own.
        to_keep, early = Signal.like(f["drain_from"]), Signal.like(f["early_pixels"])
        keeps, is_early = Signal(), Signal()  # there are any left
        for left, some, whole in ((to_keep, keeps, f["drain_from"]), (early, is_early, f["early_pixels"])):
            with m.If(turned):
                m.d.sync += [left.eq(whole), some.eq(whole != 0)]
            with m.Elif(pixel & some):
                m.d.sync += [left.eq(left - 1), some.eq(left != 1)]
        partial = Signal.like(self.read.partial)
        with m.If(first):
            m.d.sync += partial.eq(f["partial_base"])
        with m.Elif(passes.active):
            m.d.sync += partial.eq(partial + 1)

        out, records, early_records = self._walks(m, passes.tiles, pixel, turned)
        group_records = Mux(is_early, early_records.now, records.now)
        row = passes.passes.count("row", len(self.read.row))
        passes.show(passes.active & ~keeps, row, out.now, group_records, self.read)
        m.d.comb += [
            self.read.take.eq(passes.active & ~f["start"]),
            self.read.keep.eq(passes.active & keeps),
            self.read.partial.eq(partial),
        ]
        return m

    def _walks(self, m: Module, tiles: Ahead, pixel: Value, turned: Value) -> tuple[Walk, Walk, Walk]:
        """The address of the pixel's output, pixel by pixel of the region, and the channel tile's records and early
        records."""
        config = self.config
        f = CommandView(self.command, Opcode.CONV)
        bits = ceil_log2(config.activation_bytes)
        tile_out = tiles.walk("out", bits, f["out_base"], channel=config.cols)
        region = Nest(m, "region", pixel, turned, col=f["region_width"], row=Last())
        shape = self.read.records.shape()
        return (
            region.walk("out", bits, tile_out, col=f["out_pixel_stride"], row=f["out_row_stride"]),
            tiles.walk("records", shape, f["channel_base"], channel=config.channel_groups),
            tiles.walk("early_records", shape, f["early_base"], channel=config.channel_groups),
        )
