"""TFLite's operators as operators of the integer graph: one rule each, after LiteRT's kernels' Prepare.

A rule takes the scope and the file's operator and returns our operator (None for one that is folded into
another), or raises Unsupported. Sources are named by their path in google-ai-edge/LiteRT `tflite/kernels`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from intaglio.network.digits import told_apart
from intaglio.network.exact_multiplier import Reach, exact_multipliers, reach, sums_off
from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    Dequantize,
    FullyConnected,
    MaxPool2D,
    Mean,
    Operator,
    Padding,
    Quantize,
    Requantize,
    Rescale,
    Reshape,
    Rounding,
    Softmax,
)
from intaglio.network.quantized_multiplier import mean_multiplier, quantize_multiplier, requantize_by
from intaglio.network.tflite.file import FileOperator, ModelFile
from intaglio.network.tflite.tensors import (
    Activation,
    Scope,
    Unsupported,
    activation,
    bias,
    checked_quantization,
    constant_integers,
    expect_shape,
    inputs_and_outputs,
    run_time,
    weights,
)

SAME, VALID = 0, 1
"""schema.fbs, enum Padding."""
ACTIVATIONS: dict[int, tuple[float | None, float | None]] = {
    0: (None, None),
    1: (0.0, None),
    2: (-1.0, 1.0),
    3: (0.0, 6.0),
}
"""schema.fbs, ActivationFunctionType NONE, RELU, RELU_N1_TO_1, RELU6 -> lowest and highest real value."""
BIAS_SCALE_TOLERANCE = 0.02
"""LiteRT refuses a fully connected bias whose scale is off by more than this share of the output's scale."""


def options_of(op: FileOperator) -> dict[str, Any]:
    """The options of an operator that cannot do without."""
    if op.options is None:
        raise Unsupported("", "its options are missing", "export the model again")
    return op.options


def operand(scope: Scope, op: FileOperator, position: int = 0) -> Activation:
    """The int8 tensor at an input."""
    return activation(scope.tensor(op, position))


def result(scope: Scope, op: FileOperator) -> Activation:
    """The int8 tensor at the output."""
    return activation(scope.model.tensors[op.outputs[0]])


def image(tensor: Activation) -> Activation:
    """Refuses what is not [N, H, W, C]."""
    if len(tensor.shape) != 4:
        raise Unsupported(
            tensor.name,
            f"its shape is {list(tensor.shape)}, not [N, H, W, C]",
            "reshape it to four dimensions",
        )
    return tensor


def quantized_limit(real: float, output: Activation) -> int:
    """kernel_util.cc, Quantize: zero point + round(real / scale), in float32, half away from zero."""
    ratio = float(np.float32(real) / output.scale)
    if not abs(ratio) < 2.0**31:
        raise Unsupported(
            output.name, f"its scale {output.scale:g} is too small for the activation", "quantize it again"
        )
    return output.zero_point + int(math.copysign(math.floor(abs(ratio) + 0.5), ratio))


def clamp(code: int, output: Activation) -> tuple[int, int]:
    """kernel_util.cc, CalculateActivationRangeQuantized: the fused activation as lowest and highest int8."""
    if code not in ACTIVATIONS:
        raise Unsupported(
            output.name,
            f"fused activation {code} is not supported",
            "use none, RELU, RELU6 or RELU_N1_TO_1, or a separate operator",
        )
    lowest, highest = ACTIVATIONS[code]
    low = -128 if lowest is None else max(-128, quantized_limit(lowest, output))
    high = 127 if highest is None else min(127, quantized_limit(highest, output))
    if low > high:
        raise Unsupported(output.name, f"the activation leaves no value between {low} and {high}", "quantize it again")
    return low, high


