"""Random small ONNX networks, quantized by onnxruntime, that the importer, the mapper and both engines must agree on.

    network = random_onnx_network(seed, tmp_path / "net.onnx")
    network.path, network.description, network.notes_allowed

The same seed gives the same network. A float network of convolutions, Relu, Clip, residual additions, pooling,
flattening and Gemm or MatMul is built with random weights, calibrated on random inputs, and written by
onnxruntime.quantization.quantize_static in QDQ or QOperator form.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

OLDEST, NEWEST = 13, 21
"""Opsets that onnxruntime's quantizer writes; OPSETS of the importer reach further (see test_onnx_operators)."""
SAMPLES = 8
LAYERS = 7
TYPES = [
    (QuantType.QInt8, QuantType.QInt8),
    (QuantType.QUInt8, QuantType.QInt8),
    (QuantType.QUInt8, QuantType.QUInt8),
]


@dataclass(frozen=True)
class OnnxNetwork:
    """qdq: the form. symmetric: activations have the zero point in the middle of their type."""

    path: Path
    description: str
    qdq: bool
    symmetric: bool


class Calibration(CalibrationDataReader):
    def __init__(self, arrays: list[dict[str, np.ndarray]]) -> None:
        self.arrays = iter(arrays)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.arrays, None)


def random_onnx_network(seed: int, path: Path) -> OnnxNetwork:
    """Write a network and return it with its description."""
    rng = np.random.default_rng(seed)
    opset = int(rng.integers(OLDEST, NEWEST + 1))
    build = FloatBuilder(rng, opset)
    lines = build.layers(int(rng.integers(2, LAYERS + 1)))
    float_path = path.with_name(path.stem + "_float.onnx")
    onnx.save(build.model(), float_path)
    prepared = build.needs_preparing or rng.random() < 0.3
    if prepared:  # folds MatMul and Add into Gemm; without it, the Add would be quantized with a constant operand
        quant_pre_process(float_path, float_path, skip_symbolic_shape=True)
    activations, weights = TYPES[seed % len(TYPES)]
    qdq = bool((seed // 3) % 2 == 0)
    per_channel = bool(rng.random() < 0.6) and weights == QuantType.QInt8
    symmetric = bool(rng.random() < 0.25) and qdq
    arrays = [{"input": rng.normal(0, 1, build.input_shape).astype(np.float32)} for _ in range(SAMPLES)]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        quantize_static(
            float_path,
            path,
            Calibration(arrays),
            quant_format=QuantFormat.QDQ if qdq else QuantFormat.QOperator,
            per_channel=per_channel,
            activation_type=activations,
            weight_type=weights,
            extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": weights == QuantType.QInt8},
        )
        logging.disable(logging.NOTSET)
    kind = f"{'QDQ' if qdq else 'QOperator'} opset {opset} {activations} x {weights} {'pc' if per_channel else 'pt'}"
    text = f"seed {seed}: {kind}{' symmetric' if symmetric else ''}: " + "; ".join(lines)
    return OnnxNetwork(path, text, qdq, symmetric)


class FloatBuilder:
    """Appends float layers; x is the newest value, shapes are [1, C, H, W] or [1, F]."""

    def __init__(self, rng: np.random.Generator, opset: int) -> None:
        self.rng, self.opset = rng, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        channels, height, width = int(rng.integers(1, 7)), *rng.integers(5, 12, 2).tolist()
        self.input_shape = (1, channels, height, width)
        self.x, self.shape = "input", self.input_shape
        self.needs_preparing = False

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "random",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, self.input_shape)],
            [helper.make_tensor_value_info(self.x, TensorProto.FLOAT, None)],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def layers(self, count: int) -> list[str]:
        lines = [self.conv()]
        while len(lines) < count and len(self.shape) == 4:
            choices = [self.conv, self.conv, self.conv, self.residual, self.pool]
            lines.append(choices[self.rng.integers(len(choices))]())
        if self.rng.random() < 0.8:
            lines.append(self.head())
            lines.append(self.dense())
            if self.rng.random() < 0.4:
                lines.append(self.dense())
            if self.rng.random() < 0.3:
                self.node("Softmax", [self.x], self.shape, axis=-1)
                lines.append("Softmax")
        return lines

    def node(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        self.x, self.shape = name, shape
        return name

    def constant(self, values: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, *shape: int) -> str:
        fan = max(int(np.prod(shape[1:])), 1)
        return self.constant((self.rng.normal(0, 1.4, shape) / np.sqrt(fan)).astype(np.float32))

    def activation(self) -> str:
        kind = self.rng.choice(["", "Relu", "Clip"], p=[0.35, 0.5, 0.15])
        if kind == "Relu":
            self.node("Relu", [self.x], self.shape)
        elif kind == "Clip":
            limits = [self.constant(np.array(v, np.float32)) for v in (0.0, 6.0)]
            self.node("Clip", [self.x, *limits], self.shape)
        return str(kind)

    def conv(self, keep: bool = False) -> str:
        rng = self.rng
        _, channels, height, width = self.shape
        kernel = rng.choice([1, 2, 3, 4, 5], 2, p=[0.3, 0.1, 0.45, 0.05, 0.1]).tolist()
        kernel = [min(k, n) for k, n in zip(kernel, (height, width), strict=True)]
        strides, dilations = [1, 1], [1, 1]
        outputs = channels if keep else int(rng.integers(1, 17))
        auto = "SAME_UPPER" if keep else str(rng.choice(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
        attributes: dict[str, object] = {}
        if not keep:
            strides = rng.choice([1, 2], 2, p=[0.7, 0.3]).tolist()
            fits = [(n - 1) // max(k - 1, 1) for n, k in zip((height, width), kernel, strict=True)]
            dilations = [int(min(rng.choice([1, 2], p=[0.8, 0.2]), max(f, 1))) for f in fits]
        span = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        if auto == "NOTSET":
            pads = [int(rng.integers(0, s)) for s in (*span, *span)]
            attributes["pads"] = pads
            out = [
                (n + a + b - s) // t + 1
                for n, a, b, s, t in zip((height, width), pads[:2], pads[2:], span, strides, strict=True)
            ]
        else:
            attributes["auto_pad"] = auto
            out = [
                (n - s) // t + 1 if auto == "VALID" else -(-n // t)
                for n, s, t in zip((height, width), span, strides, strict=True)
            ]
        if auto.startswith("SAME"):
            dilations = [1, 1]  # onnxruntime has no kernel for both
        group = 1
        if rng.random() < 0.4:
            group = int(rng.choice([n for n in range(1, channels + 1) if channels % n == 0]))
            outputs = channels if keep else group * int(rng.integers(1, 4))
            attributes["group"] = group
        inputs = [self.x, self.weights(outputs, channels // group, *kernel)]
        if rng.random() < 0.8:
            inputs.append(self.constant(rng.normal(0, 0.5, outputs).astype(np.float32)))
        shape = (1, outputs, *out)
        self.node("Conv", inputs, shape, kernel_shape=kernel, strides=strides, dilations=dilations, **attributes)
        text = f"Conv {kernel} strides {strides} {attributes} -> {shape}"
        text += " " + self.activation()
        return text

    def residual(self) -> str:
        before = self.x
        text = self.conv(keep=True)
        operands = [before, self.x] if self.rng.random() < 0.5 else [self.x, before]
        self.node("Add", operands, self.shape)
        return f"{text}; Add {self.activation()}"

    def pool(self) -> str:
        _, channels, height, width = self.shape
        if min(height, width) < 2:
            return self.conv()
        kernel = [int(self.rng.integers(1, min(n, 3) + 1)) for n in (height, width)]
        strides = self.rng.choice([1, 2], 2).tolist()
        pads = [int(self.rng.integers(0, k)) for k in (*kernel, *kernel)]
        sides = list(zip((height, width), pads[:2], pads[2:], kernel, strides, strict=True))
        if self.rng.random() < 0.5:
            # ONNX before opset 22 and onnxruntime differ where ceil_mode's last window would start behind the input.
            agree = all(-(-(n + a + b - k) // s) * s < n + a for n, a, b, k, s in sides)
            ceil = int(self.rng.integers(2) and agree)
            out = [((s - 1) * ceil + n + a + b - k) // s + 1 for n, a, b, k, s in sides]
            self.node(
                "MaxPool",
                [self.x],
                (1, channels, *out),
                kernel_shape=kernel,
                strides=strides,
                pads=pads,
                ceil_mode=ceil,
            )
            return f"MaxPool {kernel} strides {strides} pads {pads} ceil_mode {ceil} {self.activation()}"
        out = [(n + a + b - k) // s + 1 for n, a, b, k, s in sides]
        include = int(self.rng.integers(2))
        self.node(
            "AveragePool",
            [self.x],
            (1, channels, *out),
            kernel_shape=kernel,
            strides=strides,
            pads=pads,
            count_include_pad=include,
        )
        return f"AveragePool {kernel} strides {strides} pads {pads}"

    def head(self) -> str:
        _, channels, height, width = self.shape
        kind = str(self.rng.choice(["flatten", "reshape", "gap"]))
        if kind == "gap":
            self.node("GlobalAveragePool", [self.x], (1, channels, 1, 1))
            self.node("Flatten", [self.x], (1, channels))
        elif kind == "flatten":
            self.node("Flatten", [self.x], (1, channels * height * width))
        else:
            target = self.constant(np.array([1, -1], np.int64))
            self.node("Reshape", [self.x, target], (1, channels * height * width))
        return kind

    def dense(self) -> str:
        depth, units = self.shape[1], int(self.rng.integers(1, 20))
        kind = str(self.rng.choice(["Gemm", "Gemm transposed", "MatMul", "MatMul and Add"]))
        bias = self.constant(self.rng.normal(0, 0.5, units).astype(np.float32))
        if kind.startswith("Gemm"):
            across = kind.endswith("transposed")
            weights = self.weights(units, depth) if across else self.weights(depth, units)
            self.node("Gemm", [self.x, weights, bias], (1, units), transB=int(across))
        else:
            self.node("MatMul", [self.x, self.weights(depth, units)], (1, units))
            if kind.endswith("Add"):
                self.node("Add", [self.x, bias], (1, units))
                self.needs_preparing = True
        return f"{kind} -> {units} {self.activation()}"


def main() -> None:
    """Write one network and print it: python -m tests.onnx_networks SEED FILE."""
    parser = argparse.ArgumentParser(description="Write a random quantized ONNX network.")
    parser.add_argument("seed", type=int)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    print(random_onnx_network(arguments.seed, arguments.file).description)


if __name__ == "__main__":
    main()
