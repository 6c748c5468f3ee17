"""Float nodes between DequantizeLinear and QuantizeLinear that depend on one 8-bit tensor, element by element."""

from __future__ import annotations

import dataclasses

import numpy as np

from intaglio.network.onnx.file import Node
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import Constant, Function, Pending, Real, Value, Weights, same_order

ACTIVATIONS = ("Relu", "Clip")
"""Functions that operators before them take in as their clamp."""
OF_ONE = {
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Cast",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
}
OF_SEVERAL = {
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
}
"""Operators of tensors of one shape; others that they read must be constants of one element."""
MOST_NODES = 256
"""Nodes of a function at most."""


def function(scope: Scope, node: Node, values: tuple[Value, ...]) -> Function | None:
    """The node's value as a function of one tensor's elements; None where it is none, or where another rule has it: a
    Relu or Clip of a tensor, and sums of tensors alone."""
    if node.op not in OF_ONE and node.op not in OF_SEVERAL:
        return None
    given = [_part(scope, value) for value in values if not _is_number(scope, value)]
    parts = [part for part in given if part is not None]
    if len(parts) < len(given) or not parts or len([name for name in node.outputs if name]) != 1:
        return None
    own_rule = (*ACTIVATIONS, "Add")
    if node.op in own_rule and len(values) == len(parts) and all(isinstance(value, Real) for value in values):
        return None
    found = _joined(scope, parts)
    if found is None or len(found.nodes) >= MOST_NODES:
        return None
    if scope.file.shapes.get(node.outputs[0]) != found.stored.shape:
        return None
    return dataclasses.replace(found, nodes=(*found.nodes, node))


def _is_number(scope: Scope, value: Value) -> bool:
    """True for a constant of one element."""
    if isinstance(value, Constant):
        return scope.file.constants[value.name].size == 1
    return isinstance(value, Weights) and value.raw.size == 1 and value.raw.dtype in (np.int8, np.uint8)


def _part(scope: Scope, value: Value) -> Function | None:
    """An operand as a function of a tensor, the tensor itself among them."""
    match value:
        case Function():
            return value
        case Real() if not value.stored.late and value.stored.pad:
            stored = scope.solid(value)
            return Function(stored, (dataclasses.replace(value, stored=stored, origin=stored),), ())
        case Real() if not value.stored.late:
            return Function(value.stored, (dataclasses.replace(value, stored=value.origin, moves=()),), value.moves)
        case Pending() if all(node.op in ACTIVATIONS for node in value.nodes) and len(value.operands) == 1:
            inner = _part(scope, value.operands[0])
            return None if inner is None else dataclasses.replace(inner, nodes=(*inner.nodes, *value.nodes))
    return None


def _joined(scope: Scope, parts: list[Function]) -> Function | None:
    """Functions of one tensor as one, without what computes its value; a table's result is a function of what the
    table reads."""
    while len({part.stored.tensor for part in parts}) > 1:
        made = [part for part in parts if part.stored.tensor in scope.tables]
        if not made:
            return None
        order = list(scope.tables)
        last = max(made, key=lambda part: order.index(part.stored.tensor)).stored.tensor
        wider = [_through(scope, part) if part.stored.tensor == last else part for part in parts]
        parts = [part for part in wider if part is not None]
        if len(parts) < len(wider):
            return None
    first = parts[0]
    if not all(
        same_order(part.stored.form, first.stored.form) for part in parts if part.stored.shape == first.stored.shape
    ):
        return None
    if any(part.stored.shape != first.stored.shape for part in parts):
        return None
    sources = {real.name: real for part in parts for real in part.sources}
    nodes = {node.outputs[0]: node for part in parts for node in part.nodes}
    return Function(first.stored, tuple(sources.values()), tuple(nodes.values()))


def _through(scope: Scope, part: Function) -> Function | None:
    """A function of a table's result as one of what the table reads; None where elements moved in between, or where the
    DequantizeLinear is none of the file's."""
    inner, quantize = scope.tables[part.stored.tensor]
    makers = [scope.makers.get(real.name) for real in part.sources]
    dequantize = [node for node in makers if node is not None and node.op == "DequantizeLinear"]
    if len(dequantize) < len(makers) or not same_order(part.stored.form, inner.stored.form):
        return None
    if len(inner.nodes) + len(part.nodes) > MOST_NODES:
        return None
    return Function(inner.stored, inner.sources, (*inner.nodes, quantize, *dequantize, *part.nodes))
