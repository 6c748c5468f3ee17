"""Widths of hardware values."""

from amaranth.utils import ceil_log2


def index_bits(count: int) -> int:
    """Of a number below `count`, at least 1: a memory of one word has an address too."""
    return max(1, ceil_log2(count))
