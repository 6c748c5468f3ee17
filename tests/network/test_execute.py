"""The reference executor's inputs: what it makes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.errors import InputError
from intaglio.network import execute, extreme_inputs, random_inputs
from intaglio.network.graph import Dequantize, Graph, Quantization, Quantize, Tensor


def float_graph() -> Graph:
    """x float32 -> q int8 (scale 0.5, zero point -3) -> y float32."""
    half = Quantization(np.array([0.5], np.float32), np.array([-3]))
    tensors = [
        Tensor("x", (1, 512), np.dtype(np.float32)),
        Tensor("q", (1, 512), np.dtype(np.int8), half),
        Tensor("y", (1, 512), np.dtype(np.float32)),
    ]
    operators = [Quantize("q", ("x",), ("q",)), Dequantize("y", ("q",), ("y",))]
    return Graph("edges", {t.name: t for t in tensors}, ("x",), ("y",), list(operators))


def int8_graph() -> Graph:
    graph = float_graph()
    graph.inputs, graph.operators = ("q",), graph.operators[1:]
    return graph


def test_float_image_covers_every_integer() -> None:
    graph = float_graph()
    values = execute(graph, extreme_inputs(graph)["ramp"])
    assert sorted(set(values["q"].reshape(-1).tolist())) == list(range(-128, 128))
    np.testing.assert_array_equal(values["x"], values["y"])


def test_extreme_inputs() -> None:
    inputs = extreme_inputs(int8_graph())
    assert list(inputs) == ["minimum", "maximum", "zero_point", "checkerboard", "ramp"]
    assert (inputs["minimum"]["q"] == -128).all() and (inputs["maximum"]["q"] == 127).all()
    assert (inputs["zero_point"]["q"] == -3).all()
    assert inputs["checkerboard"]["q"][0, :3].tolist() == [-128, 127, -128]
    assert all(value["q"].dtype == np.int8 for value in inputs.values())


def test_random_inputs_repeat_by_seed() -> None:
    graph = float_graph()
    assert (random_inputs(graph, 1)["x"] == random_inputs(graph, 1)["x"]).all()
    assert (random_inputs(graph, 1)["x"] != random_inputs(graph, 2)["x"]).any()


def test_quantize_rounds_half_away_from_zero_and_saturates() -> None:
    graph = float_graph()
    x = np.zeros((1, 512), np.float32)
    x[0, :6] = 0.25, -0.25, 0.75, 1e30, -1e30, 62.4
    assert execute(graph, {"x": x})["q"][0, :6].tolist() == [-2, -4, -1, 127, -128, 122]


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({}, ["'q' is missing", "int8 of shape [1, 512]"]),
        ({"q": np.zeros((1, 512), np.float32)}, ["'q' has type float32", "x / 0.5) + -3", "as int8"]),
        ({"q": np.zeros((1, 512), np.uint8)}, ["'q' has type uint8", ".astype('int8')"]),
        ({"q": np.zeros((512,), np.int8)}, ["'q' has shape [512]", "[1, 512]", "reshape"]),
        ({"p": np.zeros((1, 512), np.int8)}, ["'q' is missing", "'p' is not an input", "rename"]),
    ],
)
def test_wrong_inputs_are_refused(inputs: dict[str, np.ndarray], parts: list[str]) -> None:
    with pytest.raises(InputError) as error:
        execute(int8_graph(), inputs)
    for part in parts:
        assert part in str(error.value)


def test_nan_is_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        execute(float_graph(), {"x": np.full((1, 512), np.nan, np.float32)})
