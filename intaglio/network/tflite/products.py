"""Rules of products: convolutions and fully connected layers, after LiteRT's kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from intaglio.network.digits import told_apart
from intaglio.network.exact_multiplier import Reach, exact_multipliers, reach, sums_off
from intaglio.network.graph import (
    Conv2D,
    FullyConnected,
    Operator,
    Padding,
    Requantize,
    Rounding,
)
from intaglio.network.quantized_multiplier import quantize_multiplier
from intaglio.network.tflite.file import FileOperator, FileTensor
from intaglio.network.tflite.prepare import clamp, image, operand, options_of, requantize, result, window
from intaglio.network.tflite.tensors import (
    Activation,
    Scope,
    Unsupported,
    Weights,
    activation,
    bias,
    expect_shape,
    inputs_and_outputs,
    weights,
)

BIAS_SCALE_TOLERANCE = 0.02
"""LiteRT refuses a fully connected bias whose scale is off by more than this share of the output's scale."""


def conv_2d(scope: Scope, op: FileOperator) -> Operator:
    """conv.cc; as many groups as the weights' input channels fit into the input's."""
    return convolution(scope, op, lambda tensor, kind: weights(tensor, 4, kind))


def depthwise_conv_2d(scope: Scope, op: FileOperator) -> Operator:
    """depthwise_conv.cc: weights [1, KH, KW, O], output channel o reads input channel o // (O / I). The kernel
    takes O / I for the depth multiplier, whatever the options say."""
    return convolution(scope, op, depthwise_weights)


def depthwise_weights(tensor: FileTensor, kind: str) -> Weights:
    """Weights [1, KH, KW, O] of the type `kind`, as [O, KH, KW, 1]."""
    found = weights(tensor, 4, kind, axis=3)
    if found.values.shape[0] != 1:
        shape = list(found.values.shape)
        raise Unsupported(tensor.name, f"depthwise weights of shape {shape}", "export the model again")
    return replace(found, values=np.ascontiguousarray(found.values.transpose(3, 1, 2, 0)))


def convolution(scope: Scope, op: FileOperator, read: Callable[[FileTensor, str], Weights]) -> Operator:
    """Double rounding, the scale in double precision for each output channel. read: gives weights of a type, [O, KH, KW,
    I / groups]. LiteRT computes uint8's one scale elsewhere (kernel_util.cc, GetQuantizedConvolutionMultipler): from the
    product of input scale and weight scale in float32, which it also compares with the bias's scale."""
    inputs_and_outputs(op, (2, 3))
    source = op.inputs[0]
    folded = Padding()
    if source in scope.padded:
        source, folded = scope.padded[source]
    if source < 0:
        raise Unsupported("", "its input is missing", "export the model again")
    x = image(activation(scope.model.tensors[source]))
    y = image(result(scope, op, x))
    kernel = read(scope.tensor(op, 1), x.type)
    channels, rows, columns, depth = kernel.values.shape
    n, height, width, c = x.shape
    groups, rest = divmod(c, depth)
    if rest or not groups or channels % groups:
        raise Unsupported(
            scope.tensor(op, 1).name,
            f"{channels} output channels by weights of {depth} input channels do not fit an input of {c}",
            "export the model again",
        )
    options = options_of(op)
    stride = (options["StrideH"], options["StrideW"])
    dilation = (options["DilationHFactor"], options["DilationWFactor"])
    padded = (n, height + folded.top + folded.bottom, width + folded.left + folded.right, c)
    padding, (out_rows, out_columns) = window(op, (rows, columns), padded, stride, dilation)
    expect_shape(y, (n, out_rows, out_columns, channels))
    if y.type == "UINT8":
        check_bias_scale(scope, op, x, y, kernel.scale[0])
        with np.errstate(over="ignore", under="ignore"):
            reals = [float(x.scale * kernel.scale[0]) / float(y.scale)]
    else:
        reals = [float(x.scale) * float(s) / float(y.scale) for s in kernel.scale]
    return Conv2D(
        y.name,
        (x.name,),
        (y.name,),
        kernel.values,
        bias(scope, op, channels),
        stride,
        dilation,
        folded if source != op.inputs[0] else padding,
        x.zero_point,
        y.zero_point,
        requantize(reals, y),
        clamp(options["FusedActivationFunction"], y),
        kernel.zero_point,
        groups,
    )


