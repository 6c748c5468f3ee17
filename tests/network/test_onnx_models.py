"""Real .onnx networks: every tensor equals onnxruntime's on 20 random and 5 extreme inputs, or refusals by name."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from network_data import SHARED, needs_shared

from intaglio.errors import InputError, RefusedError
from intaglio.network import execute, extreme_inputs, load, random_inputs
from intaglio.network.onnx.oracle import OnnxOracle

pytestmark = [pytest.mark.conformance, needs_shared]

LATER = {"MaxPool"}
"""Refused in these files until the accelerator has it."""


@pytest.mark.parametrize("name", sorted(path.stem for path in (SHARED / "models").glob("*.onnx")))
def test_every_tensor_equals_onnxruntime(name: str) -> None:
    """A file is either refused for what comes later alone, or equal."""
    path = SHARED / "models" / f"{name}.onnx"
    if name.startswith("qonnx_"):
        with pytest.raises(InputError, match=r"operators Quant are of the domain onnx\.brevitas"):
            load(path)
        return
    try:
        graph = load(path)
    except RefusedError as error:
        assert {refusal.operator for refusal in error.refusals} <= LATER
        return
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


@pytest.mark.parametrize(
    ("name", "count", "operator"),
    [
        ("mnist_QDQ_QUInt8_QInt8_pt", 2, "MaxPool"),
        ("mnist_QOperator_QUInt8_QUInt8_pt", 2, "MaxPool"),
        ("qonnxrepo_residual_block_clean_QDQ_QInt8_QInt8_pc", 1, "MaxPool"),
    ],
)
def test_what_comes_later_is_all_that_is_refused(name: str, count: int, operator: str) -> None:
    with pytest.raises(RefusedError) as error:
        load(SHARED / "models" / f"{name}.onnx")
    assert [refusal.operator for refusal in error.value.refusals] == [operator] * count
