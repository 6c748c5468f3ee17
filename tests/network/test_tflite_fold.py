"""Operators of a .tflite file that are constants: each value equals LiteRT's, and they are no operators of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from network_data import SHARED, needs_shared
from tflite_files import FileBuilder, conv

from intaglio.check import check
from intaglio.errors import InputError, RefusedError
from intaglio.machine.config_files import load_config
from intaglio.network import execute, load, random_inputs
from intaglio.network.graph import Reshape
from intaglio.network.tflite.file import read_model_file
from intaglio.network.tflite.fold import MAX_FOLDED, fold
from intaglio.network.tflite.oracle import LiteRTOracle

Operand = np.ndarray | None
"""A constant; None for the file's input, int8 [1, 6, 5, 2]."""


def int32(*values: Any) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.int32)


def one(path: Path, code: str, operands: list[Operand], result: tuple[tuple[int, ...], Any], **options: Any) -> Path:
    """x and the operator, whose output is y; x -> RELU -> z beside it."""
    file = FileBuilder()
    x, z = file.tensor("x", (1, 6, 5, 2), scale=0.5), file.tensor("z", (1, 6, 5, 2), scale=0.5)
    inputs = [
        x if a is None else file.tensor(f"c{i}", a.shape, a.dtype, scale=0.1 if a.itemsize == 1 else None, data=a)
        for i, a in enumerate(operands)
    ]
    y = file.tensor("y", result[0], result[1], scale=0.1 if np.dtype(result[1]) == np.int8 else None)
    file.operator(code, inputs, [y], **options)
    file.operator("RELU", [x], [z])
    return file.write(path / "m.tflite", [x], [y, z])


def folded(path: Path) -> np.ndarray | None:
    model, indices = fold(read_model_file(path))
    assert indices in (frozenset(), frozenset([0]))
    assert len(model.operators) == 2 - len(indices)
    return next(t.data for t in model.tensors if t.name == "y")


def slices(begin: int = 0, end: int = 0, shrink: int = 0) -> dict[str, Any]:
    return {"options": "StridedSliceOptions", "beginMask": begin, "endMask": end, "shrinkAxisMask": shrink}


def big(dtype: Any = np.int32) -> np.ndarray:
    """Numbers whose sums and products leave the type."""
    return np.array([np.iinfo(dtype).max, np.iinfo(dtype).min, 7, -3], dtype)


