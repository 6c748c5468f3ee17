"""The integer meaning of every operator, in plain numpy: LiteRT's reference kernels, and onnxruntime's, bit for bit.

Everything is int64 inside and int8 at the edges. Each rule names the reference it follows; all are in
LiteRT's `tflite/kernels/internal` (google-ai-edge/LiteRT), the version measured is 2.3.0 with BUILTIN_REF.
Sums are 32 bits wide and wrap, as they do in the reference and in hardware.

Shapes: N batch, H rows, W columns, C channels; an image is [N, H, W, C]. Parameters of a channel
([C]) or of the whole tensor ([1]) broadcast over the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    FullyConnected,
    MaxPool2D,
    Mean,
    Move,
    Operator,
    Padding,
    Requantize,
    Rescale,
    Reshape,
    Rounding,
    Table,
    Tensor,
)

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def wrap32(x: np.ndarray) -> np.ndarray:
    """The low 32 bits of int64 values as signed numbers, still int64."""
    return x.astype(np.int64).astype(np.int32).astype(np.int64)


def rounding_doubling_high_multiply(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """gemmlowp SaturatingRoundingDoublingHighMul: round(a * b / 2**31), a tie towards plus infinity.

    a, b: 32-bit values. (-2**31) squared saturates to 2**31 - 1.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = product + np.where(product >= 0, 2**30, 1 - 2**30)
    quotient = np.sign(nudged) * (np.abs(nudged) >> 31)  # C division: towards zero
    saturated: np.ndarray = np.minimum(quotient, INT32_MAX)
    return saturated


