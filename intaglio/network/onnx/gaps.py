"""Stand-ins in the graph for refused nodes, so that the rest of a network can be told too."""

from __future__ import annotations

import math

from intaglio.network.onnx.file import Node, OnnxFile
from intaglio.network.onnx.scope import PRODUCTS, Scope, int8_tensor
from intaglio.network.onnx.values import (
    INT8,
    UINT8,
    Edge,
    Function,
    Pending,
    Real,
    Stored,
    Unknown,
    Value,
    channels_last,
    identity,
)
from intaglio.network.survey import Refused


def gap(scope: Scope, node: Node, at: Node) -> dict[str, Value]:
    """The values of a node that was refused (because of the node `at`)."""
    values = [scope.value(name) for name in at.inputs]
    inputs = tuple(dict.fromkeys(name for value in values for name in _tensors_of(value)))
    found: dict[str, Value] = {}
    for name in node.outputs:
        if node.op == "QuantizeLinear" or scope.file.types.get(name) in (INT8, UINT8):
            found[name] = fill(scope, name, Unknown(at, inputs))
        elif name:
            found[name] = scope.gaps[name] = Unknown(at, inputs)
    return found


def fill(scope: Scope, name: str, unknown: Unknown) -> Value:
    """A Refused operator that writes an 8-bit tensor."""
    shape, dtype = scope.file.shapes.get(name), scope.file.types.get(name)
    if shape is None or dtype not in (INT8, UINT8) or 0 in shape or name in scope.tensors:
        return unknown
    form = channels_last(shape, dtype) if len(shape) == 4 else identity(shape, dtype)
    scope.tensors[name] = int8_tensor(name, form.unfolded or (1,), form)
    _refused(scope, name, unknown)
    return Stored(name, form)


def close_gaps(scope: Scope) -> None:
    for name, unknown in list(scope.gaps.items()):
        _refused(scope, name, unknown)


def _refused(scope: Scope, name: str, unknown: Unknown) -> None:
    node = unknown.node
    if node is None or any(op.name == name for op in scope.operators):
        return
    for other, gap in list(scope.gaps.items()):
        if gap is unknown or (gap.node is not None and gap.node.number == node.number):
            del scope.gaps[other]
    scope.origin[name] = node.number
    scope.operators.append(Refused(name, unknown.inputs, (name,), node.code, macs_of(scope.file, node)))


def _tensors_of(value: Value) -> tuple[str, ...]:
    match value:
        case Stored():
            return (value.tensor,)
        case Real() | Function():
            return (value.stored.tensor,)
        case Edge():
            return (value.name,)
        case Pending():
            return tuple(name for operand in value.operands for name in _tensors_of(operand))
        case Unknown():
            return value.inputs
    return ()


def macs_of(file: OnnxFile, node: Node) -> int:
    """Multiply-accumulates by the shapes in the file: output elements times the weights of one output channel."""
    if node.op not in PRODUCTS or len(node.inputs) < 2 or not node.outputs:
        return 0
    weights, output = (file.shapes.get(name) for name in (node.inputs[1], node.outputs[0]))
    if not weights or not output or min(weights) < 1:
        return 0
    channel = 0 if node.op == "Conv" or node.attributes.get("transB") else len(weights) - 1
    return math.prod(output) * math.prod(weights) // weights[channel]
