"""Rules of operators that move elements or pad, after LiteRT's kernels."""

from __future__ import annotations

import math

from intaglio.network.graph import (
    Operator,
    Padding,
    Reshape,
)
from intaglio.network.tflite.file import FileOperator, ModelFile
from intaglio.network.tflite.prepare import VALID, image, operand, options_of, result
from intaglio.network.tflite.tensors import (
    Scope,
    Unsupported,
    checked_quantization,
    constant_integers,
    expect_shape,
    inputs_and_outputs,
)
from intaglio.network.tflite.views import padded


def same_elements(scope: Scope, op: FileOperator, shape: tuple[int, ...]) -> Operator:
    """A Reshape to `shape`, which the file must also declare."""
    x = operand(scope, op)
    y = result(scope, op, x)
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


def pad(scope: Scope, op: FileOperator) -> Operator | None:
    """pad.cc: adds zero points, so it becomes the padding of a VALID convolution where that alone reads it; one that adds
    nothing is a Reshape."""
    inputs_and_outputs(op, (2,))
    if op.outputs[0] not in scope.padded and pads_nothing(scope, op):
        return same_elements(scope, op, operand(scope, op).shape)
    if op.outputs[0] not in scope.padded:
        return padded(scope, op)
    x = image(operand(scope, op))
    y = image(result(scope, op, x))
    around = scope.padded[op.outputs[0]][1]
    n, height, width, channels = x.shape
    expect_shape(y, (n, height + around.top + around.bottom, width + around.left + around.right, channels))
    return None


def pads_nothing(scope: Scope, op: FileOperator) -> bool:
    """True for a PAD of no elements along any axis that keeps scale and zero point."""
    x, y, amounts = operand(scope, op), result(scope, op), scope.tensor(op, 1)
    if amounts.data is None or amounts.shape != (len(x.shape), 2) or any(constant_integers(amounts)):
        return False
    return (x.scale, x.zero_point) == (y.scale, y.zero_point)


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
