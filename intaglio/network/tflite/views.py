"""Rules of operators that take elements elsewhere and change none, after LiteRT's kernels: each is boxes of a Move."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from intaglio.network.graph import Box, Move, Operator
from intaglio.network.moves import CONSTANT, MOST_BOXES, by_axis, concatenated, permuted
from intaglio.network.tflite.file import FileOperator
from intaglio.network.tflite.prepare import image, operand, options_of
from intaglio.network.tflite.tensors import (
    OFFSETS,
    Activation,
    Scope,
    Unsupported,
    activation,
    constant_integers,
    expect_shape,
    inputs_and_outputs,
)

AGAIN = "export the model again"


def output(scope: Scope, op: FileOperator, number: int = 0) -> Activation:
    """One of the operator's outputs, which must be of 8 bits."""
    return activation(scope.model.tensors[op.outputs[number]])


def move(what: str, sources: Sequence[Activation], y: Activation, boxes: Sequence[Box], shape: Sequence[int]) -> Move:
    """An operator of boxes. shape: as they give it. Inputs and output must share their quantization, as in LiteRT."""
    expect_shape(y, tuple(shape))
    for x in sources:
        if (x.type, x.scale, x.zero_point) != (y.type, y.scale, y.zero_point):
            raise Unsupported(
                x.name,
                f"its scale {x.scale:g} and zero point {x.file_zero_point} are not those of {y.name!r}, "
                f"{y.scale:g} and {y.file_zero_point} ({x.type.lower()}, {y.type.lower()})",
                "quantize the network again, so that what only moves elements keeps their quantization",
            )
    if len(boxes) > MOST_BOXES:
        raise Unsupported(y.name, f"it takes {len(boxes)} copies, at most {MOST_BOXES}", "use a regular order")
    return Move(y.name, tuple(x.name for x in sources), (y.name,), tuple(boxes), what)


def axis_of(axis: int, rank: int, name: str) -> int:
    """An axis counted from the front; refuses one that is none."""
    if not -rank <= axis < rank:
        raise Unsupported(name, f"axis {axis} of {rank} dimensions", AGAIN)
    return axis % rank


def constants(scope: Scope, op: FileOperator, position: int, count: int) -> tuple[int, ...]:
    """So many constant integers at an input."""
    tensor = scope.tensor(op, position)
    values = constant_integers(tensor)
    if len(values) != count:
        raise Unsupported(tensor.name, f"it has {len(values)} values, {count} are needed", AGAIN)
    return values


def concatenation(scope: Scope, op: FileOperator) -> Operator:
    """concatenation.cc: inputs one behind the other along an axis."""
    if not op.inputs or len(op.outputs) != 1:
        raise Unsupported("", f"it has {len(op.inputs)} inputs and {len(op.outputs)} outputs", AGAIN)
    options = options_of(op)
    sources = [operand(scope, op, i) for i in range(len(op.inputs))]
    rank = len(sources[0].shape)
    axis = axis_of(options["Axis"], rank, sources[0].name)
    for x in sources:
        if len(x.shape) != rank or any(
            a != b for i, (a, b) in enumerate(zip(x.shape, sources[0].shape, strict=True)) if i != axis
        ):
            raise Unsupported(x.name, f"{list(x.shape)} does not fit {list(sources[0].shape)}", AGAIN)
    if options["FusedActivationFunction"]:
        raise Unsupported(op_name(scope, op), "a concatenation with an activation (LiteRT refuses that too)", AGAIN)
    shapes = [x.shape for x in sources]
    shape = [sum(s[axis] for s in shapes) if a == axis else n for a, n in enumerate(shapes[0])]
    return move("Concat", sources, output(scope, op), concatenated(shapes, axis), shape)


def op_name(scope: Scope, op: FileOperator) -> str:
    """The name of the operator's first output."""
    return scope.model.tensors[op.outputs[0]].name


def pack(scope: Scope, op: FileOperator) -> Operator:
    """pack.cc: inputs of one shape along a new axis."""
    if not op.inputs or len(op.outputs) != 1:
        raise Unsupported("", f"it has {len(op.inputs)} inputs and {len(op.outputs)} outputs", AGAIN)
    sources = [operand(scope, op, i) for i in range(len(op.inputs))]
    shape = sources[0].shape
    axis = axis_of(options_of(op)["Axis"], len(shape) + 1, sources[0].name)
    for x in sources:
        if x.shape != shape:
            raise Unsupported(x.name, f"{list(x.shape)} is not {list(shape)}", AGAIN)
    with_axis = (*shape[:axis], 1, *shape[axis:])
    target = (*shape[:axis], len(sources), *shape[axis:])
    return move("Pack", sources, output(scope, op), concatenated([with_axis] * len(sources), axis), target)


