"""Depthwise and grouped convolutions of random shapes, held against LiteRT BUILTIN_REF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tflite_files import FileBuilder, conv

from intaglio.errors import InputError
from intaglio.network import execute, load_tflite
from intaglio.network.float_network import output_size
from intaglio.network.graph import Conv2D
from intaglio.network.tflite.oracle import LiteRTOracle


def random_file(path: Path, seed: int, groups: int, multiplier: int, depth: int, padded: bool = False) -> Path:
    """x, a PAD if `padded`, and a convolution of `depth` input channels and `multiplier` outputs a group; the depthwise
    operator where depth is 1."""
    rng = np.random.default_rng([seed, groups, multiplier, depth])
    n, h, w = (int(v) for v in rng.integers([1, 1, 1], [3, 11, 11]))
    kernel, stride, dilation = (tuple(int(v) for v in rng.integers(1, high, 2)) for high in (5, 4, 4))
    inputs, outputs = groups * depth, groups * multiplier
    around = rng.integers(0, 3, 4) if padded else np.zeros(4, int)
    inner = h + around[0] + around[1], w + around[2] + around[3]
    fits = all((k - 1) * d < size for k, d, size in zip(kernel, dilation, inner, strict=True))
    padding = "VALID" if padded or (fits and rng.integers(2)) else "SAME"
    if not fits and padded:
        kernel = (1, 1)
    out = [int(output_size(*g, padding)) for g in zip(inner, kernel, stride, dilation, strict=True)]
    file = FileBuilder()
    si, so = (np.float32(2.0 ** rng.uniform(-8, -2)) for _ in range(2))
    sw = np.float32(2.0 ** rng.uniform(-9, 3 if seed % 4 == 0 else -3, outputs if rng.integers(4) else 1))
    zero_point = int(rng.integers(-128, 128))
    x = source = file.tensor("x", (n, h, w, inputs), scale=si, zero_point=zero_point)
    if padded:
        source = file.tensor("padded", (n, *(int(v) for v in inner), inputs), scale=si, zero_point=zero_point)
        amounts = file.tensor("amounts", (4, 2), np.int32, data=np.array([0, 0, *around, 0, 0]))
        file.operator("PAD", [x, amounts], [source], options="PadOptions")
    shape = (1, *kernel, outputs) if depth == 1 else (outputs, *kernel, depth)
    weights = file.tensor("w", shape, scale=sw, axis=3 if depth == 1 else 0, data=rng.integers(-128, 128, shape))
    bias = file.tensor("b", (outputs,), np.int32, scale=si * sw, data=rng.integers(-9999, 9999, outputs))
    y = file.tensor("y", (n, *out, outputs), scale=so, zero_point=int(rng.integers(-128, 128)))
    options: dict[str, Any] = conv(padding, stride, dilation, str(rng.choice(["NONE", "RELU", "RELU6"])))
    code = "CONV_2D"
    if depth == 1:
        code = "DEPTHWISE_CONV_2D"
        options |= {"options": "DepthwiseConv2DOptions", "depthMultiplier": multiplier}
    file.operator(code, [source, weights, bias], [y], **options)
    return file.write(path, [x], [y])


def assert_equal(path: Path, seed: int) -> Conv2D:
    graph, oracle = load_tflite(path), LiteRTOracle(path)
    rng = np.random.default_rng(seed)
    (op,) = graph.operators
    assert isinstance(op, Conv2D)
    for _ in range(3):
        given = {"x": rng.integers(-128, 128, graph.tensors["x"].shape, np.int8)}
        np.testing.assert_array_equal(execute(graph, given)["y"], oracle.run(given)["y"])
    return op


@pytest.mark.parametrize("multiplier", range(1, 9))
@pytest.mark.parametrize("seed", range(6))
def test_depthwise(tmp_path: Path, seed: int, multiplier: int) -> None:
    print(f"seed {seed}, multiplier {multiplier}")
    groups = 1 + 5 * seed % 17
    op = assert_equal(random_file(tmp_path / "m.tflite", seed, groups, multiplier, 1), seed)
    assert op.groups == groups and op.weights.shape[0] == groups * multiplier and op.weights.shape[3] == 1


@pytest.mark.parametrize("seed", range(8))
def test_grouped(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")
    groups, multiplier, depth = 2 + seed % 4, 1 + seed % 3, 2 + seed % 5
    op = assert_equal(random_file(tmp_path / "m.tflite", seed, groups, multiplier, depth), seed)
    assert op.groups == groups


@pytest.mark.parametrize("seed", range(4))
def test_padding_before_depthwise(tmp_path: Path, seed: int) -> None:
    op = assert_equal(random_file(tmp_path / "m.tflite", seed, 5, 2, 1, padded=True), seed)
    assert op.inputs == ("x",)


@pytest.mark.parametrize(
    ("shape", "axis", "outputs", "parts"),
    [
        ((2, 3, 3, 4), 3, 4, ["'w'", "depthwise weights of shape [2, 3, 3, 4]"]),
        ((1, 3, 3, 6), 3, 6, ["'w'", "6 output channels", "an input of 4"]),
        ((1, 3, 3, 2), 3, 2, ["'w'", "2 output channels", "an input of 4"]),
        ((1, 3, 3, 4), 1, 4, ["'w'", "axis 1", "(axis 3)"]),
        ((3, 3, 4), 2, 4, ["'w'", "rank 4"]),
        ((1, 3, 3, 8), 3, 4, ["'y'", "[1, 5, 5, 8]"]),
    ],
)
def test_refused(tmp_path: Path, shape: tuple[int, ...], axis: int, outputs: int, parts: list[str]) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 5, 5, 4), scale=0.5)
    w = file.tensor("w", shape, scale=np.full(shape[axis], 0.1), axis=axis, data=np.ones(shape))
    y = file.tensor("y", (1, 5, 5, outputs), scale=0.5)
    options = conv("SAME") | {"options": "DepthwiseConv2DOptions"}
    file.operator("DEPTHWISE_CONV_2D", [x, w], [y], **options)
    with pytest.raises(InputError) as error:
        load_tflite(file.write(tmp_path / "m.tflite", [x], [y]))
    assert all(part in str(error.value) for part in ["#0 DEPTHWISE_CONV_2D", *parts])
