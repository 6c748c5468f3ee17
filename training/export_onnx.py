"""The shipped float network as ONNX: what a float model from PyTorch looks like, without PyTorch.

    python -m training.export_onnx fashion_resnet.onnx

Reads intaglio/data/fashion_resnet_float.npz. The file takes float32 [1, C, H, W] and gives the logits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from intaglio import data
from intaglio.network.float_network import ACTIVATIONS, FloatNetwork, Layer, output_size, same_padding

OPSET = 17
IR_VERSION = 8
"""The first that knows opset 17."""


def float_model(network: FloatNetwork) -> onnx.ModelProto:
    """network as NCHW ONNX: input "images" float32 [1, C, H, W], output named after the last layer."""
    rows, cols, channels = network.input_shape
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    shapes = {"input": (channels, rows, cols)}
    names = {"input": "images"}
    for layer in network.layers:
        shapes[layer.name] = _add_layer(network, layer, shapes, names, nodes, weights)
    last = network.layers[-1].name
    graph = helper.make_graph(
        nodes,
        network.name,
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, channels, rows, cols])],
        [helper.make_tensor_value_info(names[last], TensorProto.FLOAT, [1, *shapes[last]])],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="intaglio"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _add_layer(
    network: FloatNetwork,
    layer: Layer,
    shapes: dict[str, tuple[int, ...]],
    names: dict[str, str],
    nodes: list[onnx.NodeProto],
    weights: list[onnx.TensorProto],
) -> tuple[int, ...]:
    """Appends the layer's nodes and weights, notes its output's name; the shape of its output without batch."""
    inputs = [names[name] for name in layer.inputs]
    shape = shapes[layer.inputs[0]]
    result = layer.name if layer.activation is None else f"{layer.name}_sum"

    def constant(suffix: str, array: np.ndarray) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(array), f"{layer.name}.{suffix}"))
        return weights[-1].name

    def node(op: str, operands: list[str], output: str, **attributes: object) -> None:
        nodes.append(helper.make_node(op, operands, [output], output, **attributes))

    if layer.kind == "add":
        node("Add", inputs, result)
    elif layer.kind == "fully_connected":
        if len(shape) == 3:
            shape = _flattened(shape, f"{layer.name}: channels of one pixel only; NHWC and NCHW flatten alike then")
            node("Flatten", inputs, f"{layer.name}_flat")
            inputs = [f"{layer.name}_flat"]
        array = network.arrays[f"{layer.name}/weights"]
        operands = [*inputs, constant("weight", array), constant("bias", network.arrays[f"{layer.name}/bias"])]
        node("Gemm", operands, result, transB=1)
        shape = (len(array),)
    else:
        if layer.kind == "conv2d":
            array = network.arrays[f"{layer.name}/weights"]
            window, outputs = array.shape[1:3], len(array)
            inputs += [
                constant("weight", array.transpose(0, 3, 1, 2)),
                constant("bias", network.arrays[f"{layer.name}/bias"]),
            ]
        else:
            window, outputs = layer.filter, shape[0]
        geometry = list(zip(shape[1:], window, layer.stride, layer.dilation, strict=True))
        pads = [same_padding(*g) if layer.padding == "SAME" else (0, 0) for g in geometry]
        common = {
            "kernel_shape": list(window),
            "strides": list(layer.stride),
            "pads": [before for before, _ in pads] + [after for _, after in pads],
        }
        if layer.kind == "conv2d":
            node("Conv", inputs, result, dilations=list(layer.dilation), **common)
        else:
            node("AveragePool", inputs, result, **common)
        shape = (outputs, *(output_size(*g, layer.padding) for g in geometry))
    if layer.activation is not None:
        low, high = ACTIVATIONS[layer.activation]
        if high == np.inf:
            node("Relu", [result], layer.name)
        else:
            limits = [constant(name, np.float32(value)) for name, value in (("low", low), ("high", high))]
            node("Clip", [result, *limits], layer.name)
    names[layer.name] = layer.name
    return shape


def _flattened(shape: tuple[int, ...], why: str) -> tuple[int, ...]:
    if shape[1:] != (1, 1):
        raise ValueError(f"{why}; it has {shape}")
    return (shape[0],)


def main() -> None:
    """Export and write."""
    parser = argparse.ArgumentParser(description="Write the shipped float network as ONNX.")
    parser.add_argument("output", type=Path)
    output = parser.parse_args().output
    model = float_model(FloatNetwork.load(data.FLOAT_MODEL))
    output.write_bytes(model.SerializeToString())
    print(f"wrote {output}: {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
