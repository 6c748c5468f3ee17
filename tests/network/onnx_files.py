"""Hand-made ONNX files for tests: nodes, constants and the QDQ pairs around them in a line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

NEWEST = onnx.defs.onnx_opset_version()
IR_VERSION = 10


class OnnxBuilder:
    """names are those of values; `qdq` gives the dequantized value's name, whose quantized tensor is name + '_q'."""

    def __init__(self, opset: int = 17, dtype: type = np.int8, weights: type = np.int8) -> None:
        self.opset, self.dtype, self.weight_type = opset, dtype, weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: tuple[Any, ...], dtype: type = np.float32) -> str:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, name: str, values: Any, dtype: type | None = None) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, domain=domain, **attributes))
        return output

    def quantize(self, x: str, output: str, scale: float, zero_point: int, dtype: type | None = None) -> str:
        names = [
            self.constant(f"{output}_scale", scale, np.float32),
            self.constant(f"{output}_zero", zero_point, dtype or self.dtype),
        ]
        return self.node("QuantizeLinear", [x, *names], output)

    def dequantize(self, x: str, output: str, scale: float, zero_point: int, dtype: type | None = None) -> str:
        names = [
            self.constant(f"{output}_scale", scale, np.float32),
            self.constant(f"{output}_zero", zero_point, dtype or self.dtype),
        ]
        return self.node("DequantizeLinear", [x, *names], output)

    def qdq(self, x: str, scale: float, zero_point: int) -> str:
        q = self.quantize(x, f"{x}_q", scale, zero_point)
        return self.dequantize(q, f"{x}_dq", scale, zero_point)

    def weights(self, name: str, values: np.ndarray, scale: Any, zero_point: Any = 0, axis: int = 0) -> str:
        """Quantized weights behind their DequantizeLinear."""
        names = [
            self.constant(f"{name}_raw", values, self.weight_type),
            self.constant(f"{name}_scale", scale, np.float32),
            self.constant(f"{name}_zero", np.broadcast_to(zero_point, np.shape(scale)), self.weight_type),
        ]
        per_channel = {"axis": axis} if np.ndim(scale) else {}
        return self.node("DequantizeLinear", names, name, **per_channel)

    def bias(self, name: str, values: np.ndarray, scale: Any) -> str:
        names = [self.constant(f"{name}_raw", values, np.int32), self.constant(f"{name}_scale", scale, np.float32)]
        per_channel = {"axis": 0} if np.ndim(scale) else {}
        return self.node("DequantizeLinear", names, name, **per_channel)

    def model(self, outputs: list[str]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "hand_made",
            self.inputs,
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self.constants,
        )
        for value in graph.output:
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        kinds = {
            v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info
        }
        for value in model.graph.output:
            inferred = kinds.get(value.name)
            maker = next((n for n in self.nodes if value.name in n.output), None)
            if maker is not None and maker.op_type == "QuantizeLinear":
                inferred = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
            if maker is not None and maker.op_type == "ArgMax":
                inferred = onnx.TensorProto.INT64
            value.type.tensor_type.elem_type = inferred or onnx.TensorProto.FLOAT
        return model

    def write(self, path: Path, outputs: list[str]) -> Path:
        onnx.save(self.model(outputs), path)
        return path


def middle(dtype: type, zero_point: int) -> int:
    """A zero point of int8 in another 8-bit type."""
    return zero_point + 128 * (dtype is np.uint8)
