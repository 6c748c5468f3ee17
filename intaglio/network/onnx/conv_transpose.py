"""ConvTranspose between DequantizeLinear and QuantizeLinear. onnxruntime computes it in float32: integers may differ by 1."""

from __future__ import annotations

import numpy as np

from intaglio.network.graph import Conv2D, Padding
from intaglio.network.onnx.file import Node
from intaglio.network.onnx.output import Output, centre, pair, unpadded
from intaglio.network.onnx.products import int32_bias
from intaglio.network.onnx.scale import product_scale
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import Pending, Stored, Unsupported, Weights, channels_last
from intaglio.network.transposed import MOST_PHASES, phases, transposed

AGAIN = "export the model again"
LARGEST = 1 << 16
"""The greatest stride, dilation or padding of the attributes."""


def conv_transpose(scope: Scope, pending: Pending, out: Output) -> Stored:
    """One convolution for each phase of the strides."""
    node = pending.nodes[0]
    real = unpadded(pending.operands[0], scope)
    weights = pending.operands[1]
    groups = node.attributes.get("group", 1)
    if not isinstance(weights, Weights) or weights.raw.ndim != 4 or not isinstance(groups, int) or groups < 1:
        raise Unsupported("its weights are not a constant of four dimensions", "use two-dimensional ones")
    channels = weights.raw.shape[1] * groups
    kernel, scales, weight_zero_point = scope.weights(weights, 1, channels)
    shape = real.stored.shape
    if len(shape) != 4 or shape[1] != kernel.shape[0] or shape[1] % groups or (groups > 1 and scales.size > 1):
        reason = f"weights {list(kernel.shape)} in {groups} groups do not fit the input {list(shape)}"
        raise Unsupported(reason, AGAIN)
    size = (kernel.shape[2], kernel.shape[3])
    if pair(node.attributes.get("kernel_shape", size), "kernel_shape") != size:
        raise Unsupported("its kernel_shape is not its weights'", AGAIN)
    stride, dilation = (pair(node.attributes.get(name, (1, 1)), name) for name in ("strides", "dilations"))
    if not all(1 <= n < LARGEST for n in (*stride, *dilation)):
        raise Unsupported(f"stride {list(stride)} and dilation {list(dilation)}", AGAIN)
    span = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    before, image = _places(node, shape[2:], span, stride)
    if phases(stride, image) > MOST_PHASES:
        raise Unsupported(f"a stride of {list(stride)}", f"at most {MOST_PHASES} phases, rows times columns")
    sums = real.scale * scales
    bias = int32_bias(scope, pending.operands[2] if len(pending.operands) > 2 else None, channels, sums)
    form = channels_last((shape[0], channels, *image), out.dtype)
    tensor, stored = scope.result(out.name, form, form.unfolded, out.scale, out.zero_point)
    scope.in_float(node, out.name, "ConvTranspose has no integer kernel")
    source = scope.tensors[scope.image(real)]
    like = Conv2D(
        out.name,
        (source.name,),
        (out.name,),
        _by_outputs(kernel, groups, span, dilation, weight_zero_point),
        bias,
        (1, 1),
        (1, 1),
        Padding(),
        centre(real),
        out.moved,
        product_scale(real.scale, scales, out.scale),
        out.clamp(pending),
        weight_zero_point,
        groups,
    )
    found = transposed(like, source, tensor, stride, before)
    known = {between.name: between for between in found.between} | {out.name: tensor}
    for op in found.operators:
        scope.emit(op, known[op.outputs[0]])
    scope.inexact += [between.name for between in found.between if between.name in scope.file.shapes]
    return stored


def _by_outputs(
    kernel: np.ndarray, groups: int, span: tuple[int, ...], dilation: tuple[int, int], zero_point: int
) -> np.ndarray:
    """int8 [I, O / groups, KH, KW] as [O, KH, KW, I / groups], the taps between dilated ones counting as 0."""
    inputs, outputs = kernel.shape[0] // groups, kernel.shape[1]
    parts = kernel.reshape(groups, inputs, outputs, *kernel.shape[2:]).transpose(0, 2, 3, 4, 1)
    spread = np.full((groups, outputs, *span, inputs), zero_point, np.int8)
    spread[:, :, :: dilation[0], :: dilation[1]] = parts
    return spread.reshape(groups * outputs, *span, inputs)


def _places(
    node: Node, image: tuple[int, ...], span: tuple[int, ...], stride: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that are cut off before, and those of the output, by the operator's specification."""
    attributes = node.attributes
    more = pair(attributes.get("output_padding", (0, 0)), "output_padding")
    if not all(0 <= n < s for n, s in zip(more, stride, strict=True)):
        reason = f"its output_padding is {list(more)} with strides of {list(stride)}, which onnxruntime refuses too"
        raise Unsupported(reason, AGAIN)
    whole = [s * (n - 1) + m + k for s, n, m, k in zip(stride, image, more, span, strict=True)]
    auto = attributes.get("auto_pad", "NOTSET")
    given = attributes.get("output_shape")
    if given is not None or auto in ("SAME_UPPER", "SAME_LOWER"):
        sizes = (
            pair(given, "output_shape")
            if given is not None
            else tuple(n * s for n, s in zip(image, stride, strict=True))
        )
        cut = [n - size for n, size in zip(whole, sizes, strict=True)]
        if min(cut) < 0 or min(sizes) < 1:
            raise Unsupported(f"an output of {list(sizes)} of {whole}", AGAIN)
        # The specification: more at the beginning but for SAME_UPPER.
        before = [n // 2 if auto == "SAME_UPPER" else n - n // 2 for n in cut]
        return (before[0], before[1]), (sizes[0], sizes[1])
    if auto not in ("NOTSET", "VALID"):
        raise Unsupported(f"its auto_pad is {auto!r}", "use explicit pads")
    pads = tuple(int(p) for p in attributes.get("pads", (0, 0, 0, 0))) if auto == "NOTSET" else (0, 0, 0, 0)
    if len(pads) != 4 or not all(0 <= p < LARGEST for p in pads):
        raise Unsupported(f"its pads are {list(pads)}", "use four pads that are not negative")
    rows, columns = (n - b - e for n, b, e in zip(whole, pads[:2], pads[2:], strict=True))
    if min(rows, columns) < 1:
        raise Unsupported(f"nothing is left of {whole} within pads {list(pads)}", AGAIN)
    return (pads[0], pads[1]), (rows, columns)
