"""uint8 operators with random parameters, written to a file, imported, and held against LiteRT BUILTIN_REF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from test_litert_operators import ACTIVATIONS, INPUTS, SEEDS, assert_equal, scale
from tflite_files import FileBuilder, conv, enum

from intaglio.network import load_tflite
from intaglio.network.graph import Conv2D, FullyConnected, Reshape

UINT8: Any = np.uint8


def zero_point(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 256))


def uint8(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, 256, shape, np.uint8)


def unsigned(file: FileBuilder, rng: np.random.Generator, name: str, shape: tuple[int, ...], **more: Any) -> int:
    """A uint8 tensor of a random scale and zero point, where they are not given."""
    return file.tensor(name, shape, UINT8, **({"scale": scale(rng), "zero_point": zero_point(rng)} | more))


def convolution(path: Path, seed: int, activation: str, depthwise: bool) -> Path:
    """x -> CONV_2D or DEPTHWISE_CONV_2D -> y; weights of any zero point, ones that fit int8 once it is taken off too."""
    rng = np.random.default_rng([seed, ACTIVATIONS.index(activation), depthwise])
    n, h, w, c, o = (int(v) for v in rng.integers([1, 5, 5, 1, 1], [3, 10, 10, 6, 9]))
    o = c * int(rng.integers(1, 4)) if depthwise else o
    rows, columns = (int(v) for v in rng.integers(1, 4, 2))
    dilation = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    stride = (1, 1) if max(dilation) > 1 or depthwise else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    padding = "SAME" if rng.integers(2) else "VALID"
    spans = ((rows - 1) * dilation[0] + 1, (columns - 1) * dilation[1] + 1)
    out = [-(-x // s) if padding == "SAME" else (x - k) // s + 1 for x, k, s in zip((h, w), spans, stride, strict=True)]
    file = FileBuilder()
    si, sw = scale(rng), np.float32(2.0 ** rng.uniform(-9, 3 if seed % 4 == 0 else -3))
    shape = (1, rows, columns, o) if depthwise else (o, rows, columns, c)
    kernel, point = uint8(rng, shape), zero_point(rng)
    if seed % 3 == 0:
        kernel, point = rng.integers(1, 256, shape, np.uint8), 128
    x = unsigned(file, rng, "x", (n, h, w, c), scale=si)
    weights = file.tensor("w", shape, UINT8, sw, point, data=kernel)
    bias = file.tensor("b", (o,), np.int32, scale=si * sw, data=rng.integers(-9999, 9999, o))
    y = unsigned(file, rng, "y", (n, *out, o))
    options = conv(padding, stride, dilation, activation)
    if depthwise:
        options |= {"options": "DepthwiseConv2DOptions", "depthMultiplier": o // c}
    file.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [x, weights, bias], [y], **options)
    return file.write(path, [x], [y])


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_convolutions(tmp_path: Path, seed: int, activation: str, depthwise: bool) -> None:
    path = convolution(tmp_path / "m.tflite", seed, activation, depthwise)
    rng = np.random.default_rng(seed)
    (op,) = load_tflite(path).operators
    assert isinstance(op, Conv2D) and (seed % 3 or not op.weight_zero_point)
    shape = load_tflite(path).tensors["x"].shape
    assert_equal(path, [{"x": uint8(rng, shape)} for _ in range(INPUTS)])


def test_convolution_of_every_sum(tmp_path: Path) -> None:
    """Sums given by the bias alone, both signs, all sizes; scales from 2**-33 to 2**12."""
    rng = np.random.default_rng(5)
    channels = 512
    for real in 2.0 ** rng.uniform(-33, 12, 12):
        sums = (rng.choice([-1, 1], channels) * 2.0 ** rng.uniform(0, 31, channels)).astype(np.int64)
        sums[:4] = -(2**31), 2**31 - 1, 0, -1
        file = FileBuilder()
        x = file.tensor("x", (1, 1, 1, 1), UINT8, 1.0)
        weights = file.tensor("w", (channels, 1, 1, 1), UINT8, np.float32(real), 9, data=np.full(channels, 9))
        bias = file.tensor("b", (channels,), np.int32, scale=np.float32(real), data=sums)
        y = file.tensor("y", (1, 1, 1, channels), UINT8, 1.0, 125)
        file.operator("CONV_2D", [x, weights, bias], [y], **conv())
        assert_equal(file.write(tmp_path / "m.tflite", [x], [y]), [{"x": np.zeros((1, 1, 1, 1), np.uint8)}])


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
@pytest.mark.parametrize("seed", range(12))
def test_products_near_every_step(tmp_path: Path, seed: int, kind: str) -> None:
    """Sums given by the bias alone, at and around each step of the output. Convolutions multiply scales in float32 there,
    fully connected layers in double precision: about 1 output in 30,000 tells."""
    rng = np.random.default_rng([seed, len(kind)])
    si, sw, so = (np.float32(2.0 ** rng.uniform(*ends)) for ends in ((-8, 0), (-11, -6), (-6, 0)))
    steps = np.floor((np.arange(-256, 256) + 0.5) / (float(si) * float(sw) / float(so))).astype(np.int64)
    sums = np.unique(np.concatenate([steps + d for d in range(-40, 41)]))
    sums = rng.permutation(sums[np.abs(sums) < 2**30])[:30000]
    count, ones = len(sums), (1,) * (2 if kind == "FULLY_CONNECTED" else 4)
    file = FileBuilder()
    x = file.tensor("x", ones, UINT8, si)
    shape = (*ones[1:], count) if kind == "DEPTHWISE_CONV_2D" else (count, *ones[1:])
    weights = file.tensor("w", shape, UINT8, sw, 7, data=np.full(count, 7))
    bias = file.tensor("b", (count,), np.int32, scale=si * sw, data=sums)
    y = file.tensor("y", (*ones[1:], count), UINT8, so, 100)
    options = conv()
    if kind == "DEPTHWISE_CONV_2D":
        options |= {"options": "DepthwiseConv2DOptions", "depthMultiplier": count}
    if kind == "FULLY_CONNECTED":
        options = {"options": "FullyConnectedOptions"}
    file.operator(kind, [x, weights, bias], [y], **options)
    path = file.write(tmp_path / "m.tflite", [x], [y])
    if kind == "FULLY_CONNECTED" and load_tflite(path).notes:
        return  # no multiplier of 31 bits is exact here, and the note says so
    assert_equal(path, [{"x": np.zeros(ones, np.uint8)}])


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("seed", range(16))
def test_fully_connected(tmp_path: Path, seed: int, keep: bool) -> None:
    rng = np.random.default_rng([seed, keep])
    n, i, o = (int(v) for v in rng.integers([1, 1, 2], [4, 200, 40]))
    shape = (n, 2, i) if keep or seed % 2 else (n * 2, i)
    file = FileBuilder()
    si, sw = scale(rng), np.float32(2.0 ** rng.uniform(-9, -3))
    x = unsigned(file, rng, "x", shape, scale=si)
    weights = file.tensor("w", (o, i), UINT8, sw, zero_point(rng), data=uint8(rng, (o, i)))
    bias = file.tensor("b", (o,), np.int32, scale=si * sw, data=rng.integers(-9999, 9999, o))
    y = unsigned(file, rng, "y", (*shape[:-1], o) if keep else (n * 2, o), scale=scale(rng, -5, 0))
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
    assert_equal(path, [{"x": uint8(rng, shape)} for _ in range(INPUTS)])


@pytest.mark.parametrize("real", [0.5, 0.25, 0.75, 1.0, 3.0, 0.3, 2.0**-6, 1.7e-3, 6.1e-5])
@pytest.mark.parametrize("point", [0, 128, 205])
def test_fully_connected_at_every_step(tmp_path: Path, real: float, point: int) -> None:
    """Sums at, just before and just after each step of the output, ties included, both signs."""
    steps = np.floor((np.arange(0, 256) + 0.5) / real).astype(np.int64)
    near = np.concatenate([steps + d for d in (-2, -1, 0, 1, 2)])
    sums = np.unique(np.concatenate([near, -near]))
    count = len(sums)
    file = FileBuilder()
    x = file.tensor("x", (1, 1), UINT8, 1.0)
    weights = file.tensor("w", (count, 1), UINT8, real, 7, data=np.full(count, 7))
    bias = file.tensor("b", (count,), np.int32, scale=real, data=sums)
    y = file.tensor("y", (1, count), UINT8, 1.0, point)
    file.operator("FULLY_CONNECTED", [x, weights, bias], [y], options="FullyConnectedOptions")
    assert_equal(file.write(tmp_path / "m.tflite", [x], [y]), [{"x": np.zeros((1, 1), np.uint8)}])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_add(tmp_path: Path, seed: int, activation: str) -> None:
    rng = np.random.default_rng([seed, ACTIVATIONS.index(activation)])
    a_values, b_values = (v.reshape(1, 256, 256, 1).astype(np.uint8) for v in np.indices((256, 256)))
    file = FileBuilder()
    a, b, y = (unsigned(file, rng, name, (1, 256, 256, 1)) for name in "aby")
    code = enum("ActivationFunctionType", activation)
    file.operator("ADD", [a, b], [y], options="AddOptions", fusedActivationFunction=code)
    assert_equal(file.write(tmp_path / "m.tflite", [a, b], [y]), [{"a": a_values, "b": b_values}])


def pool(path: Path, kind: str, shape: tuple[int, ...], size: list[int], stride: list[int], **more: Any) -> Path:
    """x -> pool -> y. more: padding, activation, scale, zero_point."""
    padding, known = more.pop("padding", "VALID"), {"scale": more.pop("scale", 0.5), "zero_point": more["zero_point"]}
    sides = zip(shape[1:3], size, stride, strict=True)
    out = [-(-x // s) if padding == "SAME" else (x - k) // s + 1 for x, k, s in sides]
    file = FileBuilder()
    x = file.tensor("x", shape, UINT8, **known)
    y = file.tensor("y", (shape[0], *out, shape[3]), UINT8, **known)
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
        fusedActivationFunction=enum("ActivationFunctionType", more.get("activation", "NONE")),
    )
    return file.write(path, [x], [y])


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("seed", SEEDS)
def test_pool(tmp_path: Path, seed: int, padding: str, kind: str) -> None:
    rng = np.random.default_rng([seed, padding == "SAME"])
    n, h, w, c = (int(v) for v in rng.integers([1, 6, 6, 1], [3, 14, 14, 9]))
    size, stride = ([int(v) for v in rng.integers(1, 6, 2)] for _ in range(2))
    more = {"padding": padding, "scale": scale(rng), "zero_point": zero_point(rng), "activation": ACTIVATIONS[seed % 4]}
    path = pool(tmp_path / "m.tflite", kind, (n, h, w, c), size, stride, **more)
    assert_equal(path, [{"x": uint8(rng, (n, h, w, c))} for _ in range(INPUTS)])


def test_averages_of_two_at_every_pair(tmp_path: Path) -> None:
    """A tie for every odd sum; uint8's go up."""
    pairs = np.indices((256, 256), np.uint8).transpose(1, 2, 0).reshape(1, 256, 512, 1)
    path = pool(tmp_path / "m.tflite", "AVERAGE_POOL_2D", pairs.shape, [1, 2], [1, 2], zero_point=131)
    assert_equal(path, [{"x": pairs}])


