"""Averages between DequantizeLinear and QuantizeLinear, as onnxruntime computes them (see `onnx.ops`)."""

from __future__ import annotations

import math

import numpy as np

from intaglio.network.arithmetic import pad_rows_and_columns, windows
from intaglio.network.graph import AveragePool2D, FileForm, Mean, Padding, Requantize
from intaglio.network.onnx.output import Output, centre, pair, unpadded, why_float, window
from intaglio.network.onnx.scale import float_scale, mean_scale
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import Pending, Real, Stored, Unsupported, channels_last, is_channels_last


def average_pool(scope: Scope, pending: Pending, out: Output) -> Stored:
    node = pending.nodes[0]
    real = unpadded(pending.operands[0], scope)
    shape = real.stored.shape
    if len(shape) != 4:
        raise Unsupported(f"its input has shape {list(shape)}", "use two-dimensional images [N, C, H, W]")
    size = pair(node.attributes.get("kernel_shape", ()), "kernel_shape")
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
        out.name,
        (scope.image(real),),
        (out.name,),
        size,
        stride,
        padding,
        out.clamp(pending),
        float(factor),
        centre(real),
        out.moved,
        whole,
    )
    scope.emit(op, tensor)
    return stored


def _tie_possible(scale: float, output_scale: float, count: int) -> bool:
    """True if a mean of `count` elements can come so near to a tie that float32's rounding decides it.

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
    n, c, h, w = order.shape
    stored = real.stored
    if not is_channels_last(order):
        stored = scope.arranged(stored.moved(order), channels_last((n, c, h, w), stored.form.dtype))
    keep = bool(node.attributes.get("keepdims", 1))
    kept = tuple(1 if axis in named else length for axis, length in enumerate(shape)) if keep else (n, c)
    scope.in_float(node, out.name, "it has no integer kernel for ReduceMean")
    how = mean_scale(real.scale, out.scale, h * w)
    image = scope.reshaped(stored, (n, h, w, c))
    return _mean(scope, pending, out, real, image, how, FileForm((n, c), (0, 1), kept, out.dtype))


def _mean(
    scope: Scope, pending: Pending, out: Output, real: Real, image: str, how: Requantize, form: FileForm
) -> Stored:
    n, *_, c = scope.tensors[image].shape
    shape = (n, 1, 1, c) if math.prod(form.shape[2:]) == 1 and len(form.shape) == 4 else (n, c)
    tensor, stored = scope.result(out.name, form, shape, out.scale, out.zero_point)
    scope.emit(Mean(out.name, (image,), (out.name,), centre(real), out.moved, how, out.clamp(pending)), tensor)
    return stored
