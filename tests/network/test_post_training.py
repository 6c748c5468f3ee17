"""Post-training quantization: ranges, scales, biases, and a network quantized and run."""

import numpy as np
import pytest

from intaglio.errors import InputError
from intaglio.network import execute, load
from intaglio.network.float_network import FloatNetwork, Layer
from intaglio.network.post_training import (
    activation_quantization,
    activation_range,
    quantize_network,
    quantize_parameters,
)


def test_activation_ranges_hold_zero():
    assert activation_range(np.array([2.0, 5.0]), 100) == (0.0, 5.0)
    assert activation_range(np.array([-3.0, -1.0]), 100) == (-3.0, 0.0)
    low, high = activation_range(np.linspace(-1, 1, 1001), 99)
    assert (low, high) == pytest.approx((-0.98, 0.98))


def test_activation_quantization_spreads_over_int8():
    assert activation_quantization(0.0, 255.0) == (1.0, -128)
    assert activation_quantization(-255.0, 0.0) == (1.0, 127)
    assert activation_quantization(-127.0, 128.0) == (1.0, -1)
    assert activation_quantization(0.0, 0.0) == (1.0, -128)


def test_weights_are_symmetric_and_biases_in_the_sums_unit():
    weights = np.array([[127.0, -63.5], [0.5, 1.27]])
    integers, bias, scales = quantize_parameters(weights, np.array([10.0, -1.0]), 0.5, per_channel=True)
    assert scales.tolist() == np.array([1.0, 0.01], np.float32).tolist()
    assert integers.tolist() == [[127, -64], [50, 127]]
    assert bias.tolist() == [20, -200]
    _, _, single = quantize_parameters(weights, np.zeros(2), 0.5, per_channel=False)
    assert single.tolist() == [1.0]


def test_channels_of_zero_weights_keep_their_bias():
    integers, bias, scales = quantize_parameters(np.zeros((2, 3)), np.array([4.0, 0.0]), 0.5, per_channel=True)
    assert not integers.any()
    assert bias * 0.5 * scales == pytest.approx([4.0, 0.0])
    assert np.abs(bias).max() <= 2**30 + 128


def small_network():
    generator = np.random.default_rng(1)
    layers = (
        Layer("a", "conv2d", ("input",), stride=(2, 1), activation="RELU"),
        Layer("b", "conv2d", ("a",), activation=None),
        Layer("sum", "add", ("a", "b"), activation="RELU6"),
        Layer("pool", "average_pool", ("sum",), filter=(4, 3), stride=(1, 1), padding="VALID"),
        Layer("out", "fully_connected", ("pool",)),
    )
    shapes = {"a": (5, 3, 2, 2), "b": (5, 1, 3, 5), "out": (4, 5 * 1 * 4)}
    arrays = {}
    for name, shape in shapes.items():
        arrays[f"{name}/weights"] = generator.normal(0, 0.4, shape).astype(np.float32)
        arrays[f"{name}/bias"] = generator.normal(0, 0.2, shape[0]).astype(np.float32)
    return FloatNetwork("small", (8, 6, 2), layers, arrays), generator.normal(0, 1, (50, 8, 6, 2))


def test_quantized_network_follows_the_float_one(tmp_path):
    network, images = small_network()
    path = tmp_path / "small.tflite"
    path.write_bytes(quantize_network(network, images))
    graph = load(path)
    scale = float(graph.tensors["out"].quantization.scale[0])
    for image in images[:10].astype(np.float32):
        logits = network.run(image[None])["out"]
        integers = execute(graph, {"images": image[None]})["out"].astype(float)
        found = (integers - graph.tensors["out"].quantization.zero_point) * scale
        assert np.abs(found - logits).max() < 6 * scale


def test_percentile_narrows_ranges(tmp_path):
    network, images = small_network()
    scales = []
    for percentile in (100.0, 99.0):
        path = tmp_path / "small.tflite"
        path.write_bytes(quantize_network(network, images, percentile))
        scales.append(float(load(path).tensors["a"].quantization.scale[0]))
    assert scales[1] < scales[0]


def test_refusals(tmp_path):
    network, images = small_network()
    with pytest.raises(InputError, match=r"calibration images: shape \(6, 8, 2\), but small takes \(8, 6, 2\)"):
        quantize_network(network, images.swapaxes(1, 2))
    with pytest.raises(InputError, match=r"percentile: 50\.0 given, allowed is 50 < p <= 100"):
        quantize_network(network, images, 50.0)
    path = tmp_path / "not.npz"
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"not\.npz: not a readable \.npz file .*FloatNetwork\.save"):
        FloatNetwork.load(path)


def test_float_network_survives_saving(tmp_path):
    network, images = small_network()
    network.save(tmp_path / "net.npz")
    again = FloatNetwork.load(tmp_path / "net.npz")
    assert again.layers == network.layers
    np.testing.assert_array_equal(again.logits(images), network.logits(images))
