"""The common part of the sequencers of CONV and DEPTHWISE: pauses between tiles, and a tile's weights again for the next
one."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.nest import Nest
from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config


class TilePauses(wiring.Component):
    """Lets a command's tiles follow each other with idle_cycles cycles between two of them.

    Ports
    -----
    start : In, 1 bit
        A pulse; the first tile begins in the next cycle.
    idle_cycles : In, 32 bits
        Stable from the cycle before start on, while active.
    tile_ends : In, 1 bit
        Counts while running: this cycle is the tile's last.
    last_tile : In, 1 bit
        The tile is the command's last.
    active : Out, 1 bit
        From the cycle after start to the last cycle of the last tile.
    running : Out, 1 bit
        This cycle is one of a tile's.
    next_tile : Out, 1 bit
        The next cycle is the first one of a tile that is not the first.

    No flow control. active and running come from registers; next_tile goes with tile_ends where idle_cycles is 0.
    """

    start: In(1)
    idle_cycles: In(32)
    tile_ends: In(1)
    last_tile: In(1)
    active: Out(1)
    running: Out(1)
    next_tile: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idling, pauses = Signal(), Signal()
        ends = self.running & self.tile_ends
        idle = Nest(m, "idle", idling, ends, cycle=self.idle_cycles)
        m.d.comb += [
            self.running.eq(self.active & ~idling),
            self.next_tile.eq((ends & ~self.last_tile & ~pauses) | idle.ends),
        ]
        m.d.sync += pauses.eq(self.idle_cycles != 0)
        with m.If(ends):
            m.d.sync += [self.active.eq(~self.last_tile), idling.eq(~self.last_tile & pauses)]
        with m.If(idle.ends):
            m.d.sync += idling.eq(0)
        with m.If(self.start):
            m.d.sync += self.active.eq(1)
        return m


class TileWeights(wiring.Component):
    """The address of the next weight word: a tile's words one after another, for the next tile the same or those that
    follow.

    Ports
    -----
    start : In, 1 bit
        A pulse; address is base in the next cycle.
    base : In, 32 bits
        Word address of the first tile's first word.
    taken : In, 2 bits
        Words that this cycle takes.
    next_tile : In, 1 bit
        The next cycle is the first one of another tile.
    again : In, 1 bit
        With next_tile: that one takes the same words.
    address : Out, index_bits(words of the weight memory)
        From a register.

    No flow control.
    """

    def __init__(self, config: Config):
        super().__init__(
            {
                "start": In(1),
                "base": In(32),
                "taken": In(2),
                "next_tile": In(1),
                "again": In(1),
                "address": Out(unsigned(index_bits(config.weight_bytes // config.weight_word_bytes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        of_tile, following = Signal.like(self.address), Signal.like(self.address)
        m.d.comb += following.eq(self.address + self.taken)
        m.d.sync += self.address.eq(following)
        with m.If(self.next_tile):
            with m.If(self.again):
                m.d.sync += self.address.eq(of_tile)
            with m.Else():
                m.d.sync += of_tile.eq(following)
        with m.If(self.start):
            m.d.sync += [self.address.eq(self.base), of_tile.eq(self.base)]
        return m
