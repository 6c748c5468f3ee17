"""Plain post-training quantization: a float network and calibration images to an int8 .tflite.

Weights are symmetric int8, one scale an output channel for convolutions and one for all of a fully connected
layer. Activations are asymmetric int8, their range taken from the calibration images. Biases are int32 at
scale (input's) x (weight's). The file takes float32 images and gives float32 class probabilities: a QUANTIZE
stands before the first layer, SOFTMAX and DEQUANTIZE after the last.
"""

from __future__ import annotations

import numpy as np

from intaglio.errors import InputError
from intaglio.network.float_network import FloatNetwork, Layer
from intaglio.network.tflite.write import TfliteBuilder, Value

LARGEST_WEIGHT = 127
LARGEST_BIAS = 2**30
"""Keeps the bias plus the products inside 32 bits."""


def quantize_network(network: FloatNetwork, images: np.ndarray, percentile: float = 100.0) -> bytes:
    """The .tflite's bytes. images: float [N, H, W, C], as the network will see them.

    percentile (50 < p <= 100): the share of each activation's values, counted from either end, that its range
    must hold; 100 is min-max. Calibration runs in float64, so that the bytes do not depend on the host.
    """
    if images.shape[1:] != network.input_shape:
        raise InputError(
            f"calibration images: shape {images.shape[1:]}, but {network.name} takes {network.input_shape}; "
            "give images [N, H, W, C] of the network's size"
        )
    if not 50.0 < percentile <= 100.0:
        raise InputError(f"percentile: {percentile} given, allowed is 50 < p <= 100 (100 is min-max)")
    ranges = {name: activation_range(value, percentile) for name, value in network.run(images, np.float64).items()}
    builder = TfliteBuilder(network.name)
    pixels = builder.float_input((1, *network.input_shape), name="images")
    values = {"input": builder.quantize(pixels, *activation_quantization(*ranges["input"]), name="input")}
    for layer in network.layers:
        inputs = [values[name] for name in layer.inputs]
        values[layer.name] = _quantized_layer(builder, network, layer, inputs, ranges[layer.name])
    probabilities = builder.softmax(values[network.layers[-1].name], name="softmax")
    return builder.to_bytes([builder.dequantize(probabilities, name="probabilities")])


def _quantized_layer(
    builder: TfliteBuilder,
    network: FloatNetwork,
    layer: Layer,
    inputs: list[Value],
    bounds: tuple[float, float],
) -> Value:
    x = inputs[0]
    if layer.kind == "average_pool":
        return builder.average_pool(
            x, layer.filter, layer.stride, layer.padding, activation=layer.activation, name=layer.name
        )
    scale, zero_point = activation_quantization(*bounds)
    if layer.kind == "add":
        return builder.add(x, inputs[1], scale, zero_point, activation=layer.activation, name=layer.name)
    assert x.scale is not None
    weights, bias, weight_scales = quantize_parameters(
        network.arrays[f"{layer.name}/weights"],
        network.arrays[f"{layer.name}/bias"],
        x.scale,
        per_channel=layer.kind == "conv2d",
    )
    if layer.kind == "fully_connected":
        return builder.fully_connected(
            x, weights, bias, weight_scales, scale, zero_point, activation=layer.activation, name=layer.name
        )
    return builder.conv2d(
        x,
        weights,
        bias,
        weight_scales,
        scale,
        zero_point,
        stride=layer.stride,
        dilation=layer.dilation,
        padding=layer.padding,
        activation=layer.activation,
        name=layer.name,
    )


def activation_range(values: np.ndarray, percentile: float) -> tuple[float, float]:
    """(low, high) with low <= 0 <= high: zero must be an exact integer, for padding and clamps."""
    low, high = np.percentile(values, [100.0 - percentile, percentile])
    return min(float(low), 0.0), max(float(high), 0.0)


def activation_quantization(low: float, high: float) -> tuple[float, int]:
    """(scale, zero point) that spread low..high over -128..127; scale is a float32's value."""
    scale = float(np.float32((high - low) / 255)) or 1.0
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def quantize_parameters(
    weights: np.ndarray, bias: np.ndarray, input_scale: float, per_channel: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """weights float [O, ...] and bias float [O] to int8 of -127..127, int32, and scales float32 [O] or [1].

    A scale is raised where the bias would otherwise not fit: a channel of all but zero weights.
    """
    weights, bias = weights.astype(np.float64), bias.astype(np.float64)
    groups = weights.reshape(len(weights) if per_channel else 1, -1)
    largest_bias = np.abs(bias.reshape(len(groups), -1)).max(axis=1)
    wanted = np.maximum(np.abs(groups).max(axis=1) / LARGEST_WEIGHT, largest_bias / input_scale / LARGEST_BIAS)
    scales = np.where(wanted > 0, wanted, 1.0).astype(np.float32)
    integers = np.rint(groups / scales[:, None]).clip(-LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int8)
    return (
        integers.reshape(weights.shape),
        np.rint(bias / (np.float64(input_scale) * scales)).astype(np.int32),
        scales,
    )
