"""Rules of pools and means, after LiteRT's kernels."""

from __future__ import annotations

import numpy as np

from intaglio.network.digits import told_apart
from intaglio.network.graph import (
    AveragePool2D,
    MaxPool2D,
    Mean,
    Operator,
    Requantize,
    Rounding,
)
from intaglio.network.quantized_multiplier import mean_multiplier
from intaglio.network.tflite.file import FileOperator
from intaglio.network.tflite.prepare import clamp, image, operand, options_of, result, window
from intaglio.network.tflite.tensors import (
    OFFSETS,
    Scope,
    Unsupported,
    constant_integers,
    expect_shape,
    inputs_and_outputs,
)


def pool_2d(kind: type[AveragePool2D] | type[MaxPool2D], scope: Scope, op: FileOperator) -> Operator:
    """pooling.cc: input and output share their quantization. An average of uint8 is rounded half up: its integers are
    not negative, and the graph's are after the least one is taken off."""
    inputs_and_outputs(op, (1,))
    x = image(operand(scope, op))
    y = image(result(scope, op, x))
    if x.zero_point != y.zero_point or abs(float(x.scale) - float(y.scale)) > 1e-6:
        before, after = told_apart(float(x.scale), float(y.scale))
        raise Unsupported(
            y.name,
            f"pooling must not change scale or zero point, here from {before} and {x.file_zero_point} to {after} and "
            f"{y.file_zero_point}",
            "quantize it again with the TFLite converter",
        )
    options = options_of(op)
    size = (options["FilterHeight"], options["FilterWidth"])
    stride = (options["StrideH"], options["StrideW"])
    padding, (rows, columns) = window(op, size, x.shape, stride, (1, 1))
    expect_shape(y, (x.shape[0], rows, columns, x.shape[3]))
    limits = clamp(options["FusedActivationFunction"], y)
    if kind is MaxPool2D:
        return MaxPool2D(y.name, (x.name,), (y.name,), size, stride, padding, limits)
    zero = -OFFSETS[x.type]
    return AveragePool2D(
        y.name,
        (x.name,),
        (y.name,),
        size,
        stride,
        padding,
        limits,
        input_zero_point=zero,
        output_zero_point=zero,
    )


def mean(scope: Scope, op: FileOperator) -> Operator:
    """reduce.cc: over rows and columns, 1 / (H * W) folded into the multiplier."""
    inputs_and_outputs(op, (2,))
    x = image(operand(scope, op))
    y = result(scope, op, x)
    axes = {a + 4 if a < 0 else a for a in constant_integers(scope.tensor(op, 1))}
    if axes != {1, 2}:
        raise Unsupported(
            scope.tensor(op, 1).name,
            f"a mean over axes {sorted(axes)} is not supported",
            "take the mean over rows and columns (axes 1 and 2)",
        )
    n, height, width, channels = x.shape
    keep = (op.options or {}).get("KeepDims", False)
    expect_shape(y, (n, 1, 1, channels) if keep else (n, channels))
    multiplier, shift = mean_multiplier(float(x.scale) / float(y.scale), height * width)
    if shift > 30:
        raise Unsupported(y.name, "its scale is too small beside the input's", "quantize the network again")
    how = Requantize(np.array([multiplier], np.int32), np.array([shift], np.int32), Rounding.DOUBLE)
    return Mean(y.name, (x.name,), (y.name,), x.zero_point, y.zero_point, how, (-128, 127))