SQUARE = np.arange(12, dtype=np.int32).reshape(3, 4)
PACKED = {"options": "PackOptions", "valuesCount": 2}
CASES: list[tuple[str, list[Operand], tuple[tuple[int, ...], Any], dict[str, Any]]] = [
    ("SHAPE", [None], ((4,), np.int32), {"options": "ShapeOptions", "outType": 2}),
    ("SHAPE", [None], ((4,), np.int64), {"options": "ShapeOptions", "outType": 4}),
    ("STRIDED_SLICE", [int32(1, 6, 5, 2), int32([1]), int32([3]), int32([1])], ((2,), np.int32), slices()),
    ("STRIDED_SLICE", [int32(1, 6, 5, 2), int32([2]), int32([3]), int32([1])], ((), np.int32), slices(shrink=1)),
    ("STRIDED_SLICE", [int32(1, 6, 5, 2), int32([-1]), int32([0]), int32([1])], ((), np.int32), slices(shrink=1)),
    ("STRIDED_SLICE", [int32(1, 6, 5, 2), int32([0]), int32([-1]), int32([1])], ((3,), np.int32), slices()),
    ("STRIDED_SLICE", [int32(1, 6, 5, 2), int32([9]), int32([9]), int32([-1])], ((4,), np.int32), slices(1, 1)),
    ("STRIDED_SLICE", [int32(1, 6, 5, 2), int32([-2]), int32([0]), int32([-2])], ((1,), np.int32), slices()),
    ("STRIDED_SLICE", [SQUARE, int32(0, 1), int32(0, 9), int32(1, 2)], ((3, 2), np.int32), slices(0, 1)),
    ("STRIDED_SLICE", [SQUARE, int32(1, 1), int32(2, 3), int32(1, 1)], ((2,), np.int32), slices(shrink=1)),
    ("STRIDED_SLICE", [SQUARE, int32([2]), int32([3]), int32([1])], ((4,), np.int32), slices(shrink=1)),
    ("SLICE", [SQUARE, int32(1, 0), int32(-1, 2)], ((2, 2), np.int32), {}),
    ("SLICE", [SQUARE.astype(np.float32), int32(0, 3), int32(3, 1)], ((3, 1), np.float32), {}),
    ("PACK", [int32(3), int32(9)], ((2,), np.int32), PACKED),
    ("PACK", [SQUARE, SQUARE], ((3, 4, 2), np.int32), PACKED | {"axis": -1}),
    ("CONCATENATION", [int32([1]), int32(2, 3)], ((3,), np.int32), {"options": "ConcatenationOptions"}),
    ("CONCATENATION", [SQUARE, SQUARE], ((3, 8), np.int32), {"options": "ConcatenationOptions", "axis": -1}),
    ("GATHER", [SQUARE, int32(2, 0)], ((2, 4), np.int32), {"options": "GatherOptions"}),
    ("GATHER", [SQUARE, int32(3)], ((3,), np.int32), {"options": "GatherOptions", "axis": -1}),
    ("CAST", [big(np.int64)], ((4,), np.int32), {"options": "CastOptions", "inDataType": 4, "outDataType": 2}),
    ("CAST", [big()], ((4,), np.int64), {"options": "CastOptions", "inDataType": 2, "outDataType": 4}),
    ("ADD", [big(), int32(5)], ((4,), np.int32), {"options": "AddOptions"}),
    ("ADD", [big(np.int64), np.array([5], np.int64)], ((4,), np.int64), {"options": "AddOptions"}),
    ("SUB", [SQUARE, int32(1, 2, 3, 4)], ((3, 4), np.int32), {"options": "SubOptions"}),
    ("MUL", [big(), int32([7])], ((4,), np.int32), {"options": "MulOptions"}),
    ("MUL", [int32(6), int32(5)], ((), np.int32), {"options": "MulOptions"}),
    ("FLOOR_DIV", [int32(7, -7, 6, -1), int32(2)], ((4,), np.int32), {}),
    ("FLOOR_DIV", [big(), int32([-2])], ((4,), np.int32), {}),
    ("REDUCE_PROD", [int32(1, 6, 5, 2), int32([0])], ((), np.int32), {"options": "ReducerOptions"}),
    ("REDUCE_PROD", [SQUARE, int32([-1])], ((3, 1), np.int32), {"options": "ReducerOptions", "keepDims": True}),
    ("RESHAPE", [SQUARE, int32(2, -1)], ((2, 6), np.int32), {}),
    ("RESHAPE", [SQUARE.astype(np.int8), int32(4, 3)], ((4, 3), np.int8), {}),
    ("RESHAPE", [SQUARE], ((6, 2), np.int32), {"options": "ReshapeOptions", "newShape": [6, 2]}),
    ("SQUEEZE", [SQUARE[None]], ((3, 4), np.int32), {}),
    ("SQUEEZE", [SQUARE[None]], ((3, 4), np.int32), {"options": "SqueezeOptions", "squeezeDims": [0]}),
    ("EXPAND_DIMS", [int32(7), int32(0)], ((1,), np.int32), {}),
    ("EXPAND_DIMS", [SQUARE, int32([-1])], ((3, 4, 1), np.int32), {}),
    ("FILL", [int32(2, 3), int32(-4)], ((2, 3), np.int32), {}),
    ("FILL", [int32(2, 3), np.array(1.5, np.float32)], ((2, 3), np.float32), {}),
    ("RANGE", [int32(3), int32(12), int32(4)], ((3,), np.int32), {}),
    ("RANGE", [int32(3), int32(-2), int32(-2)], ((3,), np.int32), {}),
    ("DEQUANTIZE", [SQUARE.astype(np.int8)], ((3, 4), np.float32), {}),
    ("DEQUANTIZE", [np.array([0.1, -7, 65504], np.float16)], ((3,), np.float32), {}),
    ("QUANTIZE", [np.array([0.05, -0.05, 0.15, 99, -99], np.float32)], ((5,), np.int8), {}),
]


