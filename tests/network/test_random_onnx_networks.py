"""Random networks as onnxruntime quantizes them: importer and arithmetic against onnxruntime, tensor by tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from intaglio.network import execute, extreme_inputs, load, random_inputs
from intaglio.network.onnx.oracle import OnnxOracle
from tests.onnx_networks import random_onnx_network


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_every_tensor_equals_onnxruntime(first: int, tmp_path: Path) -> None:
    """Inexact tensors differ by at most 1 and are named in the notes; behind them onnxruntime goes on with ours."""
    elements = ones = 0
    for seed in range(first, first + 10):
        network = random_onnx_network(seed, tmp_path / f"{seed}.onnx")
        print(network.description)
        graph = load(network.path)
        oracle = OnnxOracle(network.path, graph.inexact)
        assert bool(graph.inexact) == bool(graph.notes)
        kernels = oracle.integer_kernels(tmp_path)
        for op in graph.operators:  # what is not said to be inexact is compared with an integer kernel
            name = op.outputs[0]
            if name in oracle.outputs and not op.on_host and name not in graph.inexact and op.kind != "Rescale":
                assert name in kernels, f"{network.description}: {name} is computed in float"
        for kind, inputs in {"random": random_inputs(graph, seed), **extreme_inputs(graph)}.items():
            ours = execute(graph, inputs)
            theirs = oracle.run(inputs, ours)
            assert theirs.keys() <= ours.keys()
            for name, expected in theirs.items():
                where = f"{network.description}: {kind} input, {name}"
                assert ours[name].dtype == expected.dtype and ours[name].shape == expected.shape, where
                if name in graph.inexact:
                    off = np.abs(ours[name].astype(np.int64) - expected)
                    assert off.max() <= 1, where
                    elements, ones = elements + off.size, ones + int(off.sum())
                else:
                    np.testing.assert_array_equal(ours[name], expected, where)
    print(f"{ones} of {elements} elements of inexact tensors differ by 1")


def test_same_seed_same_file(tmp_path: Path) -> None:
    first, second = (random_onnx_network(5, tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert first.description == second.description
    values = random_inputs(load(first.path), 0)
    a, b = (execute(load(network.path), values) for network in (first, second))
    assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_networks_use_every_operator(tmp_path: Path) -> None:
    kinds: set[str] = set()
    for seed in range(20):
        kinds |= {op.kind for op in load(random_onnx_network(seed, tmp_path / "net.onnx").path).operators}
    assert {
        "Conv2D",
        "FullyConnected",
        "Add",
        "AveragePool2D",
        "MaxPool2D",
        "Mean",
        "Rescale",
        "Reshape",
        "Softmax",
    } <= kinds
