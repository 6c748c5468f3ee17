"""ONNX's float operators between DequantizeLinear and QuantizeLinear as operators of the integer graph.

Each rule takes the scope, the operator as Pending and the Output that QuantizeLinear makes of it; it emits what
onnxruntime computes there, or raises Unsupported. Shapes of images in the file: [N, C, H, W].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intaglio.network.arithmetic import pad_rows_and_columns, windows
from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    FileForm,
    FullyConnected,
    Mean,
    Padding,
    Requantize,
    Rescale,
)
from intaglio.network.onnx_add import LEFT_SHIFT, Scaling, integer_add
from intaglio.network.onnx_file import Node
from intaglio.network.onnx_scale import elementwise, float_scale, mean_scale, product_scale
from intaglio.network.onnx_scope import Scope
from intaglio.network.onnx_values import (
    INT8,
    UINT8,
    Constant,
    Pending,
    Real,
    Stored,
    Unsupported,
    Value,
    Weights,
    channels_last,
    identity,
    is_channels_last,
)

BIAS_TOLERANCE = 0.01
"""onnxruntime takes an int32 bias for what the sums are, whatever its scale; further off it would be an error."""


@dataclass(frozen=True)
class Output:
    """A QuantizeLinear: its output's name, scale, zero point and type in the file; node, for messages."""

    name: str
    scale: np.float32
    zero_point: int
    dtype: np.dtype
    node: Node

    @property
    def moved(self) -> int:
        """The zero point in the graph's int8."""
        return self.zero_point - 128 * (self.dtype == UINT8)

    def quantize(self, real: np.ndarray | np.float32) -> np.ndarray:
        """QuantizeLinear of float32 in the graph's int8: int64."""
        with np.errstate(all="ignore"):
            rounded = np.rint(np.float32(real) / self.scale).astype(np.float64) + self.moved
        return np.clip(np.nan_to_num(rounded, nan=-128.0), -128, 127).astype(np.int64)

    def clamp(self, pending: Pending) -> tuple[int, int]:
        low, high = (int(self.quantize(np.float32(limit))) for limit in (pending.low, pending.high))
        return low, max(low, high)


def run_time(value: Value, scope: Scope) -> Real:
    """A dequantized 8-bit tensor."""
    if not isinstance(value, Real):
        if isinstance(value, Constant | Weights):
            raise Unsupported(
                "one of its operands is a constant",
                "fold it into the operator before (onnxruntime.quantization.quant_pre_process, then quantize again)",
            )
        raise Unsupported("an input of it is float, not a quantized tensor", "quantize activations to int8 or uint8")
    scope.accelerated(value.stored)
    return value


def unpadded(value: Value, scope: Scope) -> Real:
    real = run_time(value, scope)
    if real.stored.pad:
        raise Unsupported(f"its input is padded by {real.stored.pad}", "pad directly before a convolution")
    return real


def centre(real: Real) -> int:
    """The input's zero point in the graph's int8."""
    return real.zero_point - 128 * (real.stored.form.dtype == UINT8)


def why_float(scope: Scope, pending: Pending, out: Output, *extra: str) -> None:
    """Notes where onnxruntime 1.31 leaves the operator in float32 (`optimizer/qdq_transformer`)."""
    reasons = [reason for reason in extra if reason]
    types = {v.stored.form.dtype for v in pending.operands if isinstance(v, Real)} | {out.dtype}
    if len(types) > 1:
        reasons.append("input and output have different types")
    if any(v.moves for v in pending.operands if isinstance(v, Real)):
        reasons.append("its input is reshaped between DequantizeLinear and it")
    if any(scope.readers.get(node.outputs[0], 0) != 1 for node in pending.nodes):
        reasons.append("its float result is read elsewhere too")
    if out.clamp(pending) != (-128, 127):
        reasons.append("the activation before QuantizeLinear is not the type's range")
    if reasons and not pending.nodes[0].fused:
        scope.in_float(pending.nodes[0], out.name, ", ".join(reasons))


