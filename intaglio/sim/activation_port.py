"""Costs of COMPUTE's accesses to the activation memory, and the addresses that they may go to."""

from __future__ import annotations

import numpy as np

from intaglio.compiled import compiled

ADDRESS_MASK = 2**32 - 1
"""Addresses are wrapping sums of 32 bits."""


@compiled()
def half_words(address: int, count: int, half_shift: int) -> int:
    """Half words that `count` >= 1 bytes from `address` touch."""
    return ((address + count - 1) >> half_shift) - (address >> half_shift) + 1


@compiled()
def passes(address: int, count: int, size: int, half_shift: int) -> int:
    """Half words of `count` bytes from `address` taken `size` at a time."""
    total = 0
    for begin in range(0, count, size):
        total += half_words(address + begin, min(size, count - begin), half_shift)
    return total


@compiled()
def check_inside(address: int, count: int, memory: np.ndarray) -> None:
    """Raises IndexError unless memory (bytes) holds `count` bytes from `address`."""
    if address + count > memory.size:
        raise IndexError("an address beyond the activation memory")
