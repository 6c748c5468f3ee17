"""Boxes of a Move: what slices, concatenations, paddings and transpositions take from where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from intaglio.network.graph import Box

CONSTANT = -1
"""An index of an axis at which a constant stands."""
MOST_BOXES = 1 << 14
"""Boxes of an operator of a file at most: each takes commands of its own."""


class Run(NamedTuple):
    """Indices of one axis: to + i * to_step of the output is at + i * step of the input, for i below length."""

    to: int
    length: int
    to_step: int
    at: int
    step: int


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Elements from one index of each axis to the next, in row-major order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def runs_of(indices: Sequence[int] | np.ndarray) -> list[Run]:
    """An axis whose index o of the output is index indices[o] of the input, as few runs: the same distance between
    neighbours, or between those `period` apart. Constants are left out."""
    at = np.asarray(indices, np.int64)
    best: list[Run] | None = None
    for period in range(1, min(len(at), _MOST_PERIODS) + 1):
        found = [run for first in range(period) for run in _straight(at, first, period)]
        if best is None or len(found) < len(best):
            best = found
    return best or []


_MOST_PERIODS = 8
"""Distances between the indices of a run of the output that are tried."""


def _straight(at: np.ndarray, first: int, period: int) -> list[Run]:
    """Runs of the indices from `first` on, `period` apart."""
    mine, out, begin = at[first::period], [], 0
    while begin < len(mine):
        end = begin + 1
        if mine[begin] != CONSTANT:
            while (
                end < len(mine)
                and mine[end] != CONSTANT
                and (end == begin + 1 or mine[end] - mine[end - 1] == mine[begin + 1] - mine[begin])
            ):
                end += 1
            step = int(mine[begin + 1] - mine[begin]) if end > begin + 1 else 0
            out.append(Run(first + begin * period, end - begin, period, int(mine[begin]), step))
        begin = end
    return out


def by_axis(
    shape: Sequence[int],
    indices: Mapping[int, Sequence[int]],
    value: int | None = None,
    source: int = 0,
    into: Sequence[int] | None = None,
    begin: Sequence[int] | None = None,
) -> tuple[Box, ...]:
    """A tensor whose index o of an axis is index indices[axis][o] of the input's, which has this shape; axes that are not named
    stay. Where one is CONSTANT the element is `value`, or with None another's concern. into, begin: shape of a larger output,
    and where in it the tensor begins."""
    axes = [np.asarray(indices.get(axis, np.arange(length)), np.int64) for axis, length in enumerate(shape)]
    target = [len(axis) for axis in axes] if into is None else into
    steps, to_steps = strides(shape), strides(target)
    first = 0 if begin is None else sum(at * step for at, step in zip(begin, to_steps, strict=True))
    boxes = [
        Box(
            source,
            sum(run.at * step for run, step in zip(runs, steps, strict=True)),
            first + sum(run.to * step for run, step in zip(runs, to_steps, strict=True)),
            tuple(run.length for run in runs),
            tuple(run.step * step for run, step in zip(runs, steps, strict=True)),
            tuple(run.to_step * step for run, step in zip(runs, to_steps, strict=True)),
        )
        for runs in product(*(runs_of(axis) for axis in axes))
    ]
    return (*boxes, *([] if value is None else _constants(axes, to_steps, first, value)))


def _constants(axes: list[np.ndarray], to_steps: tuple[int, ...], first: int, value: int) -> list[Box]:
    """The elements at which some axis has a constant: of each axis those where no axis before has one."""
    out = []
    inside = [runs_of(np.where(axis == CONSTANT, CONSTANT, np.arange(len(axis)))) for axis in axes]
    outside = [runs_of(np.where(axis == CONSTANT, np.arange(len(axis)), CONSTANT)) for axis in axes]
    whole = [[Run(0, len(axis), 1, 0, 1)] for axis in axes]
    for axis in range(len(axes)):
        for runs in product(*inside[:axis], outside[axis], *whole[axis + 1 :]):
            to = first + sum(run.to * step for run, step in zip(runs, to_steps, strict=True))
            sizes = tuple(run.length for run in runs)
            into = tuple(run.to_step * step for run, step in zip(runs, to_steps, strict=True))
            out.append(Box(None, 0, to, sizes, (0,) * len(sizes), into, value))
    return out


def concatenated(shapes: Sequence[Sequence[int]], axis: int) -> tuple[Box, ...]:
    """Inputs of these shapes one behind the other along an axis."""
    length = sum(shape[axis] for shape in shapes)
    to_steps = strides([length if a == axis else n for a, n in enumerate(shapes[0])])
    begins = np.cumsum([0, *(shape[axis] for shape in shapes)])
    return tuple(
        Box(number, 0, int(begin) * to_steps[axis], tuple(shape), strides(shape), to_steps)
        for number, (shape, begin) in enumerate(zip(shapes, begins, strict=False))
    )


def permuted(shape: Sequence[int], order: Sequence[int]) -> tuple[Box, ...]:
    """Axis a of the output is axis order[a] of the input, which has this shape; `shape` may have axes of the tensor in parts."""
    steps = strides(shape)
    sizes = tuple(shape[axis] for axis in order)
    return (Box(0, 0, 0, sizes, tuple(steps[axis] for axis in order), strides(sizes)),)
