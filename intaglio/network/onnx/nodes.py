"""Meaning of each node of an .onnx file for the graph: a value now, or part of what QuantizeLinear makes later."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from intaglio.network.advice import advice
from intaglio.network.onnx.file import MICROSOFT, QUANTIZED, Node
from intaglio.network.onnx.functions import ACTIVATIONS, OF_ONE, function
from intaglio.network.onnx.gaps import fill
from intaglio.network.onnx.maxima import maxima
from intaglio.network.onnx.moves import MOVES, moved
from intaglio.network.onnx.moving import concat, concat_values, taken_values
from intaglio.network.onnx.ops import RULES as OPERATORS
from intaglio.network.onnx.ops import limited, rescale
from intaglio.network.onnx.output import Output
from intaglio.network.onnx.padding import padded
from intaglio.network.onnx.places import ALONG_AXES
from intaglio.network.onnx.scope import PRODUCTS, Scope
from intaglio.network.onnx.tables import table
from intaglio.network.onnx.values import (
    INT8,
    UINT8,
    Constant,
    Edge,
    Function,
    Pending,
    Real,
    Stored,
    Unknown,
    Unsupported,
    Value,
    Weights,
    identity,
)

NEVER = {
    "Attention",
    "Bernoulli",
    "ConvInteger",
    "DynamicQuantizeLinear",
    "GRU",
    "If",
    "LSTM",
    "Loop",
    "MatMulInteger",
    "Multinomial",
    "NonZero",
    "Optional",
    "RNN",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Scan",
    "SequenceMap",
}
"""Refused wherever they stand: the network's own work, or nothing that repeats."""
RULES = OPERATORS | {"Concat": concat}
SAME = ("Identity", "Dropout")
AROUND = "let the quantizer put QuantizeLinear and DequantizeLinear before and behind it"


def unsupported_kind(node: Node) -> Unsupported | None:
    """Why a node is refused by its kind alone, wherever it stands; None where it is not."""
    if node.op in NEVER:
        return Unsupported("this operator is not supported", advice(node.op, "replace it in the model"))
    if "." not in node.op:
        return None
    domain, _, kind = node.op.rpartition(".")
    if domain == MICROSOFT or domain.startswith(f"{MICROSOFT}."):
        reason = f"{kind} is an operator of onnxruntime's own ({domain})"
    else:
        reason = f"{kind} is a custom operator of the domain {domain!r}, which ONNX does not define"
    return Unsupported(reason, advice(node.op, "export the model in QDQ form with ONNX's own operators"))


def node_values(scope: Scope, node: Node, middle: set[str]) -> Mapping[str, Value]:
    """The values of a node's outputs."""
    if (fault := unsupported_kind(node)) is not None:
        raise fault
    if not node.outputs or not node.outputs[0]:
        raise Unsupported("it has no output", "export the model again")
    values = tuple(scope.value(name) for name in node.inputs if name)
    unknown = next((value for value in values if isinstance(value, Unknown)), None)
    if unknown is not None:
        behind = node.outputs[0]
        return {behind: fill(scope, behind, unknown) if node.op == "QuantizeLinear" else unknown}
    if any(name in scope.tensors and name not in scope.file.inputs for name in node.outputs):
        raise Unsupported("its output's name is used twice", "export the model again")
    if (found := _moved_values(scope, node, values, middle)) is not None:
        return found
    value = _value(scope, node, values, middle)
    if isinstance(value, Edge) and value.name == node.outputs[0]:
        return {name: Edge(name, value.late) for name in node.outputs if name}
    return {node.outputs[0]: value}


def _moved_values(scope: Scope, node: Node, values: tuple[Value, ...], middle: set[str]) -> Mapping[str, Value] | None:
    """The outputs of an operator that takes elements elsewhere; None where it does not, or where the host does it."""
    first = values[0] if values else None
    if not isinstance(first, Stored | Real) or _is_late(first):
        return None
    try:
        if node.op == "Pad" and (around := padded(scope, node, first)) is not None:
            return {node.outputs[0]: around}
        if node.op in ALONG_AXES:
            return taken_values(scope, node, first)
        if node.op == "Concat":
            return concat_values(scope, node, values)
    except Unsupported:
        if isinstance(first, Stored) or any(name in middle for name in node.outputs):
            raise
    return None