def window(
    op: FileOperator,
    size: tuple[int, int],
    image_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[Padding, tuple[int, int]]:
    """padding.h, ComputePaddingHeightWidth: explicit padding and the output's rows and columns."""
    padding = options_of(op)["Padding"]
    if padding not in (SAME, VALID):
        raise Unsupported("", f"padding {padding} is neither SAME nor VALID", "export the model again")
    if min(*size, *stride, *dilation) < 1:
        raise Unsupported(
            "",
            f"window {list(size)}, stride {list(stride)} and dilation {list(dilation)} must be positive",
            "export the model again",
        )
    before, after, counts = [], [], []
    for length, k, s, d in zip(image_shape[1:3], size, stride, dilation, strict=True):
        span = (k - 1) * d + 1
        count = -(-length // s) if padding == SAME else -(-(length - span + 1) // s)
        total = max((count - 1) * s + span - length, 0) if padding == SAME else 0
        if count < 1:
            raise Unsupported("", f"a window of {span} does not fit into {length} rows or columns", "use SAME padding")
        before.append(total // 2)
        after.append(total - total // 2)
        counts.append(count)
    return Padding(before[0], after[0], before[1], after[1]), (counts[0], counts[1])


def conv_2d(scope: Scope, op: FileOperator) -> Operator:
    """conv.cc; as many groups as the weights' input channels fit into the input's."""
    kernel, scales = weights(scope.tensor(op, 1), 4)
    return convolution(scope, op, kernel, scales)


def depthwise_conv_2d(scope: Scope, op: FileOperator) -> Operator:
    """depthwise_conv.cc: weights [1, KH, KW, O], output channel o reads input channel o // (O / I). The kernel
    takes O / I for the depth multiplier, whatever the options say."""
    tensor = scope.tensor(op, 1)
    kernel, scales = weights(tensor, 4, axis=3)
    if kernel.shape[0] != 1:
        raise Unsupported(tensor.name, f"depthwise weights of shape {list(kernel.shape)}", "export the model again")
    return convolution(scope, op, np.ascontiguousarray(kernel.transpose(3, 1, 2, 0)), scales)


def convolution(scope: Scope, op: FileOperator, kernel: np.ndarray, scales: np.ndarray) -> Operator:
    """Double rounding, the scale in double precision for each output channel. kernel: [O, KH, KW, I / groups]."""
    inputs_and_outputs(op, (2, 3))
    source = op.inputs[0]
    folded = Padding()
    if source in scope.padded:
        source, folded = scope.padded[source]
    if source < 0:
        raise Unsupported("", "its input is missing", "export the model again")
    x, y = image(activation(scope.model.tensors[source])), image(result(scope, op))
    channels, rows, columns, depth = kernel.shape
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
    reals = [float(x.scale) * float(s) / float(y.scale) for s in scales]
    return Conv2D(
        y.name,
        (x.name,),
        (y.name,),
        kernel,
        bias(scope, op, channels),
        stride,
        dilation,
        folded if source != op.inputs[0] else padding,
        x.zero_point,
        y.zero_point,
        requantize(reals, y),
        clamp(options["FusedActivationFunction"], y),
        groups=groups,
    )


def requantize(reals: list[float], output: Activation) -> Requantize:
    """Double rounding; refuses scales of 2**30 and more, which no shift can hold."""
    how = requantize_by(reals, Rounding.DOUBLE)
    if how.shift.max() > 30:
        raise Unsupported(output.name, f"the scale {max(reals):g} is too large", "quantize the network again")
    return how


def fully_connected(scope: Scope, op: FileOperator) -> Operator:
    """fully_connected.cc: the reference rounds double(sum) * scale, half away from zero."""
    inputs_and_outputs(op, (2, 3))
    x, y = operand(scope, op), result(scope, op)
    kernel, scales = weights(scope.tensor(op, 1), 2)
    units, depth = kernel.shape
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
    if len(scales) == 1:
        check_bias_scale(scope, op, x, y, scales[0])
    offsets = bias(scope, op, units)
    limits = clamp(options.get("FusedActivationFunction", 0), y)
    reals = [float(x.scale) * float(s) / float(y.scale) for s in scales]
    how = fully_connected_requantize(scope, reals, reach(kernel, offsets, x.zero_point), y, limits)
    return FullyConnected(y.name, (x.name,), (y.name,), kernel, offsets, x.zero_point, y.zero_point, how, limits)


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


def add(scope: Scope, op: FileOperator) -> Operator:
    """add.cc: both operands to twice the larger scale with 20 fractional bits, then to the output's."""
    inputs_and_outputs(op, (2,))
    a, b, y = operand(scope, op, 0), operand(scope, op, 1), result(scope, op)
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


def pool_2d(kind: type[AveragePool2D] | type[MaxPool2D], scope: Scope, op: FileOperator) -> Operator:
    """pooling.cc: input and output share their quantization."""
    inputs_and_outputs(op, (1,))
    x, y = image(operand(scope, op)), image(result(scope, op))
    if x.zero_point != y.zero_point or abs(float(x.scale) - float(y.scale)) > 1e-6:
        before, after = told_apart(float(x.scale), float(y.scale))
        raise Unsupported(
            y.name,
            f"pooling must not change scale or zero point, here from {before} and {x.zero_point} to {after} and {y.zero_point}",
            "quantize it again with the TFLite converter",
        )
    options = options_of(op)
    size = (options["FilterHeight"], options["FilterWidth"])
    stride = (options["StrideH"], options["StrideW"])
    padding, (rows, columns) = window(op, size, x.shape, stride, (1, 1))
    expect_shape(y, (x.shape[0], rows, columns, x.shape[3]))
    limits = clamp(options["FusedActivationFunction"], y)
    return kind(y.name, (x.name,), (y.name,), size, stride, padding, limits)


def mean(scope: Scope, op: FileOperator) -> Operator:
    """reduce.cc: over rows and columns, 1 / (H * W) folded into the multiplier."""
    inputs_and_outputs(op, (2,))
    x, y = image(operand(scope, op)), result(scope, op)
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


def quantize(scope: Scope, op: FileOperator) -> Operator:
    """quantize.cc: float32 to int8 on the host, int8 to int8 as a Rescale."""
    inputs_and_outputs(op, (1,))
    source, y = scope.tensor(op, 0), result(scope, op)
    expect_shape(y, source.shape)
    if source.type == "FLOAT32":
        run_time(source, "FLOAT32")
        return Quantize(y.name, (source.name,), (y.name,))
    x = activation(source)
    how = requantize([float(x.scale) / float(y.scale)], y)
    return Rescale(y.name, (x.name,), (y.name,), x.zero_point, y.zero_point, how, (-128, 127))


def dequantize(scope: Scope, op: FileOperator) -> Operator:
    """dequantize.cc: int8 to float32 on the host."""
    inputs_and_outputs(op, (1,))
    x, y = operand(scope, op), scope.model.tensors[op.outputs[0]]
    run_time(y, "FLOAT32")
    expect_shape(y, x.shape)
    return Dequantize(y.name, (x.name,), (y.name,))


def relu(code: int) -> Callable[[Scope, FileOperator], Operator]:
    """activations.cc, QuantizedReluX: a Rescale with clamp; the ratio of scales is a float32 there."""

    def rule(scope: Scope, op: FileOperator) -> Operator:
        inputs_and_outputs(op, (1,))
        x, y = operand(scope, op), result(scope, op)
        expect_shape(y, x.shape)
        how = requantize([float(x.scale / y.scale)], y)
        return Rescale(y.name, (x.name,), (y.name,), x.zero_point, y.zero_point, how, clamp(code, y))

    return rule


def softmax(scope: Scope, op: FileOperator) -> Operator:
    """activations.cc, SoftmaxPrepare: the output is fixed at scale 1/256 and zero point -128."""
    inputs_and_outputs(op, (1,))
    x, y = operand(scope, op), result(scope, op)
    expect_shape(y, x.shape)
    if y.zero_point != -128 or abs(float(y.scale) - 1 / 256) > 0.001 / 256:
        reason = f"a softmax has scale 1/256 and zero point -128, here {told_apart(float(y.scale), 1 / 256)[0]} and {y.zero_point}"
        raise Unsupported(y.name, reason, "quantize the network again")
    beta = float(options_of(op)["Beta"])
    if not beta * float(x.scale) * 2.0**26 > 1.0 or not math.isfinite(beta):
        raise Unsupported(x.name, f"beta {beta:g} times its scale {x.scale:g} is too small", "quantize it again")
    if x.shape[-1] > 4095:
        raise Unsupported(x.name, f"a softmax over {x.shape[-1]} values overflows LiteRT's sum", "use at most 4095")
    return Softmax(y.name, (x.name,), (y.name,), beta)


def same_elements(scope: Scope, op: FileOperator, shape: tuple[int, ...]) -> Operator:
    """A Reshape to `shape`, which the file must also declare."""
    x, y = operand(scope, op), result(scope, op)
    expect_shape(y, shape)
    if math.prod(x.shape) != math.prod(y.shape):
        raise Unsupported(y.name, f"{list(x.shape)} and {list(y.shape)} differ in size", "export the model again")
    return Reshape(y.name, (x.name,), (y.name,))


def reshape(scope: Scope, op: FileOperator) -> Operator:
    """reshape.cc: the new shape from the second input or the options, -1 for one that follows."""
    inputs_and_outputs(op, (1, 2))
    x = operand(scope, op)
    if len(op.inputs) == 2 and op.inputs[1] >= 0:
        target = constant_integers(scope.tensor(op, 1))
    else:
        target = options_of(op)["NewShape"]
    if target.count(-1) > 1 or any(d < 1 and d != -1 for d in target):
        raise Unsupported(x.name, f"the new shape {list(target)} is not valid", "export the model again")
    known = math.prod(d for d in target if d != -1)
    return same_elements(scope, op, tuple(math.prod(x.shape) // known if d == -1 else d for d in target))


def squeeze(scope: Scope, op: FileOperator) -> Operator:
    """squeeze.cc: removes the named axes of length 1, or all of them."""
    inputs_and_outputs(op, (1,))
    x = operand(scope, op)
    rank = len(x.shape)
    named = {d + rank if d < 0 else d for d in (op.options or {}).get("SqueezeDims", ())}
    axes = named or {i for i, d in enumerate(x.shape) if d == 1}
    if any(not 0 <= a < rank or x.shape[a] != 1 for a in axes):
        raise Unsupported(x.name, f"axes {sorted(axes)} of {list(x.shape)} cannot be removed", "export the model again")
    return same_elements(scope, op, tuple(d for i, d in enumerate(x.shape) if i not in axes))


def expand_dims(scope: Scope, op: FileOperator) -> Operator:
    """expand_dims.cc: a new axis of length 1."""
    inputs_and_outputs(op, (2,))
    x = operand(scope, op)
    axes = constant_integers(scope.tensor(op, 1))
    if len(axes) != 1 or not -len(x.shape) - 1 <= axes[0] <= len(x.shape):
        raise Unsupported(x.name, f"axis {list(axes)} cannot be added to {list(x.shape)}", "export the model again")
    axis = axes[0] + len(x.shape) + 1 if axes[0] < 0 else axes[0]
    return same_elements(scope, op, (*x.shape[:axis], 1, *x.shape[axis:]))


def pad(scope: Scope, op: FileOperator) -> None:
    """pad.cc: adds zero points, so it becomes the padding of a following VALID convolution; nothing else."""
    inputs_and_outputs(op, (2,))
    x, y = image(operand(scope, op)), image(result(scope, op))
    if op.outputs[0] not in scope.padded:
        raise Unsupported(
            y.name,
            "padding is supported only of rows and columns, at one scale, before one VALID convolution",
            "use SAME padding, or pad directly before one convolution",
        )
    around = scope.padded[op.outputs[0]][1]
    n, height, width, channels = x.shape
    expect_shape(y, (n, height + around.top + around.bottom, width + around.left + around.right, channels))


def foldable_pads(model: ModelFile) -> dict[int, tuple[int, Padding]]:
    """PAD outputs that one VALID convolution alone reads -> the PAD's input and its padding."""
    found = {}
    for op in model.operators:
        if op.code != "PAD" or len(op.inputs) != 2 or len(op.outputs) != 1 or min(op.inputs) < 0:
            continue
        source, target = model.tensors[op.inputs[0]], model.tensors[op.outputs[0]]
        amounts = model.tensors[op.inputs[1]]
        readers = [o for o in model.operators if target.index in o.inputs]
        if (
            len(readers) != 1
            or readers[0].code not in ("CONV_2D", "DEPTHWISE_CONV_2D")
            or readers[0].inputs[0] != target.index
            or readers[0].inputs.count(target.index) != 1
            or (readers[0].options or {}).get("Padding") != VALID
            or target.index in model.outputs
        ):
            continue
        try:
            before, after = checked_quantization(source), checked_quantization(target)
            values = constant_integers(amounts)
        except Unsupported:
            continue
        same = len(before.scale) == len(after.scale) == 1 and (
            before.scale[0] == after.scale[0] and before.zero_point[0] == after.zero_point[0]
        )
        if (
            not same
            or amounts.shape != (4, 2)
            or any(values[:2] + values[6:])
            or not all(0 <= v < 2**16 for v in values)
        ):
            continue
        found[target.index] = (source.index, Padding(values[2], values[3], values[4], values[5]))
    return found


RULES: dict[str, Callable[[Scope, FileOperator], Operator | None]] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "FULLY_CONNECTED": fully_connected,
    "ADD": add,
    "AVERAGE_POOL_2D": partial(pool_2d, AveragePool2D),
    "MAX_POOL_2D": partial(pool_2d, MaxPool2D),
    "MEAN": mean,
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "RELU": relu(1),
    "RELU_N1_TO_1": relu(2),
    "RELU6": relu(3),
    "SOFTMAX": softmax,
    "RESHAPE": reshape,
    "SQUEEZE": squeeze,
    "EXPAND_DIMS": expand_dims,
    "PAD": pad,
}
"""Operator of the file -> its rule. What is not here is refused by name."""
