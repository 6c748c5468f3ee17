"""A network as a short description that can be printed, stored, made smaller and built again.

Only what a person would write down stands in a layer (kernel, stride, outputs, ...); shapes follow from the inputs', so that
a layer can be dropped or changed and the rest stays a network. Weights and scales follow from the layer's name and the
recipe's seed: they do not change when another layer goes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from intaglio.network.float_network import output_size

Shape = tuple[int, ...]
STYLES = ("tflite", "onnx")
"""Whose arithmetic: TFLite's fixed-point roundings, or onnxruntime's float32."""
WINDOWED = ("conv", "average", "maximum")
MOVES = ("concat", "slice", "pad", "shuffle", "twice")
FUNCTIONS = ("hard_swish", "leaky_relu", "gelu")


class BadRecipe(ValueError):
    """A layer that does not fit its inputs."""


@dataclass(frozen=True)
class Layer:
    """One operator. name: its output's. kind: conv, dense, add, average, maximum, mean, reshape, relu, rescale, quantize,
    dequantize, softmax, concat, slice, pad, shuffle, twice or table. inputs: names of layers or of the network's inputs. options, by kind:

    conv: outputs, kernel, stride, dilation, padding, groups. average, maximum: kernel, stride, padding; maximum: dilation.
    dense: outputs; pixels: the last axis alone is reduced. mean: keep (the axes of 1). reshape: to, one of "flat" ([N, rest]),
    "row" ([N, 1, H * W, C]), "column" ([N, H * W, 1, C]), "pixel" ([N, 1, 1, rest]).
    concat: axis. slice: axis, first, count, step. pad: axis, before, after. shuffle: groups of channels, interleaved. twice:
    axis, along which each index comes two times. table: function, of FUNCTIONS.
    like: of any, a tensor whose scale and zero point the output has.
    padding: "SAME", "VALID" or (top, bottom, left, right); pairs are (rows, columns).
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    options: Mapping[str, Any]

    def __getitem__(self, option: str) -> Any:
        return self.options[option]