def window(
    node: Node, shape: tuple[int, ...], size: tuple[int, int], extra: Padding
) -> tuple[tuple[int, int], tuple[int, int], Padding, tuple[int, int]]:
    """stride, dilation, padding (with extra) and the output's rows and columns, by the operators' specification."""
    attributes = node.attributes
    stride, dilation = (_pair(attributes.get(name, (1, 1)), name) for name in ("strides", "dilations"))
    if min(*size, *stride, *dilation) < 1:
        raise Unsupported(f"window {list(size)}, stride {list(stride)}, dilation {list(dilation)}", "export it again")
    auto = attributes.get("auto_pad", "NOTSET")
    inner = (shape[2] + extra.top + extra.bottom, shape[3] + extra.left + extra.right)
    begin: tuple[int, ...]
    end: tuple[int, ...]
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    if auto == "NOTSET":
        pads = tuple(int(p) for p in attributes.get("pads", (0, 0, 0, 0)))
        if len(pads) != 4 or min(pads) < 0 or max(pads) >= 2**16:
            raise Unsupported(f"its pads are {list(pads)}", "use four pads that are not negative")
        begin, end = pads[:2], pads[2:]
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        if dilation != (1, 1):
            raise Unsupported(f"it has auto_pad {auto} and dilations; onnxruntime has no kernel for both", "use explicit pads")
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(inner, stride, span, strict=True)]
        begin, end = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        if auto == "SAME_LOWER":
            begin, end = end, begin
    elif auto == "VALID":
        begin = end = (0, 0)
    else:
        raise Unsupported(f"its auto_pad is {auto!r}", "use explicit pads")
    out = tuple((n + b + e - k) // s + 1 for n, b, e, k, s in zip(inner, begin, end, span, stride, strict=True))
    if min(out) < 1:
        raise Unsupported(f"a window of {span} does not fit into {list(inner)}", "export the model again")
    padding = Padding(extra.top + begin[0], extra.bottom + end[0], extra.left + begin[1], extra.right + end[1])
    return stride, dilation, padding, (out[0], out[1])


def _pair(values: object, name: str) -> tuple[int, int]:
    numbers = tuple(int(v) for v in np.atleast_1d(np.asarray(values)))
    if len(numbers) != 2:
        raise Unsupported(f"its {name} are {list(numbers)}", "use two-dimensional operators")
    return numbers[0], numbers[1]


def int32_bias(
    scope: Scope, value: Value | None, channels: int, scales: np.ndarray, factor: float = 1.0
) -> np.ndarray:
    """The bias in units of the sums, int32 [channels]. scales: float32 of the sums, [1] or [channels].

    int32 is taken as it is; float is divided in float32 and rounded half to even, as onnxruntime's
    WeightBiasQuantization does.
    """
    if value is None:
        return np.zeros(channels, np.int32)
    if isinstance(value, Weights):
        raw, given = value.raw, value.scale
        if raw.dtype != np.int32 or value.zero_point.any():
            raise Unsupported(f"its bias is {raw.dtype} with zero points", "quantize biases to int32, zero point 0")
        if not np.allclose(given, scales, rtol=BIAS_TOLERANCE, atol=0):
            raise Unsupported(
                f"its bias has the scale {given[0]:g}, not input scale times weight scale {scales.reshape(-1)[0]:g}",
                "quantize the network again",
            )
        if factor != 1.0:
            value, real = None, raw.astype(np.float32) * given.astype(np.float32) * np.float32(factor)
        else:
            return _broadcast(raw, channels).astype(np.int32)
    elif isinstance(value, Constant):
        real = scope.file.constants[value.name] * np.float32(factor)
    else:
        raise Unsupported("its bias is computed", "store the bias as a constant")
    if real.dtype != np.float32:
        raise Unsupported(f"its bias is {real.dtype}", "store it as float32 or int32")
    with np.errstate(all="ignore"):
        rounded = np.rint(_broadcast(real, channels) / scales)
    if not (np.abs(rounded) < 2**31).all():
        raise Unsupported("its bias exceeds 32 bits in units of the sums", "quantize the network again")
    return rounded.astype(np.int32)


def _broadcast(bias: np.ndarray, channels: int) -> np.ndarray:
    if bias.size not in (1, channels) or (bias.size > 1 and bias.shape[-1] != channels):
        raise Unsupported(f"its bias has shape {list(bias.shape)}, not [{channels}]", "export the model again")
    return np.broadcast_to(bias.reshape(-1), (channels,))


def conv(scope: Scope, pending: Pending, out: Output) -> Stored:
    node = pending.nodes[0]
    real = run_time(pending.operands[0], scope)
    weights = pending.operands[1]
    rank = weights.raw.ndim if isinstance(weights, Weights) else 4
    if rank != 4:
        raise Unsupported(f"its weights have {rank} dimensions", "use two-dimensional convolutions")
    channels = weights.raw.shape[0] if isinstance(weights, Weights) else 0
    kernel, scales, weight_zero_point = scope.weights(weights, 0, channels)
    shape = real.stored.shape
    if len(shape) != 4 or shape[1] != kernel.shape[1]:
        raise Unsupported(f"weights {list(kernel.shape)} do not fit the input {list(shape)}", "export the model again")
    size = (kernel.shape[2], kernel.shape[3])
    if _pair(node.attributes.get("kernel_shape", size), "kernel_shape") != size:
        raise Unsupported("its kernel_shape is not its weights'", "export the model again")
    stride, dilation, padding, (rows, columns) = window(node, shape, size, real.stored.padding)
    sums = real.scale * scales
    bias = int32_bias(scope, pending.operands[2] if len(pending.operands) > 2 else None, channels, sums)
    how = product_scale(real.scale, scales, out.scale)
    form = channels_last((shape[0], channels, rows, columns), out.dtype)
    tensor, stored = scope.result(out.name, form, form.unfolded, out.scale, out.zero_point)
    why_float(scope, pending, out, _weight_types(pending))
    image = scope.image(real)
    op = Conv2D(
        out.name, (image,), (out.name,), np.ascontiguousarray(kernel.transpose(0, 2, 3, 1)), bias, stride, dilation,
        padding, centre(real), out.moved, how, out.clamp(pending), weight_zero_point,
    )  # fmt: skip
    scope.emit(op, tensor)
    return stored


def _weight_types(pending: Pending) -> str:
    """int8 activations have kernels for int8 weights only."""
    real, weights = pending.operands[:2]
    assert isinstance(real, Real) and isinstance(weights, Weights)
    signed = real.stored.form.dtype == INT8
    return "int8 activations with uint8 weights" if signed and weights.raw.dtype != INT8 else ""


def gemm(scope: Scope, pending: Pending, out: Output) -> Stored:
    """Gemm, MatMul with constant weights, and MatMul with an Add of a constant behind it."""
    node = pending.nodes[0]
    attributes = node.attributes if node.op == "Gemm" else {}
    real = unpadded(pending.operands[0], scope)
    value = pending.operands[1]
    if not isinstance(value, Weights) or value.raw.ndim != 2:
        raise Unsupported("its second operand is no constant matrix of 8-bit integers", "quantize its weights to int8")
    across = 0 if attributes.get("transB") else 1
    units, depth = value.raw.shape[across], value.raw.shape[1 - across]
    raw, scales, weight_zero_point = scope.weights(value, across, units)
    matrix = raw if across == 0 else raw.T
    order = real.stored.order()
    if attributes.get("transA"):
        order = order.T
    if order.ndim < 1 or order.shape[-1] != depth or (node.op == "Gemm" and order.ndim != 2):
        raise Unsupported(f"weights {list(raw.shape)} do not fit the input {list(order.shape)}", "export the model again")
    rows = order.reshape(-1, depth)
    columns = rows[0]
    if not np.array_equal(rows - columns, np.broadcast_to(np.arange(len(rows))[:, None] * depth, rows.shape)):
        raise Unsupported("its input's elements would have to move in memory", "leave out the reshape or transpose before it")
    weights = np.empty((units, depth), np.int8)
    weights[:, columns] = matrix
    alpha, beta = (float(attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    sums = np.float32(alpha) * real.scale * scales
    how = product_scale(real.scale, scales, out.scale, alpha)
    offset = pending.operands[2] if len(pending.operands) > 2 and beta != 0.0 else None
    bias = int32_bias(scope, offset, units, sums, beta)
    shape = (*order.shape[:-1], units)
    tensor, stored = scope.result(out.name, identity(shape, out.dtype), shape or (1,), out.scale, out.zero_point)
    unusual = "alpha or beta is not 1" if (alpha, beta) != (1.0, 1.0) else ""
    added = "a MatMul of other than two dimensions with a bias" if len(pending.operands) > 2 and order.ndim != 2 else ""
    why_float(scope, pending, out, _weight_types(pending), unusual, added)
    op = FullyConnected(
        out.name, (real.stored.tensor,), (out.name,), weights, bias, centre(real), out.moved, how, out.clamp(pending),
        weight_zero_point,
    )  # fmt: skip
    scope.emit(op, tensor)
    return stored


def add(scope: Scope, pending: Pending, out: Output) -> Stored:
    a, b = (unpadded(value, scope) for value in pending.operands)
    if a.stored.shape != b.stored.shape:
        raise Unsupported(
            f"shapes {list(a.stored.shape)} and {list(b.stored.shape)} differ (broadcasting)",
            "give both operands one shape",
        )
    if not np.array_equal(a.stored.order(), b.stored.order()):
        raise Unsupported(
            "one operand's elements would have to move in memory", "leave out the reshape or transpose before it"
        )
    types = {a.stored.form.dtype, b.stored.form.dtype, out.dtype}
    if len(types) > 1:
        raise Unsupported("its operands and result have different 8-bit types", "quantize all of them to one type")
    scaling = Scaling(
        float(a.scale), a.zero_point, float(b.scale), b.zero_point, float(out.scale), out.zero_point,
        out.dtype == UINT8,
    )  # fmt: skip
    found = integer_add(scaling)
    if found is None:
        raise Unsupported("its scales differ by more than the hardware's factors reach", "quantize the network again")
    shape = scope.tensors[a.stored.tensor].shape
    tensor, stored = scope.result(out.name, a.stored.form, shape, out.scale, out.zero_point)
    if found.wrong:
        scope.may_differ(
            pending.nodes[0],
            out.name,
            f"the integer sum differs from onnxruntime's float32 by 1 for {found.wrong} of 65,536 pairs of inputs",
        )
    why_float(scope, pending, out)
    second = scope.reshaped(b.stored, shape)
    op = Add(
        out.name, (a.stored.tensor, second), (out.name,), (centre(a), centre(b)), LEFT_SHIFT, found.operands, 0,
        found.result, out.clamp(pending), found.bias,
    )  # fmt: skip
    scope.emit(op, tensor)
    return stored


def average_pool(scope: Scope, pending: Pending, out: Output) -> Stored:
    node = pending.nodes[0]
    real = unpadded(pending.operands[0], scope)
    shape = real.stored.shape
    if len(shape) != 4:
        raise Unsupported(f"its input has shape {list(shape)}", "use two-dimensional images [N, C, H, W]")
    size = _pair(node.attributes.get("kernel_shape", ()), "kernel_shape")
    stride, dilation, padding, sizes = window(node, shape, size, Padding())
    if dilation != (1, 1):
        raise Unsupported("its windows are dilated", "use dilations of 1")
    if node.attributes.get("ceil_mode", 0) and any(
        (n + before + after - k) % s
        for n, before, after, k, s in zip(
            shape[2:], (padding.top, padding.left), (padding.bottom, padding.right), size, stride, strict=True
        )
    ):
        raise Unsupported("ceil_mode adds windows that lie partly outside", "use ceil_mode 0, or pads that fill them")
    with np.errstate(all="ignore"):
        factor = np.float32(real.scale / out.scale)
    float_scale(np.atleast_1d(factor))
    whole = bool(node.attributes.get("count_include_pad", 0))
    form = channels_last((shape[0], shape[1], *sizes), out.dtype)
    tensor, stored = scope.result(out.name, form, form.unfolded, out.scale, out.zero_point)
    inside = pad_rows_and_columns(np.ones((1, *shape[2:], 1), np.int64), padding, int(whole))
    counts = np.unique(windows(inside, size, stride, (1, 1)).sum(axis=(4, 5)))
    if any(_tie_possible(float(real.scale), float(out.scale), int(count)) for count in counts):
        scope.may_differ(
            node,
            out.name,
            "onnxruntime averages in float32, so that an output may differ by 1 where the exact mean is a tie or next "
            "to one",
        )
    op = AveragePool2D(
        out.name, (scope.image(real),), (out.name,), size, stride, padding, out.clamp(pending), float(factor),
        centre(real), out.moved, whole,
    )  # fmt: skip
    scope.emit(op, tensor)
    return stored


def _tie_possible(scale: float, output_scale: float, count: int) -> bool:
    """Whether a mean of `count` elements can come so near to a tie that float32's rounding decides it.

    onnxruntime adds count products, divides twice and rounds: at most count + 3 relative errors of 2**-24.
    """
    if count > 4096:
        return True
    means = np.arange(255 * count + 1) * (scale / output_scale / count)
    means = means[means < 256]
    return bool((np.abs(means - np.floor(means) - 0.5) <= (count + 3) * 2.0**-24 * np.maximum(means, 1) * 2).any())


def global_average_pool(scope: Scope, pending: Pending, out: Output) -> Stored:
    real = unpadded(pending.operands[0], scope)
    shape = real.stored.shape
    if len(shape) != 4:
        raise Unsupported(f"its input has shape {list(shape)}", "use two-dimensional images [N, C, H, W]")
    why_float(scope, pending, out)
    how = mean_scale(real.scale, out.scale, shape[2] * shape[3])
    form = channels_last((shape[0], shape[1], 1, 1), out.dtype)
    return _mean(scope, pending, out, real, scope.image(real), how, form)


def reduce_mean(scope: Scope, pending: Pending, out: Output) -> Stored:
    """A mean over the axes that the graph holds as rows and columns; float32 in onnxruntime."""
    node = pending.nodes[0]
    real = unpadded(pending.operands[0], scope)
    shape = real.stored.shape
    axes = scope.integers(node, "axes", 1) or ()
    named = sorted({axis % len(shape) for axis in axes}) if shape else []
    if len(shape) != 4 or len(named) != 2 or 0 in named:
        raise Unsupported(f"a mean over axes {list(axes)} of {list(shape)}", "take the mean over rows and columns")
    channel = ({1, 2, 3} - set(named)).pop()
    order = real.stored.order().transpose(0, channel, *named)
    if not is_channels_last(order):
        raise Unsupported("its input's elements would have to move in memory", "take the mean over rows and columns")
    n, c, h, w = order.shape
    keep = bool(node.attributes.get("keepdims", 1))
    kept = tuple(1 if axis in named else length for axis, length in enumerate(shape)) if keep else (n, c)
    scope.in_float(node, out.name, "it has no integer kernel for ReduceMean")
    how = mean_scale(real.scale, out.scale, h * w)
    image = scope.reshaped(real.stored, (n, h, w, c))
    return _mean(scope, pending, out, real, image, how, FileForm((n, c), (0, 1), kept, out.dtype))


def _mean(
    scope: Scope, pending: Pending, out: Output, real: Real, image: str, how: Requantize, form: FileForm
) -> Stored:
    n, *_, c = scope.tensors[image].shape
    shape = (n, 1, 1, c) if math.prod(form.shape[2:]) == 1 and len(form.shape) == 4 else (n, c)
    tensor, stored = scope.result(out.name, form, shape, out.scale, out.zero_point)
    scope.emit(Mean(out.name, (image,), (out.name,), centre(real), out.moved, how, out.clamp(pending)), tensor)
    return stored


def rescale(scope: Scope, real: Real, out: Output, pending: Pending | None = None) -> Stored:
    """A change of quantization, with a Relu or Clip where there is one: exact for each of the 256 inputs."""
    if real.stored.pad:
        raise Unsupported(f"its input is padded by {real.stored.pad}", "keep scale and zero point across a Pad")
    scope.accelerated(real.stored)
    values = (np.arange(-128, 128) - centre(real)).astype(np.float32) * real.scale
    if pending is not None:
        values = np.minimum(np.maximum(values, np.float32(pending.low)), np.float32(pending.high))
    table = out.quantize(values)
    clamp = out.clamp(pending) if pending is not None else (-128, 127)
    with np.errstate(all="ignore"):
        ratio = np.float32(real.scale / out.scale)
    if not 2.0**-40 < ratio < 2.0**30:
        raise Unsupported(f"scales change by the factor {ratio:g}", "quantize the network again")
    how, wrong = elementwise(table, centre(real), out.moved, clamp, float(ratio))
    if wrong:
        scope.may_differ(out.node, out.name, f"differs from onnxruntime's float32 by 1 for {wrong} of 256 inputs")
    shape = scope.tensors[real.stored.tensor].shape
    form = FileForm(real.stored.form.unfolded, real.stored.form.permutation, real.stored.form.shape, out.dtype)
    tensor, stored = scope.result(out.name, form, shape, out.scale, out.zero_point)
    scope.emit(Rescale(out.name, (real.stored.tensor,), (out.name,), centre(real), out.moved, how, clamp), tensor)
    return stored


RULES: dict[str, Callable[[Scope, Pending, Output], Stored]] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": gemm,
    "Add": add,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "ReduceMean": reduce_mean,
}
"""Operator between DequantizeLinear and QuantizeLinear -> its rule."""