@pytest.mark.parametrize(
    ("code", "operands", "result", "options"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)]
)
def test_the_value_is_litert_s(
    tmp_path: Path, code: str, operands: list[Operand], result: tuple[tuple[int, ...], Any], options: dict[str, Any]
) -> None:
    path = one(tmp_path, code, operands, result, **options)
    here = folded(path)
    there = LiteRTOracle(path).run({"x": np.zeros((1, 6, 5, 2), np.int8)})["y"]
    assert here is not None and here.dtype == there.dtype
    np.testing.assert_array_equal(here, there, strict=True)


@pytest.mark.parametrize(
    ("code", "operands", "options"),
    [
        ("SLICE", [SQUARE, int32(1, 0), int32(3, 2)], {}),
        ("SLICE", [SQUARE, int32(-1, 0), int32(1, 2)], {}),
        ("STRIDED_SLICE", [SQUARE, int32([0]), int32([1]), int32([0])], slices()),
        ("STRIDED_SLICE", [SQUARE, int32([7]), int32([8]), int32([1])], slices(shrink=1)),
        ("STRIDED_SLICE", [SQUARE, int32([7]), int32([8])], slices()),
        ("PACK", [int32(1), int32([1])], PACKED),
        ("PACK", [int32(1)], PACKED),
        ("CONCATENATION", [int32(1), int32(1)], {"options": "ConcatenationOptions"}),
        ("CONCATENATION", [], {"options": "ConcatenationOptions"}),
        ("GATHER", [SQUARE, int32(3)], {"options": "GatherOptions"}),
        ("GATHER", [SQUARE, int32(0)], {"options": "GatherOptions", "axis": 5}),
        ("GATHER", [np.zeros((0, 2**20), np.int32), int32(0)], {"options": "GatherOptions"}),
        ("GATHER", [np.zeros(2**12, np.int32).reshape(1, -1), np.zeros(2**12, np.int32)], {}),
        ("ADD", [SQUARE, int32(1, 2, 3)], {"options": "AddOptions"}),
        ("ADD", [SQUARE, int32(1)], {"options": "AddOptions", "fusedActivationFunction": 1}),
        ("MUL", [np.ones((4096, 1), np.int32), np.ones(4096, np.int32)], {"options": "MulOptions"}),
        ("FLOOR_DIV", [int32(1), int32(0)], {}),
        ("FLOOR_DIV", [big(), int32(-1)], {}),
        ("REDUCE_PROD", [SQUARE, int32([2])], {"options": "ReducerOptions"}),
        ("RESHAPE", [SQUARE, int32(5, -1)], {}),
        ("RESHAPE", [SQUARE, int32(-1, -1)], {}),
        ("SQUEEZE", [SQUARE], {"options": "SqueezeOptions", "squeezeDims": [0]}),
        ("EXPAND_DIMS", [SQUARE, int32(9)], {}),
        ("FILL", [int32(2**31 - 1, 2**31 - 1), int32(0)], {}),
        ("FILL", [int32(-1, 3), int32(0)], {}),
        ("FILL", [int32([3]), int32([0])], {}),
        ("RANGE", [int32(0), int32(2**31 - 1), int32(1)], {}),
        ("RANGE", [np.int64([-(2**63)]), np.int64([2**63 - 1]), np.int64([1])], {}),
        ("RANGE", [int32(0), int32(5), int32(0)], {}),
        ("RANGE", [int32(0), int32(5), int32(-1)], {}),
        ("LOGISTIC", [np.ones(3, np.float32)], {}),
    ],
)
def test_what_is_left_alone(tmp_path: Path, code: str, operands: list[Operand], options: dict[str, Any]) -> None:
    path = one(tmp_path, code, operands, ((1,), np.int32), **options)
    assert folded(path) is None
    with pytest.raises(InputError):
        load(path)


