"""A sequencer's outputs of a cycle: the read that fills a row of the feed, and the step of row 0."""

from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.utils import ceil_log2

from intaglio.hw.array import StepControl
from intaglio.hw.widths import index_bits
from intaglio.machine.config import Config


class FeedRequest(data.StructLayout):
    """One row's read: address of its byte 0, the bytes that are wanted (low <= i < high), the row; `row_valid`
    is high also where every byte is padding and nothing is read."""

    def __init__(self, config: Config):
        counts = ceil_log2(config.feed_bytes + 1)
        super().__init__(
            {
                "row_valid": 1,
                "read": 1,
                "address": unsigned(ceil_log2(config.activation_bytes)),
                "low": unsigned(counts),
                "high": unsigned(counts),
                "row": unsigned(index_bits(config.rows)),
            }
        )


class FeedStep(data.StructLayout):
    """One step: control for row 0, pixels and channels in use, and the weight word's address."""

    def __init__(self, config: Config):
        super().__init__(
            {
                "control": StepControl,
                "pixels": unsigned(ceil_log2(config.rows + 1)),
                "channels": unsigned(ceil_log2(config.cols + 1)),
                "weight_address": unsigned(index_bits(config.weight_bytes // config.weight_word_bytes)),
            }
        )
