"""Operators that take elements elsewhere, with random parameters: against onnxruntime, and mapped onto machines."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnx_check import on_machine
from onnx_files import OnnxBuilder, middle
from test_onnx_operators import compare

from intaglio.errors import InputError
from intaglio.network import load_onnx
from intaglio.network.graph import Move, Table

SEEDS = range(6)
MACHINES = [
    ("tiny16", []),
    (
        "tiny16",
        [
            "rows=3",
            "cols=5",
            "activation_bytes=1024",
            "activation_banks=2",
            "bus_bytes=4",
            "requantizers=3",
            "memory.bytes_per_cycle=4",
        ],
    ),
    ("edge64", ["activation_bytes=2048", "activation_banks=2"]),
]


class Case(OnnxBuilder):
    """A network of one operator: `x` is dequantized, or of 8 bits. Images come from a convolution, so that the graph has
    them as NHWC."""

    def __init__(self, name: str, seed: int, rank: int = 4, opset: int = 22) -> None:
        self.rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
        super().__init__(opset, [np.int8, np.uint8][seed % 2])
        self.integers = bool(seed & 2)
        self.shape = tuple(int(n) for n in self.rng.integers(1, [3, 8, 8, 9][-rank:], rank))
        self.scale, self.zero = 0.02, middle(self.dtype, int(self.rng.integers(-99, 99)))

    def source(self, name: str = "x", shape: tuple[int, ...] | None = None, scale: float | None = None) -> str:
        shape, scale = shape or self.shape, scale or self.scale
        x = self.input(name, shape)
        x = self.quantize(x, f"{name}_q", scale, self.zero)
        if len(shape) == 4:
            first = self.dequantize(x, f"{name}_dq", scale, self.zero)
            w = self.weights(f"{name}_w", self.rng.integers(-128, 128, (shape[1], shape[1], 1, 1)), 0.01)
            y = self.node("Conv", [first, w], f"{name}_conv")
            x = self.quantize(y, f"{name}_conv_q", scale, self.zero)
        return x if self.integers else self.dequantize(x, f"{name}_value", scale, self.zero)

    def list(self, name: str, values: Any, dtype: type = np.int64) -> str:
        return self.constant(name, values, dtype)

    def finish(self, path: Path, results: list[str], scale: float | None = None) -> Path:
        scale = scale or self.scale
        outputs = []
        for y in results:
            if self.integers:
                outputs.append(self.dequantize(y, f"{y}_end", scale, self.zero))
            else:
                outputs.append(self.qdq(y, scale, self.zero))
        return self.write(path, outputs)


def slice_(seed: int) -> tuple[Case, list[str]]:
    case = Case("slice", seed, 2 + seed % 3)
    axes, starts, ends, steps = [], [], [], []
    for axis, n in enumerate(case.shape):
        step = int(case.rng.choice([-3, -2, -1, 1, 2, 3]))
        chosen = range(*sorted(case.rng.choice(n + 1, 2, replace=False)))
        first, last = (chosen[-1], chosen[0]) if step < 0 else (chosen[0], chosen[-1])
        end = last + (1 if step > 0 else -1)
        axes.append(axis - len(case.shape) * int(case.rng.integers(2)))
        starts.append(first - n * int(case.rng.integers(2)))
        ends.append(-n - 7 if end < 0 else (2**40 if end == n else end))
        steps.append(step)
    lists = [case.list(k, v) for k, v in [("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps)]]
    return case, [case.node("Slice", [case.source(), *lists], "y")]


def split(seed: int) -> tuple[Case, list[str]]:
    case = Case("split", seed)
    axis = int(case.rng.integers(4))
    lengths = [int(n) for n in case.rng.integers(1, 5, 3)]
    case.shape = tuple(sum(lengths) if a == axis else n for a, n in enumerate(case.shape))
    x = case.source()
    if seed % 3:
        case.node("Split", [x, case.list("lengths", lengths)], "y0", axis=axis - 4)
    else:
        case.node("Split", [x], "y0", axis=axis, num_outputs=3 if sum(lengths) in (3, 5, 6) or sum(lengths) > 6 else 1)
    count = case.nodes[-1].attribute[-1].i if not seed % 3 else 3
    case.nodes[-1].output.extend(f"y{i}" for i in range(1, count))
    return case, [f"y{i}" for i in range(count)]


def gather(seed: int) -> tuple[Case, list[str]]:
    case = Case("gather", seed, 2 + seed % 3)
    axis = int(case.rng.integers(len(case.shape)))
    n = case.shape[axis]
    indices = case.rng.integers(-n, n, 5) if seed % 2 else int(case.rng.integers(-n, n))
    return case, [case.node("Gather", [case.source(), case.list("at", indices)], "y", axis=axis)]


def tile(seed: int) -> tuple[Case, list[str]]:
    case = Case("tile", seed)
    return case, [case.node("Tile", [case.source(), case.list("times", case.rng.integers(1, 4, 4))], "y")]


def expand(seed: int) -> tuple[Case, list[str]]:
    case = Case("expand", seed, 3)
    case.shape = tuple(1 if case.rng.integers(2) else n for n in case.shape)
    target = [int(case.rng.integers(1, 4)) if n == 1 else [n, 1][int(case.rng.integers(2))] for n in case.shape]
    return case, [case.node("Expand", [case.source(), case.list("shape", [2, *target][seed % 2 :])], "y")]


def pad(seed: int) -> tuple[Case, list[str]]:
    case = Case("pad", seed)
    x = case.source()
    fill = np.array(case.zero + 3, case.dtype) if case.integers else np.float32(3) * np.float32(case.scale)
    lists = [case.list("pads", case.rng.integers(0, 3, 8)), case.constant("fill", fill)]
    return case, [case.node("Pad", [x, *lists], "y")]


def pad_with_zeros_before_what_is_no_convolution(seed: int) -> tuple[Case, list[str]]:
    case = Case("zeros", seed)
    case.integers = False
    y = case.node("Pad", [case.source(), case.list("pads", [0, 0, 1, 2, 0, 0, 3, 0])], "y")
    return case, [y, case.node("MaxPool", [y], "z", kernel_shape=[2, 2])]


def pad_in_another_mode(seed: int) -> tuple[Case, list[str]]:
    case = Case("mode", seed)
    amounts = [int(case.rng.integers(n)) for n in case.shape * 2]
    mode = ["reflect", "edge", "wrap"][seed % 3]
    return case, [case.node("Pad", [case.source(), case.list("pads", amounts)], "y", mode=mode)]


def concat(seed: int) -> tuple[Case, list[str]]:
    case = Case("concat", seed, 2 + seed % 3)
    axis = int(case.rng.integers(-len(case.shape), len(case.shape)))
    names = []
    for i in range(3):
        shape = list(case.shape)
        shape[axis] = int(case.rng.integers(1, 9))
        names.append(case.source(f"x{i}", tuple(shape)))
    return case, [case.node("Concat", [*names, names[0]], "y", axis=axis)]


def depth_to_space(seed: int) -> tuple[Case, list[str]]:
    case = Case("depth", seed)
    n, c, h, w = case.shape
    case.shape = (n, c * 4, h, w)
    case.integers = False
    y = case.node("DepthToSpace", [case.source()], "y", blocksize=2, mode=["DCR", "CRD"][seed // 2 % 2])
    return case, [case.node("MaxPool", [y], "z", kernel_shape=[2, 1])]


def space_to_depth(seed: int) -> tuple[Case, list[str]]:
    case = Case("space", seed)
    n, c, h, w = case.shape
    case.shape = (n, c, h * 3, w * 3)
    case.integers = False
    y = case.node("SpaceToDepth", [case.source()], "y", blocksize=3)
    return case, [case.node("MaxPool", [y], "z", kernel_shape=[1, 1])]


def shuffle(seed: int) -> tuple[Case, list[str]]:
    """ShuffleNet's reshape, transposition and reshape, and what reads images behind it."""
    case = Case("shuffle", seed)
    n, c, h, w = case.shape
    case.shape = (n, c * 3, h, w)
    y = case.node("Reshape", [case.source(), case.list("groups", [n, 3, c, h, w])], "grouped")
    y = case.node("Transpose", [y], "turned", perm=[0, 2, 1, 3, 4])
    y = case.node("Reshape", [y, case.list("image", [n, c * 3, h, w])], "shuffled")
    return case, [case.node("MaxPool", [y], "z", kernel_shape=[1, 1])]


