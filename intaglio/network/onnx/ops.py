"""ONNX's float operators between DequantizeLinear and QuantizeLinear as operators of the integer graph.

Each rule takes the scope, the operator as Pending and the Output that QuantizeLinear makes of it; it emits what
onnxruntime computes there, or raises Unsupported. Shapes of images in the file: [N, C, H, W].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from intaglio.network.graph import Add, FileForm, Rescale
from intaglio.network.onnx.add import LEFT_SHIFT, Scaling, integer_add
from intaglio.network.onnx.conv_transpose import conv_transpose
from intaglio.network.onnx.file import Node
from intaglio.network.onnx.maxima import maxima
from intaglio.network.onnx.output import Output, centre, is_moved, unpadded, why_float
from intaglio.network.onnx.pools import average_pool, global_average_pool, reduce_mean
from intaglio.network.onnx.products import conv, gemm
from intaglio.network.onnx.scale import elementwise
from intaglio.network.onnx.scope import Scope, int8_tensor
from intaglio.network.onnx.tables import emit_table
from intaglio.network.onnx.values import (
    UINT8,
    Pending,
    Real,
    Stored,
    Unsupported,
    channels_last,
    identity,
    image_shape,
    same_order,
)


def add(scope: Scope, pending: Pending, out: Output) -> Stored:
    a, b = (unpadded(value, scope) for value in pending.operands)
    if a.stored.shape != b.stored.shape:
        raise Unsupported(
            f"shapes {list(a.stored.shape)} and {list(b.stored.shape)} differ (broadcasting)",
            "give both operands one shape",
        )
    if not same_order(a.stored.form, b.stored.form):
        a, b = _in_one_order(scope, a, b)
    types = {a.stored.form.dtype, b.stored.form.dtype, out.dtype}
    if len(types) > 1:
        raise Unsupported("its operands and result have different 8-bit types", "quantize all of them to one type")
    scaling = Scaling(
        float(a.scale),
        a.zero_point,
        float(b.scale),
        b.zero_point,
        float(out.scale),
        out.zero_point,
        out.dtype == UINT8,
    )
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
        out.name,
        (a.stored.tensor, second),
        (out.name,),
        (centre(a), centre(b)),
        LEFT_SHIFT,
        found.operands,
        0,
        found.result,
        out.clamp(pending),
        found.bias,
    )
    scope.emit(op, tensor)
    return stored


def _in_one_order(scope: Scope, a: Real, b: Real) -> tuple[Real, Real]:
    """Two values of one shape with their elements in one order in the graph: images as NHWC, if one of them is one."""
    images = [image_shape(real.stored.form) is not None for real in (a, b)]
    shape, dtypes = a.stored.shape, [real.stored.form.dtype for real in (a, b)]
    forms = [channels_last(shape, d) if any(images) else identity(shape, d) for d in dtypes]
    a, b = (
        real if image else dataclasses.replace(real, stored=scope.arranged(real.stored, form))
        for real, image, form in zip((a, b), images, forms, strict=True)
    )
    return a, b


def rescale(scope: Scope, real: Real, out: Output, pending: Pending | None = None) -> Stored:
    """A change of quantization, with a Relu or Clip where there is one: exact for each of the 256 inputs."""
    real = unpadded(real, scope)
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
    if wrong and is_moved(scope, real):
        maker = scope.makers[real.name]
        return emit_table(scope, real.stored, out, table.astype(np.int8), f"{maker.op} to another scale")
    if wrong:
        scope.may_differ(out.node, out.name, f"differs from onnxruntime's float32 by 1 for {wrong} of 256 inputs")
    shape = scope.tensors[real.stored.tensor].shape
    form = FileForm(real.stored.form.unfolded, real.stored.form.permutation, real.stored.form.shape, out.dtype)
    tensor, stored = scope.result(out.name, form, shape, out.scale, out.zero_point)
    scope.emit(Rescale(out.name, (real.stored.tensor,), (out.name,), centre(real), out.moved, how, clamp), tensor)
    return stored


def limited(scope: Scope, node: Node, stored: Stored, low: float, high: float) -> Stored:
    """Relu or Clip of integers: a Rescale by 1 with a clamp. low, high: the file's integers."""
    stored, offset = scope.solid(stored), 128 * (stored.form.dtype == UINT8)
    lowest, highest = (int(min(max(limit - offset, -128), 127)) for limit in (low, high))
    codes = np.arange(-128, 128)
    how, _ = elementwise(np.clip(codes, lowest, highest), 0, 0, (lowest, highest), 1.0)
    name, source = node.outputs[0], scope.tensors[stored.tensor]
    tensor = int8_tensor(name, source.shape, stored.form, source.quantization)
    scope.emit(Rescale(name, (stored.tensor,), (name,), 0, 0, how, (lowest, highest)), tensor)
    return Stored(name, stored.form)


def max_pool(scope: Scope, pending: Pending, out: Output) -> Stored:
    """The integers' maxima; where scale or zero point change, a Rescale of them."""
    node = pending.nodes[0]
    real = unpadded(pending.operands[0], scope)
    if (real.scale, real.zero_point, real.stored.form.dtype) == (out.scale, out.zero_point, out.dtype):
        return maxima(scope, node, real.stored, out.name, out.clamp(pending))
    between = maxima(scope, node, real.stored, f"{out.name} before its scale", (-128, 127))
    return rescale(scope, dataclasses.replace(real, stored=between, origin=between, moves=()), out, pending)


RULES: dict[str, Callable[[Scope, Pending, Output], Stored]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "MatMul": gemm,
    "Add": add,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "MaxPool": max_pool,
    "ReduceMean": reduce_mean,
}
"""Operator between DequantizeLinear and QuantizeLinear -> its rule."""
