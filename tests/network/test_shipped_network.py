"""The shipped network: made from the shipped weights, right about as often as its float original."""

import json

import numpy as np

from intaglio import data
from intaglio.network import execute, load
from intaglio.network.float_network import FloatNetwork
from intaglio.network.tflite.oracle import LiteRTOracle
from training.quantize import quantized


def share_right(classes):
    return float((classes == data.test_set()[1][: len(classes)]).mean())


def test_file_is_what_the_quantizer_makes():
    assert data.MODEL.read_bytes() == quantized()


def test_stated_accuracies():
    """The stated figures for the 500 images hold, the float one in numpy and the int8 one in LiteRT."""
    images = data.network_input(data.test_set()[0])
    stated = json.loads(data.ACCURACY.read_text())
    floats = FloatNetwork.load(data.FLOAT_MODEL).logits(images).argmax(axis=1)
    oracle = LiteRTOracle(data.MODEL)
    integers = np.array([oracle.run({"images": image[None]})["probabilities"].argmax() for image in images])
    assert share_right(floats) == stated["float"]["500"]
    assert share_right(integers) == stated["int8_litert_ref"]["500"]
    assert stated["float"]["10000"] >= 0.92
    assert stated["float"]["10000"] - stated["int8_litert_ref"]["10000"] <= 0.002


def test_every_tensor_equals_litert():
    graph, oracle = load(data.MODEL), LiteRTOracle(data.MODEL)
    for image in data.network_input(data.test_set()[0][:20]):
        expected = oracle.run({"images": image[None]})
        found = execute(graph, {"images": image[None]})
        for op in graph.operators:
            for name in op.outputs:
                np.testing.assert_array_equal(found[name], expected[name], name)


def test_shape_of_the_network():
    """Residual, with channels that fill no power of two, and small enough to simulate."""
    graph = load(data.MODEL)
    kinds = [op.kind for op in graph.operators]
    assert kinds.count("Conv2D") == 9
    assert kinds.count("Add") == 3
    assert [kinds[0], *kinds[-4:]] == ["Quantize", "AveragePool2D", "FullyConnected", "Softmax", "Dequantize"]
    macs = sum(
        op.weights[0].size * int(np.prod(graph.tensors[op.outputs[0]].shape))
        for op in graph.operators
        if op.kind in ("Conv2D", "FullyConnected")
    )
    assert macs == 3_328_440
    assert data.MODEL.stat().st_size < 100_000