def fully_connected(scope: Scope, op: FileOperator) -> Operator:
    """fully_connected.cc: the reference rounds double(sum) * scale, half away from zero, of int8 as of uint8."""
    inputs_and_outputs(op, (2, 3))
    x = operand(scope, op)
    y = result(scope, op, x)
    kernel = weights(scope.tensor(op, 1), 2, x.type)
    units, depth = kernel.values.shape
    options = op.options or {}
    if options.get("WeightsFormat", 0) != 0:
        raise Unsupported(scope.tensor(op, 1).name, "weights are stored shuffled", "export the default weights format")
    keep = options.get("KeepNumDims", False)
    elements = math.prod(x.shape)
    if elements % depth or (keep and x.shape[-1] != depth):
        raise Unsupported(
            x.name, f"shape {list(x.shape)} does not fit weights of {depth} inputs", "export the model again"
        )
    expect_shape(y, (*x.shape[:-1], units) if keep else (elements // depth, units))
    if len(kernel.scale) == 1:
        check_bias_scale(scope, op, x, y, kernel.scale[0])
    offsets = bias(scope, op, units)
    limits = clamp(options.get("FusedActivationFunction", 0), y)
    reals = [float(x.scale) * float(s) / float(y.scale) for s in kernel.scale]
    sums = reach(kernel.values.astype(np.int16) - kernel.zero_point, offsets, x.zero_point)
    how = fully_connected_requantize(scope, reals, sums, y, limits)
    return FullyConnected(
        y.name,
        (x.name,),
        (y.name,),
        kernel.values,
        offsets,
        x.zero_point,
        y.zero_point,
        how,
        limits,
        kernel.zero_point,
    )


def check_bias_scale(scope: Scope, op: FileOperator, x: Activation, y: Activation, weight_scale: np.float32) -> None:
    """kernel_util.cc, GetQuantizedConvolutionMultipler: LiteRT refuses a bias in other units than the sum."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return
    tensor = scope.model.tensors[op.inputs[2]]
    given = 0.0 if tensor.quantization is None else float(tensor.quantization.scale[0])
    difference = abs(float(x.scale) * float(weight_scale) - given)
    if not difference / float(y.scale) <= BIAS_SCALE_TOLERANCE:
        found, wanted = told_apart(given, float(x.scale) * float(weight_scale))
        raise Unsupported(
            tensor.name,
            f"the bias has scale {found}, not input scale times weight scale {wanted}: further off than {BIAS_SCALE_TOLERANCE:.0%} of "
            f"the output's scale {y.scale:g}, which LiteRT refuses",
            "quantize the network again",
        )


def fully_connected_requantize(
    scope: Scope, reals: list[float], sums: Reach, y: Activation, limits: tuple[int, int]
) -> Requantize:
    """Multipliers equal to the reference on every reachable sum; where none is, the nearest and a note."""
    scales, farthest = np.resize(reals, len(sums.highest)), np.maximum(sums.lowest, sums.highest)
    too_far = np.flatnonzero((farthest >= 2**31) | (scales >= 2**30) | (farthest * scales >= 2**31 - 256))
    if too_far.size:
        channel = int(too_far[0])
        raise Unsupported(
            y.name,
            f"sums of channel {channel}, up to {farthest[channel]} times the scale {scales[channel]:g}, exceed 32 bits",
            "use fewer inputs, smaller biases or a larger output scale",
        )
    if len(reals) == 1:
        multipliers, shifts, found = exact_multipliers(scales[:1], sums.widest, y.zero_point, limits)
        if found[0]:
            return single(multipliers, shifts)
    multipliers, shifts, found = exact_multipliers(scales, sums, y.zero_point, limits)
    missed = np.flatnonzero(~found)
    if missed.size:
        nearest = np.array([quantize_multiplier(float(scale)) for scale in scales[missed]], np.int64)
        multipliers[missed], shifts[missed] = nearest.T
        off = sums_off(scales[missed], (nearest[:, 0], nearest[:, 1]), sums[missed], y.zero_point, limits)
        for channel, count in zip(missed[off > 0], off[off > 0], strict=True):
            scope.notes.append(
                f"FullyConnected {y.name!r}, channel {channel}: no 31-bit multiplier equals LiteRT's "
                f"double precision; {count} of {sums.lowest[channel] + sums.highest[channel] + 1} possible sums "
                "give an output that is 1 off"
            )
    return single(multipliers, shifts)


def single(multipliers: np.ndarray, shifts: np.ndarray) -> Requantize:
    """Multipliers and shifts with single rounding."""
    return Requantize(multipliers.astype(np.int32), shifts.astype(np.int32), Rounding.SINGLE)
