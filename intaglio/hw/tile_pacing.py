"""The common part of the sequencers of CONV and DEPTHWISE: pauses between tiles, and a tile's weights again for the next
one."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from intaglio.hw.nest import Nest
from intaglio.hw.pipeline import delay
from intaglio.hw.widths import index_bits
from intaglio.machine import latency
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
    last_tile, next_last : In, 1 bit each
        The tile is the command's last one; the one that begins in the next cycle would be (after start: the first one).
    active : Out, 1 bit
        From the cycle after start to the last cycle of the last tile.
    running : Out, 1 bit
        This cycle is one of a tile's.
    next_tile, resumes : Out, 1 bit each
        The next cycle is the first one of a tile that is not the first; of one behind idle cycles.

    No flow control. active and running come from registers; next_tile goes with tile_ends where
    idle_cycles is 0; resumes from registers.
    """

    start: In(1)
    idle_cycles: In(32)
    tile_ends: In(1)
    last_tile: In(1)
    next_last: In(1)
    active: Out(1)
    running: Out(1)
    next_tile: Out(1)
    resumes: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        idling, pauses, follows = Signal(), Signal(), Signal()
        ends = self.running & self.tile_ends
        idle = Nest(m, "idle", idling, self.start, cycle=self.idle_cycles)
        m.d.comb += [self.resumes.eq(idle.ends), self.next_tile.eq((ends & follows) | idle.ends)]
        m.d.sync += pauses.eq(self.idle_cycles != 0)
        with m.If(self.start | self.next_tile):
            m.d.sync += follows.eq(~self.next_last & ~pauses)
        with m.If(ends):
            m.d.sync += [self.active.eq(~self.last_tile), idling.eq(~self.last_tile & pauses), self.running.eq(follows)]
        with m.If(idle.ends):
            m.d.sync += [idling.eq(0), self.running.eq(1)]
        with m.If(self.start):
            m.d.sync += [self.active.eq(1), self.running.eq(1)]
        return m


class TileWeights(wiring.Component):
    """The address of the next weight word: a tile's words one after another, for the next tile the same or those that
    follow.

    Ports
    -----
    start : In, 1 bit
        A pulse before the first tile's first cycle.
    base : In, 32 bits
        Word address of the first tile's first word.
    next_tile : In, 1 bit
        The next cycle is the first one of another tile.
    again : In, 1 bit
        With next_tile: that one takes the same words.
    taken : In, 2 bits
        Words that the cycle of latency.SEQUENCER_STEP cycles ago takes.
    address : Out, index_bits(words of the weight memory)
        Where they begin; from a register.

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
        start, next_tile, again = (
            delay(m, getattr(self, name), latency.SEQUENCER_STEP, name) for name in ("start", "next_tile", "again")
        )
        m.d.sync += self.address.eq(following)
        with m.If(next_tile):
            with m.If(again):
                m.d.sync += self.address.eq(of_tile)
            with m.Else():
                m.d.sync += of_tile.eq(following)
        with m.If(start):
            m.d.sync += [self.address.eq(self.base), of_tile.eq(self.base)]
        return m
