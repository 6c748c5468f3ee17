"""The groups of Q channels in which a pixel's sums leave the drain memory."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from intaglio.hw.nest import Last, Nest
from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config


class ChannelGroups(wiring.Component):
    """Walks a pixel's channels, Q = requantizers a cycle; after the last group the first one follows.

    Ports
    -----
    active : In, 1 bit
        This cycle is a group's.
    channels : In, ceil_log2(cols + 1) bits
        Of the pixel, at least 1; stable while its groups pass.
    group : Out, index_bits(channel_groups)
    first : Out, bits for channel_groups * Q
        The group's first channel.
    count : Out, ceil_log2(Q + 1) bits
        Channels of the group.
    last : Out, 1 bit
        It is the pixel's last.

    No flow control. group and first come from registers, the others from them and `channels`.
    """

    def __init__(self, config: Config):
        self._most = config.requantizers
        super().__init__(
            {
                "active": In(1),
                "channels": In(unsigned(ceil_log2(config.cols + 1))),
                "group": Out(unsigned(index_bits(config.channel_groups))),
                "first": Out(range(config.channel_groups * config.requantizers + 1)),
                "count": Out(unsigned(ceil_log2(config.requantizers + 1))),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        nest = Nest(m, "groups", self.active, 0, group=Last(self.last))
        left = Signal.like(self.channels)
        m.d.comb += [
            self.group.eq(nest.walk("group", self.group.shape(), 0, group=1).now),
            self.first.eq(nest.walk("first", self.first.shape(), 0, group=self._most).now),
            left.eq(self.channels - self.first),
            self.last.eq(self.first + self._most >= self.channels),
            self.count.eq(Mux(left > self._most, self._most, left)),
        ]
        return m