def slices(what: str, scope: Scope, op: FileOperator, x: Activation, axis: int, cuts: Sequence[int]) -> list[Operator]:
    """A Move for each output that anything reads: indices cuts[i] to cuts[i + 1] - 1 of an axis."""
    read = {i for o in scope.model.operators for i in o.inputs} | set(scope.model.outputs)
    out: list[Operator] = []
    for number, (first, end) in enumerate(itertools.pairwise(cuts)):
        if op.outputs[number] in read:
            shape = [end - first if a == axis else n for a, n in enumerate(x.shape)]
            y = output(scope, op, number)
            if what == "Unpack":
                shape.pop(axis)
            out.append(move(what, [x], y, by_axis(x.shape, {axis: range(first, end)}), shape))
    return out


def split(scope: Scope, op: FileOperator) -> list[Operator]:
    """split.cc: equal parts of an axis, which the first input tells."""
    inputs_and_outputs(op, (2,), len(op.outputs))
    x = operand(scope, op, 1)
    axis = axis_of(constants(scope, op, 0, 1)[0], len(x.shape), x.name)
    each, rest = divmod(x.shape[axis], len(op.outputs))
    if rest:
        raise Unsupported(x.name, f"{x.shape[axis]} do not split into {len(op.outputs)} equal parts", AGAIN)
    return slices("Split", scope, op, x, axis, range(0, x.shape[axis] + 1, each))


def split_v(scope: Scope, op: FileOperator) -> list[Operator]:
    """split_v.cc: parts of an axis of given lengths, one of which may be -1 for what is left."""
    inputs_and_outputs(op, (3,), len(op.outputs))
    x = operand(scope, op)
    axis = axis_of(constants(scope, op, 2, 1)[0], len(x.shape), x.name)
    lengths = list(constants(scope, op, 1, len(op.outputs)))
    if lengths.count(-1) == 1:
        lengths[lengths.index(-1)] = x.shape[axis] - sum(n for n in lengths if n != -1)
    if min(lengths) < 1 or sum(lengths) != x.shape[axis]:
        raise Unsupported(x.name, f"{x.shape[axis]} do not split into {lengths}", AGAIN)
    return slices("Split", scope, op, x, axis, [0, *itertools.accumulate(lengths)])


def unpack(scope: Scope, op: FileOperator) -> list[Operator]:
    """unpack.cc: each index of an axis as a tensor of its own."""
    inputs_and_outputs(op, (1,), len(op.outputs))
    x = operand(scope, op)
    axis = axis_of(options_of(op)["Axis"], len(x.shape), x.name)
    if x.shape[axis] != len(op.outputs):
        raise Unsupported(x.name, f"{x.shape[axis]} indices of axis {axis}, {len(op.outputs)} outputs", AGAIN)
    return slices("Unpack", scope, op, x, axis, range(x.shape[axis] + 1))


def slice_(scope: Scope, op: FileOperator) -> Operator:
    """slice.cc: from `begin` on `size` indices of each axis, -1 for all that are left."""
    inputs_and_outputs(op, (3,))
    x = operand(scope, op)
    begins, sizes = (constants(scope, op, i, len(x.shape)) for i in (1, 2))
    counts = [n - begin if size == -1 else size for n, begin, size in zip(x.shape, begins, sizes, strict=True)]
    if any(not 0 <= b <= b + c <= n or c < 1 for b, c, n in zip(begins, counts, x.shape, strict=True)):
        raise Unsupported(x.name, f"{list(begins)} with sizes {list(sizes)} of {list(x.shape)}", AGAIN)
    indices = {a: range(b, b + c) for a, (b, c) in enumerate(zip(begins, counts, strict=True))}
    return move("Slice", [x], output(scope, op), by_axis(x.shape, indices), counts)


