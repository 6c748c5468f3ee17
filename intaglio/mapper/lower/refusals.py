"""Why an accelerator cannot run an operator: each reason with its remedy."""

from __future__ import annotations

import math

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import ADD_LEFT_SHIFT
from intaglio.mapper.tasks.pooling import average_scale
from intaglio.mapper.tasks.task import FIELD_LIMIT
from intaglio.network.arithmetic import has_empty_window
from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    FullyConnected,
    Graph,
    MaxPool2D,
    Mean,
    Move,
    Operator,
    Padding,
    Requantize,
    Rescale,
    Reshape,
    Rounding,
    Table,
)
from intaglio.program.layout import layout_of

Why = tuple[str, str]
"""The reason and the remedy of a refusal."""
BYTES_LIMIT = (1 << 31) - 1
"""Greatest distance along a row, padding included, that a command's signed 32-bit fields hold."""
SUPPORTED = (Conv2D, FullyConnected, Add, AveragePool2D, MaxPool2D, Mean, Move, Rescale, Reshape, Table)


def refusals(graph: Graph, op: Operator, config: Config) -> list[Why]:
    """Why the accelerator cannot run an operator: reasons and remedies."""
    if not isinstance(op, SUPPORTED):
        return [("not supported by this accelerator", "remove or replace the operator")]
    out: list[Why] = []
    for name in op.inputs + op.outputs:
        tensor = graph.tensors[name]
        if tensor.dtype != np.int8:
            out.append((f"tensor {name!r} is {tensor.dtype}", "quantize the network to int8"))
        if 0 in tensor.shape:
            out.append((f"tensor {name!r} has shape {list(tensor.shape)}, no elements", "remove it"))
        if any(n > FIELD_LIMIT for n in tensor.shape[:-1]):
            out.append((f"tensor {name!r} has shape {list(tensor.shape)}", f"at most {FIELD_LIMIT} along an axis"))
        if tensor.data is not None:
            out.append((f"tensor {name!r} is a constant operand", "fold it into the network"))
    if out:
        return out
    if isinstance(op, Conv2D | AveragePool2D | MaxPool2D | Mean) and len(graph.tensors[op.inputs[0]].shape) != 4:
        shape = list(graph.tensors[op.inputs[0]].shape)
        return [(f"input of shape {shape}; four dimensions [N, H, W, C] are needed", "reshape it")]
    if isinstance(op, Add):
        if op.left_shift != ADD_LEFT_SHIFT:
            out.append((f"left_shift is {op.left_shift}, the hardware has {ADD_LEFT_SHIFT}", "quantize to int8 anew"))
        shapes = {tuple(graph.tensors[name].shape) for name in op.inputs + op.outputs}
        if len(shapes) > 1:
            out.append(("operands of different shapes (broadcasting)", "give both the output's shape"))
        if not -(1 << 31) <= op.bias < 1 << 31:
            out.append((f"bias = {op.bias} does not fit 32 bits", "requantize it"))
        for how in op.operand_requantize:
            if how.rounding is not Rounding.DOUBLE:
                reason = f"an operand's rounding is {how.rounding.value!r}, the hardware has 'double'"
                out.append((reason, "requantize it"))
            out += _scale_refusals(op, how)
    if isinstance(op, Table) and not config.tables:
        out.append(("it goes through a table, configuration field tables is 0", "set tables: 4, or 1, 2 or 8"))
    if isinstance(op, Conv2D | FullyConnected) and op.weight_zero_point:
        if not config.weight_zero_points:
            reason = (
                f"the weights' zero point is {op.weight_zero_point} (of uint8 {op.weight_zero_point + 128}), configuration "
                "field weight_zero_points is false"
            )
            out.append((reason, "quantize the weights symmetrically, or set weight_zero_points: true"))
        if not -128 <= op.weight_zero_point <= 127:
            out.append((f"the weights' zero point is {op.weight_zero_point}, beyond int8", "requantize it"))
    if isinstance(op, AveragePool2D) and op.rescale is not None and not 0 <= op.rescale <= 2.0**29:
        return [*out, (f"rescale = {op.rescale}, beyond 0 to 2**29", "quantize the network anew")]
    result = _result_scale(op)
    if result is not None:
        if result.rounding.value not in config.rounding:
            built = ", ".join(config.rounding)
            out.append(
                (f"needs rounding {result.rounding.value!r}, configuration field rounding has {built}", "add it there")
            )
        out += _scale_refusals(op, result)
    return out + _shape_refusals(graph, op)


def _result_scale(op: Operator) -> Requantize | None:
    """The scale of an operator's sums, an average those of one element; TFLite's, which divides, by a scale of 1."""
    match op:
        case AveragePool2D(rescale=None):
            return Requantize(np.array([1 << 30]), np.array([1]), Rounding.AWAY)
        case AveragePool2D():
            return average_scale(op, 1)
        case Add() | Conv2D() | FullyConnected() | Mean() | Rescale():
            return op.requantize
    return None


