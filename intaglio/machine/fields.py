"""Fields of a command's or record's words, and their packing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import index


@dataclass(frozen=True)
class Field:
    """Bits [lsb, lsb + width) of one word. reserved: for what is not built yet; hardware takes 0 only."""

    name: str
    word: int
    lsb: int = 0
    width: int = 32
    signed: bool = False
    reserved: bool = False

    @cached_property
    def mask(self) -> int:
        """Ones in as many bits as it has."""
        return (1 << self.width) - 1

    @cached_property
    def low(self) -> int:
        """The least value that fits."""
        return -(1 << (self.width - 1)) if self.signed else 0

    @cached_property
    def high(self) -> int:
        """The greatest value that fits."""
        return self.mask + self.low


def pack(fields: Mapping[str, Field], values: Mapping[str, int], words: int) -> list[int]:
    """Words from values by field name; a field that is not given is 0.

    Raises ValueError that names a field whose value does not fit or that does not exist.
    """
    out = [0] * words
    for name, value in values.items():
        f = fields.get(name)
        if f is None:
            raise ValueError(f"no field {name}")
        if not f.low <= value <= f.high:
            raise ValueError(f"field {name} = {value} does not fit: {f.low} to {f.high}")
        out[f.word] |= (index(value) & f.mask) << f.lsb
    return out


def unpack(fields: Mapping[str, Field], words: list[int]) -> dict[str, int]:
    """The inverse of pack: every field's value by name."""
    out = {}
    for name, f in fields.items():
        value = (words[f.word] >> f.lsb) & f.mask
        out[name] = value - f.mask - 1 if value > f.high else value
    return out
