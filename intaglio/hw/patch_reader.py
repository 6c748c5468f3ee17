"""DEPTHWISE's reader of the drain memory: the outputs of a patch that are wanted, row by row of the patch."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.channel_groups import ChannelGroups
from intaglio.hw.command_view import CommandView
from intaglio.hw.nest import Ahead, Either, Nest, Turns
from intaglio.hw.output_pass import DrainRead
from intaglio.hw.pipeline import delay
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode
from intaglio.machine.latency import LEAST_TILE


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
        active, fresh = Signal(), Signal()
        first, following = self.begin & fresh, self.begin & ~fresh
        patches = Ahead(
            m,
            "patches",
            self.start,
            first,
            following,
            LEAST_TILE,
            across=f["patches_across"],
            down=f["patches_down"],
            channel=f["channel_tiles"],
        )
        groups = ChannelGroups(m, config, f["last_channels"], f["tile_channels"], patches.flags["channel"])
        passes = Nest(
            m,
            "passes",
            active,
            self.begin,
            group=groups.turns,
            col=Either((patches.flags["across"],), f["last_patch_cols"], f["patch_cols"]),
            row=Either((patches.flags["down"],), f["last_patch_rows"], f["patch_rows"]),
        )
        with m.If(passes.ends):
            m.d.sync += active.eq(0)
        with m.If(self.begin):
            m.d.sync += [active.eq(1), fresh.eq(0)]
        with m.If(self.start):
            m.d.sync += fresh.eq(1)
        self._reads(
            m, groups, passes.later(), patches.later(), delay(m, active, 1, "active"), delay(m, first, 1, "first")
        )
        return m

    def _reads(
        self, m: Module, groups: ChannelGroups, passes: Turns, patches: Ahead, active: Value, first: Value
    ) -> None:
        """The passes' reads, in their own cycle: one behind the loops' decisions."""
        config = self.config
        f = CommandView(self.command, Opcode.DEPTHWISE)
        half = Signal()
        with m.If(passes.ends):
            m.d.sync += half.eq(~half)
        with m.If(first):
            m.d.sync += half.eq(0)  # the rest every command leaves at 0

        bits = ceil_log2(config.activation_bytes)
        patch_out = patches.walk(
            "out",
            bits,
            f["out_base"],
            across=f["out_patch_step"],
            down=f["out_patch_row_step"],
            channel=f["tile_channels"],
        )
        out = passes.walk("out", bits, patch_out, col=f["out_pixel_stride"], row=f["out_row_stride"])
        row = passes.walk("row", self.read.row.shape(), 0, col=1, row=f["patch_cols"])
        records = patches.walk("records", self.read.records.shape(), f["channel_base"], channel=config.channel_groups)
        groups.show(m, passes, patches, active, out.now, records.now, self.read)
        m.d.comb += [
            self.read.output.final.eq(passes.ends & patches.final),
            self.read.row.eq(row.now),
            self.read.half.eq(half),
        ]
