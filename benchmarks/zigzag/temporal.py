"""A mapping as ZigZag gives it: which loops of each operand lie below which memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

Loop = tuple[str, int]
"""A dimension and a number of turns."""

PIXELS = ("B", "OY", "OX")
REDUCTION = ("C", "FX", "FY")
CHANNELS = ("G", "K")


@dataclass(frozen=True)
class TemporalMapping:
    """loops: for each operand W, I, O those of registers, of buffers and of external memory, each level's innermost first.
    spatial: what the array does at once, by dimension. sizes: the layer's, by dimension."""

    loops: Mapping[str, Sequence[Sequence[Loop]]]
    spatial: Mapping[str, int]
    sizes: Mapping[str, int]

    def held(self, operand: str, *dimensions: str) -> int:
        """Of a dimension, or the product of several: how much of it the operand's buffer holds at once."""
        return math.prod(min(self._tile(operand, dimension), self.sizes[dimension]) for dimension in dimensions)

    def whole(self, *dimensions: str) -> int:
        return math.prod(self.sizes[dimension] for dimension in dimensions)

    def outside(self, operand: str) -> list[Loop]:
        """The loops around what the buffer holds, innermost first."""
        return [(dimension, n) for dimension, n in self.loops[operand][-1] if n > 1]

    def turns(self, operand: str, dimensions: Sequence[str]) -> int:
        """How often the loops of some dimensions change what the buffer holds."""
        return math.prod(n for dimension, n in self.outside(operand) if dimension in dimensions)

    def blocks(self, operand: str, dimensions: Sequence[str]) -> Iterator[dict[str, range]]:
        """The tiles that the buffer holds one after another, as ranges of some dimensions, in the loops' order; those
        beyond the layer's size, which only rounding up makes, are left out."""
        loops = [(d, n) for d, n in self.outside(operand) if d in dimensions]
        reach = {d: self._tile(operand, d) for d in dimensions}
        strides = []
        span = dict(reach)
        for d, n in loops:
            strides.append(span[d])
            span[d] *= n
        for turns in product(*(range(n) for _, n in reversed(loops))):
            start = dict.fromkeys(dimensions, 0)
            for (d, _), stride, turn in zip(loops, strides, reversed(turns), strict=True):
                start[d] += stride * turn
            if all(start[d] < self.sizes[d] for d in dimensions):
                yield {d: range(start[d], min(start[d] + reach[d], self.sizes[d])) for d in dimensions}

    def _tile(self, operand: str, dimension: str) -> int:
        inner = [n for level in self.loops[operand][:-1] for d, n in level if d == dimension]
        return self.spatial.get(dimension, 1) * math.prod(inner)
