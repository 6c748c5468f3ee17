"""Rules of element-wise operators and of changes of format, after LiteRT's kernels."""

from __future__ import annotations

import math
from collections.abc import Callable

from intaglio.network.digits import told_apart
from intaglio.network.graph import (
    Add,
    Dequantize,
    Operator,
    Quantize,
    Rescale,
    Reshape,
    Rounding,
    Softmax,
)
from intaglio.network.quantized_multiplier import requantize_by
from intaglio.network.tflite.file import FileOperator
from intaglio.network.tflite.prepare import clamp, operand, options_of, requantize, result
from intaglio.network.tflite.tables import table
from intaglio.network.tflite.tensors import (
    OFFSETS,
    Scope,
    Unsupported,
    activation,
    expect_shape,
    inputs_and_outputs,
    run_time,
)


def add(scope: Scope, op: FileOperator) -> Operator | list[Operator]:
    """add.cc: both operands to twice the larger scale with 20 fractional bits, then to the output's."""
    inputs_and_outputs(op, (2,))
    if any(scope.tensor(op, i).data is not None for i in (0, 1)):
        return table("Add")(scope, op)
    a, b = operand(scope, op, 0), operand(scope, op, 1)
    y = result(scope, op, a, b)
    if a.shape != b.shape:
        raise Unsupported(
            b.name,
            f"shapes {list(a.shape)} and {list(b.shape)} differ: broadcasting is not supported",
            "give both operands one shape",
        )
    expect_shape(y, a.shape)
    left_shift = 20
    twice = 2 * float(max(a.scale, b.scale))
    to_output = twice / (2.0**left_shift * float(y.scale))
    if to_output >= 1.0:
        raise Unsupported(y.name, f"its scale {y.scale:g} is too small beside the operands'", "quantize it again")
    operands = tuple(requantize_by([float(t.scale) / twice], Rounding.DOUBLE) for t in (a, b))
    return Add(
        y.name,
        (a.name, b.name),
        (y.name,),
        (a.zero_point, b.zero_point),
        left_shift,
        (operands[0], operands[1]),
        y.zero_point,
        requantize_by([to_output], Rounding.DOUBLE),
        clamp((op.options or {}).get("FusedActivationFunction", 0), y),
    )


def quantize(scope: Scope, op: FileOperator) -> Operator:
    """quantize.cc: float32 to 8 bits on the host, 8 bits to 8 bits as a Rescale. Nothing but the type changes where
    scales agree and zero points lie as far from the least integer: a Reshape, since the graph has int8 either way."""
    inputs_and_outputs(op, (1,))
    source, y = scope.tensor(op, 0), result(scope, op)
    expect_shape(y, source.shape)
    if source.type == "FLOAT32":
        run_time(source, "FLOAT32")
        return Quantize(y.name, (source.name,), (y.name,))
    x = activation(source)
    if x.type != y.type and x.scale == y.scale and x.zero_point == y.zero_point:
        return Reshape(y.name, (x.name,), (y.name,))
    how = requantize([float(x.scale) / float(y.scale)], y)
    return Rescale(y.name, (x.name,), (y.name,), x.zero_point, y.zero_point, how, (-128, 127))


def dequantize(scope: Scope, op: FileOperator) -> Operator:
    """dequantize.cc: 8 bits to float32 on the host."""
    inputs_and_outputs(op, (1,))
    x, y = operand(scope, op), scope.model.tensors[op.outputs[0]]
    run_time(y, "FLOAT32")
    expect_shape(y, x.shape)
    return Dequantize(y.name, (x.name,), (y.name,))


def relu(code: int) -> Callable[[Scope, FileOperator], Operator]:
    """activations.cc, QuantizedReluX: a Rescale with clamp; the ratio of scales is a float32 there."""

    def rule(scope: Scope, op: FileOperator) -> Operator:
        inputs_and_outputs(op, (1,))
        x = operand(scope, op)
        y = result(scope, op, x)
        expect_shape(y, x.shape)
        how = requantize([float(x.scale / y.scale)], y)
        return Rescale(y.name, (x.name,), (y.name,), x.zero_point, y.zero_point, how, clamp(code, y))

    return rule


def softmax(scope: Scope, op: FileOperator) -> Operator:
    """activations.cc, SoftmaxPrepare: the output is fixed at scale 1/256 and the least integer as zero point."""
    inputs_and_outputs(op, (1,))
    x = operand(scope, op)
    y = result(scope, op, x)
    expect_shape(y, x.shape)
    if y.zero_point != -128 or abs(float(y.scale) - 1 / 256) > 0.001 / 256:
        reason = (
            f"a softmax has scale 1/256 and zero point {OFFSETS[y.type] - 128}, here "
            f"{told_apart(float(y.scale), 1 / 256)[0]} and {y.file_zero_point}"
        )
        raise Unsupported(y.name, reason, "quantize the network again")
    beta = float(options_of(op)["Beta"])
    if not beta * float(x.scale) * 2.0**26 > 1.0 or not math.isfinite(beta):
        raise Unsupported(x.name, f"beta {beta:g} times its scale {x.scale:g} is too small", "quantize it again")
    if x.shape[-1] > 4095:
        raise Unsupported(x.name, f"a softmax over {x.shape[-1]} values overflows LiteRT's sum", "use at most 4095")
    return Softmax(y.name, (x.name,), (y.name,), beta)
