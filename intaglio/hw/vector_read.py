"""A read of the vector path's."""

from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from intaglio.machine.config import Config


class VectorRead(data.StructLayout):
    """A read of `count` bytes (0: none) at `address`."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "count": unsigned(ceil_log2(config.feed_bytes + 1)),
                "address": unsigned(ceil_log2(config.activation_bytes)),
            }
        )