def transposed_rows(seed: int) -> tuple[Case, list[str]]:
    case = Case("rows", seed)
    case.integers = False
    y = case.node("Transpose", [case.source()], "turned", perm=[int(a) for a in case.rng.permutation(4)])
    return case, [case.node("MaxPool", [y], "z", kernel_shape=[1, 1])]


CASES: list[Callable[[int], tuple[Case, list[str]]]] = [
    slice_, split, gather, tile, expand, pad, pad_with_zeros_before_what_is_no_convolution, pad_in_another_mode, concat,
    depth_to_space, space_to_depth, shuffle, transposed_rows,
]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("make", CASES)
def test_against_onnxruntime_and_on_machines(
    tmp_path: Path, make: Callable[[int], tuple[Case, list[str]]], seed: int
) -> None:
    case, results = make(seed)
    graph = compare(case.finish(tmp_path / "m.onnx", results), 2)
    assert not any(isinstance(op, Table) for op in graph.operators)
    machine, settings = MACHINES[seed % 3]
    on_machine(graph, machine, settings, seed)


MODES = [
    "half_pixel",
    "pytorch_half_pixel",
    "asymmetric",
    "align_corners",
    "half_pixel_symmetric",
    "tf_crop_and_resize",
]


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("by", ["scales", "sizes"])
def test_resize(tmp_path: Path, by: str, mode: str, rounding: str) -> None:
    case = Case(f"{by} {mode} {rounding}", len(rounding) % 4, opset=19)
    case.shape = (1, 3, 5, 7)
    attributes = {"mode": "nearest", "coordinate_transformation_mode": mode, "nearest_mode": rounding}
    given = [1, 1, 1.7, 2.4] if by == "scales" else [1, 3, 3, 16]
    roi = [case.list("roi", [0, 0, 0.2, 0, 1, 1, 0.9, 1], np.float32)] if mode == MODES[-1] else [""]
    inputs = [case.list("wanted", given, np.float32 if by == "scales" else np.int64)]
    y = case.node("Resize", [case.source(), *roi, *([""] if by == "sizes" else []), *inputs], "y", **attributes)
    graph = compare(case.finish(tmp_path / "m.onnx", [y]), 2)
    on_machine(graph, "tiny16")