def strided_slice(scope: Scope, op: FileOperator) -> Operator:
    """strided_slice.cc: begin, end and stride of each axis, with bits that leave them out, and axes that come or go."""
    inputs_and_outputs(op, (4,))
    x, options = operand(scope, op), options_of(op)
    begins = constant_integers(scope.tensor(op, 1))
    ends, strides = (constants(scope, op, i, len(begins)) for i in (2, 3))
    if options["Offset"]:
        ends = tuple(b + e for b, e in zip(begins, ends, strict=True))

    def has(mask: str, bit: int) -> bool:
        return bool(options[mask] >> bit & 1)

    given = sum(not has("NewAxisMask", i) and not has("EllipsisMask", i) for i in range(len(begins)))
    missing = len(x.shape) - given
    if missing < 0 or sum(has("EllipsisMask", i) for i in range(len(begins))) > 1:
        raise Unsupported(x.name, f"{len(begins)} slices of {list(x.shape)}", AGAIN)
    indices: dict[int, range] = {}
    shape: list[int] = []
    axis = 0
    for i, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        if has("EllipsisMask", i):
            shape += x.shape[axis : axis + missing]
            axis += missing
            continue
        if has("NewAxisMask", i):
            shape.append(1)
            continue
        length = x.shape[axis]
        if stride == 0:
            raise Unsupported(x.name, f"a stride of 0 along axis {axis}", AGAIN)
        if has("ShrinkAxisMask", i):
            axis_of(begin, length, x.name)
            indices[axis] = range(begin % length, begin % length + 1)
        else:
            ends_of = (None if has("BeginMask", i) else begin), (None if has("EndMask", i) else end)
            indices[axis] = range(*slice(*ends_of, stride).indices(length))
            shape.append(len(indices[axis]))
        axis += 1
    shape += x.shape[axis:]
    if any(not len(of_axis) for of_axis in indices.values()):
        raise Unsupported(op_name(scope, op), "it takes no elements", AGAIN)
    return move("Slice", [x], output(scope, op), by_axis(x.shape, indices), shape)


def transpose(scope: Scope, op: FileOperator) -> Operator:
    """transpose.cc: axis a of the output is axis perm[a] of the input."""
    inputs_and_outputs(op, (2,))
    x = operand(scope, op)
    order = [p % len(x.shape) for p in constants(scope, op, 1, len(x.shape))]
    if sorted(order) != list(range(len(x.shape))):
        raise Unsupported(x.name, f"{order} is no order of its axes", AGAIN)
    return move("Transpose", [x], output(scope, op), permuted(x.shape, order), [x.shape[p] for p in order])


def paddings(scope: Scope, op: FileOperator, x: Activation) -> list[tuple[int, int]]:
    """Indices before and behind each axis; refuses negative ones, and outputs beyond any size."""
    tensor = scope.tensor(op, 1)
    values = constants(scope, op, 1, 2 * len(x.shape))
    pairs = list(zip(values[::2], values[1::2], strict=True))
    shape = [n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True)]
    if min(values) < 0 or math.prod(shape) > 1 << 31:
        raise Unsupported(tensor.name, f"a padding of {pairs} around {list(x.shape)}", AGAIN)
    return pairs


def padded(scope: Scope, op: FileOperator) -> Operator:
    """pad.cc: constants around a tensor: zero points, or what a third input says."""
    inputs_and_outputs(op, (2, 3))
    x, y = operand(scope, op), output(scope, op)
    value = y.zero_point
    if len(op.inputs) == 3 and op.inputs[2] >= 0:
        given = scope.tensor(op, 2)
        if given.data is None or given.type != x.type or given.data.size != 1 or given.unusual:
            raise Unsupported(given.name, f"the value to pad with must be one constant {x.type.lower()}", AGAIN)
        value = int(given.data.reshape(-1)[0]) - OFFSETS[x.type]
    pairs = paddings(scope, op, x)
    indices = {
        axis: [CONSTANT] * before + list(range(n)) + [CONSTANT] * after
        for axis, (n, (before, after)) in enumerate(zip(x.shape, pairs, strict=True))
        if before or after
    }
    shape = [n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True)]
    return move("Pad", [x], y, by_axis(x.shape, indices, value), shape)


def mirror_pad(scope: Scope, op: FileOperator) -> Operator:
    """mirror_pad.cc: REFLECT (0), without the border, or SYMMETRIC (1), with it."""
    inputs_and_outputs(op, (2,))
    x = operand(scope, op)
    pairs, border = paddings(scope, op, x), 1 - options_of(op)["Mode"]
    indices = {}
    for axis, (n, (before, after)) in enumerate(zip(x.shape, pairs, strict=True)):
        if max(before, after) > n - border:
            raise Unsupported(x.name, f"{max(before, after)} of {n} indices cannot be mirrored", AGAIN)
        ahead = [before - 1 - i + border for i in range(before)]
        behind = [n - 1 - border - i for i in range(after)]
        if before or after:
            indices[axis] = [*ahead, *range(n), *behind]
    shape = [n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True)]
    return move("MirrorPad", [x], output(scope, op), by_axis(x.shape, indices), shape)


