"""Number formats: of the elements of tensors, and of the sums that they add up to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ElementFormat:
    """An integer element. bits: of one, two's complement."""

    name: str
    bits: int


@dataclass(frozen=True)
class SumFormat:
    """What an element of the array adds up in. bits: of a sum, two's complement, wrapping."""

    bits: int

    @property
    def bytes(self) -> int:
        """Of one in the partial-sum memory."""
        return -(-self.bits // 8)


INT8 = ElementFormat("int8", 8)
"""The only one that is built."""
SUM = SumFormat(32)
