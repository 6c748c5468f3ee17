"""Operators that take elements elsewhere, as Moves of 8-bit tensors; see `onnx.places` for which each takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from intaglio.network.graph import FileForm, Move
from intaglio.network.moves import CONSTANT, MOST_BOXES, by_axis, concatenated, runs_of
from intaglio.network.onnx.file import Node
from intaglio.network.onnx.ops import rescale
from intaglio.network.onnx.output import Output, centre
from intaglio.network.onnx.places import ALONG_AXES, Taken, axis_of, pad_value
from intaglio.network.onnx.scope import Scope, int8_tensor
from intaglio.network.onnx.tables import requantized, table
from intaglio.network.onnx.values import (
    UINT8,
    Function,
    Pending,
    Real,
    Stored,
    Unsupported,
    Value,
    channels_last,
    form_of,
    identity,
    image_shape,
)


def taken_values(scope: Scope, node: Node, value: Stored | Real) -> dict[str, Value]:
    """The outputs of an operator of `onnx.places`: of an 8-bit tensor such ones, of a dequantized one dequantized ones."""
    stored = scope.solid(value)
    parts = ALONG_AXES[node.op](scope, node, stored.shape)
    fill = _fill(scope, node, value) if any(CONSTANT in at for part in parts for at in part.indices.values()) else None
    if len(parts) != len(node.outputs):
        raise Unsupported(f"it has {len(node.outputs)} outputs, not {len(parts)}", "export the model again")
    found: dict[str, Value] = {}
    for name, part in zip(node.outputs, parts, strict=True):
        if name and scope.readers.get(name):
            kept = name if isinstance(value, Stored) else scope.unused(f"{name} in 8 bits")
            moved = take(scope, node, stored, part, kept, fill)
            found[name] = moved if isinstance(value, Stored) else dequantized(value, moved, name)
    return found


def dequantized(like: Real, stored: Stored, name: str) -> Real:
    """The float value, called `name`, of an 8-bit tensor of another one's scale and zero point."""
    return dataclasses.replace(like, stored=stored, origin=stored, moves=(), name=name)


def take(scope: Scope, node: Node, stored: Stored, part: Taken, name: str, fill: int | None) -> Stored:
    """Emits the Move of one output. fill: the graph's integer of its constants."""
    if part.before != stored.shape:
        stored = stored.moved(stored.order().reshape(part.before))
    stored = laid(scope, stored, _as_image([stored]))
    shape, form = scope.tensors[stored.tensor].shape, stored.form
    places = {form.permutation[axis]: at for axis, at in part.indices.items()}
    boxes = math.prod(len(runs_of(at)) + 2 * (CONSTANT in at) for at in places.values())
    if boxes > MOST_BOXES:
        raise Unsupported(f"it takes about {boxes} copies, at most {MOST_BOXES}", "use a regular order")
    whole = tuple(len(part.indices.get(axis, range(n))) for axis, n in enumerate(part.before))
    made = channels_last(whole, form.dtype) if form.permutation == (0, 3, 1, 2) else identity(whole, form.dtype)
    target = made.unfolded or (1,)
    seen = made if part.after == whole else form_of(made.order().reshape(part.after), form.dtype)
    tensor = int8_tensor(name, target, seen, scope.tensors[stored.tensor].quantization)
    move = Move(name, (stored.tensor,), (name,), by_axis(shape, places, fill), node.op)
    scope.origin[name] = node.number
    scope.emit(move, tensor)
    return Stored(name, seen)


def _fill(scope: Scope, node: Node, value: Stored | Real) -> int:
    """The integer, as the graph has it, that a Pad puts around a tensor."""
    fill = pad_value(scope, node)
    if fill.size != 1:
        raise Unsupported(f"it pads with {fill.size} numbers", "pad with one")
    number = fill.reshape(-1)[0]
    if isinstance(value, Stored):
        return int(number) - 128 * (value.form.dtype == UINT8)
    codes = np.arange(-128, 128)
    reals = (codes - centre(value)).astype(np.float32) * value.scale
    exact = np.flatnonzero(reals == np.float32(number))
    if not len(exact):
        low, high = float(reals[0]), float(reals[-1])
        raise Unsupported(
            f"it pads with {float(number):g}, which its scale has no integer for ({low:g} to {high:g})",
            "pad with 0, or with a multiple of its scale",
        )
    return int(codes[exact[0]])