def resize_nearest_neighbor(scope: Scope, op: FileOperator) -> Operator:
    """resize_nearest_neighbor.h, GetNearestNeighbor: the pixel at a scaled place, in float32."""
    inputs_and_outputs(op, (2,))
    x, options = image(operand(scope, op)), options_of(op)
    sizes = constants(scope, op, 1, 2)
    if min(sizes) < 1 or math.prod(sizes) * x.shape[0] * x.shape[3] > 1 << 31:
        raise Unsupported(x.name, f"a new size of {list(sizes)}", AGAIN)
    corners, half = bool(options["AlignCorners"]), bool(options["HalfPixelCenters"])
    indices = {axis: nearest(x.shape[axis], size, corners, half) for axis, size in zip((1, 2), sizes, strict=True)}
    shape = (x.shape[0], *sizes, x.shape[3])
    return move("ResizeNearest", [x], output(scope, op), by_axis(x.shape, indices), shape)


def nearest(length: int, size: int, corners: bool, half: bool) -> list[int]:
    """The input's index for each of `size` indices of the output."""
    if corners and size > 1:
        scale = np.float32(length - 1) / np.float32(size - 1)
    else:
        scale = np.float32(length) / np.float32(size)
    places = (np.arange(size).astype(np.float32) + np.float32(0.5 if half else 0)) * scale
    found = np.floor(places + np.float32(0.5)) if corners else np.floor(places)
    return [int(n) for n in np.clip(found, 0, length - 1)]


def tile(scope: Scope, op: FileOperator) -> Operator:
    """tile.cc: each axis several times over."""
    inputs_and_outputs(op, (2,))
    x = operand(scope, op)
    times = constants(scope, op, 1, len(x.shape))
    shape = [n * t for n, t in zip(x.shape, times, strict=True)]
    if min(times) < 1 or math.prod(shape) > 1 << 31:
        raise Unsupported(x.name, f"{list(x.shape)} repeated {list(times)} times", AGAIN)
    indices = {axis: list(range(n)) * t for axis, (n, t) in enumerate(zip(x.shape, times, strict=True)) if t > 1}
    return move("Tile", [x], output(scope, op), by_axis(x.shape, indices), shape)


def gather(scope: Scope, op: FileOperator) -> Operator:
    """gather.cc: constant indices of an axis."""
    inputs_and_outputs(op, (2,))
    x, options, given = operand(scope, op), options_of(op), scope.tensor(op, 1)
    axis = axis_of(options["Axis"], len(x.shape), x.name)
    if given.type not in ("INT32", "INT64") or given.data is None or given.unusual or len(given.shape) > 1:
        raise Unsupported(given.name, "the indices must be a constant row of integers", AGAIN)
    indices = [int(v) for v in given.data.reshape(-1)]
    if options["BatchDims"]:
        raise Unsupported(x.name, "indices for each of a batch", AGAIN)
    if not indices or not all(0 <= i < x.shape[axis] for i in indices):
        raise Unsupported(given.name, f"indices outside 0 to {x.shape[axis] - 1}", AGAIN)
    shape = (*x.shape[:axis], *given.shape, *x.shape[axis + 1 :])
    return move("Gather", [x], output(scope, op), by_axis(x.shape, {axis: indices}), shape)


def reverse(scope: Scope, op: FileOperator) -> Operator:
    """reverse_v2.cc: the order of some axes turned round."""
    inputs_and_outputs(op, (2,))
    x = operand(scope, op)
    axes = {axis_of(a, len(x.shape), x.name) for a in constant_integers(scope.tensor(op, 1))}
    indices = {axis: range(x.shape[axis] - 1, -1, -1) for axis in axes}
    return move("Reverse", [x], output(scope, op), by_axis(x.shape, indices), x.shape)


RULES: dict[str, Callable[[Scope, FileOperator], Operator | list[Operator]]] = {
    "CONCATENATION": concatenation,
    "PACK": pack,
    "SPLIT": split,
    "SPLIT_V": split_v,
    "UNPACK": unpack,
    "SLICE": slice_,
    "STRIDED_SLICE": strided_slice,
    "TRANSPOSE": transpose,
    "PADV2": padded,
    "MIRROR_PAD": mirror_pad,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest_neighbor,
    "TILE": tile,
    "GATHER": gather,
    "REVERSE_V2": reverse,
}
"""Operator of the file -> its rule; several operators where it has several outputs."""
