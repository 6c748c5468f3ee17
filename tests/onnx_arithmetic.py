"""TFLite graphs turned into graphs of ONNX's arithmetic, which no .tflite file can hold.

    graph = in_onnx_arithmetic(load(path), seed)

Shapes and weights stay. Every scale becomes a binary32 number that FLOAT multiplies by, weights get zero points, Add a
bias and FLOAT or SINGLE at its end, averages a change of scale and, now and then, the padding counted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Conv2D,
    FullyConnected,
    Graph,
    Mean,
    Operator,
    Requantize,
    Rescale,
    Rounding,
)
from intaglio.network.quantized_multiplier import requantize_by


def in_onnx_arithmetic(graph: Graph, seed: int) -> Graph:
    """One seed gives one graph; the same shapes, other values."""
    rng = np.random.default_rng(seed)
    return replace(graph, operators=[_changed(graph, op, rng) for op in graph.operators])


def binary32(how: Requantize) -> Requantize:
    """FLOAT by the nearest binary32 numbers."""
    scales = np.asarray(how.multiplier, np.float64) * 2.0 ** (np.asarray(how.shift, np.float64) - 31)
    return requantize_by([float(scale) for scale in scales.astype(np.float32)], Rounding.FLOAT)


def _changed(graph: Graph, op: Operator, rng: np.random.Generator) -> Operator:
    match op:
        case Conv2D() | FullyConnected():
            return replace(op, requantize=binary32(op.requantize), weight_zero_point=_weight_zero_point(rng))
        case Mean() | Rescale():
            return replace(op, requantize=binary32(op.requantize))
        case Add():
            how = binary32(op.requantize)
            if rng.random() < 0.4:
                how = replace(op.requantize, rounding=Rounding.SINGLE)
            # Sums of operands reach 2**27; now and then the bias wraps them.
            bias = int(rng.integers(-(2**31), 2**31) >> rng.choice([0, 6, 8, 31], p=[0.05, 0.35, 0.3, 0.3]))
            return replace(op, requantize=how, bias=bias)
        case AveragePool2D():
            known = graph.tensors[op.inputs[0]].quantization
            return replace(
                op,
                rescale=float(np.float32(rng.choice([1.0, 0.5, rng.uniform(0.3, 3)]))),
                input_zero_point=int(known.zero_point[0]) if known else int(rng.integers(-128, 128)),
                output_zero_point=int(rng.integers(-128, 128)),
                count_padding=bool(rng.integers(2)),
            )
    return op


def _weight_zero_point(rng: np.random.Generator) -> int:
    """0, near it, as uint8 weights often have it, or anything."""
    return int(rng.choice([0, rng.integers(-6, 7), rng.integers(-128, 128)], p=[0.3, 0.6, 0.1]))
