"""Small float ONNX models for the tests of quantizing; one seed gives one model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.shape_inference
from onnx import TensorProto, helper, numpy_helper

CLASSES = 7


class Builder:
    """Appends nodes and random weights to a graph with one float32 input `image`."""

    def __init__(self, shape: tuple[int | str, ...], seed: int, opset: int = 17):
        self.shape, self.opset = shape, opset
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(array, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def weight(self, *shape: int, positive: bool = False) -> str:
        array = self.random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        return self.constant(np.abs(array) + np.float32(0.5) if positive else array)

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def norm(self, x: str, channels: int, output: str, epsilon: float = 1e-3) -> str:
        parts = [self.weight(channels, positive=positive) for positive in (True, False, False, True)]
        return self.node("BatchNormalization", [x, *parts], output, epsilon=epsilon)

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)  # sets the output's shape


def residual(
    seed: int = 3, batch: int | str = "batch", softmax: bool = False, opset: int = 17, mean: bool = True
) -> onnx.ModelProto:
    """Convolutions with batch norm, a residual sum, a mean over pixels, two Gemms with a batch norm between."""
    b = Builder((batch, 3, 8, 8), seed, opset)
    x = b.node("Conv", ["image", b.weight(6, 3, 3, 3)], "c0", pads=[1, 1, 1, 1])
    x = b.node("Relu", [b.norm(x, 6, "n0")], "r0")
    y = b.norm(b.node("Conv", [x, b.weight(6, 6, 3, 3)], "c1", pads=[1, 1, 1, 1]), 6, "n1")
    x = b.node("Relu", [b.node("Add", [x, y], "sum")], "r1")
    if mean and opset < 18:
        x = b.node("ReduceMean", [x], "pooled", axes=[2, 3], keepdims=0)
    elif mean:
        x = b.node("ReduceMean", [x, b.constant(np.array([-1, -2], np.int64))], "pooled", keepdims=0)
    else:
        x = b.node("Flatten", [b.node("GlobalAveragePool", [x], "pooled")], "flat")
    x = b.node("Gemm", [x, b.weight(6, 9), b.weight(9)], "g0", alpha=0.5, beta=2.0)
    x = b.node("Relu", [b.norm(x, 9, "n2")], "r2")
    x = b.node("Gemm", [x, b.weight(CLASSES, 9), b.weight(CLASSES)], "scores", transB=1)
    return b.model(b.node("Softmax", [x], "probabilities", axis=-1) if softmax else x)


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def samples(seed: int = 5, count: int = 12, shape: tuple[int, ...] = (3, 8, 8)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, *shape)).astype(np.float32)
