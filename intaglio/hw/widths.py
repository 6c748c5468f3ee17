"""Widths of hardware values."""


def index_bits(count: int) -> int:
    """Bits of a number below `count`, at least 1: a memory of one word has an address too."""
    return max(1, (count - 1).bit_length())
