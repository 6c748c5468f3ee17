"""A recipe as an .onnx file in QDQ form, with the weights and scales of its integer graph.

What the recipe has as [N, H, W, C] stands as [N, C, H, W] there. A tensor's QuantizeLinear has the recipe's name for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.fuzz.graphs import bias_of, random_of, scales_of, scalings_of, weights_of
from tests.fuzz.recipe import Layer, Recipe, Shape, explicit_padding, shapes_of

OPSET = 17
KINDS = ("conv", "dense", "add", "average", "maximum", "mean", "reshape", "relu", "rescale", "quantize", "dequantize")


def fits_onnx(recipe: Recipe) -> bool:
    """What this writes: no Softmax, no product over the last axis of several, reshapes to [N, C] alone."""
    return recipe.style == "onnx" and all(
        x.kind in KINDS and (x.kind != "dense" or not x["pixels"]) and (x.kind != "reshape" or x["to"] == "flat")
        for x in recipe.layers
    )


def write_onnx(recipe: Recipe, path: Path) -> None:
    """A recipe of which fits_onnx is true."""
    path.write_bytes(_Writer(recipe).model().SerializeToString())


def in_file(shape: Shape) -> Shape:
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape


class _Writer:
    def __init__(self, recipe: Recipe):
        self.recipe, self.shapes, self.scalings = recipe, shapes_of(recipe), scalings_of(recipe)
        self.unsigned = bool(random_of(recipe, "unsigned").integers(2))
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.flat: dict[str, str] = {}

    def model(self) -> Any:
        recipe = self.recipe
        floats = {x.inputs[0] for x in recipe.layers if x.kind == "quantize"} | {
            x.name for x in recipe.layers if x.kind == "dequantize"
        }
        eight = TensorProto.UINT8 if self.unsigned else TensorProto.INT8
        for layer in recipe.layers:
            self._layer(layer)
        inputs, outputs = (
            [
                helper.make_tensor_value_info(n, TensorProto.FLOAT if n in floats else eight, in_file(self.shapes[n]))
                for n in names
            ]
            for names in (recipe.inputs, recipe.outputs)
        )
        graph = helper.make_graph(self.nodes, "fuzz", inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    def _layer(self, layer: Layer) -> None:
        name, source = layer.name, layer.inputs[0]
        first = self.shapes[source]
        match layer.kind:
            case "quantize":
                return self._quantized(source, name)
            case "dequantize":
                self._node("DequantizeLinear", [source, *self._parameters(source)], name)
                return
            case "rescale":
                return self._quantized(self._real(source), name)
            case "relu":
                return self._quantized(self._node("Relu", [self._real(source)], f"{name}_real"), name)
            case "add":
                operands = [self._real(n) for n in layer.inputs]
                return self._quantized(self._activated(layer, self._node("Add", operands, f"{name}_real")), name)
            case "conv":
                weights = weights_of(self.recipe, layer, first).transpose(0, 3, 1, 2)
                top, bottom, left, right = explicit_padding(layer, first)
                done = self._node(
                    "Conv",
                    [self._real(source), *self._weights(layer, weights)],
                    f"{name}_real",
                    kernel_shape=layer["kernel"],
                    strides=layer["stride"],
                    dilations=layer["dilation"],
                    pads=[top, left, bottom, right],
                    group=layer["groups"],
                )
                return self._quantized(self._activated(layer, done), name)
            case "dense":
                weights = weights_of(self.recipe, layer, first)
                inputs = [self._real(self._flattened(source)), *self._weights(layer, weights)]
                return self._quantized(
                    self._activated(layer, self._node("Gemm", inputs, f"{name}_real", transB=1)), name
                )
            case "average" | "maximum":
                top, bottom, left, right = explicit_padding(layer, first)
                kind, more = (
                    ("AveragePool", {}) if layer.kind == "average" else ("MaxPool", {"dilations": layer["dilation"]})
                )
                done = self._node(
                    kind,
                    [self._real(source)],
                    f"{name}_real",
                    kernel_shape=layer["kernel"],
                    strides=layer["stride"],
                    pads=[top, left, bottom, right],
                    **more,
                )
                return self._quantized(done, name)
            case "mean":
                kept = name if layer["keep"] else f"{name}_kept"
                self.scalings[kept] = self.scalings[name]
                self._quantized(self._node("GlobalAveragePool", [self._real(source)], f"{name}_real"), kept)
                return None if layer["keep"] else self._reshaped(kept, name)
            case "reshape":
                return self._reshaped(source, name)
        raise ValueError(layer.kind)

    def _flattened(self, source: str) -> str:
        """[N, C] of a tensor, once."""
        if len(self.shapes[source]) == 2:
            return source
        if source not in self.flat:
            self.flat[source] = f"{source}_flat"
            self._reshaped(source, self.flat[source])
        return self.flat[source]

    def _reshaped(self, source: str, name: str) -> None:
        """To [N, C], between numbers of one scale."""
        self.scalings[name] = self.scalings[source]
        self._quantized(self._node("Flatten", [self._real(source)], f"{name}_moved"), name)

    def _activated(self, layer: Layer, real: str) -> str:
        fused = random_of(self.recipe, f"{layer.name} fused").random() < 0.5
        return self._node("Relu", [real], f"{layer.name}_relu") if fused else real

    def _weights(self, layer: Layer, weights: np.ndarray) -> list[str]:
        """Dequantized weights and bias, for each channel where there are as many scales."""
        ours, before = self.scalings[layer.name], self.scalings[layer.inputs[0]]
        scales = (scales_of(self.recipe, layer, weights) * ours.scale / before.scale).astype(np.float32)
        channels = {"axis": 0} if len(scales) > 1 else {}
        out = []
        for part, values, by in (
            ("weights", weights, scales),
            ("bias", bias_of(self.recipe, layer, weights), scales * np.float32(before.scale)),
        ):
            by = by if channels else by.reshape(())
            names = [
                self._constant(f"{layer.name}_{part}", values),
                self._constant(f"{layer.name}_{part}_scale", by),
                self._constant(f"{layer.name}_{part}_zero", np.zeros(by.shape, values.dtype)),
            ]
            out.append(self._node("DequantizeLinear", names, f"{layer.name}_{part}_real", **channels))
        return out

    def _real(self, name: str) -> str:
        """A DequantizeLinear of its own for each reader."""
        return self._node("DequantizeLinear", [name, *self._parameters(name)], f"{name}_real_{len(self.nodes)}")

    def _quantized(self, real: str, name: str) -> None:
        self._node("QuantizeLinear", [real, *self._parameters(name)], name)

    def _parameters(self, name: str) -> list[str]:
        scaling = self.scalings[name]
        kind = np.uint8 if self.unsigned else np.int8
        zero_point = np.array(scaling.zero_point + 128 * self.unsigned, kind)
        number = len(self.constants)
        return [
            self._constant(f"scale_{number}", np.array(scaling.scale, np.float32)),
            self._constant(f"zero_{number}", zero_point),
        ]

    def _constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))
        return name

    def _node(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"node_{name}", **attributes))
        return name