def _value(scope: Scope, node: Node, values: tuple[Value, ...], middle: set[str]) -> Value:
    if not values:
        raise Unsupported("it computes something from nothing", "export the model again")
    first = values[0]
    if node.op in SAME:
        return first
    if node.op == "DequantizeLinear":
        return _dequantize(scope, node, first)
    if node.op == "QuantizeLinear":
        return _quantize(scope, node, first)
    if all(isinstance(value, Constant | Weights) for value in values):
        raise Unsupported("it computes a constant that was not folded", "fold it when exporting (onnxsim)")
    if node.op in MOVES and isinstance(first, Stored | Real) and not _is_late(first):
        return _move(scope, node, first)
    if node.op in MOVES and isinstance(first, Function):
        stored = moved(scope, node, first.stored)
        return dataclasses.replace(first, stored=stored, nodes=(*first.nodes, node))
    if node.op == "MaxPool" and isinstance(first, Stored) and not _is_late(first):
        return maxima(scope, node, first, node.outputs[0], (-128, 127))
    if node.op in ACTIVATIONS and isinstance(first, Stored) and not _is_late(first):
        return limited(scope, node, first, *_limits(scope, node))
    if node.op in ACTIVATIONS and isinstance(first, Pending | Real):
        return _activation(scope, node, first)
    if node.op == "Add" and (biased := _bias(node, values)) is not None:
        return biased
    if (found := function(scope, node, values)) is not None:
        return found
    if node.op == "Concat" and any(isinstance(value, Real | Function | Pending) for value in values):
        return Pending((node,), values)
    if node.op in RULES and any(isinstance(value, Real) for value in values):
        return Pending((node,), values)
    if node.op in PRODUCTS:
        raise Unsupported("it computes in float32", "quantize it too (leave no operator out when quantizing)")
    return _host(scope, node, values, middle)


def _is_late(value: Stored | Real) -> bool:
    return bool((value if isinstance(value, Stored) else value.stored).late)


def _dequantize(scope: Scope, node: Node, value: Value) -> Value:
    if scope.file.types.get(node.outputs[0], np.dtype(np.float32)) != np.float32:
        raise Unsupported(f"its result is {scope.file.types[node.outputs[0]]}", "use float32 scales")
    if isinstance(value, Constant):
        raw = scope.file.constants[value.name]
        if raw.dtype not in (INT8, UINT8, np.int32):
            raise Unsupported(f"{value.name!r} is {raw.dtype}", "quantize weights to int8 or uint8, biases to int32")
        scale, zero_points = scope.parameters(node, raw.dtype)
        axis = int(node.attributes.get("axis", 1))
        if len(scale) > 1 and (not -raw.ndim <= axis < raw.ndim or raw.shape[axis] != len(scale)):
            raise Unsupported(
                f"{len(scale)} scales do not fit axis {axis} of {list(raw.shape)}", "export the model again"
            )
        return Weights(raw, scale, zero_points.astype(np.int64), axis if len(scale) > 1 else 0)
    if not isinstance(value, Stored):
        raise Unsupported("its input is no 8-bit tensor", "quantize activations to int8 or uint8")
    factor, zero_point, _ = scope.quantization(node, value.form.dtype)
    scope.know(value, factor, zero_point)
    return Real(value, factor, zero_point, node.outputs[0], value)


