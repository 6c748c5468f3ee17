"""Our arithmetic against LiteRT's reference kernels, tensor by tensor, on random networks."""

import numpy as np
import pytest

from intaglio.network import execute, extreme_inputs, load, random_inputs
from intaglio.network.tflite.oracle import LiteRTOracle
from tests.networks import LARGEST_MACS, random_network


@pytest.mark.parametrize("uint8", ["", "throughout", "edges"])
@pytest.mark.parametrize("first", range(0, 100, 20))
def test_every_tensor_equals_litert(first, uint8, tmp_path):
    """20 networks each, every other one with float edges, on one random and five extreme inputs."""
    for seed in range(first, first + 20):
        network = random_network(seed, tmp_path / f"{seed}.tflite", seed % 2 == 1 and uint8 != "edges", uint8)
        graph, oracle = load(network.path), LiteRTOracle(network.path)
        for kind, inputs in {"random": random_inputs(graph, seed), **extreme_inputs(graph)}.items():
            expected, found = oracle.run(inputs), execute(graph, inputs)
            for op in graph.operators:
                for name in op.outputs:
                    np.testing.assert_array_equal(
                        found[name], expected[name], f"seed {seed}, {kind} input, {op.kind} {name}"
                    )


def test_same_seed_same_file(tmp_path):
    for kind in ((False, ""), (True, ""), (False, "throughout"), (False, "edges")):
        first = random_network(5, tmp_path / "a.tflite", *kind)
        second = random_network(5, tmp_path / "b.tflite", *kind)
        assert first.path.read_bytes() == second.path.read_bytes()
        assert first.description == second.description


@pytest.mark.parametrize("uint8", ["", "throughout"])
def test_networks_stay_small_and_use_eight_bits(uint8, tmp_path):
    """Every operator kind occurs; few results are saturated throughout."""
    kinds, shares, least = set(), [], 0 if uint8 else -128
    for seed in range(100):
        network = random_network(seed, tmp_path / "net.tflite", uint8=uint8)
        assert network.macs <= LARGEST_MACS
        graph = load(network.path)
        values = execute(graph, random_inputs(graph, seed))
        for op in graph.operators:
            kinds.add(op.kind)
            y = values[op.outputs[0]]
            shares.append(np.isin(y, (least, least + 255)).mean())
    assert kinds == {"Conv2D", "FullyConnected", "Add", "AveragePool2D", "MaxPool2D", "Mean", "Rescale", "Reshape"}
    assert np.mean(np.array(shares) > 0.9) < 0.05
