"""A pass of the requantizers, and the drain memory's word that it takes: what those who give results say with them."""

from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config


class OutputPass(data.StructLayout):
    """One pass of the requantizers: how many of the Q elements are real (0: no pass), where they go, and
    whether it is the command's last."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "count": unsigned(ceil_log2(config.requantizers + 1)),
                "address": unsigned(ceil_log2(config.activation_bytes)),
                "final": 1,
            }
        )


class DrainRead(data.StructLayout):
    """One cycle of the drain's reading: the row and half of the drain memory, the group of Q columns, the address of
    its channel records, and the pass that it becomes (count 0: none). take: the sums of word `partial` of the
    partial-sum memory are added. keep: the sums go there instead of to the requantizers (count is 0 then; final still
    counts)."""

    def __init__(self, config: Config):
        words = config.channel_bytes // config.channel_word_bytes
        super().__init__(
            {
                "row": unsigned(index_bits(config.rows)),
                "half": 1,
                "group": unsigned(index_bits(config.channel_groups)),
                "records": unsigned(index_bits(words)),
                "take": 1,
                "keep": 1,
                "partial": unsigned(index_bits(config.partial_words)),
                "output": OutputPass(config),
            }
        )