def _quantize(scope: Scope, node: Node, value: Value) -> Value:
    if isinstance(value, Constant):
        return _quantize_constant(scope, node, scope.file.constants[value.name])
    scale, zero_point, dtype = scope.quantization(node, None)
    if dtype not in (INT8, UINT8):
        raise Unsupported(f"it quantizes to {dtype}", "quantize activations to int8 or uint8")
    out = Output(node.outputs[0], scale, zero_point, dtype, node)
    match value:
        case Edge(late=""):
            if scope.file.types.get(value.name) != np.float32:
                raise Unsupported(f"its input is {scope.file.types.get(value.name)}", "use float32")
            return scope.quantize_on_host(value, node, scale, zero_point, dtype)
        case Edge():
            return _late(scope, [node], [value.name], value.late, scale, zero_point)
        case Real() if _is_late(value):
            return _late(scope, [node], [scope.to_host(value)], value.stored.late, scale, zero_point)
        case Real() if (value.scale, value.zero_point, value.stored.form.dtype) == (scale, zero_point, dtype):
            if value.stored.pad:
                return value.stored
            return scope.copy(value.stored, out.name)
        case Real():
            return rescale(scope, value, out)
        case Function():
            return table(scope, value, out)
        case Pending():
            return _quantize_pending(scope, node, value, out)
    raise Unsupported("its input is not float", "export the model again")


def _quantize_pending(scope: Scope, node: Node, value: Pending, out: Output) -> Value:
    first = value.nodes[0]
    if first.op in ACTIVATIONS:
        real = value.operands[0]
        assert isinstance(real, Real)
        if not _is_late(real):
            return rescale(scope, real, out, value)
    elif first.op in RULES and not any(isinstance(v, Real) and _is_late(v) for v in value.operands):
        try:
            scope.origin[out.name] = first.number
            return RULES[first.op](scope, value, out)
        except Unsupported as fault:
            raise Unsupported(fault.reason, fault.remedy, first) from None
    reals = [v for v in value.operands if isinstance(v, Real)]
    plain = len(value.nodes) == 1 and all(not real.moves and not real.stored.pad for real in reals)
    if plain and len(reals) == len([v for v in value.operands if not isinstance(v, Constant)]):
        makers = {n.outputs[0]: n for n in scope.file.nodes}
        group = [makers[name] for name in dict.fromkeys(real.name for real in reals)]
        inputs = [real.origin.tensor for real in reals]
        return _late(scope, [*group, first, node], inputs, first.label, out.scale, out.zero_point)
    return _late(scope, [node], [scope.to_host(value)], first.label, out.scale, out.zero_point)


def _gate(scope: Scope, node: Node) -> str:
    """The remedy for a product behind a Sigmoid or HardSigmoid, '' for any other node: what SiLU and Hardswish are
    written as."""
    if node.op != "Mul":
        return ""
    makers = {name: n for n in scope.file.nodes for name in n.outputs}

    def maker(name: str) -> Node | None:
        found = makers.get(name)
        return maker(found.inputs[0]) if found is not None and found.op in QUANTIZED and found.inputs else found

    factors = [maker(name) for name in node.inputs]
    for gate, other in (factors, factors[::-1]) if len(factors) == 2 else ():
        if gate is not None and gate.op in ("Sigmoid", "HardSigmoid"):
            whole = "Hardswish" if gate.op == "HardSigmoid" else "SiLU (Swish)"
            if gate.inputs and maker(gate.inputs[0]) is other:
                return f"{gate.op} and this product are {whole}: replace them by Relu6 and train on"
            return f"this product is the gate of {gate.op}, not supported yet: leave the gate out and train on"
    return ""


def _late(scope: Scope, nodes: list[Node], inputs: list[str], label: str, scale: np.float32, zero_point: int) -> Stored:
    """An 8-bit tensor that the host makes behind the accelerator, as the file has it."""
    scope.run_on_host(nodes, inputs)
    name = nodes[-1].outputs[0]
    tensor = scope.tensors[name]
    stored = Stored(name, identity(tensor.shape, tensor.dtype), late=label)
    scope.know(stored, scale, zero_point)
    return stored


def _quantize_constant(scope: Scope, node: Node, real: np.ndarray) -> Value:
    """Weights stored as float32 in front of their QuantizeLinear."""
    scale, zero_points = scope.parameters(node, None)
    if real.dtype != np.float32 or zero_points.dtype not in (INT8, UINT8):
        raise Unsupported(f"it quantizes {real.dtype} to {zero_points.dtype}", "quantize weights to int8 or uint8")
    if len(scale) > 1:
        axis = int(node.attributes.get("axis", 1))
        if not -real.ndim <= axis < real.ndim or real.shape[axis] != len(scale):
            raise Unsupported(
                f"{len(scale)} scales do not fit axis {axis} of {list(real.shape)}", "export the model again"
            )
        along = [1] * real.ndim
        along[axis] = -1
        scale, zero_points = scale.reshape(along), zero_points.reshape(along)
    limits = np.iinfo(zero_points.dtype)
    with np.errstate(all="ignore"):
        rounded = np.rint(real / scale).astype(np.float64) + zero_points
    integers = np.clip(np.nan_to_num(rounded), limits.min, limits.max).astype(zero_points.dtype)
    scope.file.constants[node.outputs[0]] = integers
    return Constant(node.outputs[0])


