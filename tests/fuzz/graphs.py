"""A recipe as an integer graph: weights, zero points and scales that keep outputs lively, from the recipe's seed."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from intaglio.network import moves
from intaglio.network.graph import (
    Add,
    AveragePool2D,
    Box,
    Conv2D,
    Dequantize,
    FileForm,
    FullyConnected,
    Graph,
    MaxPool2D,
    Mean,
    Move,
    Operator,
    Padding,
    Quantization,
    Quantize,
    Requantize,
    Rescale,
    Reshape,
    Rounding,
    Softmax,
    Table,
    Tensor,
)
from intaglio.network.quantized_multiplier import mean_multiplier, requantize_by
from intaglio.network.survey import Step, Survey
from tests.fuzz.recipe import MOVES, Layer, Recipe, Shape, explicit_padding, shapes_of
from tests.onnx_arithmetic import in_onnx_arithmetic

FULL = (-128, 127)
SPREAD = 50.0
"""Standard deviation of outputs that scales aim at, in steps of int8."""
SOFTMAX_SCALING = (1 / 256, -128)


@dataclass(frozen=True)
class Scaling:
    """real = scale * (integer - zero_point)."""

    scale: float
    zero_point: int


def random_of(recipe: Recipe, name: str) -> np.random.Generator:
    """The generator of one layer's numbers, whatever other layers there are."""
    digest = hashlib.sha256(f"{recipe.seed} {name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def weights_of(recipe: Recipe, layer: Layer, first: Shape) -> np.ndarray:
    """int8 [O, KH, KW, I / groups] or [O, I]; now and then tiny ones, which ask for multipliers near or above 1."""
    rng = random_of(recipe, f"{layer.name} weights")
    largest = int(rng.choice([127, 31, 3, 1], p=[0.7, 0.1, 0.1, 0.1]))
    if layer.kind == "conv":
        shape: Shape = (layer["outputs"], *layer["kernel"], first[3] // layer["groups"])
    else:
        shape = (layer["outputs"], first[-1] if layer["pixels"] else math.prod(first[1:]))
    return rng.integers(-largest, largest, shape, np.int8, endpoint=True)


def bias_of(recipe: Recipe, layer: Layer, weights: np.ndarray) -> np.ndarray:
    """int32 [O], about as large as the sums."""
    rng = random_of(recipe, f"{layer.name} bias")
    return np.rint(rng.normal(0, 0.5 * sum_spread(weights), len(weights))).astype(np.int32)


def sum_spread(weights: np.ndarray) -> float:
    """Standard deviation of the sums of random inputs; from integers, so that it is the same whichever numpy sums them."""
    count, total, squares = (
        weights.size,
        int(weights.sum(dtype=np.int64)),
        int(np.square(weights.astype(np.int64)).sum()),
    )
    return max(73.0 * math.sqrt(weights[0].size) * math.sqrt(count * squares - total**2) / count, 1.0)


def scalings_of(recipe: Recipe) -> dict[str, Scaling]:
    """Of every tensor. Windows of TFLite, reshapes and float tensors' neighbours keep their input's."""
    out = {name: _drawn(recipe, name) for name in recipe.inputs}
    for layer in recipe.layers:
        if layer.kind == "softmax":
            out[layer.name] = Scaling(*SOFTMAX_SCALING)
        elif layer.kind in ("average", "maximum", "reshape", "dequantize", *MOVES):
            out[layer.name] = out[layer.inputs[0]]
        elif layer.options.get("like") in out:
            out[layer.name] = out[layer["like"]]
        else:
            out[layer.name] = _drawn(recipe, layer.name)
    return out


def _drawn(recipe: Recipe, name: str) -> Scaling:
    rng = random_of(recipe, f"{name} scaling")
    zero_point = int(rng.choice([0, -128, rng.integers(-128, 128)], p=[0.3, 0.2, 0.5]))
    return Scaling(float(np.float32(rng.uniform(0.02, 0.1))), zero_point)


def clamp_of(recipe: Recipe, name: str) -> tuple[int, int]:
    """As fused activations leave it: full range, from the zero point on, or less."""
    rng = random_of(recipe, f"{name} clamp")
    low = int(rng.integers(-128, 1)) if rng.random() < 0.4 else -128
    high = int(rng.integers(1, 128)) if rng.random() < 0.2 else 127
    return low, high


def graph_of(recipe: Recipe) -> Graph:
    """The graph, as an importer would make it. float32 tensors: network inputs that a quantize reads, and what dequantize
    gives."""
    shapes, scalings = shapes_of(recipe), scalings_of(recipe)
    real = {x.inputs[0] for x in recipe.layers if x.kind == "quantize"} | {
        x.name for x in recipe.layers if x.kind == "dequantize"
    }
    tensors = {}
    for name, shape in shapes.items():
        scaling = scalings[name]
        known = Quantization(np.array([scaling.scale], np.float32), np.array([scaling.zero_point], np.int64))
        kind = np.dtype(np.float32) if name in real else np.dtype(np.int8)
        tensors[name] = Tensor(name, shape, kind, None if name in real else known)
    operators = [_operator(recipe, layer, shapes, scalings) for layer in recipe.layers]
    graph = Graph(f"fuzz_{recipe.seed}", tensors, tuple(recipe.inputs), recipe.outputs, operators)
    if recipe.style == "onnx":
        graph = in_onnx_arithmetic(graph, recipe.seed)
        if recipe.seed % 2:  # as int8 weights are
            graph = replace(graph, operators=[_symmetric(op) for op in graph.operators])
    if recipe.style == "uint8":
        graph = replace(
            graph,
            tensors={name: _unsigned_tensor(tensor) for name, tensor in graph.tensors.items()},
            operators=[_unsigned(op, recipe, layer) for op, layer in zip(graph.operators, recipe.layers, strict=True)],
        )
    return graph


def _unsigned_tensor(tensor: Tensor) -> Tensor:
    if tensor.dtype != np.int8:
        return tensor
    axes = tuple(range(len(tensor.shape)))
    return replace(tensor, form=FileForm(tensor.shape, axes, tensor.shape, np.dtype(np.uint8)))


def _unsigned(op: Operator, recipe: Recipe, layer: Layer) -> Operator:
    """As TFLite's importer makes it of uint8."""
    if isinstance(op, AveragePool2D):
        return replace(op, input_zero_point=-128, output_zero_point=-128)
    if isinstance(op, Conv2D | FullyConnected):
        return replace(op, weight_zero_point=weight_zero_point_of(recipe, layer))
    return op


def weight_zero_point_of(recipe: Recipe, layer: Layer) -> int:
    """Of style uint8; of TFLite's int8 it is 0. Not far off of dense layers, whose sums must stay below 2**31."""
    if recipe.style != "uint8":
        return 0
    rng = random_of(recipe, f"{layer.name} weight zero point")
    far = 128 if layer.kind == "conv" else 20
    return int(rng.choice([0, rng.integers(-20, 21), rng.integers(-far, far)], p=[0.3, 0.6, 0.1]))


def _symmetric(op: Operator) -> Operator:
    return replace(op, weight_zero_point=0) if isinstance(op, Conv2D | FullyConnected) else op


def survey_of(graph: Graph) -> Survey:
    """As of a file in which every operator is one of the graph's."""
    return Survey(graph, tuple(Step(op.outputs[0], op.kind, op.name) for op in graph.operators), ())


def _operator(recipe: Recipe, layer: Layer, shapes: dict[str, Shape], scalings: dict[str, Scaling]) -> Operator:
    name, ins, outs = layer.name, layer.inputs, (layer.name,)
    first, x, y = shapes[ins[0]], scalings[ins[0]], scalings[layer.name]
    clamp = clamp_of(recipe, name)
    ratio = x.scale / y.scale
    match layer.kind:
        case "conv":
            weights = weights_of(recipe, layer, first)
            return Conv2D(
                name,
                ins,
                outs,
                weights,
                bias_of(recipe, layer, weights),
                layer["stride"],
                layer["dilation"],
                Padding(*explicit_padding(layer, first)),
                x.zero_point,
                y.zero_point,
                requantize_by(scales_of(recipe, layer, weights).tolist(), Rounding.DOUBLE),
                clamp,
                0,
                layer["groups"],
            )
        case "dense":
            weights = weights_of(recipe, layer, first)
            how = requantize_by(scales_of(recipe, layer, weights).tolist(), Rounding.SINGLE)
            return FullyConnected(
                name, ins, outs, weights, bias_of(recipe, layer, weights), x.zero_point, y.zero_point, how, clamp
            )
        case "add":
            other = scalings[ins[1]]
            twice = 2 * max(x.scale, other.scale)
            operands = [requantize_by([s / twice], Rounding.DOUBLE) for s in (x.scale, other.scale)]
            how = requantize_by([twice / (2.0**20 * y.scale)], Rounding.DOUBLE)
            points = (x.zero_point, other.zero_point)
            return Add(name, (ins[0], ins[1]), outs, points, 20, (operands[0], operands[1]), y.zero_point, how, clamp)
        case "average":
            return AveragePool2D(
                name, ins, outs, layer["kernel"], layer["stride"], Padding(*explicit_padding(layer, first)), clamp
            )
        case "maximum":
            padding = Padding(*explicit_padding(layer, first))
            return MaxPool2D(name, ins, outs, layer["kernel"], layer["stride"], padding, clamp, layer["dilation"])
        case "mean":
            multiplier, shift = mean_multiplier(ratio, first[1] * first[2])
            how = Requantize(np.array([multiplier], np.int32), np.array([shift], np.int32), Rounding.DOUBLE)
            return Mean(name, ins, outs, x.zero_point, y.zero_point, how, FULL)
        case "relu" | "rescale":
            limits = (max(-128, y.zero_point), clamp[1]) if layer.kind == "relu" else FULL
            how = requantize_by([ratio], Rounding.DOUBLE)
            return Rescale(name, ins, outs, x.zero_point, y.zero_point, how, (min(limits), max(limits)))
        case "reshape":
            return Reshape(name, ins, outs)
        case "quantize":
            return Quantize(name, ins, outs)
        case "dequantize":
            return Dequantize(name, ins, outs)
        case "softmax":
            return Softmax(name, ins, outs, 1.0)
        case "table":
            values = random_of(recipe, f"{name} table").integers(-128, 128, 256, np.int8)
            return Table(name, ins, outs, values, layer["function"])
        case "concat" | "slice" | "pad" | "shuffle" | "twice":
            boxes = boxes_of(layer, [shapes[source] for source in ins], x.zero_point)
            return Move(name, ins, outs, boxes, layer.kind)
    raise ValueError(layer.kind)


def boxes_of(layer: Layer, inputs: list[Shape], value: int) -> tuple[Box, ...]:
    """value: of what a pad adds."""
    first = inputs[0]
    if layer.kind == "concat":
        return moves.concatenated(inputs, layer["axis"])
    if layer.kind == "shuffle":
        groups = layer["groups"]
        return moves.permuted((*first[:3], groups, first[3] // groups), (0, 1, 2, 4, 3))
    length = first[layer["axis"]]
    if layer.kind == "slice":
        begin, step = layer["first"], layer["step"]
        indices = list(range(begin, begin + layer["count"] * step, step))
    elif layer.kind == "pad":
        indices = [moves.CONSTANT] * layer["before"] + list(range(length)) + [moves.CONSTANT] * layer["after"]
    else:
        indices = [i // 2 for i in range(2 * length)]
    return moves.by_axis(first, {layer["axis"]: indices}, value)


def scales_of(recipe: Recipe, layer: Layer, weights: np.ndarray) -> np.ndarray:
    """float64 [1] or [O]: one scale, or one for each channel, that bring sums to SPREAD within a factor of 2."""
    rng = random_of(recipe, f"{layer.name} scales")
    count = len(weights) if rng.random() < 0.7 and recipe.style != "uint8" else 1
    below, beyond = np.divmod(rng.uniform(-1, 1, count), 1)
    return np.asarray(SPREAD / sum_spread(weights) * np.ldexp(1 + beyond, below.astype(np.int32)))
