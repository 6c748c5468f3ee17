"""The groups of Q channels in which a pixel's sums leave the drain memory."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.utils import ceil_log2

from intaglio.hw.nest import Ahead, Either, Flag, Turns
from intaglio.hw.output_pass import DrainRead
from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config


class Groups(NamedTuple):
    """The groups of a pixel of so many channels: how many there are, and the channels of the last one."""

    count: Signal
    rest: Signal


def groups_of(m: Module, config: Config, channels: Value, name: str) -> Groups:
    """channels: 1 to cols, constant; the groups follow from them a cycle later."""
    q = config.requantizers
    count = Signal(range(config.channel_groups + 1), name=f"{name}_groups")
    rest = Signal(range(q + 1), name=f"{name}_rest")
    m.d.sync += [count.eq(1), rest.eq(channels)]
    for before in range(1, config.channel_groups):
        with m.If(channels > before * q):
            m.d.sync += [count.eq(before + 1), rest.eq(channels - before * q)]
    return Groups(count, rest)


class ChannelGroups:
    """The innermost loop of a reader of the drain memory, `group` of its nest: all channels of a pixel, Q = requantizers a
    cycle. Channel tiles have `usual` channels, the last one `last`."""

    def __init__(self, m: Module, config: Config, last: Value, usual: Value, tile: Flag):
        """tile: the present channel tile is the last one."""
        self._config = config
        self._short, self._usual = groups_of(m, config, last, "last"), groups_of(m, config, usual, "usual")
        self.turns = Either((tile,), self._short.count, self._usual.count)
        """Turns of the loop."""

    def show(
        self, m: Module, passes: Turns, tiles: Ahead, active: Value, address: Value, records: Value, read: DrainRead
    ) -> None:
        """The group, the channels that its pass has where `active`, and their places. passes: with the loop `group`. tiles:
        around them, with the loop `channel`. address: of the pixel's output. records: of its first group."""
        q = self._config.requantizers
        group = passes.count("group", index_bits(self._config.channel_groups))
        bits = ceil_log2(self._config.channel_groups * q + 1)
        first = passes.walk("first_channel", bits, 0, group=q).now
        rest = Mux(tiles.last["channel"], self._short.rest, self._usual.rest)
        m.d.comb += [
            read.output.count.eq(Mux(active, Mux(passes.last["group"], rest, q), 0)),
            read.output.address.eq(address + first),
            read.group.eq(group),
            read.records.eq(records + group),
        ]