def _scale_refusals(op: Operator, how: Requantize) -> list[Why]:
    out: list[Why] = []
    multiplier, shift = np.asarray(how.multiplier), np.asarray(how.shift)
    if multiplier.min() < 0 or shift.min() < -31 or shift.max() > 30:
        out.append(("a scale beyond multiplier 0 to 2**31 - 1 and shift -31 to 30", "requantize it"))
    normal = (multiplier == 0) | (multiplier >= 1 << 30) & (multiplier % 128 == 0)
    if how.rounding is Rounding.FLOAT and not normal.all():
        out.append(("rounding 'float' by a scale that is no binary32 number", "requantize it"))
    if not isinstance(op, Conv2D | FullyConnected) and multiplier.size != 1:
        out.append(("scales per channel", "only convolutions and fully connected layers have them"))
    return out


def _shape_refusals(graph: Graph, op: Operator) -> list[Why]:
    source, target = (graph.tensors[name].shape for name in (op.inputs[0], op.outputs[0]))
    match op:
        case Conv2D():
            outputs, rows, cols, channels = op.weights.shape
            span = [(k - 1) * d + 1 for k, d in zip((rows, cols), op.dilation, strict=True)]
            shape = _window_shape(source, span, op.stride, op.padding)
            out = _field_refusals(op, source, target, span, (rows, cols))
            if out:
                return out
            fits = op.groups >= 1 and outputs % op.groups == 0 and channels * op.groups == source[3]
            if not fits or tuple(target) != (source[0], *shape, outputs):
                fit = f"weights {list(op.weights.shape)} do not fit input {list(source)} and output {list(target)}"
                return [(fit, "export the network again")]
        case AveragePool2D():
            shape = _window_shape(source, op.filter, op.stride, op.padding)
            if tuple(target) != (source[0], *shape, source[3]):
                return [(f"window does not fit input {list(source)} and output {list(target)}", "export again")]
            p = op.padding
            if max(p.top, p.bottom) >= op.filter[0] or max(p.left, p.right) >= op.filter[1]:
                return [("padding as large as the window", "reduce it")]
            most = 1 << (21 if op.rescale is None and op.input_zero_point else 22)  # see pooling.division
            if min(op.filter[0], source[1]) * min(op.filter[1], source[2]) >= most:
                return [(f"windows of more than {most - 1} elements", "use smaller ones")]
        case MaxPool2D():
            span = [(k - 1) * d + 1 for k, d in zip(op.filter, op.dilation, strict=True)]
            shape = _window_shape(source, span, op.stride, op.padding)
            if tuple(target) != (source[0], *shape, source[3]):
                return [(f"window does not fit input {list(source)} and output {list(target)}", "export again")]
            if has_empty_window(op, source):
                return [("a window lies in the padding alone", "reduce the padding")]
        case FullyConnected():
            outputs, inputs = op.weights.shape
            if math.prod(source) % inputs or math.prod(target) != math.prod(source) // inputs * outputs:
                return [(f"weights {[outputs, inputs]} do not fit input {list(source)}", "export again")]
            row = layout_of(source, 1).row_bytes
            if inputs % row and row % inputs:
                return [(f"{inputs} inputs straddle the rows of {list(source)}", f"reshape it to [N, {inputs}]")]
            if inputs // row > FIELD_LIMIT:
                return [
                    (
                        f"{inputs} inputs are {inputs // row} rows of {list(source)}; a command counts {FIELD_LIMIT}",
                        f"reshape it to [N, {inputs}]",
                    )
                ]
        case Mean():
            if math.prod(target) != source[0] * source[3]:
                return [("not a mean over rows and columns", "use a global average")]
            if source[1] * source[2] >= 1 << 22:
                return [("a mean over more than 4194303 elements", "use a smaller input")]
        case Move():
            return []
        case _:
            if math.prod(source) != math.prod(target):
                return [(f"{list(source)} to {list(target)} changes the number of elements", "export again")]
    return []


def _field_refusals(
    op: Conv2D, source: tuple[int, ...], target: tuple[int, ...], span: list[int], kernel: tuple[int, int]
) -> list[Why]:
    """Refusals of what a command's fields cannot count. span: rows and columns of the image from a window's first tap to its last."""
    p = op.padding
    out: list[Why] = []
    numbers = [
        ("stride", [s for s, n in zip(op.stride, target[1:3], strict=True) if n > 1]),
        ("dilation", [d for d, k in zip(op.dilation, kernel, strict=True) if k > 1]),
        ("kernel", kernel),
        ("padding", [p.top, p.bottom, p.left, p.right]),
    ]
    for what, values in numbers:
        if max(values, default=0) > FIELD_LIMIT:
            out.append((f"a {what} of {max(values)}; a command counts {FIELD_LIMIT}", "use a smaller one"))
    row = (source[2] + p.left + p.right + span[1]) * source[3]
    if not out and row > BYTES_LIMIT:
        out.append(
            (f"a padded row of {row} bytes; a command counts {BYTES_LIMIT}", "reduce the padding, or the channels")
        )
    return out


def _window_shape(
    source: tuple[int, ...], span: list[int] | tuple[int, int], stride: tuple[int, int], padding: Padding
) -> tuple[int, int]:
    rows = (source[1] + padding.top + padding.bottom - span[0]) // stride[0] + 1
    return rows, (source[2] + padding.left + padding.right - span[1]) // stride[1] + 1
