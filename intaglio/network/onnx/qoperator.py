"""QOperator form as QDQ form: each integer operator becomes DequantizeLinear, the float operator, QuantizeLinear.

onnxruntime turns the second form into the first; the importer reads the second only. Signatures are those of
the ONNX operator set and of onnxruntime's ContribOperators.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio.network.onnx.file import Node, make_node, onnx_module
from intaglio.network.onnx.values import Unsupported

POOLING = ("kernel_shape", "strides", "pads", "auto_pad", "ceil_mode", "count_include_pad", "dilations")
UNARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "com.microsoft.QLinearAveragePool": ("AveragePool", POOLING),
    "com.microsoft.QLinearGlobalAveragePool": ("GlobalAveragePool", ()),
    "com.microsoft.QLinearSigmoid": ("Sigmoid", ()),
    "com.microsoft.QLinearLeakyRelu": ("LeakyRelu", ("alpha",)),
    "com.microsoft.QLinearSoftmax": ("Softmax", ("axis",)),
}
"""Operator -> the float one and the attributes that both have. Inputs: x, its scale and zero point, those of y."""
PRODUCTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "QLinearConv": ("Conv", ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")),
    "QLinearMatMul": ("MatMul", ()),
    "com.microsoft.QGemm": ("Gemm", ("alpha", "transA", "transB")),
}
LAYOUT = {"com.microsoft.QLinearAveragePool", "com.microsoft.QLinearGlobalAveragePool"}

EXPANDED = {
    *UNARY,
    *PRODUCTS,
    "com.microsoft.QLinearAdd",
    "com.microsoft.QLinearConcat",
    "com.microsoft.QLinearReduceMean",
}
"""Operators that `expand` takes, in most of their forms."""


def expand(node: Node, model: Any, constants: dict[str, np.ndarray], opset: int) -> list[Node]:
    """The nodes in its place; [] where the operator is none of ours. Adds to constants and to model's initializers.
    Unsupported where it is, but not in a form that can be written so."""
    if not node.outputs or not node.outputs[0]:
        return []
    try:
        return Expander(node, model, constants, opset).expand()
    except (KeyError, TypeError, ValueError) as error:  # no checker knows these operators' attributes
        raise Unsupported(f"its attributes or inputs are unusual ({error})", "export the model again") from error


class Expander:
    """Writes the nodes of one operator; new values are named after its output."""

    def __init__(self, node: Node, model: Any, constants: dict[str, np.ndarray], opset: int) -> None:
        self.node, self.model, self.constants, self.opset = node, model, constants, opset
        self.nodes: list[Node] = []

    def emit(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        proto = onnx_module().helper.make_node(
            op, inputs, [output], f"{self.node.proto.name or self.node.outputs[0]}::{op}", **attributes
        )
        self.nodes.append(make_node(proto, self.node.number, self.node.op))
        return output

    def constant(self, position: int) -> np.ndarray:
        name = self.operand(position)
        if name not in self.constants:
            raise Unsupported(f"its scale {name!r} is computed", "store it as a constant")
        return self.constants[name]

    def operand(self, position: int) -> str:
        if position >= len(self.node.inputs):
            raise Unsupported(f"it has {len(self.node.inputs)} inputs", "export the model again")
        return self.node.inputs[position]

    def real(self, value: int, scale: int, zero_point: int, **attributes: Any) -> str:
        """A DequantizeLinear of three inputs of the operator."""
        names = [self.operand(i) for i in (value, scale, zero_point)]
        return self.emit("DequantizeLinear", names, f"{self.node.outputs[0]}::{value}", **attributes)

    def quantized(self, real: str, scale: int, zero_point: int) -> None:
        names = [real, self.operand(scale), self.operand(zero_point)]
        self.emit("QuantizeLinear", names, self.node.outputs[0])

    def bias(self, position: int, scale: np.ndarray) -> list[str]:
        """int32 biases at the sums' own scale, or nothing where the input is absent."""
        if position >= len(self.node.inputs) or not self.node.inputs[position]:
            return []
        output = self.node.outputs[0]
        name = f"{output}::bias_scale"
        bias = self.constants.get(self.node.inputs[position])
        scale = np.asarray(scale, np.float32)
        flat = scale.reshape(-1) if scale.size > 1 else scale.reshape(())
        axis = 0 if bias is None or bias.ndim < 2 else bias.ndim - 1
        self.constants[name] = flat
        self.model.graph.initializer.append(onnx_module().numpy_helper.from_array(flat, name))
        return [self.emit("DequantizeLinear", [self.node.inputs[position], name], f"{output}::bias", axis=axis)]

    def expand(self) -> list[Node]:
        op, output = self.node.op, self.node.outputs[0]
        if op in UNARY and not (op in LAYOUT and self.node.attributes.get("channels_last")):
            target, names = UNARY[op]
            self.quantized(self.emit(target, [self.real(0, 1, 2)], f"{output}::real", **self._kept(names)), 3, 4)
        elif op == "com.microsoft.QLinearAdd":
            operands = [self.real(0, 1, 2), self.real(3, 4, 5)]
            self.quantized(self.emit("Add", operands, f"{output}::real"), 6, 7)
        elif op == "com.microsoft.QLinearConcat":
            parts = [self.real(i, i + 1, i + 2) for i in range(2, len(self.node.inputs), 3)]
            self.quantized(self.emit("Concat", parts, f"{output}::real", axis=self.node.attributes["axis"]), 0, 1)
        elif op == "com.microsoft.QLinearReduceMean":
            kept = self._kept(("keepdims",))
            axes = list(self.node.attributes.get("axes", ()))
            inputs = [self.real(0, 1, 2)]
            if self.opset >= 18:
                name = f"{output}::axes"
                self.constants[name] = np.array(axes, np.int64)
                self.model.graph.initializer.append(onnx_module().numpy_helper.from_array(self.constants[name], name))
                inputs.append(name)
            elif axes:
                kept["axes"] = axes
            self.quantized(self.emit("ReduceMean", inputs, f"{output}::real", **kept), 3, 4)
        elif op in PRODUCTS:
            self._product(*PRODUCTS[op])
        return self.nodes

    def _kept(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: value for name, value in self.node.attributes.items() if name in names}

    def _product(self, target: str, kept: tuple[str, ...]) -> None:
        attributes = self._kept(kept)
        output = self.node.outputs[0]
        gemm = target == "Gemm"
        weights = self.constants.get(self.operand(3))
        channel = 0 if target == "Conv" or attributes.get("transB") else (1 if weights is None else weights.ndim - 1)
        operands = [self.real(0, 1, 2), self.real(3, 4, 5, axis=channel)]
        alpha = np.float32(attributes.get("alpha", 1.0))
        with np.errstate(all="ignore"):
            scale = alpha * self.constant(1).astype(np.float32) * self.constant(4).astype(np.float32)
        if target != "MatMul":
            operands += self.bias(6 if gemm else 8, scale)
        y_scale, y_zero_point = (7, 8) if gemm else (6, 7)
        if gemm and len(self.node.inputs) < 9:
            self.emit(target, operands, output, **attributes)  # a float result, never quantized
        else:
            self.quantized(self.emit(target, operands, f"{output}::real", **attributes), y_scale, y_zero_point)
