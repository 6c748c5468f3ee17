"""Number formats: of the elements of tensors, and of the sums that they add up to.

A command names the formats of its operands by code (the fields `in_format`, `weight_format`, `out_format`, of ADD `a_format` and
`b_format`). INT8's code is 0 and is the only one that is built: every other value of these fields, and every bit that only a wider
format needs (`wide`), is reserved, and hardware refuses a command that sets one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ElementFormat:
    """An integer element. bits: of one in memory, 2 to 16; signed: two's complement, else from 0."""

    bits: int
    signed: bool = True

    @property
    def name(self) -> str:
        """The format's name, such as int8 or uint4."""
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def low(self) -> int:
        """The least value, and the least zero point."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The greatest value, and the greatest zero point."""
        return self.low + (1 << self.bits) - 1

    @property
    def code(self) -> int:
        """Its number in a command's fields."""
        return FORMATS.index(self)

    def bytes_of(self, elements: int) -> int:
        """Bytes of so many elements that begin at a byte, packed without gaps, the first in the lowest bits."""
        return -(-elements * self.bits // 8)


@dataclass(frozen=True)
class SumFormat:
    """Sums in an element of the array. bits: of a sum, two's complement, wrapping. each: sums that an element holds."""

    bits: int
    each: int = 1

    @property
    def bytes(self) -> int:
        """Bytes of an element's sums in the partial-sum memory."""
        return -(-self.each * self.bits // 8)


INT8 = ElementFormat(8)
FORMATS = (
    INT8,
    *(ElementFormat(bits, signed) for bits in (2, 3, 4, 5, 6, 16) for signed in (True, False)),
    ElementFormat(8, False),
)
"""All element formats, by code."""
FORMAT_BITS = 4
"""Width of a format's code in a command."""
SUM = SumFormat(32)


def format_named(name: str) -> ElementFormat:
    """The format of a name such as 'int8'. ValueError where there is none."""
    for known in FORMATS:
        if known.name == name:
            return known
    raise ValueError(f"no element format {name!r}; there are {', '.join(f.name for f in FORMATS)}")


def wide(low: int, high: int) -> int:
    """A zero point or clamp from its two fields: `low`, a signed byte, and `high`, `low`'s field with `_high` behind
    its name, which only formats beyond 8 signed bits need. -128 to 127 are `low` alone. Of an unsigned format 32768 and
    more come out negative, 65536 too low."""
    return ((low + (high << 8)) + 0x8000) % 0x10000 - 0x8000


def narrow(value: int) -> tuple[int, int]:
    """The inverse of `wide`: (low, high) of a value from -32768 to 65535."""
    low = (value + 0x80) % 0x100 - 0x80
    return low, ((value - low) // 0x100 + 0x80) % 0x100 - 0x80
