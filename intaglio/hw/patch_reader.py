"""DEPTHWISE's reader of the drain memory: the outputs of a patch that are wanted, row by row of the patch."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.output_pass import DrainRead
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode


class PatchReader(wiring.Component):
    """Walks a DEPTHWISE's patches output by output, channel group by channel group; passes over the columns of a patch
    beyond last_patch_cols.

    Ports as PixelReader's.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__({"command": In(COMMAND_BITS), "start": In(1), "begin": In(1), "read": Out(DrainRead(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        f = CommandView(self.command, Opcode.DEPTHWISE)
        q, groups = config.requantizers, config.channel_groups
        address_bits = ceil_log2(config.activation_bytes)

        # Loop counters, innermost first; row is i * patch_cols + j, first_row j = 0's.
        active = Signal()
        group = Signal.like(self.read.group)
        first_channel = Signal(range(groups * q + 1))
        i, j = Signal.like(self.read.row, name="i"), Signal.like(self.read.row, name="j")
        row, first_row = Signal.like(self.read.row), Signal.like(self.read.row)
        half = Signal()
        across, down, tile_c = Signal(16), Signal(16), Signal(16)
        last_group, last_j, last_i = Signal(), Signal(), Signal()
        last_across, last_down, last_c = Signal(), Signal(), Signal()
        channels = Signal(ceil_log2(config.cols + 1))
        m.d.comb += [
            last_group.eq(first_channel + q >= channels),
            last_j.eq(j == Mux(last_across, f["last_patch_cols"], f["patch_cols"]) - 1),
            last_i.eq(i == Mux(last_down, f["last_patch_rows"], f["patch_rows"]) - 1),
            last_across.eq(across == f["patches_across"] - 1),
            last_down.eq(down == f["patches_down"] - 1),
            last_c.eq(tile_c == f["channel_tiles"] - 1),
            channels.eq(Mux(last_c, f["last_channels"], f["tile_channels"])),
        ]

        # Where the outputs go: one address for each loop, that of its present beginning.
        out, line_out, patch_out, down_out, tile_out = (
            Signal(address_bits, name=name) for name in ("out", "line_out", "patch_out", "down_out", "tile_out")
        )
        line_next, patch_next, down_next, tile_next = (
            Signal(address_bits, name=name) for name in ("line_next", "patch_next", "down_next", "tile_next")
        )
        records = Signal.like(self.read.records)
        row_next = Signal.like(row)
        m.d.comb += [
            line_next.eq(line_out + f["out_row_stride"]),
            patch_next.eq(patch_out + f["out_patch_step"]),
            down_next.eq(down_out + f["out_patch_row_step"]),
            tile_next.eq(tile_out + f["tile_channels"]),
            row_next.eq(first_row + f["patch_cols"]),
        ]
        with m.If(active):
            m.d.sync += [group.eq(group + 1), first_channel.eq(first_channel + q)]
            with m.If(last_group):
                m.d.sync += [group.eq(0), first_channel.eq(0)]
                with m.If(~last_j):
                    m.d.sync += [j.eq(j + 1), row.eq(row + 1), out.eq(out + f["out_pixel_stride"])]
                with m.Elif(~last_i):
                    m.d.sync += [j.eq(0), i.eq(i + 1), row.eq(row_next), first_row.eq(row_next)]
                    m.d.sync += [a.eq(line_next) for a in (out, line_out)]
                with m.Else():
                    m.d.sync += [active.eq(0), half.eq(~half), *(n.eq(0) for n in (i, j, row, first_row))]
                    with m.If(~last_across):
                        m.d.sync += [across.eq(across + 1), *(a.eq(patch_next) for a in (out, line_out, patch_out))]
                    with m.Elif(~last_down):
                        m.d.sync += [across.eq(0), down.eq(down + 1)]
                        m.d.sync += [a.eq(down_next) for a in (out, line_out, patch_out, down_out)]
                    with m.Else():
                        m.d.sync += [across.eq(0), down.eq(0), tile_c.eq(tile_c + 1), records.eq(records + groups)]
                        m.d.sync += [a.eq(tile_next) for a in (out, line_out, patch_out, down_out, tile_out)]
        with m.If(self.begin):
            m.d.sync += active.eq(1)
        with m.If(self.start):
            m.d.sync += [  # the rest every command leaves at 0
                half.eq(0),
                tile_c.eq(0),
                records.eq(f["channel_base"]),
                *(a.eq(f["out_base"]) for a in (out, line_out, patch_out, down_out, tile_out)),
            ]

        left = Signal.like(channels)
        output = self.read.output
        m.d.comb += [
            left.eq(channels - first_channel),
            output.count.eq(Mux(active, Mux(left > q, q, left), 0)),
            output.address.eq(out + first_channel),
            output.final.eq(active & last_group & last_j & last_i & last_across & last_down & last_c),
            self.read.row.eq(row),
            self.read.half.eq(half),
            self.read.group.eq(group),
            self.read.records.eq(records + group),
        ]
        return m