def rounding_divide_by_power_of_two(x: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """gemmlowp RoundingDivideByPOT: round(x / 2**exponent), half away from zero. exponent: 0..31."""
    exponent = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    quotient: np.ndarray = (x >> exponent) + ((x & mask) > threshold)
    return quotient


def requantize(sums: np.ndarray, how: Requantize) -> np.ndarray:
    """Scales 32-bit sums by multiplier * 2**(shift - 31) with the named rounding; int64, not yet clamped.

    DOUBLE (MultiplyByQuantizedMultiplier): a positive shift is applied first and wraps in 32 bits.
    SINGLE and AWAY keep every bit until the one rounding. FLOAT is onnxruntime's MlasRequantizeOutput.
    """
    sums = np.asarray(sums, np.int64)
    multiplier = np.asarray(how.multiplier, np.int64)
    shift = np.asarray(how.shift, np.int64)
    if how.rounding is Rounding.FLOAT:
        scale = np.ldexp(multiplier.astype(np.float32), shift.astype(np.int32) - 31)
        return np.rint(sums.astype(np.float32) * scale).astype(np.int64)
    if how.rounding is Rounding.DOUBLE:
        shifted = wrap32(sums << np.maximum(shift, 0))
        high = rounding_doubling_high_multiply(shifted, multiplier)
        return rounding_divide_by_power_of_two(high, np.maximum(-shift, 0))
    right = 31 - shift
    half = np.int64(1) << (right - 1)
    if how.rounding is Rounding.SINGLE:
        scaled: np.ndarray = (sums * multiplier + half) >> right
        return scaled
    away: np.ndarray = np.sign(sums) * ((np.abs(sums) * multiplier + half) >> right)
    return away


def finish(sums: np.ndarray, how: Requantize, zero_point: int, clamp: tuple[int, int]) -> np.ndarray:
    """The common end of an operator: wrap to 32 bits, scale, add the output's zero point, clamp to int8."""
    clamped: np.ndarray = np.clip(requantize(wrap32(sums), how) + zero_point, *clamp)
    return clamped.astype(np.int8)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Exact integer matrix product [..., M, K] x [..., K, O] by float64: 9-bit operands stay below 2**53."""
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def pad_rows_and_columns(image: np.ndarray, padding: Padding, value: int) -> np.ndarray:
    """An [N, H, W, C] image with `padding` around it, filled with `value`."""
    around = ((0, 0), (padding.top, padding.bottom), (padding.left, padding.right), (0, 0))
    return np.pad(image, around, constant_values=value)


def windows(image: np.ndarray, size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> np.ndarray:
    """Every window of an [N, H, W, C] image: [N, OH, OW, C, rows, columns], a view."""
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(image, span, axis=(1, 2))
    return view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]


def conv2d(op: Conv2D, image: np.ndarray) -> np.ndarray:
    """reference_integer_ops::ConvPerChannel and DepthwiseConvPerChannel. image int8 [N, H, W, I * groups] -> int8
    [N, OH, OW, O]."""
    centred = pad_rows_and_columns(image.astype(np.int16) - op.input_zero_point, op.padding, 0)
    weights = op.weights.astype(np.int16) - op.weight_zero_point
    outputs, rows, columns, channels = weights.shape
    view = windows(centred, (rows, columns), op.stride, op.dilation)
    n, height, width = view.shape[:3]
    pixels, steps = n * height * width, rows * columns * channels
    split = view.reshape(n, height, width, op.groups, channels, rows, columns)
    patches = split.transpose(3, 0, 1, 2, 5, 6, 4).reshape(op.groups, pixels, steps)
    sums = dot(patches, weights.reshape(op.groups, outputs // op.groups, steps).transpose(0, 2, 1))
    sums = sums.transpose(1, 0, 2).reshape(pixels, outputs) + op.bias
    result = finish(sums, op.requantize, op.output_zero_point, op.clamp)
    return result.reshape(n, height, width, outputs)


def fully_connected(op: FullyConnected, x: np.ndarray) -> np.ndarray:
    """reference_integer_ops::FullyConnected. x int8, any shape of N*I elements -> int8 [N, O].

    The reference rounds the double product of sum and scale half away from zero; `requantize` was chosen
    by `exact_multipliers` to give the same integers for every sum the operator can reach.
    """
    rows = x.reshape(-1, op.weights.shape[1]).astype(np.int16) - op.input_zero_point
    sums = dot(rows, op.weights.T.astype(np.int16) - op.weight_zero_point) + op.bias
    return finish(sums, op.requantize, op.output_zero_point, op.clamp)


def add(op: Add, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """reference_integer_ops::Add. a, b int8 of one shape -> int8 of that shape."""
    total = np.full(a.shape, op.bias, np.int64)
    for x, zero_point, how in zip((a, b), op.input_zero_points, op.operand_requantize, strict=True):
        total += requantize((x.astype(np.int64) - zero_point) << op.left_shift, how)
    return finish(total, op.requantize, op.output_zero_point, op.clamp)


def average_pool2d(op: AveragePool2D, image: np.ndarray) -> np.ndarray:
    """reference_integer_ops::AveragePool, or onnxruntime's mean in exact sums. image int8 [N, H, W, C] -> int8
    [N, OH, OW, C].

    TFLite's: the mean of the elements inside the image, half away from the zero point; padding is not counted.
    """
    inside = np.ones((1, *image.shape[1:3], 1), np.int64)
    sums, counts = (
        _by_windows(np.sum, pad_rows_and_columns(x, op.padding, 0), op.filter, op.stride, (1, 1))
        for x in (image.astype(np.int64) - op.input_zero_point, inside)
    )
    if op.rescale is None:
        mean = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)
        clamped: np.ndarray = np.clip(mean + op.output_zero_point, *op.clamp)
        return clamped.astype(np.int8)
    if op.count_padding:
        counts = np.full_like(counts, op.filter[0] * op.filter[1])
    scale = np.float32(op.rescale) / counts.astype(np.float32)
    clamped = np.clip(np.rint(sums.astype(np.float32) * scale) + op.output_zero_point, *op.clamp)
    return clamped.astype(np.int8)


def max_pool2d(op: MaxPool2D, image: np.ndarray) -> np.ndarray:
    """reference_integer_ops::MaxPool, onnxruntime's MaxPool. image int8 [N, H, W, C] -> int8 [N, OH, OW, C]."""
    found = _by_windows(np.max, pad_rows_and_columns(image, op.padding, -128), op.filter, op.stride, op.dilation)
    clamped: np.ndarray = np.clip(found, *op.clamp)
    return clamped.astype(np.int8)


def _by_windows(
    reduce: Callable[..., np.ndarray],
    image: np.ndarray,
    size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> np.ndarray:
    """The sum or maximum of each window [N, OH, OW, C]: of its rows' elements in a column, then of its columns."""
    columns = reduce(windows(image, (size[0], 1), (stride[0], 1), (dilation[0], 1)), axis=(4, 5))
    return reduce(windows(columns, (1, size[1]), (1, stride[1]), (1, dilation[1])), axis=(4, 5))


def elements_inside(output: int, length: int, window: int, stride: int, before: int, dilation: int) -> tuple[int, int]:
    """(first, count) of the elements of a window's one axis that lie inside [0, length); count <= 0 for none.

    The window of `output` has `window` elements, `dilation` apart, the first at output * stride - before.
    """
    start = output * stride - before
    skipped = max(-(start // dilation), 0)
    first = start + skipped * dilation
    return first, min(window - skipped, -(-(length - first) // dilation))


def has_empty_window(op: MaxPool2D, shape: tuple[int, ...]) -> bool:
    """True if some window over an image [N, H, W, C] lies in the padding alone."""
    sides = zip(
        shape[1:3],
        op.filter,
        op.stride,
        op.dilation,
        ((op.padding.top, op.padding.bottom), (op.padding.left, op.padding.right)),
        strict=True,
    )
    for n, k, s, d, (before, after) in sides:
        outputs = (n + before + after - (k - 1) * d - 1) // s + 1
        if any(elements_inside(o, n, k, s, before, d)[1] < 1 for o in range(outputs)):
            return True
    return False


def mean(op: Mean, image: np.ndarray) -> np.ndarray:
    """reference_ops::QuantizedMeanOrSum over rows and columns. image int8 [N, H, W, C] -> int8 [N, C]."""
    sums = (image.astype(np.int64) - op.input_zero_point).sum(axis=(1, 2))
    return finish(sums, op.requantize, op.output_zero_point, op.clamp)


def rescale(op: Rescale, x: np.ndarray) -> np.ndarray:
    """reference_ops::Requantize and ReluX. x int8 -> int8, same shape."""
    return finish(x.astype(np.int64) - op.input_zero_point, op.requantize, op.output_zero_point, op.clamp)


def move(op: Move, inputs: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """The boxes of a Move, of inputs of any shape -> int8 of this shape."""
    out = np.empty(math.prod(shape), np.int8)
    for box in op.boxes:
        target = _seen(out, box.to, box.sizes, box.to_steps)
        if box.source is None:
            target[...] = box.value
        else:
            target[...] = _seen(np.ascontiguousarray(inputs[box.source]).reshape(-1), box.at, box.sizes, box.steps)
    return out


def _seen(elements: np.ndarray, at: int, sizes: tuple[int, ...], steps: tuple[int, ...]) -> np.ndarray:
    """The elements at + sum of indices * steps, a view; IndexError where some lie outside."""
    ends = [(n - 1) * step for n, step in zip(sizes, steps, strict=True)]
    if not 0 <= at + sum(min(e, 0) for e in ends) <= at + sum(max(e, 0) for e in ends) < len(elements):
        raise IndexError(f"elements {at} + {ends} of {len(elements)}")
    return np.lib.stride_tricks.as_strided(elements[at:], sizes, [step * elements.itemsize for step in steps])


def run(op: Operator, inputs: Sequence[np.ndarray], outputs: Sequence[Tensor]) -> list[np.ndarray]:
    """The values of op's outputs, each in the shape of its tensor. Host operators are in `host_ops`.

    inputs: int8 arrays in the operator's order; outputs: the tensors that op.outputs name.
    """
    match op:
        case Conv2D():
            result = conv2d(op, inputs[0])
        case FullyConnected():
            result = fully_connected(op, inputs[0])
        case Add():
            result = add(op, inputs[0], inputs[1])
        case AveragePool2D():
            result = average_pool2d(op, inputs[0])
        case MaxPool2D():
            result = max_pool2d(op, inputs[0])
        case Mean():
            result = mean(op, inputs[0])
        case Rescale():
            result = rescale(op, inputs[0])
        case Table():
            result = op.values[inputs[0].astype(np.int64) + 128]
        case Reshape():
            result = inputs[0]
        case Move():
            result = move(op, inputs, outputs[0].shape)
        case _:
            raise TypeError(f"no integer arithmetic for {op.kind} {op.name!r}")
    return [result.reshape(outputs[0].shape)]
