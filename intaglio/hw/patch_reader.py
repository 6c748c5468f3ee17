"""DEPTHWISE's reader of the drain memory: the outputs of a patch that are wanted, row by row of the patch."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.nest import Either
from intaglio.hw.output_pass import DrainRead
from intaglio.hw.tile_passes import TilePasses
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class PatchReader(wiring.Component):
    """Walks a DEPTHWISE's patches output by output, channel group by channel group; passes over the columns of a patch
    beyond last_patch_cols.

    Ports
    -----
    command : In, 1024 bits
        Stable while a DEPTHWISE runs.
    start : In, 1 bit
        A pulse, at least three cycles before `begin` of its first patch.
    begin : In, 1 bit
        A pulse a patch; its first pass comes two cycles later.
    read : Out, DrainRead
        A patch's passes without a gap; take and keep stay low.

    No flow control: passes of a patch end before those of the next begin.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({"command": In(COMMAND_BITS), "start": In(1), "begin": In(1), "read": Out(DrainRead(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        f = CommandView(self.command, Opcode.DEPTHWISE)
        tiles = {"across": f["patches_across"], "down": f["patches_down"], "channel": f["channel_tiles"]}
        passes = TilePasses(m, config, self.start, self.begin, f["last_channels"], f["tile_channels"], **tiles)
        passes.over(
            col=Either((passes.flags["across"],), f["last_patch_cols"], f["patch_cols"]),
            row=Either((passes.flags["down"],), f["last_patch_rows"], f["patch_rows"]),
        )

        bits = ceil_log2(config.activation_bytes)
        patch_out = passes.tiles.walk(
            "out",
            bits,
            f["out_base"],
            across=f["out_patch_step"],
            down=f["out_patch_row_step"],
            channel=f["tile_channels"],
        )
        out = passes.passes.walk("out", bits, patch_out, col=f["out_pixel_stride"], row=f["out_row_stride"])
        row = passes.passes.walk("row", self.read.row.shape(), 0, col=1, row=f["patch_cols"])
        shape = self.read.records.shape()
        records = passes.tiles.walk("records", shape, f["channel_base"], channel=config.channel_groups)
        passes.show(passes.active, row.now, out.now, records.now, self.read)
        return m
