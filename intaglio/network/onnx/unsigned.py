"""int8 weights behind uint8 activations as uint8, in the oracle's copy of a model: the same numbers, relabelled.

Where processors lack VNNI, onnxruntime multiplies uint8 by int8 with an instruction that saturates at 16 bits, and
gives other sums than it does elsewhere; uint8 by uint8 is exact everywhere. (Its own session option
`session.x64quantprecision` does the same, but not for MatMul of opset 21, and it breaks int8 activations.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from intaglio.network.onnx.file import onnx_module

OPERATORS = ("QLinearConv", "QLinearMatMul", "QGemm")
"""Operators of QOperator form; input 0 is the activation, 3 the weights, 5 their zero point."""
FLOAT_OPERATORS = ("Conv", "Gemm", "MatMul")


def unsigned_weights(model: Any, constants: Mapping[str, np.ndarray], types: Mapping[str, int]) -> None:
    """Changes the model in place. types: TensorProto's, by value."""
    onnx = onnx_module()
    makers = {name: node for node in model.graph.node for name in node.output}
    added: list[tuple[int, Any]] = []

    def is_unsigned(name: str) -> bool:
        found: bool = types.get(name) == onnx.TensorProto.UINT8
        return found

    def relabelled(name: str) -> str:
        """A new initializer with 128 more."""
        new = f"{name}::unsigned"
        if all(tensor.name != new for tensor in model.graph.initializer):
            values = (constants[name] ^ np.int8(-128)).view(np.uint8)
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, new))
        return new

    def is_signed(name: str) -> bool:
        return name in constants and constants[name].dtype == np.int8

    for index, node in enumerate(model.graph.node):
        if node.op_type in OPERATORS and len(node.input) > 5 and is_unsigned(node.input[0]):
            if is_signed(node.input[3]) and is_signed(node.input[5]):
                node.input[3], node.input[5] = relabelled(node.input[3]), relabelled(node.input[5])
        elif node.op_type in FLOAT_OPERATORS and len(node.input) > 1:
            x, w = (makers.get(name) for name in node.input[:2])
            if x is None or w is None or x.op_type != "DequantizeLinear" or w.op_type != "DequantizeLinear":
                continue
            if (
                not is_unsigned(x.input[0])
                or not is_signed(w.input[0])
                or len(w.input) < 3
                or not is_signed(w.input[2])
            ):
                continue
            copy = onnx.NodeProto.FromString(w.SerializeToString())
            copy.name, copy.output[0] = f"{w.name}::unsigned{index}", f"{w.output[0]}::unsigned{index}"
            copy.input[0], copy.input[2] = relabelled(w.input[0]), relabelled(w.input[2])
            node.input[1] = copy.output[0]
            added.append((index, copy))
    for index, copy in reversed(added):
        model.graph.node.insert(index, copy)
