"""The common part of the drain memory's readers: passes of Q channels over a tile's pixels, tile by tile."""

from __future__ import annotations

from typing import Any, NamedTuple

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.utils import ceil_log2

from intaglio.hw.nest import Ahead, Either, Nest
from intaglio.hw.output_pass import DrainRead
from intaglio.hw.pipeline import delay
from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config
from intaglio.machine.latency import LEAST_TILE


class _Groups(NamedTuple):
    """The groups of a pixel of so many channels: how many there are, and the channels of the last one."""

    count: Signal
    rest: Signal


def _groups_of(m: Module, config: Config, channels: Value, name: str) -> _Groups:
    """channels: 1 to cols, constant; the groups follow from them a cycle later."""
    q = config.requantizers
    count = Signal(range(config.channel_groups + 1), name=f"{name}_groups")
    rest = Signal(range(q + 1), name=f"{name}_rest")
    m.d.sync += [count.eq(1), rest.eq(channels)]
    for before in range(1, config.channel_groups):
        with m.If(channels > before * q):
            m.d.sync += [count.eq(before + 1), rest.eq(channels - before * q)]
    return _Groups(count, rest)


class TilePasses:
    """Loops of a reader: around all the tiles, the outermost of which is `channel`; in each the pixels; innermost the groups
    of Q = requantizers channels, a pass a cycle. Registers are the caller's module's.

    What the caller reads, a cycle behind the loops' decisions, in the cycle of a pass:

    tiles, passes : Ahead, Turns
        For walks: of the tiles; of the pixels and, `group`, their passes.
    active, first : 1 bit each
        There is a pass; the command's first tile begins in the next cycle.
    """

    def __init__(self, m: Module, config: Config, start: Value, begin: Value, last: Value, usual: Value, **tiles: Any):
        """start: a pulse a command, at least three cycles before its first `begin`. begin: a pulse a tile; its first pass
        comes two cycles later. last, usual: channels of the last channel tile, and of the others. tiles: loops, as a
        Nest's."""
        self._m, self._config, self._begin = m, config, begin
        fresh = Signal()
        with m.If(begin):
            m.d.sync += fresh.eq(0)
        with m.If(start):
            m.d.sync += fresh.eq(1)
        first = begin & fresh
        self._ahead = Ahead(m, "tiles", start, first, begin & ~fresh, LEAST_TILE, **tiles)
        self.flags = self._ahead.flags
        """The flags of the tiles, for the pixels' numbers."""
        self._last, self._usual = _groups_of(m, config, last, "last"), _groups_of(m, config, usual, "usual")
        self.tiles, self.first = self._ahead.later(), delay(m, first, 1, "first")

    def over(self, **pixels: Any) -> None:
        """pixels: loops over a tile's pixels, as a Nest's."""
        m, active = self._m, Signal()
        groups = Either((self.flags["channel"],), self._last.count, self._usual.count)
        passes = Nest(m, "passes", active, self._begin, group=groups, **pixels)
        with m.If(passes.ends):
            m.d.sync += active.eq(0)
        with m.If(self._begin):
            m.d.sync += active.eq(1)
        self.passes, self.active = passes.later(), delay(m, active, 1, "active")

    def show(self, passing: Value, row: Value, address: Value, records: Value, read: DrainRead) -> None:
        """Drives `read` but for partial sums: the pass, of no channels where `passing` is low. row: of the drain memory.
        address: of the pixel's output. records: of its first group."""
        m, q, groups = self._m, self._config.requantizers, self._config.channel_groups
        half = Signal()
        with m.If(self.passes.ends):
            m.d.sync += half.eq(~half)
        with m.If(self.first):
            m.d.sync += half.eq(0)  # the rest every command leaves at 0
        group = self.passes.count("group", index_bits(groups))
        channel = self.passes.walk("first_channel", ceil_log2(groups * q + 1), 0, group=q).now
        rest = Mux(self.tiles.last["channel"], self._last.rest, self._usual.rest)
        m.d.comb += [
            read.output.count.eq(Mux(passing, Mux(self.passes.last["group"], rest, q), 0)),
            read.output.address.eq(address + channel),
            read.output.final.eq(self.passes.ends & self.tiles.final),
            read.row.eq(row),
            read.half.eq(half),
            read.group.eq(group),
            read.records.eq(records + group),
        ]