def _move(scope: Scope, node: Node, value: Stored | Real) -> Value:
    if isinstance(value, Stored):
        return scope.copy(moved(scope, node, value), node.outputs[0])
    return dataclasses.replace(value, stored=moved(scope, node, value.stored), moves=(*value.moves, node))


def _limits(scope: Scope, node: Node) -> tuple[float, float]:
    """The least and the greatest number that a Relu or Clip leaves."""
    if node.op == "Relu":
        return 0.0, math.inf
    limits = [
        float(node.attributes.get(name, limit)) for name, limit in (("min", -math.inf), ("max", math.inf))
    ]  # opset < 11
    for position in (1, 2):
        if position < len(node.inputs) and node.inputs[position]:
            limit = scope.constant(node, position)
            if limit.size != 1 or np.isnan(limit).any():
                raise Unsupported(f"its limit {node.inputs[position]!r} is no number", "export the model again")
            limits[position - 1] = float(limit.reshape(-1)[0])
    low, high = limits
    if low > high:
        raise Unsupported(f"its limits {low:g} and {high:g} leave nothing", "export the model again")
    return low, high


def _activation(scope: Scope, node: Node, value: Pending | Real) -> Value:
    """Relu or Clip taken into the operator before it."""
    low, high = _limits(scope, node)
    if isinstance(value, Real):
        return Pending((node,), (value,), low, high)
    first = value.nodes[0]
    if first.op not in RULES and first.op not in ACTIVATIONS:
        return Pending((*value.nodes, node), value.operands, value.low, value.high)
    low, high = max(low, min(value.low, high)), min(high, max(value.high, low))
    return Pending((*value.nodes, node), value.operands, low, high)


def _bias(node: Node, values: tuple[Value, ...]) -> Pending | None:
    """A constant added to a MatMul becomes its bias."""
    for pending, other in (values, values[::-1]) if len(values) == 2 else ():
        if not isinstance(pending, Pending) or not isinstance(other, Constant | Weights):
            continue
        if len(pending.nodes) == 1 and pending.nodes[0].op == "MatMul" and len(pending.operands) == 2:
            return Pending((*pending.nodes, node), (*pending.operands, other))
    return None


def _host(scope: Scope, node: Node, values: tuple[Value, ...], middle: set[str]) -> Value:
    """A node at the network's edges: at once where only the network's inputs lead to it, else when it is read."""
    run_time = [value for value in values if not isinstance(value, Constant)]
    early = all(isinstance(value, Edge) and not value.late for value in run_time)
    names = [name for name in node.inputs if name and name not in scope.file.constants]
    if early:
        scope.run_on_host([node], [scope.to_host(scope.value(name)) for name in names])
        return Edge(node.outputs[0])
    if node.outputs[0] in middle:
        raise Unsupported(
            "it would run in float32 on the host in the middle of the network",
            _gate(scope, node)
            or (AROUND if node.op in OF_ONE or node.op in (*ALONG_AXES, "Concat") else "")
            or advice(node.op, "only the network's first and last operators may; remove or replace it"),
        )
    if any(isinstance(value, Weights) for value in run_time):
        raise Unsupported("it reads quantized constants in float32", "quantize it, or store them as float32")
    if node.inputs and len(node.outputs) == 1 and all(isinstance(value, Real) for value in run_time):
        return Pending((node,), values)
    held = [scope.to_host(scope.value(name)) for name in names]
    if held != names:
        raise Unsupported("its input has two names", "remove the Identity before it")
    scope.run_on_host([node], held)
    return Edge(node.outputs[0], node.label)