@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (-2, -3), (1, -2, 2)])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_mean(tmp_path: Path, seed: int, keep: bool, axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng([seed, keep, *np.abs(axes)])
    n, h, w = (int(v) for v in rng.integers([1, 1, 1], [3, 12, 12]))
    c, si = 300, scale(rng)
    file = FileBuilder()
    same = seed % 4 == 0
    x = unsigned(file, rng, "x", (n, h, w, c), scale=si, **({"zero_point": 77} if same else {}))
    axis = file.tensor("axis", (len(axes),), np.int32, data=np.array(axes))
    so = si if same else si * np.float32(2.0 ** rng.uniform(*((-1, 1) if seed % 2 else (-12, 6))))
    shape = (n, 1, 1, c) if keep else (n, c)
    y = unsigned(file, rng, "y", shape, scale=so, **({"zero_point": 77} if same else {}))
    file.operator("MEAN", [x, axis], [y], options="ReducerOptions", keepDims=keep)
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": uint8(rng, (n, h, w, c))} for _ in range(INPUTS)])


@pytest.mark.parametrize("code", ["RELU", "RELU6", "RELU_N1_TO_1", "QUANTIZE"])
@pytest.mark.parametrize("seed", range(20))
def test_rescale(tmp_path: Path, seed: int, code: str) -> None:
    rng = np.random.default_rng([seed, len(code)])
    si = scale(rng)
    file = FileBuilder()
    x = unsigned(file, rng, "x", (2, 128), scale=si)
    so = si if seed % 4 == 0 else si * np.float32(2.0 ** rng.uniform(-4, 4))
    y = unsigned(file, rng, "y", (2, 128), scale=so)
    file.operator(code, [x], [y], **({"options": "QuantizeOptions"} if code == "QUANTIZE" else {}))
    path = file.write(tmp_path / "m.tflite", [x], [y])
    assert_equal(path, [{"x": np.arange(256, dtype=np.uint8).reshape(2, 128)}])


@pytest.mark.parametrize("to", [np.int8, np.uint8])
@pytest.mark.parametrize("seed", range(30))
def test_between_int8_and_uint8(tmp_path: Path, seed: int, to: Any) -> None:
    """A QUANTIZE of every value; where scales agree and zero points differ by 128 it moves nothing."""
    rng = np.random.default_rng(seed)
    point, si, same = zero_point(rng), scale(rng), seed % 3 == 0
    so = si if seed % 3 < 2 else si * np.float32(2.0 ** rng.uniform(-4, 4))
    other = point if same else zero_point(rng)
    file = FileBuilder()
    signed, offset = (to == np.uint8), (0 if to == np.uint8 else 128)
    x = file.tensor("x", (2, 128), np.int8 if signed else np.uint8, si, point - (128 if signed else 0))
    y = file.tensor("y", (2, 128), to, so, other - offset)
    file.operator("QUANTIZE", [x], [y], options="QuantizeOptions")
    path = file.write(tmp_path / "m.tflite", [x], [y])
    values = np.arange(256, dtype=np.uint8).reshape(2, 128)
    assert_equal(path, [{"x": values.view(np.int8) if signed else values}])
    assert isinstance(load_tflite(path).operators[0], Reshape) == same


@pytest.mark.parametrize("seed", SEEDS)
def test_float_edges(tmp_path: Path, seed: int) -> None:
    """float32 -> QUANTIZE -> uint8 -> DEQUANTIZE -> float32, ties and values far out of range included."""
    rng = np.random.default_rng(seed)
    file = FileBuilder()
    s = np.float32(0.5) if seed == 0 else scale(rng)
    x = file.tensor("x", (1, 4000), np.float32)
    q = unsigned(file, rng, "q", (1, 4000), scale=s)
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
    x = unsigned(file, rng, "x", shape, scale=scale(rng, -9, 2))
    y = file.tensor("y", shape, UINT8, 1 / 256, 0)
    file.operator("SOFTMAX", [x], [y], options="SoftmaxOptions", beta=float(rng.choice([1.0, 0.7, 2.0])))
    path = file.write(tmp_path / "m.tflite", [x], [y])
    images = [uint8(rng, shape)]
    if shape[-1] < 512:  # LiteRT aborts the process where the sum of exponentials reaches 512
        images += [rng.integers(228, 256, shape, np.uint8), np.zeros(shape, np.uint8)]
    assert_equal(path, [{"x": image} for image in images])


@pytest.mark.parametrize("make", [lambda rng: 0, zero_point])
def test_shapes_and_folded_padding(tmp_path: Path, make: Callable[[np.random.Generator], int]) -> None:
    """PAD before a VALID convolution, then RESHAPE, SQUEEZE and EXPAND_DIMS."""
    rng = np.random.default_rng(0)
    before, after = ({"scale": s, "zero_point": make(rng)} for s in (0.1, 0.4))
    file = FileBuilder()
    x = file.tensor("x", (1, 5, 6, 2), UINT8, **before)
    amounts = file.tensor("amounts", (4, 2), np.int32, data=np.array([0, 0, 1, 2, 0, 3, 0, 0]))
    padded = file.tensor("padded", (1, 8, 9, 2), UINT8, **before)
    weights = file.tensor("w", (3, 3, 3, 2), UINT8, 0.02, make(rng), data=uint8(rng, (3, 3, 3, 2)))
    bias = file.tensor("b", (3,), np.int32, scale=0.002, data=np.array([5, -700, 9000]))
    y = file.tensor("y", (1, 6, 7, 3), UINT8, **after)
    flat = file.tensor("flat", (1, 126, 1), UINT8, **after)
    target = file.tensor("target", (3,), np.int32, data=np.array([1, -1, 1]))
    squeezed = file.tensor("squeezed", (1, 126), UINT8, **after)
    axis = file.tensor("axis", (1,), np.int32, data=np.array([-1]))
    expanded = file.tensor("expanded", (1, 126, 1), UINT8, **after)
    file.operator("PAD", [x, amounts], [padded], options="PadOptions")
    file.operator("CONV_2D", [padded, weights, bias], [y], **conv())
    file.operator("RESHAPE", [y, target], [flat], options="ReshapeOptions")
    file.operator("SQUEEZE", [flat], [squeezed], options="SqueezeOptions", squeezeDims=[-1])
    file.operator("EXPAND_DIMS", [squeezed, axis], [expanded], options="ExpandDimsOptions")
    path = file.write(tmp_path / "m.tflite", [x], [expanded])
    assert_equal(path, [{"x": uint8(rng, (1, 5, 6, 2))} for _ in range(INPUTS)])
    assert "padded" not in load_tflite(path).tensors


def test_weights_less_their_zero_point_where_that_is_int8(tmp_path: Path) -> None:
    """Every machine has symmetric weights; only those of weight_zero_points have others."""
    for values, point, left in (([1, 255], 128, 0), ([0, 255], 128, 0), ([0, 255], 127, -1), ([3, 9], 2, 0)):
        file = FileBuilder()
        x = file.tensor("x", (1, 1), UINT8, 1.0, 3)
        weights = file.tensor("w", (2, 1), UINT8, 0.1, point, data=np.array(values))
        y = file.tensor("y", (1, 2), UINT8, 1.0, 3)
        file.operator("FULLY_CONNECTED", [x, weights], [y], options="FullyConnectedOptions")
        (op,) = load_tflite(file.write(tmp_path / "m.tflite", [x], [y])).operators
        assert isinstance(op, FullyConnected) and op.weight_zero_point == left
        distances = op.weights.astype(int) - op.weight_zero_point
        np.testing.assert_array_equal(distances.reshape(-1), np.array(values) - point)