@pytest.mark.parametrize("opset", [10, 11, 13])
@pytest.mark.parametrize("scales", [[1, 1, 2, 2], [1, 1, 1.6, 3], [1, 1, 0.6, 0.4]])
def test_resize_of_old_opsets(tmp_path: Path, opset: int, scales: list[float]) -> None:
    build = OnnxBuilder(opset)
    x = build.qdq(build.input("x", (1, 3, 6, 5)), 0.02, 3)
    roi = [build.constant("roi", np.zeros(0), np.float32)] if opset >= 11 else []
    inputs = [x, *roi, build.constant("scales", scales, np.float32)]
    y = build.node("Resize", inputs, "y", mode="nearest")
    compare(build.write(tmp_path / "m.onnx", [build.qdq(y, 0.02, 3)]))


@pytest.mark.parametrize("seed", range(8))
def test_concat_of_different_scales(tmp_path: Path, seed: int) -> None:
    """Each input that has another scale than the output goes through a table; one of them is used twice, one is an
    activation in float."""
    case = Case("scales", seed & 1)
    scales = [float(s) for s in np.random.default_rng(seed).uniform(0.01, 0.05, 2)]
    names = [case.source(f"x{i}", scale=scale) for i, scale in enumerate([*scales, 0.03, 0.02])]
    names[2] = case.node("Relu", [names[2]], "relu")
    names.append(case.node("Sigmoid", [names[0]], "gate"))
    path = case.finish(tmp_path / "m.onnx", [case.node("Concat", [*names, names[0]], "y", axis=1)], 0.03)
    graph = compare(path, 2)
    assert [op.kind for op in graph.operators].count("Concat") == 1
    on_machine(graph, "edge64", ["tables=4"], seed)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_qlinear_concat(tmp_path: Path, dtype: type) -> None:
    build = OnnxBuilder(17, dtype)
    inputs = [build.constant("ys", 0.03, np.float32), build.constant("yz", middle(dtype, -30), dtype)]
    result = list(inputs)
    for i, scale in enumerate([0.03, 0.021]):
        given = [build.constant(f"s{i}", scale, np.float32), build.constant(f"z{i}", middle(dtype, -30), dtype)]
        q = build.node("QuantizeLinear", [build.input(f"x{i}", (1, 5, 6, 2 + i)), *given], f"q{i}")
        inputs += [q, *given]
    y = build.node("QLinearConcat", inputs, "y_q", "com.microsoft", axis=3)
    path = build.write(tmp_path / "m.onnx", [build.node("DequantizeLinear", [y, *result], "y")])
    kinds = [op.kind for op in compare(path).operators]
    assert kinds.count("Concat") == 1 and kinds.count("Requantize") == 1