@dataclass(frozen=True)
class Recipe:
    """inputs: shapes by name, [N, H, W, C] or [N, C]. layers stand in an order in which they can run."""

    seed: int
    style: str
    inputs: Mapping[str, Shape]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        layers = [{"name": x.name, "kind": x.kind, "inputs": list(x.inputs), **x.options} for x in self.layers]
        inputs = {name: list(shape) for name, shape in self.inputs.items()}
        return {
            "seed": self.seed,
            "style": self.style,
            "inputs": inputs,
            "layers": layers,
            "outputs": list(self.outputs),
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Recipe:
        layers = tuple(
            Layer(
                x["name"],
                x["kind"],
                tuple(x["inputs"]),
                {k: _plain(v) for k, v in x.items() if k not in ("name", "kind", "inputs")},
            )
            for x in document["layers"]
        )
        inputs = {name: tuple(shape) for name, shape in document["inputs"].items()}
        return Recipe(document["seed"], document["style"], inputs, layers, tuple(document["outputs"]))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def shapes_of(recipe: Recipe) -> dict[str, Shape]:
    """Every tensor's shape by name. BadRecipe where a layer does not fit."""
    shapes: dict[str, Shape] = dict(recipe.inputs)
    for layer in recipe.layers:
        try:
            shapes[layer.name] = output_shape(layer, [shapes[name] for name in layer.inputs])
        except KeyError as error:
            raise BadRecipe(f"{layer.name}: no {error}") from None
    if any(name not in shapes for name in recipe.outputs) or not recipe.outputs:
        raise BadRecipe("outputs that nothing makes")
    return shapes


def output_shape(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    first = inputs[0]
    _expect(layer, layer.options.get("outputs", 1) >= 1)
    match layer.kind:
        case "conv":
            _expect(
                layer, len(first) == 4 and first[3] % layer["groups"] == 0 and layer["outputs"] % layer["groups"] == 0
            )
            return (first[0], *window_counts(layer, first), layer["outputs"])
        case "average" | "maximum":
            _expect(layer, len(first) == 4)
            return (first[0], *window_counts(layer, first), first[3])
        case "dense":
            if layer["pixels"]:
                return (*first[:-1], layer["outputs"])
            return (first[0], layer["outputs"])
        case "add":
            _expect(layer, len(inputs) == 2 and inputs[0] == inputs[1])
            return first
        case "mean":
            _expect(layer, len(first) == 4)
            return (first[0], 1, 1, first[3]) if layer["keep"] else (first[0], first[3])
        case "reshape":
            rest = math.prod(first[1:])
            if layer["to"] in ("row", "column"):
                _expect(layer, len(first) == 4)
                pixels = first[1] * first[2]
                return (first[0], 1, pixels, first[3]) if layer["to"] == "row" else (first[0], pixels, 1, first[3])
            return (first[0], rest) if layer["to"] == "flat" else (first[0], 1, 1, rest)
        case "relu" | "rescale" | "quantize" | "dequantize" | "softmax" | "table":
            return first
        case "concat" | "slice" | "pad" | "shuffle" | "twice":
            return _moved_shape(layer, inputs)
    raise BadRecipe(f"{layer.name}: kind {layer.kind}")


def _moved_shape(layer: Layer, inputs: Sequence[Shape]) -> Shape:
    first = inputs[0]
    _expect(layer, all(len(shape) == 4 for shape in inputs))
    if layer.kind == "shuffle":
        _expect(layer, first[3] % layer["groups"] == 0)
        return first
    axis = layer["axis"]
    if layer.kind == "concat":
        _expect(layer, all(a == b for s in inputs for i, (a, b) in enumerate(zip(s, first, strict=True)) if i != axis))
        length = sum(shape[axis] for shape in inputs)
    elif layer.kind == "slice":
        length = layer["count"]
        _expect(layer, layer["first"] + (length - 1) * layer["step"] < first[axis] and length >= 1)
    elif layer.kind == "pad":
        length = first[axis] + layer["before"] + layer["after"]
    else:
        length = 2 * first[axis]
    return tuple(length if i == axis else n for i, n in enumerate(first))


def _expect(layer: Layer, holds: bool) -> None:
    if not holds:
        raise BadRecipe(f"{layer.name}: {layer.kind} does not fit its input")


def window_counts(layer: Layer, shape: Shape) -> tuple[int, int]:
    """The output's rows and columns, both at least 1."""
    dilation = layer.options.get("dilation", (1, 1))
    padding = layer["padding"]
    counts = []
    for axis, (n, k, s, d) in enumerate(zip(shape[1:3], layer["kernel"], layer["stride"], dilation, strict=True)):
        if isinstance(padding, str):
            counts.append(output_size(n, k, s, d, padding))
        else:
            counts.append((n + padding[2 * axis] + padding[2 * axis + 1] - (k - 1) * d - 1) // s + 1)
    _expect(layer, min(counts) >= 1)
    return counts[0], counts[1]


def explicit_padding(layer: Layer, shape: Shape) -> tuple[int, int, int, int]:
    """(top, bottom, left, right), as TensorFlow pads for SAME."""
    padding = layer["padding"]
    if not isinstance(padding, str):
        return tuple(padding)
    out: list[int] = []
    dilation = layer.options.get("dilation", (1, 1))
    counts = window_counts(layer, shape)
    for n, k, s, d, count in zip(shape[1:3], layer["kernel"], layer["stride"], dilation, counts, strict=True):
        total = max((count - 1) * s + (k - 1) * d + 1 - n, 0) if padding == "SAME" else 0
        out += [total // 2, total - total // 2]
    return out[0], out[1], out[2], out[3]


def macs_of(layer: Layer, inputs: Sequence[Shape], output: Shape) -> int:
    """Multiply-accumulates, those with padding included; of what is neither convolution nor dense 0."""
    if layer.kind == "conv":
        return math.prod(output) * math.prod(layer["kernel"]) * (inputs[0][3] // layer["groups"])
    if layer.kind == "dense":
        return math.prod(inputs[0]) * layer["outputs"]
    return 0


def weight_count(layer: Layer, first: Shape) -> int:
    if layer.kind == "conv":
        return layer["outputs"] * math.prod(layer["kernel"]) * (first[3] // layer["groups"])
    if layer.kind == "dense":
        return layer["outputs"] * (first[-1] if layer["pixels"] else math.prod(first[1:]))
    return 0


def total_macs(recipe: Recipe) -> int:
    shapes = shapes_of(recipe)
    return sum(macs_of(x, [shapes[name] for name in x.inputs], shapes[x.name]) for x in recipe.layers)


def pruned(recipe: Recipe, outputs: Sequence[str]) -> Recipe:
    """What is needed for `outputs`, with those as the network's outputs."""
    needed = set(outputs)
    layers = []
    for layer in reversed(recipe.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
            layers.append(layer)
    inputs = {name: shape for name, shape in recipe.inputs.items() if name in needed}
    return replace(recipe, inputs=inputs, layers=tuple(reversed(layers)), outputs=tuple(outputs))


def described(recipe: Recipe) -> str:
    """One line a layer, with the shapes."""
    shapes = shapes_of(recipe)
    lines = [f"{name}: input {list(shape)}" for name, shape in recipe.inputs.items()]
    for x in recipe.layers:
        options = ", ".join(f"{key} {value}" for key, value in x.options.items())
        lines.append(
            f"{x.name}: {x.kind} of {', '.join(x.inputs)}{'; ' + options if options else ''} -> {list(shapes[x.name])}"
        )
    return "\n".join([*lines, f"outputs: {', '.join(recipe.outputs)}; {recipe.style}, {total_macs(recipe):,} MACs"])
