"""The order in which a tensor's elements lie in memory, as nested loops that a small driver can walk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from intaglio.errors import InputError
from intaglio.network.graph import Tensor
from intaglio.program.program import Place

MOST_LOOPS = 8
"""INTAGLIO_MOST_LOOPS of the driver."""


@dataclass(frozen=True)
class Loop:
    """count addresses, one every stride bytes."""

    count: int
    stride: int


def file_order(tensor: Tensor) -> np.ndarray:
    """Indices into the graph's array, int64 [elements], in the order of the model file."""
    index = np.arange(math.prod(tensor.shape), dtype=np.int64)
    if tensor.form is None:
        return index
    return index.reshape(tensor.form.unfolded).transpose(tensor.form.permutation).reshape(-1)


def addresses(place: Place, tensor: Tensor) -> np.ndarray:
    """Byte offsets from place.offset, int64 [elements], of the tensor's elements in the order of the model file."""
    index = file_order(tensor)
    offsets: np.ndarray = index // place.row_bytes * place.row_stride + index % place.row_bytes
    return offsets


def loops_of(name: str, offsets: np.ndarray) -> tuple[Loop, ...]:
    """The fewest nested loops, outermost first, that visit these addresses in this order; at least one.

    InputError if there are none, or more than MOST_LOOPS: rows that end inside a dimension which the file permutes.
    """
    loops: list[Loop] = []
    rest = offsets
    while rest.size > 1:
        steps = np.diff(rest)
        count = int(np.argmax(steps != steps[0])) + 1 if (steps != steps[0]).any() else rest.size
        run = steps[0] * np.arange(count, dtype=np.int64)
        if rest.size % count or (rest.reshape(-1, count) != rest[::count, None] + run).any():
            raise InputError(_unknown(name))
        loops.insert(0, Loop(count, int(steps[0])))
        rest = rest[::count]
    if len(loops) > MOST_LOOPS:
        raise InputError(_unknown(name))
    return tuple(loops) or (Loop(1, 1),)


def _unknown(name: str) -> str:
    return (
        f"tensor {name!r}: the driver cannot walk its elements in the order of the model file with {MOST_LOOPS} "
        "nested loops; let the network's edge have the shape that its first or last layer has"
    )