def test_a_layout_of_the_file_costs_no_moves(tmp_path: Path) -> None:
    """Images that the file has as NHWC, turned before the convolution and behind it."""
    case = Case("nhwc", 0)
    x = case.qdq(case.input("x", (1, 6, 7, 3)), 0.02, 3)
    x = case.node("Transpose", [x], "turned", perm=[0, 3, 1, 2])
    y = case.node("Conv", [x, case.weights("w", case.rng.integers(-128, 128, (4, 3, 3, 3)), 0.01)], "conv")
    y = case.node("Transpose", [case.qdq(y, 0.05, 3)], "back", perm=[0, 2, 3, 1])
    graph = load_onnx(case.write(tmp_path / "m.onnx", [case.qdq(y, 0.05, 3)]))
    assert not any(isinstance(op, Move) for op in graph.operators)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("op", ["Clip", "Relu"])
def test_limits_of_integers(tmp_path: Path, op: str, dtype: type) -> None:
    """Brevitas' form: a Clip between QuantizeLinear and DequantizeLinear."""
    if op == "Relu" and dtype == np.uint8:
        pytest.skip("Relu takes no uint8")
    build = OnnxBuilder(17, dtype)
    limits = [build.constant("low", middle(dtype, -8), dtype), build.constant("high", middle(dtype, 7), dtype)]
    q = build.quantize(build.input("x", (1, 3, 5, 4)), "x_q", 0.02, middle(dtype, 2))
    y = build.node(op, [q, *(limits if op == "Clip" else [])], "y")
    graph = compare(build.write(tmp_path / "m.onnx", [build.dequantize(y, "z", 0.02, middle(dtype, 2))]))
    on_machine(graph, "tiny16")


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "reason"),
    [
        ("Slice", {"s": [0], "e": [0], "a": [1]}, {}, "takes no elements"),
        ("Slice", {"s": [0], "e": [5], "a": [7]}, {}, "not a usable ONNX model"),
        ("Slice", {"s": [0], "e": [5], "a": [1], "t": [0]}, {}, "not a usable ONNX model"),
        ("Gather", {"i": [9]}, {"axis": 1}, "not within"),
        ("Tile", {"t": [1, 1, 2**40, 1]}, {}, "its output has shape"),
        (
            "Tile",
            {"t": [1, 1, 2**62, 2**62]},
            {},
            "not a usable ONNX model|its output has shape",
        ),  # older onnx infers none
        ("Expand", {"s": [1, 4, 2**40, 8]}, {}, ""),
        ("Pad", {"p": [0, 0, 0, 2**40, 0, 0, 0, 0]}, {}, "its output has shape"),
        ("Pad", {"p": [0, 0, -9, 0, 0, 0, 0, 0]}, {}, "its output has shape"),
        ("Pad", {"p": [0, 0, 0, 9, 0, 0, 0, 0]}, {"mode": "reflect"}, "it pads 8 elements by 9"),
        ("DepthToSpace", {}, {"blocksize": 3}, "blocks of 3"),
    ],
)
def test_refusals(tmp_path: Path, op: str, inputs: dict[str, Any], attributes: dict[str, Any], reason: str) -> None:
    build = OnnxBuilder(17)
    w = build.weights("w", np.ones((4, 4, 1, 1)), 0.01)
    x = build.qdq(build.node("Conv", [build.qdq(build.input("x", (1, 4, 8, 8)), 0.02, 0), w], "c"), 0.02, 0)
    lists = [build.constant(f"list_{name}", values, np.int64) for name, values in inputs.items()]
    y = build.qdq(build.node(op, [x, *lists], "y", **attributes), 0.02, 0)
    v = build.weights("v", np.ones((4, 4, 1, 1)), 0.01)
    path = build.write(tmp_path / "m.onnx", [build.qdq(build.node("Conv", [y, v], "z"), 0.02, 0)])
    with pytest.raises(InputError, match=reason):
        load_onnx(path)
