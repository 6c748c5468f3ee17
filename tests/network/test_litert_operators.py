"""Each operator with random parameters, written to a file, imported, and held against LiteRT BUILTIN_REF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tflite_files import FileBuilder, conv, enum

from intaglio.network import execute, load_tflite
from intaglio.network.exact_multiplier import Reach, exact_multipliers
from intaglio.network.tflite.oracle import LiteRTOracle

INPUTS = 3
SEEDS = range(8)
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def scale(rng: np.random.Generator, low: float = -8, high: float = -2) -> np.float32:
    return np.float32(2.0 ** rng.uniform(low, high))


def zero_point(rng: np.random.Generator) -> int:
    return int(rng.integers(-128, 128))


def int8(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-128, 128, shape, np.int8)


def assert_equal(path: Path, inputs: list[dict[str, np.ndarray]]) -> None:
    """Every tensor of our graph equals LiteRT's."""
    graph = load_tflite(path)
    assert graph.notes == []
    oracle = LiteRTOracle(path)
    for given in inputs:
        expected = oracle.run(given)
        for name, value in execute(graph, given).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)
            assert value.dtype == expected[name].dtype


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_conv_2d(tmp_path: Path, seed: int, activation: str) -> None:
    rng = np.random.default_rng([seed, ACTIVATIONS.index(activation)])
    n, h, w, c, o = (int(v) for v in rng.integers([1, 5, 5, 1, 1], [3, 10, 10, 6, 9]))
    rows, columns = (int(v) for v in rng.integers(1, 4, 2))
    dilation = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    stride = (1, 1) if max(dilation) > 1 else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    padding = "SAME" if rng.integers(2) else "VALID"
    spans = ((rows - 1) * dilation[0] + 1, (columns - 1) * dilation[1] + 1)
    out = [-(-x // s) if padding == "SAME" else (x - k) // s + 1 for x, k, s in zip((h, w), spans, stride, strict=True)]
    file = FileBuilder()
    si, so = scale(rng), scale(rng)
    sw = 2.0 ** rng.uniform(-9, 3 if seed % 4 == 0 else -3, o if rng.integers(2) else 1)
    x = file.tensor("x", (n, h, w, c), scale=si, zero_point=zero_point(rng))
    weights = file.tensor("w", (o, rows, columns, c), scale=sw, data=int8(rng, (o, rows, columns, c)))
    bias = file.tensor("b", (o,), np.int32, scale=si * np.float32(sw), data=rng.integers(-9999, 9999, o))
    y = file.tensor("y", (n, *out, o), scale=so, zero_point=zero_point(rng))
    file.operator("CONV_2D", [x, weights, bias], [y], **conv(padding, stride, dilation, activation))
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": int8(rng, (n, h, w, c))} for _ in range(INPUTS)])


def test_conv_2d_of_every_scale_and_sum(tmp_path: Path) -> None:
    """Sums given by the bias alone: all sizes, both signs, scales from 2**-33 to 2**12 (left shifts wrap)."""
    rng = np.random.default_rng(5)
    channels = 4096
    sums = (rng.choice([-1, 1], channels) * 2.0 ** rng.uniform(0, 31, channels)).astype(np.int64)
    sums[:4] = -(2**31), 2**31 - 1, 0, -1
    scales = np.float32(2.0 ** rng.uniform(-33, 12, channels))
    file = FileBuilder()
    x = file.tensor("x", (1, 1, 1, 1), scale=1.0)
    weights = file.tensor("w", (channels, 1, 1, 1), scale=scales, data=np.zeros(channels))
    bias = file.tensor("b", (channels,), np.int32, scale=scales, data=sums)
    y = file.tensor("y", (1, 1, 1, channels), scale=1.0, zero_point=-3)
    file.operator("CONV_2D", [x, weights, bias], [y], **conv())
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": np.zeros((1, 1, 1, 1), np.int8)}])


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_fully_connected(tmp_path: Path, seed: int, keep: bool, per_channel: bool) -> None:
    rng = np.random.default_rng([seed, keep, per_channel])
    n, i, o = (int(v) for v in rng.integers([1, 1, 2], [4, 200, 40]))
    shape = (n, 2, i) if keep or seed % 2 else (n * 2, i)
    file = FileBuilder()
    si, so = scale(rng), scale(rng, -5, 0)
    sw = np.float32(2.0 ** rng.uniform(-9, -3, o if per_channel else 1))
    x = file.tensor("x", shape, scale=si, zero_point=zero_point(rng))
    weights = file.tensor("w", (o, i), scale=sw, data=int8(rng, (o, i)))
    bias = file.tensor("b", (o,), np.int32, scale=si * sw, data=rng.integers(-9999, 9999, o))
    y = file.tensor("y", (*shape[:-1], o) if keep else (n * 2, o), scale=so, zero_point=zero_point(rng))
    activation = enum("ActivationFunctionType", ACTIVATIONS[seed % 4])
    file.operator(
        "FULLY_CONNECTED",
        [x, weights, bias] if seed % 3 else [x, weights],
        [y],
        options="FullyConnectedOptions",
        keepNumDims=keep,
        fusedActivationFunction=activation,
    )
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": int8(rng, shape)} for _ in range(INPUTS)])


@pytest.mark.parametrize("real", [0.5, 0.25, 0.75, 1.0, 3.0, 0.3, 2.0**-6, 1.7e-3, 6.1e-5])
@pytest.mark.parametrize("point", [-128, 0, 77])
def test_fully_connected_at_every_step(tmp_path: Path, real: float, point: int) -> None:
    """Sums at, just before and just after each step of the output, ties included, both signs."""
    steps = np.floor((np.arange(0, 256) + 0.5) / real).astype(np.int64)
    near = np.concatenate([steps + d for d in (-2, -1, 0, 1, 2)])
    sums = np.unique(np.concatenate([near, -near]))
    count = len(sums)
    file = FileBuilder()
    x = file.tensor("x", (1, 1), scale=1.0)
    weights = file.tensor("w", (count, 1), scale=real, data=np.zeros(count))
    bias = file.tensor("b", (count,), np.int32, scale=real, data=sums)
    y = file.tensor("y", (1, count), scale=1.0, zero_point=point)
    file.operator("FULLY_CONNECTED", [x, weights, bias], [y], options="FullyConnectedOptions")
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": np.zeros((1, 1), np.int8)}])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_add(tmp_path: Path, seed: int, activation: str) -> None:
    rng = np.random.default_rng([seed, ACTIVATIONS.index(activation)])
    a_values, b_values = (v.reshape(1, 256, 256, 1).astype(np.int8) for v in np.indices((256, 256)) - 128)
    file = FileBuilder()
    a, b, y = (file.tensor(name, (1, 256, 256, 1), scale=scale(rng), zero_point=zero_point(rng)) for name in "aby")
    code = enum("ActivationFunctionType", activation)
    file.operator("ADD", [a, b], [y], options="AddOptions", fusedActivationFunction=code)
    path = file.write(tmp_path / "m.tflite", [a, b], [y])
    assert_equal(path, [{"a": a_values, "b": b_values}])


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("seed", SEEDS)
def test_pool(tmp_path: Path, seed: int, padding: str, kind: str) -> None:
    rng = np.random.default_rng([seed, padding == "SAME"])
    n, h, w, c = (int(v) for v in rng.integers([1, 6, 6, 1], [3, 14, 14, 9]))
    size, stride = ([int(v) for v in rng.integers(1, 6, 2)] for _ in range(2))
    out = [-(-x // s) if padding == "SAME" else (x - k) // s + 1 for x, k, s in zip((h, w), size, stride, strict=True)]
    quantization = {"scale": scale(rng), "zero_point": zero_point(rng)}
    file = FileBuilder()
    x = file.tensor("x", (n, h, w, c), **quantization)
    y = file.tensor("y", (n, *out, c), **quantization)
    file.operator(
        kind,
        [x],
        [y],
        options="Pool2DOptions",
        padding=enum("Padding", padding),
        filterHeight=size[0],
        filterWidth=size[1],
        strideH=stride[0],
        strideW=stride[1],
        fusedActivationFunction=enum("ActivationFunctionType", ACTIVATIONS[seed % 4]),
    )
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": int8(rng, (n, h, w, c))} for _ in range(INPUTS)])


@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (-2, -3), (1, -2, 2)])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_mean(tmp_path: Path, seed: int, keep: bool, axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng([seed, keep, *np.abs(axes)])
    n, h, w = (int(v) for v in rng.integers([1, 1, 1], [3, 12, 12]))
    c = 300
    ratio = (-1, 1) if seed % 2 else (-12, 6)
    si = scale(rng)
    file = FileBuilder()
    x = file.tensor("x", (n, h, w, c), scale=si, zero_point=zero_point(rng))
    axis = file.tensor("axis", (len(axes),), np.int32, data=np.array(axes))
    so = si * np.float32(2.0 ** rng.uniform(*ratio))
    y = file.tensor("y", (n, 1, 1, c) if keep else (n, c), scale=so, zero_point=zero_point(rng))
    file.operator("MEAN", [x, axis], [y], options="ReducerOptions", keepDims=keep)
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": int8(rng, (n, h, w, c))} for _ in range(INPUTS)])


@pytest.mark.parametrize("code", ["RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE"])
@pytest.mark.parametrize("seed", range(20))
def test_rescale(tmp_path: Path, seed: int, code: str) -> None:
    rng = np.random.default_rng([seed, len(code)])
    same = seed % 4 == 0
    si = scale(rng)
    file = FileBuilder()
    x = file.tensor("x", (2, 128), scale=si, zero_point=zero_point(rng))
    so = si if same else si * np.float32(2.0 ** rng.uniform(-4, 4))
    y = file.tensor("y", (2, 128), scale=so, zero_point=zero_point(rng))
    file.operator(code, [x], [y], **({"options": "QuantizeOptions"} if code == "QUANTIZE" else {}))
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": np.arange(-128, 128, dtype=np.int8).reshape(2, 128)}])


@pytest.mark.parametrize("seed", SEEDS)
def test_float_edges(tmp_path: Path, seed: int) -> None:
    """float32 -> QUANTIZE -> int8 -> DEQUANTIZE -> float32, ties and values far out of range included."""
    rng = np.random.default_rng(seed)
    file = FileBuilder()
    s = np.float32(0.5) if seed == 0 else scale(rng)
    x = file.tensor("x", (1, 4000), np.float32)
    q = file.tensor("q", (1, 4000), scale=s, zero_point=zero_point(rng))
    y = file.tensor("y", (1, 4000), np.float32)
    file.operator("QUANTIZE", [x], [q], options="QuantizeOptions")
    file.operator("DEQUANTIZE", [q], [y], options="DequantizeOptions")
    path = file.write(tmp_path / "m.tflite", [x], [y])
    ties = (rng.integers(-300, 300, (1, 4000)) + 0.5).astype(np.float32) * s
    wide = (rng.standard_normal((1, 4000)) * 2.0 ** rng.uniform(-9, 20, (1, 4000))).astype(np.float32) * s
    assert_equal(path, [{"x": ties}, {"x": wide}, {"x": np.zeros((1, 4000), np.float32)}])


@pytest.mark.parametrize("seed", range(24))
def test_softmax(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = [(5, 10), (1, 3, 1000), (7, 1), (40,)][seed % 4]
    file = FileBuilder()
    x = file.tensor("x", shape, scale=scale(rng, -9, 2), zero_point=zero_point(rng))
    y = file.tensor("y", shape, scale=1 / 256, zero_point=-128)
    file.operator("SOFTMAX", [x], [y], options="SoftmaxOptions", beta=float(rng.choice([1.0, 0.7, 2.0])))
    path = file.write(tmp_path / "m.tflite", [x], [y])
    images = [int8(rng, shape)]
    if shape[-1] < 512:  # LiteRT aborts the process where the sum of exponentials reaches 512
        images += [rng.integers(100, 128, shape, np.int8), np.full(shape, -128, np.int8)]
    assert_equal(path, [{"x": image} for image in images])


def test_shapes_and_folded_padding(tmp_path: Path) -> None:
    """PAD before a VALID convolution, then RESHAPE, SQUEEZE and EXPAND_DIMS."""
    rng = np.random.default_rng(0)
    q = {"scale": 0.1, "zero_point": 7}
    file = FileBuilder()
    x = file.tensor("x", (1, 5, 6, 2), **q)
    amounts = file.tensor("amounts", (4, 2), np.int32, data=np.array([0, 0, 1, 2, 0, 3, 0, 0]))
    padded = file.tensor("padded", (1, 8, 9, 2), **q)
    weights = file.tensor("w", (3, 3, 3, 2), scale=0.02, data=int8(rng, (3, 3, 3, 2)))
    bias = file.tensor("b", (3,), np.int32, scale=0.002, data=np.array([5, -700, 9000]))
    y = file.tensor("y", (1, 6, 7, 3), scale=0.4, zero_point=-5)
    flat = file.tensor("flat", (1, 126, 1), scale=0.4, zero_point=-5)
    target = file.tensor("target", (3,), np.int32, data=np.array([1, -1, 1]))
    squeezed = file.tensor("squeezed", (1, 126), scale=0.4, zero_point=-5)
    axis = file.tensor("axis", (1,), np.int32, data=np.array([-1]))
    expanded = file.tensor("expanded", (1, 126, 1), scale=0.4, zero_point=-5)
    file.operator("PAD", [x, amounts], [padded], options="PadOptions")
    file.operator("CONV_2D", [padded, weights, bias], [y], **conv())
    file.operator("RESHAPE", [y, target], [flat], options="ReshapeOptions")
    file.operator("SQUEEZE", [flat], [squeezed], options="SqueezeOptions", squeezeDims=[-1])
    file.operator("EXPAND_DIMS", [squeezed, axis], [expanded], options="ExpandDimsOptions")
    path = file.write(tmp_path / "m.tflite", [x], [expanded])
    assert_equal(path, [{"x": int8(rng, (1, 5, 6, 2))} for _ in range(INPUTS)])
    assert "padded" not in load_tflite(path).tensors


def test_a_scale_that_no_multiplier_meets_is_noted(tmp_path: Path) -> None:
    """Below about 2**-13 some scales have no exact multiplier: the graph says how many sums are off."""
    si, so = np.float32(0.3), np.float32(0.7)
    weight_scales = np.float32(np.random.default_rng(1).uniform(0.5, 1, 10000) * 2.0**-14)
    far = np.full(len(weight_scales), 10**7)
    scales = float(si) * weight_scales.astype(np.float64) / float(so)
    sw = weight_scales[~exact_multipliers(scales, Reach(0 * far, far), -128, (-128, 127))[2]][0]
    file = FileBuilder()
    x = file.tensor("x", (1, 1), scale=si)
    weights = file.tensor("w", (1, 1), scale=sw, data=np.zeros((1, 1)))
    bias = file.tensor("b", (1,), np.int32, scale=si * sw, data=np.array([10**7]))
    y = file.tensor("y", (1, 1), scale=so, zero_point=-128)
    file.operator("FULLY_CONNECTED", [x, weights, bias], [y], options="FullyConnectedOptions")
    (note,) = load_tflite(file.write(tmp_path / "m.tflite", [x], [y])).notes
    assert "'y', channel 0" in note and "of 10000001 possible sums" in note
