"""Rules of operators that make channels, or images of the batch, of blocks of pixels, and pixels of these."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from intaglio.network.graph import Box, Operator
from intaglio.network.moves import CONSTANT, MOST_BOXES, by_axis, permuted
from intaglio.network.tflite.file import FileOperator
from intaglio.network.tflite.prepare import image, operand, options_of
from intaglio.network.tflite.tensors import Activation, Scope, Unsupported, inputs_and_outputs
from intaglio.network.tflite.views import AGAIN, constants, move, output


def space_to_depth(scope: Scope, op: FileOperator) -> Operator:
    """space_to_depth.cc: blocks of pixels as channels."""
    inputs_and_outputs(op, (1,))
    x, block = image(operand(scope, op)), int(options_of(op)["BlockSize"])
    n, h, w, c = x.shape
    if block < 1 or h % block or w % block:
        raise Unsupported(x.name, f"blocks of {block} in {h} x {w} pixels", AGAIN)
    boxes = permuted((n, h // block, block, w // block, block, c), (0, 1, 3, 2, 4, 5))
    return move("SpaceToDepth", [x], output(scope, op), boxes, (n, h // block, w // block, block * block * c))


def depth_to_space(scope: Scope, op: FileOperator) -> Operator:
    """depth_to_space.cc: channels as blocks of pixels."""
    inputs_and_outputs(op, (1,))
    x, block = image(operand(scope, op)), int(options_of(op)["BlockSize"])
    n, h, w, c = x.shape
    if block < 1 or c % (block * block):
        raise Unsupported(x.name, f"blocks of {block} of {c} channels", AGAIN)
    c //= block * block
    boxes = permuted((n, h, w, block, block, c), (0, 1, 3, 2, 4, 5))
    return move("DepthToSpace", [x], output(scope, op), boxes, (n, h * block, w * block, c))


def space_to_batch(scope: Scope, op: FileOperator) -> Operator:
    """space_to_batch_nd.cc: each place in a block of the axes behind the batch becomes a part of the batch."""
    inputs_and_outputs(op, (3,))
    x, y = operand(scope, op), output(scope, op)
    block = _blocks(scope, op, x)
    pads = constants(scope, op, 2, 2 * len(block))
    lengths = [n + a + b for n, a, b in zip(x.shape[1:], pads[::2], pads[1::2], strict=False)]
    if min(pads) < 0 or any(n % b for n, b in zip(lengths, block, strict=True)):
        raise Unsupported(x.name, f"blocks of {list(block)} in {lengths}", AGAIN)
    counts = [n // b for n, b in zip(lengths, block, strict=True)]
    shape = [x.shape[0] * math.prod(block), *counts, *x.shape[1 + len(block) :]]
    boxes: list[Box] = []
    for number, place in enumerate(itertools.product(*(range(b) for b in block))):
        indices: dict[int, Sequence[int]] = {}
        for axis, (first, b, count, before) in enumerate(zip(place, block, counts, pads[::2], strict=True), start=1):
            at = np.arange(count) * b + first - before
            indices[axis] = np.where((at >= 0) & (at < x.shape[axis]), at, CONSTANT).tolist()
        begin = [number * x.shape[0], *[0] * (len(shape) - 1)]
        boxes += by_axis(x.shape, indices, y.zero_point, into=shape, begin=begin)
    return move("SpaceToBatch", [x], y, boxes, shape)


def batch_to_space(scope: Scope, op: FileOperator) -> Operator:
    """batch_to_space_nd.cc: the inverse, less what is cropped."""
    inputs_and_outputs(op, (3,))
    x = operand(scope, op)
    block = _blocks(scope, op, x)
    crops = constants(scope, op, 2, 2 * len(block))
    images, rest = divmod(x.shape[0], math.prod(block))
    counts = [n * b - a - e for n, b, a, e in zip(x.shape[1:], block, crops[::2], crops[1::2], strict=False)]
    if rest or min(crops) < 0 or min(counts) < 1:
        raise Unsupported(x.name, f"{list(x.shape)} in blocks of {list(block)}, cropped by {list(crops)}", AGAIN)
    shape = [images, *counts, *x.shape[1 + len(block) :]]
    boxes: list[Box] = []
    for number, place in enumerate(itertools.product(*(range(b) for b in block))):
        indices: dict[int, Sequence[int]] = {0: range(number * images, (number + 1) * images)}
        for axis, (first, b, count, before) in enumerate(zip(place, block, counts, crops[::2], strict=True), start=1):
            at = np.arange(count) + before
            indices[axis] = np.where(at % b == first, at // b, CONSTANT).tolist()
        boxes += by_axis(x.shape, indices)
    return move("BatchToSpace", [x], output(scope, op), boxes, shape)


def _blocks(scope: Scope, op: FileOperator, x: Activation) -> tuple[int, ...]:
    """The block's length along each axis behind the batch: LiteRT takes one axis of three, or two of four."""
    if len(x.shape) not in (3, 4):
        raise Unsupported(x.name, f"its shape is {list(x.shape)}; three or four dimensions are needed", AGAIN)
    block = constants(scope, op, 1, len(x.shape) - 2)
    if min(block) < 1 or math.prod(block) > MOST_BOXES:
        raise Unsupported(x.name, f"blocks of {list(block)}", AGAIN)
    return block


RULES: dict[str, Callable[[Scope, FileOperator], Operator]] = {
    "SPACE_TO_DEPTH": space_to_depth,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_BATCH_ND": space_to_batch,
    "BATCH_TO_SPACE_ND": batch_to_space,
}
"""Operator of the file -> its rule."""
