"""The writer of the drain memory: where a sum that leaves the array goes, and when a tile's sums may be read."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.command_view import CommandView
from intaglio.hw.nest import Nest
from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, OPCODE_BITS, Opcode


class DrainWriter(wiring.Component):
    """Counts the rows of tiles as column 0 shows their sums; column c follows c cycles later.

    Ports
    -----
    command : In, 1024 bits
        Stable while a CONV or DEPTHWISE runs.
    start : In, 1 bit
        A pulse before its first tile.
    row0_done : In, 1 bit
        Column 0 shows a row's sum.
    write : Out, 1 bit
        It is complete: with `split` the second one of two rows whose sums become one.
    row : Out, index_bits(rows)
        Where it goes: with `split` to the first row's place.
    half : Out, 1 bit
        The half of the memory, which tiles use in turn.
    begins : Out, 1 bit
        From the next cycle on column 0's sums may be read in turn: from a CONV's first sum on; a DEPTHWISE's rows
        finish some cycles apart, so that it is the last sum there, and with `split` the second one.

    No flow control; outputs in the cycle of row0_done.
    """

    def __init__(self, config: Config):
        self.config = config
        super().__init__(
            {
                "command": In(COMMAND_BITS),
                "start": In(1),
                "row0_done": In(1),
                "write": Out(1),
                "row": Out(unsigned(index_bits(config.rows))),
                "half": Out(1),
                "begins": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        f = CommandView(self.command, Opcode.CONV)
        p = CommandView(self.command, Opcode.DEPTHWISE)
        is_depthwise = self.command[:OPCODE_BITS] == Opcode.DEPTHWISE if config.depthwise_delay else 0

        # Of DEPTHWISE's tiles those of the last row of patches are short, of CONV's the last.
        tiles, pixels = Signal(16), Signal(ceil_log2(config.rows + 1))
        loops = {"row": pixels, "tile": tiles}
        if config.depthwise_delay:
            loops = {"row": pixels, "across": Mux(is_depthwise, p["patches_across"], 1), "tile": tiles}
        nest = Nest(m, "written", self.row0_done, 0, **loops)
        short, last = nest.last["tile"], nest.last["row"]
        m.d.comb += [
            tiles.eq(f["pixel_tiles"]),
            pixels.eq(Mux(short, f["last_pixels"], f["rows_per_tile"])),
        ]
        if config.depthwise_delay:
            with m.If(is_depthwise):
                m.d.comb += [
                    tiles.eq(p["patches_down"]),
                    pixels.eq(Mux(short, p["last_tile_pixels"], p["tile_pixels"])),
                ]
        half = Signal()
        with m.If(self.row0_done & last):
            m.d.sync += half.eq(~half)
        with m.If(self.start):
            m.d.sync += half.eq(0)  # the rest every command leaves at 0

        row = nest.counts["row"]
        split = f["split"] if config.lanes == 2 else 0
        m.d.comb += [
            self.write.eq(self.row0_done & (last | ~split) if config.lanes == 2 else self.row0_done),
            self.row.eq(Mux(split, 0, row)),
            self.half.eq(half),
            self.begins.eq(self.write & Mux(split | is_depthwise, last, row == 0)),
        ]
        return m
