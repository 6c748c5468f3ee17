"""Conv, Gemm and MatMul between DequantizeLinear and QuantizeLinear, as onnxruntime computes them (see `onnx.ops`)."""

from __future__ import annotations

import numpy as np

from intaglio.network.digits import told_apart
from intaglio.network.graph import Conv2D, FullyConnected
from intaglio.network.onnx.output import Output, centre, pair, run_time, unpadded, why_float, window
from intaglio.network.onnx.scale import product_scale
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import (
    INT8,
    Constant,
    Pending,
    Real,
    Stored,
    Unsupported,
    Value,
    Weights,
    channels_last,
    identity,
)

BIAS_TOLERANCE = 0.01
"""onnxruntime takes an int32 bias for what the sums are, whatever its scale; further off it would be an error."""


def int32_bias(scope: Scope, value: Value | None, channels: int, scales: np.ndarray, factor: float = 1.0) -> np.ndarray:
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
        _check_bias_scales(given, scales.reshape(-1), channels)
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
        rounded: np.ndarray = np.rint(_broadcast(real, channels) / scales)
    if not (np.abs(rounded) < 2**31).all():
        raise Unsupported("its bias exceeds 32 bits in units of the sums", "quantize the network again")
    return rounded.astype(np.int32)


def _check_bias_scales(given: np.ndarray, scales: np.ndarray, channels: int) -> None:
    """Refuses scales of a bias that are not those of the sums; the first channel that differs is named."""
    if not {given.size, scales.size} <= {1, channels}:
        raise Unsupported(
            f"its bias has {given.size} scales, its weights {scales.size}, and it has {channels} output channels",
            "quantize the network again",
        )
    near = np.isclose(given, scales, rtol=BIAS_TOLERANCE, atol=0)
    if near.all():
        return
    channel = int(np.argmin(near))
    pair = (float(np.broadcast_to(array, near.shape)[channel]) for array in (given, scales))
    found, wanted = told_apart(*pair)
    where = f" in channel {channel}" if near.size > 1 else ""
    raise Unsupported(
        f"its bias has the scale {found}{where}, not input scale times weight scale {wanted}",
        "quantize the network again",
    )


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
        hint = (
            "write it as a convolution of [N, C, 1, W]; Conv1d is not supported yet"
            if rank == 3
            else "use two-dimensional convolutions"
        )
        raise Unsupported(f"its weights have {rank} dimensions", hint)
    channels = weights.raw.shape[0] if isinstance(weights, Weights) else 0
    kernel, scales, weight_zero_point = scope.weights(weights, 0, channels)
    shape, groups = real.stored.shape, node.attributes.get("group", 1)
    if not isinstance(groups, int) or groups < 1 or channels % groups:
        raise Unsupported(f"its group is {groups!r} with {channels} output channels", "export the model again")
    if len(shape) != 4 or shape[1] != kernel.shape[1] * groups:
        of = f"weights {list(kernel.shape)}" + (f" in {groups} groups" if groups > 1 else "")
        raise Unsupported(f"{of} do not fit the input {list(shape)}", "export the model again")
    size = (kernel.shape[2], kernel.shape[3])
    if pair(node.attributes.get("kernel_shape", size), "kernel_shape") != size:
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
        out.name,
        (image,),
        (out.name,),
        np.ascontiguousarray(kernel.transpose(0, 2, 3, 1)),
        bias,
        stride,
        dilation,
        padding,
        centre(real),
        out.moved,
        how,
        out.clamp(pending),
        weight_zero_point,
        groups,
    )
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
    if isinstance(value, Weights) and value.raw.ndim != 2:
        raise Unsupported(
            f"its weights have {value.raw.ndim} dimensions", "multiply by a constant matrix [inputs, outputs]"
        )
    value = scope.constant_weights(value)
    across = 0 if attributes.get("transB") else 1
    units, depth = value.raw.shape[across], value.raw.shape[1 - across]
    raw, scales, weight_zero_point = scope.weights(value, across, units)
    matrix = raw if across == 0 else raw.T
    order = real.stored.order()
    if attributes.get("transA"):
        order = order.T
    if order.ndim < 1 or order.shape[-1] != depth or (node.op == "Gemm" and order.ndim != 2):
        raise Unsupported(
            f"weights {list(raw.shape)} do not fit the input {list(order.shape)}", "export the model again"
        )
    rows = order.reshape(-1, depth)
    columns, source = rows[0], real.stored.tensor
    if not np.array_equal(rows - columns, np.broadcast_to(np.arange(len(rows))[:, None] * depth, rows.shape)):
        source = scope.arranged(real.stored.moved(order), identity(order.shape, real.stored.form.dtype)).tensor
        columns = np.arange(depth)
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
        out.name,
        (source,),
        (out.name,),
        weights,
        bias,
        centre(real),
        out.moved,
        how,
        out.clamp(pending),
        weight_zero_point,
    )
    scope.emit(op, tensor)
    return stored
