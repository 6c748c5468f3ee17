"""A .tflite network's uint8 edges through the driver: equal to LiteRT."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from intaglio.network import random_inputs
from intaglio.network.tflite.oracle import LiteRTOracle
from intaglio.network.tflite.write import TfliteBuilder
from tests.export.exported import Exported, export, need_compilers
from tests.export.test_driver import OTHER


def network(path: Path, throughout: bool) -> Path:
    """A convolution, an average and a softmax of uint8 throughout, or of int8 between uint8 edges; two outputs."""
    rng = np.random.default_rng(2)
    builder = TfliteBuilder("uint8")
    x = builder.input((1, 6, 5, 3), 0.02, -7, "image", "uint8")
    if not throughout:
        x = builder.quantize(x, 0.02, -7, dtype="int8")
    weights, bias = rng.integers(-128, 128, (5, 3, 3, 3), np.int8), rng.integers(-2000, 2000, 5, np.int32)
    point = 21 if throughout else 0
    y = builder.conv2d(x, weights, bias, np.float32([0.006]), 0.09, 3, name="features", weight_zero_point=point)
    pooled = builder.average_pool(y, (6, 5), (1, 1))
    shares = builder.softmax(builder.reshape(pooled, (1, 5)), name="shares")
    outputs = [y, shares] if throughout else [builder.quantize(y, 0.09, 3, "unsigned", "uint8"), shares]
    builder.write(path, outputs)
    return path


@pytest.fixture(scope="module", params=[False, True], ids=["edges", "throughout"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    need_compilers()
    folder = tmp_path_factory.mktemp("uint8")
    return export(network(folder / "uint8.tflite", request.param), folder / "out", "tiny16", OTHER)


def test_driver_equals_litert(exported: Exported) -> None:
    oracle = LiteRTOracle(exported.folder.with_name("uint8.tflite"))
    inputs = [random_inputs(exported.graph, seed) for seed in range(3)]
    for given, found in zip(inputs, exported.example(inputs), strict=True):
        expected = oracle.run(given)
        assert set(found) == set(exported.graph.outputs)
        for name, value in found.items():
            assert value.dtype == expected[name].dtype
            assert np.array_equal(value, expected[name]), name


def test_softmax_is_not_left_to_the_caller(exported: Exported) -> None:
    (step,) = json.loads((exported.folder / "manifest.json").read_text())["host_steps"]
    kind = "uint8" if exported.graph.tensors["features"].form else "int8"
    assert step["function"] == ("intaglio_softmax_unsigned" if kind == "uint8" else "intaglio_softmax")