def _as_image(values: Sequence[Stored]) -> bool:
    """True if the graph should hold tensors of a rank as NHWC: those that are 4-dimensional, unless all are in the file's
    order, and not all of them in both."""
    if len(values[0].shape) != 4:
        return False
    images = [image_shape(value.form) is not None for value in values]
    return all(images) or not all(_in_order(value.form) for value in values)


def _in_order(form: FileForm) -> bool:
    return form == identity(form.shape, form.dtype) or bool(
        (form.order().reshape(-1)[1:] > form.order().reshape(-1)[:-1]).all()
    )


def laid(scope: Scope, stored: Stored, image: bool) -> Stored:
    """The value with each of its axes as one of the graph's tensor: as NHWC, or in the file's order."""
    shape = stored.shape
    form = channels_last(shape, stored.form.dtype) if image else identity(shape, stored.form.dtype)
    if not (image_shape(stored.form) is not None if image else _in_order(stored.form)):
        stored = scope.arranged(stored, form)
    return Stored(scope.reshaped(stored, form.unfolded or (1,)), form)


def concat_values(scope: Scope, node: Node, values: tuple[Value, ...]) -> dict[str, Value] | None:
    """The tensors one behind the other where they share scale and zero point; None where they do not, or are float."""
    (name,) = node.outputs
    if all(isinstance(value, Stored) and not value.late for value in values):
        return {name: join(scope, node, [scope.solid(v) for v in values if isinstance(v, Stored)], name)}
    reals = [value for value in values if isinstance(value, Real) and not value.stored.late]
    if len(reals) < len(values) or len({(v.scale, v.zero_point, v.stored.form.dtype) for v in reals}) > 1:
        return None
    whole = join(scope, node, [scope.solid(v) for v in reals], scope.unused(f"{name} in 8 bits"))
    return {name: dequantized(reals[0], whole, name)}


def concat(scope: Scope, pending: Pending, out: Output) -> Stored:
    """Tensors of different scales, each brought to the output's before they are joined."""
    node = pending.nodes[0]
    parts: dict[str, Stored] = {}
    for name, value in zip((n for n in node.inputs if n), pending.operands, strict=True):
        if name in parts:
            continue
        own = dataclasses.replace(out, name=scope.unused(f"{out.name} of {name}"))
        match value:
            case Real():
                scope.accelerated(value.stored)
                real = dataclasses.replace(value, stored=scope.solid(value))
                same = (real.scale, real.zero_point, real.stored.form.dtype) == (out.scale, out.zero_point, out.dtype)
                parts[name] = real.stored if same else requantized(scope, real, own, "Requantize")
            case Function():
                parts[name] = table(scope, value, own)
            case Pending() if isinstance(value.operands[0], Real) and value.nodes[0].op in ("Relu", "Clip"):
                parts[name] = rescale(scope, value.operands[0], own, value)
            case _:
                raise Unsupported(
                    f"its input {name!r} is float, not a quantized tensor", "quantize activations to int8 or uint8"
                )
    whole = join(scope, node, [parts[name] for name in node.inputs if name], out.name)
    scope.know(whole, out.scale, out.zero_point)
    return whole


def join(scope: Scope, node: Node, values: list[Stored], name: str) -> Stored:
    """Emits the Move of a Concat of tensors of one quantization."""
    shape, dtype = values[0].shape, values[0].form.dtype
    axis = axis_of(int(node.attributes.get("axis", 1)), len(shape))
    for value in values:
        rest = [n for a, n in enumerate(value.shape) if a != axis]
        if rest != [n for a, n in enumerate(shape) if a != axis] or value.form.dtype != dtype:
            raise Unsupported(
                f"{value.form.dtype} {list(value.shape)} does not fit {dtype} {list(shape)}", "export the model again"
            )
    image = _as_image(values)
    values = [laid(scope, value, image) for value in values]
    whole = tuple(sum(v.shape[axis] for v in values) if a == axis else n for a, n in enumerate(shape))
    form = channels_last(whole, dtype) if image else identity(whole, dtype)
    boxes = concatenated([scope.tensors[v.tensor].shape for v in values], form.permutation[axis])
    if len(boxes) > MOST_BOXES:
        raise Unsupported(f"it joins {len(boxes)} tensors, at most {MOST_BOXES}", "join fewer")
    scope.origin[name] = node.number
    tensor = int8_tensor(name, form.unfolded, form, scope.tensors[values[0].tensor].quantization)
    scope.emit(Move(name, tuple(v.tensor for v in values), (name,), boxes, node.op), tensor)
    return Stored(name, form)
