"""The writer of the drain memory: where a sum that leaves the array goes, and when a tile's sums may be read."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.command_view import CommandView, runs
from intaglio.hw.nest import Ahead, Either, Nest
from intaglio.hw.pipeline import delay
from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config
from intaglio.machine.isa import COMMAND_BITS, Opcode
from intaglio.machine.latency import LEAST_TILE


class DrainWriter(wiring.Component):
    """Counts the rows of tiles as column 0 shows their sums; column c follows c cycles later.

    Ports
    -----
    command : In, 1024 bits
        Stable while a CONV or DEPTHWISE runs.
    start : In, 1 bit
        A pulse, at least three cycles before its first sum.
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

    No flow control; outputs in the cycle of row0_done. Tiles' last sums are latency.LEAST_TILE cycles apart, but for the
    command's last one, which may follow at once (timing.least_tile_cycles, least_idle_cycles).
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
        is_depthwise: Any = 0

        # Of DEPTHWISE's tiles those of the last row of patches are short, of CONV's the last.
        short, usual, loops = f["last_pixels"], f["rows_per_tile"], {"tile": f["pixel_tiles"]}
        if config.depthwise_delay:
            now = runs(self.command, Opcode.DEPTHWISE)
            numbers = {
                "short": Mux(now, p["last_tile_pixels"], f["last_pixels"]),
                "usual": Mux(now, p["tile_pixels"], f["rows_per_tile"]),
                "across": Mux(now, p["patches_across"], 1),
                "tile": Mux(now, p["patches_down"], f["pixel_tiles"]),
            }
            # Registers, right from the cycle after start on.
            is_depthwise = delay(m, now, 1, "is_depthwise")
            short, usual, across, tile = (delay(m, number, 1, name) for name, number in numbers.items())
            loops = {"across": across, "tile": tile}
        prepare = delay(m, self.start, 1, "prepare")
        begin = delay(m, prepare, 1, "begin")
        turned = Signal()
        tiles = Ahead(m, "tiles", prepare, begin, turned, LEAST_TILE, **loops)
        rows = Nest(m, "rows", self.row0_done, begin, again=turned, row=Either((tiles.flags["tile"],), short, usual))
        m.d.comb += turned.eq(rows.ends)
        last = rows.last["row"]
        half = Signal()
        with m.If(turned):
            m.d.sync += half.eq(~half)
        with m.If(begin):
            m.d.sync += half.eq(0)  # the rest every command leaves at 0

        row = rows.count("row", len(self.row))
        split = f["split"] if config.lanes == 2 else 0
        m.d.comb += [
            self.write.eq(self.row0_done & (last | ~split) if config.lanes == 2 else self.row0_done),
            self.row.eq(Mux(split, 0, row)),
            self.half.eq(half),
            self.begins.eq(self.write & Mux(split | is_depthwise, last, row == 0)),
        ]
        return m
