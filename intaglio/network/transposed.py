"""A transposed convolution as convolutions of stride 1: one for each phase of its strides, and a Move that interleaves them.

Output y * s + p of an axis sees the taps k of the kernel with (p + before - k) a multiple of s, each on one input: for all y of
a phase p the same taps on neighbouring inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np

from intaglio.network.graph import Box, Conv2D, Move, Operator, Padding, Tensor
from intaglio.network.moves import by_axis, strides

MOST_PHASES = 64
"""Phases of the strides at most, rows times columns: each is a convolution."""


def phases(stride: Sequence[int], image: Sequence[int]) -> int:
    """The phases of strides over outputs of so many rows and columns."""
    return math.prod(min(s, n) for s, n in zip(stride, image, strict=True))


class _Phase(NamedTuple):
    """One phase of one axis. first: its first output; outputs: how many. taps: of the kernel, in the order of the inputs that they
    meet, none where no tap meets one. start, end: the inputs of all its windows; beyond the image is padding."""

    first: int
    outputs: int
    taps: tuple[int, ...]
    start: int
    end: int


def _phases(inputs: int, outputs: int, kernel: int, stride: int, before: int) -> list[_Phase]:
    found = []
    for first in range(min(stride, outputs)):
        count = len(range(first, outputs, stride))
        taps = tuple(range((first + before) % stride, kernel, stride))[::-1]
        start = (first + before) // stride - len(taps) + 1
        end = start + count - 1 + len(taps)
        if not taps or start >= inputs or end <= 0:
            taps, start, end = (), 0, count
        found.append(_Phase(first, count, taps, start, end))
    return found


@dataclass(frozen=True)
class Transposed:
    """operators: in order, the last makes the output. between: the tensors between them."""

    operators: list[Operator]
    between: list[Tensor]


def transposed(
    like: Conv2D, source: Tensor, target: Tensor, stride: tuple[int, int], before: tuple[int, int]
) -> Transposed:
    """The operators of a transposed convolution. like: has its names, weights, bias, groups, zero points and scale; its
    stride, dilation and padding mean nothing. stride: rows and columns that the outputs of neighbouring inputs lie apart.
    before: rows and columns of the whole sum that are cut off above and to the left. source, target: [N, H, W, C]."""
    n, channels = target.shape[0], target.shape[3]
    kernel = like.weights.shape[1:3]
    axes = [
        _phases(source.shape[1 + axis], target.shape[1 + axis], kernel[axis], stride[axis], before[axis])
        for axis in range(2)
    ]
    found = Transposed([], [])
    boxes, parts = [], []
    to_steps = strides(target.shape)
    alone = len(axes[0]) == len(axes[1]) == 1
    for number, (down, across) in enumerate(product(*axes)):
        name = target.name if alone else f"{target.name} phase {number}"
        shape = (n, down.outputs, across.outputs, channels)
        if not alone:
            found.between.append(replace(target, name=name, shape=shape, form=None))
        read = _cropped(found, source, name, down, across)
        weights = _taps(like, down.taps, across.taps)
        found.operators.append(
            replace(
                like,
                name=name,
                inputs=(read,),
                outputs=(name,),
                weights=weights,
                stride=(1, 1),
                dilation=(1, 1),
                padding=_padding(source, down, across),
            )
        )
        to = down.first * to_steps[1] + across.first * to_steps[2]
        into = (to_steps[0], stride[0] * to_steps[1], stride[1] * to_steps[2], 1)
        boxes.append(Box(number, 0, to, shape, strides(shape), into))
        parts.append(name)
    if not alone:
        found.operators.append(Move(target.name, tuple(parts), (target.name,), tuple(boxes), "TransposeConv"))
    return found


def _taps(like: Conv2D, down: Sequence[int], across: Sequence[int]) -> np.ndarray:
    """The weights of a phase; one that counts as 0 where it has no taps."""
    if down and across:
        return np.ascontiguousarray(like.weights[:, list(down)][:, :, list(across)])
    outputs, _, _, inputs = like.weights.shape
    shape = (outputs, max(len(down), 1), max(len(across), 1), inputs)
    return np.full(shape, like.weight_zero_point, np.int8)


def _padding(source: Tensor, down: _Phase, across: _Phase) -> Padding:
    rows, columns = source.shape[1:3]
    return Padding(max(-down.start, 0), max(down.end - rows, 0), max(-across.start, 0), max(across.end - columns, 0))


def _cropped(found: Transposed, source: Tensor, name: str, down: _Phase, across: _Phase) -> str:
    """The tensor that a phase reads: the input, or the rows and columns of it that its windows have."""
    kept = {
        axis: range(max(phase.start, 0), min(phase.end, source.shape[axis])) for axis, phase in ((1, down), (2, across))
    }
    if all(len(indices) == source.shape[axis] for axis, indices in kept.items()):
        return source.name
    shape = tuple(len(kept[axis]) if axis in kept else n for axis, n in enumerate(source.shape))
    part = replace(source, name=f"{name} input", shape=shape, form=None)
    found.between.append(part)
    found.operators.append(Move(part.name, (source.name,), (part.name,), by_axis(source.shape, kept), "Slice"))
    return part.name
