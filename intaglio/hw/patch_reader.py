"""DEPTHWISE's reader of the drain memory: the outputs of a patch that are wanted, row by row of the patch."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.channel_groups import ChannelGroups
from intaglio.hw.command_view import CommandView
from intaglio.hw.nest import Either, Nest
from intaglio.hw.output_pass import DrainRead
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
        A pulse before its first patch.
    begin : In, 1 bit
        A pulse a patch; its first pass is in the next cycle.
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
        active, half = Signal(), Signal()
        m.submodules.groups = groups = ChannelGroups(config)
        patches = Nest(
            m,
            "patches",
            active & groups.last,
            self.start,
            col=Either(("across",), f["last_patch_cols"], f["patch_cols"]),
            row=Either(("down",), f["last_patch_rows"], f["patch_rows"]),
            across=f["patches_across"],
            down=f["patches_down"],
            channel=f["channel_tiles"],
        )
        m.d.comb += [
            groups.active.eq(active),
            groups.channels.eq(Mux(patches.last["channel"], f["last_channels"], f["tile_channels"])),
        ]
        with m.If(patches.turns["across"]):
            m.d.sync += [active.eq(0), half.eq(~half)]
        with m.If(self.begin):
            m.d.sync += active.eq(1)
        with m.If(self.start):
            m.d.sync += half.eq(0)

        out = patches.walk(
            "out",
            ceil_log2(config.activation_bytes),
            f["out_base"],
            col=f["out_pixel_stride"],
            row=f["out_row_stride"],
            across=f["out_patch_step"],
            down=f["out_patch_row_step"],
            channel=f["tile_channels"],
        )
        row = patches.walk("row", self.read.row.shape(), 0, col=1, row=f["patch_cols"])
        records = patches.walk("records", self.read.records.shape(), f["channel_base"], channel=config.channel_groups)
        m.d.comb += [
            self.read.output.count.eq(Mux(active, groups.count, 0)),
            self.read.output.address.eq(out.now + groups.first),
            self.read.output.final.eq(patches.ends),
            self.read.row.eq(row.now),
            self.read.half.eq(half),
            self.read.group.eq(groups.group),
            self.read.records.eq(records.now + groups.group),
        ]
        return m
