"""The rule of TRANSPOSE_CONV, after LiteRT's transpose_conv.cc."""

from __future__ import annotations

from dataclasses import replace

from intaglio.network.graph import Conv2D, Operator, Padding
from intaglio.network.tflite.file import FileOperator
from intaglio.network.tflite.prepare import SAME, VALID, clamp, image, operand, options_of, requantize, result
from intaglio.network.tflite.tensors import (
    Scope,
    Unsupported,
    bias,
    constant_integers,
    expect_shape,
    inputs_and_outputs,
    weights,
)
from intaglio.network.transposed import MOST_PHASES, phases, transposed


def transpose_conv(scope: Scope, op: FileOperator) -> list[Operator]:
    """Inputs: the output's shape, weights [O, KH, KW, I], the image, a bias. Sums as CONV_2D's, of int8."""
    inputs_and_outputs(op, (3, 4))
    x = image(operand(scope, op, 2))
    y = image(result(scope, op, x))
    if x.type != "INT8":
        raise Unsupported(x.name, "a transposed convolution of uint8", "quantize the network with the int8 scheme")
    kernel = weights(scope.tensor(op, 1), 4, x.type)
    channels, *size, depth = kernel.values.shape
    shape = constant_integers(scope.tensor(op, 0))
    if len(shape) != 4 or min(shape) < 1 or shape[0] != x.shape[0] or shape[3] != channels or depth != x.shape[3]:
        fit = f"weights {list(kernel.values.shape)} and the output's shape {list(shape)} do not fit {list(x.shape)}"
        raise Unsupported(y.name, fit, "export the model again")
    expect_shape(y, shape)
    options = options_of(op)
    stride = (int(options["StrideH"]), int(options["StrideW"]))
    if min(stride) < 1 or options["Padding"] not in (SAME, VALID):
        raise Unsupported("", f"stride {list(stride)} and padding {options['Padding']}", "export the model again")
    if phases(stride, shape[1:3]) > MOST_PHASES:
        raise Unsupported("", f"a stride of {list(stride)}", f"at most {MOST_PHASES} phases, rows times columns")
    before = [_before(n, k, s, options["Padding"]) for n, k, s in zip(shape[1:3], size, stride, strict=True)]
    like = Conv2D(
        y.name,
        (x.name,),
        (y.name,),
        kernel.values,
        bias(scope, replace(op, inputs=(op.inputs[2], op.inputs[1], *op.inputs[3:])), channels),
        (1, 1),
        (1, 1),
        Padding(),
        x.zero_point,
        y.zero_point,
        requantize([float(x.scale) * float(s) / float(y.scale) for s in kernel.scale], y),
        clamp(options["FusedActivationFunction"], y),
        kernel.zero_point,
    )
    found = transposed(like, x.tensor(), y.tensor(), stride, (before[0], before[1]))
    scope.between += found.between
    return found.operators


def _before(length: int, kernel: int, stride: int, padding: int) -> int:
    """padding.h, ComputePaddingHeightWidth: of the convolution from the output back to the input."""
    windows = -(-length // stride) if padding == SAME else (length + stride - kernel) // stride
    return max((windows - 1) * stride + kernel - length, 0) // 2
