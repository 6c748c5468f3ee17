"""Real .onnx networks: every tensor equals onnxruntime's on 20 random and 5 extreme inputs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from network_data import SHARED, needs_shared

from intaglio.errors import InputError
from intaglio.network import execute, extreme_inputs, load, random_inputs
from intaglio.network.onnx.oracle import OnnxOracle

pytestmark = [pytest.mark.conformance, needs_shared]


@pytest.mark.parametrize("name", sorted(path.stem for path in (SHARED / "models").glob("*.onnx")))
def test_every_tensor_equals_onnxruntime(name: str) -> None:
    """Every quantized file; those of another dialect are refused by name."""
    path = SHARED / "models" / f"{name}.onnx"
    if name.startswith("qonnx_"):
        with pytest.raises(
            InputError, match=r"Quant is a custom operator of the domain 'onnx\.brevitas'.*export it in QDQ form"
        ):
            load(path)
        return
    graph = load(path)
    oracle = OnnxOracle(path, graph.inexact)
    for inputs in [random_inputs(graph, seed) for seed in range(20)] + list(extreme_inputs(graph).values()):
        ours = execute(graph, inputs)
        theirs = oracle.run(inputs, ours)
        assert theirs.keys() <= ours.keys()
        for tensor, expected in theirs.items():
            if tensor in graph.inexact:
                assert np.abs(ours[tensor].astype(np.int64) - expected).max() <= 1, tensor
            else:
                np.testing.assert_array_equal(ours[tensor], expected, tensor)
