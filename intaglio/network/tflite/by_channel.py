"""Rules of a tensor and a constant by channel: a convolution of each channel by one weight."""

from __future__ import annotations

import math

import numpy as np

from intaglio.network.by_channel import Lines, fitted
from intaglio.network.graph import Conv2D, Operator, Padding, Reshape
from intaglio.network.tflite.file import FileOperator, FileTensor
from intaglio.network.tflite.kernel import CODES, computed, runner
from intaglio.network.tflite.prepare import clamp, options_of, requantize
from intaglio.network.tflite.single import alone
from intaglio.network.tflite.tensors import OFFSETS, Activation, Scope, Unsupported, checked_quantization

CODES_TAKEN = ("MUL", "ADD", "SUB")
FOLD = "fold it into the convolution before it, as BatchNorm is folded"


def is_by_channel(x: Activation, constant: FileTensor) -> bool:
    """True for a constant with one element for each index of the last axis."""
    shape = constant.shape
    return (
        constant.data is not None
        and 1 <= len(shape) <= len(x.shape)
        and shape[-1] == x.shape[-1]
        and math.prod(shape[:-1]) == 1
    )


def by_channel(scope: Scope, op: FileOperator, x: Activation, y: Activation, constant: FileTensor) -> list[Operator]:
    """MUL is exact by itself: (a - zero point) * (b - zero point), requantized once. Of ADD and SUB, which round three times, the
    results are LiteRT's own, and integers are looked for that give them."""
    limits = clamp(options_of(op)["FusedActivationFunction"], y)
    channels = x.shape[-1]
    quantization = checked_quantization(constant)
    if constant.type != x.type or len(quantization.scale) != 1 or constant.unusual or constant.data is None:
        raise Unsupported(constant.name, f"a constant of {constant.type.lower()} and its scales", FOLD)
    scale, point = float(quantization.scale[0]), int(quantization.zero_point[0])
    if op.code == "MUL":
        factors = constant.data.reshape(-1).astype(np.int64) - OFFSETS[x.type] - point
        symmetric = factors.min() >= -128 and factors.max() <= 127
        weights = (factors if symmetric else factors + point).astype(np.int8)
        how = requantize([float(x.scale) * scale / float(y.scale)], y)
        lines = Lines(weights, np.zeros(channels, np.int32), how)
        return _convolution(scope, x, y, lines, limits, 0 if symmetric else point)
    sign = -1 if op.code == "SUB" and scope.tensor(op, 1).index != constant.index else 1
    slope = sign * float(x.scale) / float(y.scale)
    with computed(y.name):
        results = _results(alone(scope.model, [op]), max(len(x.shape), 2), channels, OFFSETS[x.type])
    found = fitted(results, slope, x.zero_point, y.zero_point, limits)
    if isinstance(found, int):
        raise Unsupported(y.name, f"no integers were found that give LiteRT's results of channel {found}", FOLD)
    return _convolution(scope, x, y, found, limits, 0)


def _results(content: bytes, rank: int, channels: int, offset: int) -> np.ndarray:
    """int8 [channels, 256]: LiteRT's results of the graph's values -128 to 127. content: a file of the operator alone."""
    run = runner(content, [1] * (rank - 2) + [256, channels], offset)
    return run(np.repeat(CODES, channels)).reshape(256, channels).T


def _convolution(
    scope: Scope, x: Activation, y: Activation, lines: Lines, limits: tuple[int, int], weight_zero_point: int
) -> list[Operator]:
    """The convolution; of other than four dimensions between two reshapes."""
    channels = x.shape[-1]
    source, target = x.name, y.name
    plain = len(x.shape) == 4
    shape = (1, 1, math.prod(x.shape[:-1]), channels)
    if not plain:
        source, target = f"{y.name} input", f"{y.name} pixels"
        scope.between += [x.tensor(source, shape), y.tensor(target, shape)]
    conv = Conv2D(
        target,
        (source,),
        (target,),
        lines.weights.reshape(channels, 1, 1, 1),
        lines.bias,
        (1, 1),
        (1, 1),
        Padding(),
        x.zero_point,
        y.zero_point,
        lines.requantize,
        limits,
        weight_zero_point,
        channels,
    )
    if plain:
        return [conv]
    return [Reshape(source, (x.name,), (source,)), conv, Reshape(y.name, (target,), (y.name,))]