def test_all_together_are_bounded(tmp_path: Path) -> None:
    file = FileBuilder()
    x, y = file.tensor("x", (1, 4), scale=0.5), file.tensor("y", (1, 4), scale=0.5)
    size, zero = (file.tensor(f"c{i}", np.shape(v), np.int32, data=v) for i, v in enumerate(([MAX_FOLDED // 4], 0)))
    for i in range(9):
        file.operator("FILL", [size, zero], [file.tensor(f"f{i}", (MAX_FOLDED // 4,), np.int32)])
    file.operator("RELU", [x], [y])
    assert len(fold(read_model_file(file.write(tmp_path / "m.tflite", [x], [y])))[1]) == 4


def computed_reshape(path: Path) -> Path:
    """conv -> RESHAPE to [batch, -1], whose shape the file computes from the convolution's, as TensorFlow writes it."""
    file = FileBuilder()
    x = file.tensor("x", (1, 6, 5, 2), scale=0.5)
    w = file.tensor("w", (3, 1, 1, 2), scale=[0.1, 0.2, 0.3], data=np.arange(6).reshape(3, 1, 1, 2))
    y, z = file.tensor("y", (1, 6, 5, 3), scale=1.0), file.tensor("z", (1, 90), scale=1.0)
    shape, batch, packed = (file.tensor(n, s, np.int32) for n, s in (("shape", (4,)), ("batch", ()), ("packed", (2,))))
    c = [file.tensor(f"c{i}", (1,), np.int32, data=np.array([i])) for i in range(2)]
    rest = file.tensor("rest", (), np.int32, data=np.array(-1))
    b = file.tensor("b", (3,), np.int32, scale=[0.05, 0.1, 0.15], data=np.arange(3))
    file.operator("CONV_2D", [x, w, b], [y], **conv())
    file.operator("SHAPE", [y], [shape], "ShapeOptions", outType=2)
    file.operator("STRIDED_SLICE", [shape, c[0], c[1], c[1]], [batch], **slices(shrink=1))
    file.operator("PACK", [batch, rest], [packed], "PackOptions", valuesCount=2)
    file.operator("RESHAPE", [y, packed], [z], "ReshapeOptions")
    return file.write(path / "m.tflite", [x], [z])


def test_a_computed_shape(tmp_path: Path) -> None:
    path = computed_reshape(tmp_path)
    graph = load(path)
    assert [op.kind for op in graph.operators] == ["Conv2D", "Reshape"]
    inputs = random_inputs(graph, 0)
    np.testing.assert_array_equal(execute(graph, inputs)["z"], LiteRTOracle(path).run(inputs)["z"])
    rows = check(path, load_config("tiny16")).operators
    assert [row.op for row in rows] == ["CONV_2D", "SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE"]
    assert [row.place for row in rows] == ["accelerator", "fused", "fused", "fused", "accelerator"]
    assert {row.why for row in rows if row.place == "fused"} == {"a constant, computed when the file is read"}


def test_a_constant_output(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="output 'y' is a constant; remove it from the outputs"):
        load(one(tmp_path, "SHAPE", [None], ((4,), np.int32), options="ShapeOptions", outType=2))


def padded(path: Path, amounts: np.ndarray, scale: float = 0.5, shape: tuple[int, ...] = (1, 4)) -> Path:
    file = FileBuilder()
    x, y, z = (file.tensor(n, shape, scale=s) for n, s in (("x", 0.5), ("y", scale), ("z", 0.25)))
    file.operator("PAD", [x, file.tensor("amounts", amounts.shape, np.int32, data=amounts)], [y], "PadOptions")
    file.operator("RELU", [y], [z])
    return file.write(path / "m.tflite", [x], [z])


def test_padding_by_nothing(tmp_path: Path) -> None:
    path = padded(tmp_path, np.zeros((2, 2)))
    graph = load(path)
    assert isinstance(graph.operators[0], Reshape)
    inputs = random_inputs(graph, 0)
    here, there = execute(graph, inputs), LiteRTOracle(path).run(inputs)
    assert all((here[name] == there[name]).all() for name in "yz")
    for other in (padded(tmp_path, np.zeros((2, 2)), scale=1.0), padded(tmp_path, np.zeros((1, 2)))):
        with pytest.raises(RefusedError, match="PAD 'y'"):
            load(other)


@pytest.mark.conformance
@needs_shared
def test_a_real_network() -> None:
    path = SHARED / "models" / "mltk_anomaly_detection.tflite"
    graph = load(path)
    for inputs in (random_inputs(graph, seed) for seed in range(5)):
        here, there = execute(graph, inputs), LiteRTOracle(path).run(inputs)
        assert all((here[name] == there[name]).all() for name in here)
