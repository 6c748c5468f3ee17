"""A recipe as a .tflite file, with the weights and scales of its integer graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intaglio.network.tflite.write import TfliteBuilder, Value
from tests.fuzz.graphs import bias_of, random_of, scales_of, scalings_of, weight_zero_point_of, weights_of
from tests.fuzz.recipe import Layer, Recipe, Shape, shapes_of

FUSED = (None, "RELU", "RELU6", "RELU_N1_TO_1")


def fits_tflite(recipe: Recipe) -> bool:
    """What TFLite has no form for: explicit padding, dilated maxima, products over the last axis of several."""
    return recipe.style in ("tflite", "uint8") and all(
        isinstance(x.options.get("padding", "SAME"), str)
        and (x.kind != "maximum" or tuple(x["dilation"]) == (1, 1))
        and (x.kind != "dense" or not x["pixels"])
        and (x.kind != "twice" or x["axis"] in (1, 2))
        for x in recipe.layers
    )


def write_tflite(recipe: Recipe, path: Path) -> None:
    """A recipe of which fits_tflite is true. Tensors have the recipe's names."""
    builder, shapes, scalings = TfliteBuilder(path.stem), shapes_of(recipe), scalings_of(recipe)
    real = {x.inputs[0] for x in recipe.layers if x.kind == "quantize"}
    values: dict[str, Value] = {}
    for name, shape in recipe.inputs.items():
        known = scalings[name]
        made = (
            builder.float_input(shape, name)
            if name in real
            else builder.input(shape, known.scale, known.zero_point, name, dtype_of(recipe))
        )
        values[name] = made
    for layer in recipe.layers:
        values[layer.name] = _layer(builder, recipe, layer, [values[name] for name in layer.inputs], shapes)
    builder.write(path, [values[name] for name in recipe.outputs])


def dtype_of(recipe: Recipe) -> str:
    return "uint8" if recipe.style == "uint8" else "int8"


def _layer(builder: TfliteBuilder, recipe: Recipe, layer: Layer, x: list[Value], shapes: dict[str, Shape]) -> Value:
    rng = random_of(recipe, f"{layer.name} fused")
    fused = FUSED[int(rng.choice(4, p=[0.4, 0.35, 0.2, 0.05]))]
    scaling = scalings_of(recipe)[layer.name]
    scale, name, first = (scaling.scale, scaling.zero_point), layer.name, x[0]
    match layer.kind:
        case "conv" | "dense":
            weights = weights_of(recipe, layer, first.shape)
            assert first.scale is not None
            scales = (scales_of(recipe, layer, weights) * scaling.scale / first.scale).astype(np.float32)
            numbers = (weights, bias_of(recipe, layer, weights), scales, *scale)
            point = weight_zero_point_of(recipe, layer)
            if layer.kind == "dense":
                return builder.fully_connected(first, *numbers, fused, name, point)
            depthwise = weights.shape[3] == 1 and layer["groups"] > 1
            build = builder.depthwise_conv2d if depthwise else builder.conv2d
            return build(first, *numbers, layer["stride"], layer["dilation"], layer["padding"], fused, name, point)
        case "add":
            return builder.add(first, x[1], *scale, activation=fused, name=name)
        case "average" | "maximum":
            pool = builder.average_pool if layer.kind == "average" else builder.max_pool
            return pool(first, layer["kernel"], layer["stride"], layer["padding"], fused, name)
        case "mean":
            return builder.mean(first, *scale, layer["keep"], name)
        case "reshape":
            return builder.reshape(first, shapes[name], name)
        case "relu":
            return builder.relu(first, *scale, name=name)
        case "rescale" | "quantize":
            return builder.quantize(first, *scale, name, dtype_of(recipe))
        case "dequantize":
            return builder.dequantize(first, name)
        case "softmax":
            return builder.softmax(first, name=name)
        case "table":
            return builder.function(first, layer["function"], *scale, name=name)
        case "concat":
            return builder.concatenation(x, layer["axis"], name)
        case "slice":
            axes = [(0, n, 1) for n in first.shape]
            axes[layer["axis"]] = (layer["first"], layer["first"] + layer["count"] * layer["step"], layer["step"])
            return builder.strided_slice(first, axes, name)
        case "pad":
            around = [(0, 0)] * 4
            around[layer["axis"]] = (layer["before"], layer["after"])
            return builder.pad(first, around, name)
        case "shuffle":
            *outer, channels = first.shape
            parts = builder.reshape(first, (*outer, layer["groups"], channels // layer["groups"]))
            return builder.reshape(builder.transpose(parts, (0, 1, 2, 4, 3)), first.shape, name)
        case "twice":
            sizes = [first.shape[axis] * (2 if axis == layer["axis"] else 1) for axis in (1, 2)]
            return builder.resize_nearest(first, (sizes[0], sizes[1]), name)
    raise ValueError(layer.kind)
