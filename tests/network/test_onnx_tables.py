"""Functions of one element between DequantizeLinear and QuantizeLinear: tables, held against onnxruntime and mapped."""

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
from intaglio.network import Graph, load_onnx
from intaglio.network.graph import Table

UNARY: list[tuple[str, dict[str, Any]]] = [
    ("Sigmoid", {}), ("Tanh", {}), ("HardSwish", {}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
    ("LeakyRelu", {"alpha": 0.1}), ("Elu", {"alpha": 0.7}), ("Selu", {}), ("Celu", {"alpha": 1.3}), ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}), ("Softplus", {}), ("Softsign", {}), ("Erf", {}), ("Exp", {}), ("Log", {}),
    ("Sqrt", {}), ("Abs", {}), ("Neg", {}), ("Mish", {}), ("Reciprocal", {}), ("Sin", {}), ("Round", {}),
    ("ThresholdedRelu", {"alpha": 0.5}), ("Shrink", {"lambd": 0.4, "bias": 0.1}),
]  # fmt: skip
DTYPES = [np.int8, np.uint8]
MACHINES = [("tiny16", []), ("edge64", []), ("tiny16", ["rows=3", "cols=5", "requantizers=3", "activation_bytes=1024"])]


class Case(OnnxBuilder):
    """A network of a function under construction: x is dequantized, `write_of` quantizes the result."""

    def __init__(self, name: str, dtype: type = np.int8, opset: int = 22, rank: int = 4) -> None:
        super().__init__(opset, dtype)
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.x = self.dequantized("x", tuple(int(n) for n in self.rng.integers(1, 8, rank)))

    def dequantized(self, name: str, shape: tuple[int, ...]) -> str:
        return self.qdq(self.input(name, shape), float(self.rng.uniform(0.01, 0.06)), self.zero_point())

    def zero_point(self) -> int:
        return middle(self.dtype, int(self.rng.integers(-128, 128)))

    def number(self, value: float, name: str = "number", shape: tuple[int, ...] = ()) -> str:
        return self.constant(name, np.full(shape, value), np.float32)

    def path_of(self, path: Path, result: str) -> Path:
        return self.write(path, [self.qdq(result, float(self.rng.uniform(0.005, 0.04)), self.zero_point())])


def only_tables(graph: Graph, count: int = 1) -> None:
    assert [op.on_host for op in graph.operators] == [True, *[False] * count, True]
    assert all(isinstance(op, Table) for op in graph.operators[1:-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("op", "attributes"), UNARY, ids=str)
def test_functions_of_an_element(tmp_path: Path, op: str, attributes: dict[str, Any], dtype: type) -> None:
    case = Case(f"{op} {attributes} {dtype}", dtype)
    graph = compare(case.path_of(tmp_path / "m.onnx", case.node(op, [case.x], "y", **attributes)))
    only_tables(graph)
    assert graph.operators[1].kind == op
    machine, settings = MACHINES[zlib.crc32(op.encode()) % 3]
    on_machine(graph, machine, ["tables=4", *settings])


def silu(case: Case) -> str:
    return case.node("Mul", [case.x, case.node("Sigmoid", [case.x], "gate")], "y")


def hard_swish(case: Case) -> str:
    """As PyTorch exports it in old opsets."""
    inner = case.node("Add", [case.x, case.number(3, "three")], "more")
    inner = case.node("Clip", [inner, case.number(0, "zero"), case.number(6, "six")], "clipped")
    return case.node("Mul", [case.x, case.node("Div", [inner, case.number(6, "sixth")], "gate")], "y")


def clip_first(case: Case) -> str:
    inner = case.node("Clip", [case.x, case.number(-0.5, "low"), case.number(0.7, "high")], "clipped")
    return case.node("Mul", [inner, case.number(1.7)], "y")


def gelu_of_erf(case: Case) -> str:
    inner = case.node("Erf", [case.node("Div", [case.x, case.number(2**0.5, "root")], "scaled")], "erf")
    inner = case.node("Mul", [case.x, case.node("Add", [inner, case.number(1, "one")], "more")], "product")
    return case.node("Mul", [inner, case.number(0.5, "half")], "y")


def square_root_of_square(case: Case) -> str:
    square = case.node("Pow", [case.x, case.number(2)], "square")
    return case.node("Sqrt", [case.node("Add", [square, case.number(0.01, "little", (1, 1))], "more")], "y")


def where(case: Case) -> str:
    above = case.node("Greater", [case.x, case.number(0.2)], "above")
    return case.node("Where", [above, case.x, case.node("Exp", [case.x], "other")], "y")


def relu_of_a_function(case: Case) -> str:
    return case.node("Relu", [case.node("Sub", [case.number(0.4), case.x], "less")], "y")


def moved(case: Case) -> str:
    """A transposition and a reshape between the nodes."""
    turned = case.node("Transpose", [case.x], "turned", perm=[0, 2, 3, 1])
    flat = case.constant("flat", [0, -1], np.int64)
    return case.node("Reshape", [case.node("Tanh", [turned], "tanh"), flat], "y")


def dequantized_constant(case: Case) -> str:
    return case.node("Mul", [case.x, case.weights("w", np.array(77), 0.02)], "y")


def added_dequantized_constant(case: Case) -> str:
    return case.node("Add", [case.weights("w", np.array([-77]), 0.02), case.x], "y")


def slope(case: Case) -> str:
    return case.node("PRelu", [case.x, case.number(0.2, shape=(1, 1, 1))], "y")


def from_two_dequantized(case: Case) -> str:
    """The quantizer's habit of a DequantizeLinear for each reader."""
    again = case.node("DequantizeLinear", ["x_q", "x_q_scale", "x_q_zero"], "again")
    return case.node("Mul", [again, case.node("Sigmoid", [case.x], "gate")], "y")


def padded(case: Case) -> str:
    """Zeros around it, which a convolution would have taken in."""
    amounts = case.constant("amounts", [0, 0, 1, 0, 0, 0, 2, 1], np.int64)
    return case.node("Tanh", [case.node("Pad", [case.x, amounts], "padded")], "y")


NETWORKS: list[Callable[[Case], str]] = [
    silu, hard_swish, clip_first, gelu_of_erf, square_root_of_square, where, relu_of_a_function, moved,
    dequantized_constant, added_dequantized_constant, slope, from_two_dequantized,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", NETWORKS)
def test_several_nodes_as_one_table(tmp_path: Path, make: Callable[[Case], str], dtype: type) -> None:
    case = Case(f"{make.__name__} {dtype}", dtype)
    if make in (dequantized_constant, added_dequantized_constant):
        case.weight_type = dtype
    graph = compare(case.path_of(tmp_path / "m.onnx", make(case)))
    only_tables(graph)
    on_machine(graph, "tiny16", ["tables=2"])


@pytest.mark.parametrize("op", ["Mul", "Add", "Sub", "Div", "Pow", "Max", "Min"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_and_a_tensor(tmp_path: Path, op: str, first: bool, dtype: type) -> None:
    case = Case(f"{op} {first} {dtype}", dtype, rank=3)
    inputs = [case.x, case.number(float(case.rng.uniform(0.5, 2)), shape=(1,))]
    graph = compare(case.path_of(tmp_path / "m.onnx", case.node(op, inputs[::-1] if first else inputs, "y")))
    only_tables(graph)


@pytest.mark.parametrize("gate", ["Sigmoid", "HardSigmoid", "Tanh"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gate_that_is_quantized_too(tmp_path: Path, gate: str, dtype: type) -> None:
    """SiLU as quantizers leave it: a QuantizeLinear behind the Sigmoid, another behind the product. One table."""
    case = Case(f"{gate} {dtype}", dtype)
    inner = case.qdq(case.node(gate, [case.x], "gate"), 1 / 256, middle(dtype, -128))
    graph = compare(case.path_of(tmp_path / "m.onnx", case.node("Mul", [case.x, inner], "y")))
    only_tables(graph)
    assert graph.operators[1].outputs == ("y_q",)


def test_a_gate_that_is_read_elsewhere_stays(tmp_path: Path) -> None:
    case = Case("read elsewhere")
    gate = case.qdq(case.node("Sigmoid", [case.x], "gate"), 1 / 256, -128)
    y = case.qdq(case.node("Mul", [case.x, gate], "y"), 0.02, 3)
    graph = compare(case.write(tmp_path / "m.onnx", [y, gate]))
    assert [op.kind for op in graph.operators].count("Sigmoid") == 1


def test_behind_a_convolution_and_before_one(tmp_path: Path) -> None:
    case = Case("between")
    w = case.weights("w", case.rng.integers(-128, 128, (5, case_channels(case), 1, 1)), 0.01)
    y = case.qdq(case.node("Conv", [case.x, w], "conv"), 0.05, 3)
    y = case.qdq(case.node("Mul", [y, case.node("Sigmoid", [y], "gate")], "silu"), 0.03, -100)
    v = case.weights("v", case.rng.integers(-128, 128, (4, 5, 1, 1)), 0.01)
    graph = compare(case.path_of(tmp_path / "m.onnx", case.node("Conv", [y, v], "z")))
    assert [op.kind for op in graph.operators] == ["Quantize", "Conv2D", "SiLU", "Conv2D", "Dequantize"]
    on_machine(graph, "edge64", ["tables=4"])


def case_channels(case: Case) -> int:
    return int(case.inputs[0].type.tensor_type.shape.dim[1].dim_value)


def test_a_pad_before_a_function(tmp_path: Path) -> None:
    case = Case("padded")
    graph = compare(case.path_of(tmp_path / "m.onnx", padded(case)))
    assert [op.kind for op in graph.operators] == ["Quantize", "Pad", "Tanh", "Dequantize"]
    on_machine(graph, "tiny16", ["tables=1"])


def test_at_the_end_the_host_has_the_table_of_a_machine_without(tmp_path: Path) -> None:
    case = Case("without")
    w = case.weights("w", case.rng.integers(-128, 128, (5, case_channels(case), 1, 1)), 0.01)
    x = case.qdq(case.node("Conv", [case.x, w], "conv"), 0.05, 3)
    graph = compare(case.path_of(tmp_path / "m.onnx", case.node("Sigmoid", [x], "y")))
    assert "conv_q" in on_machine(graph, "edge64").outputs


def test_float_at_the_end_stays_with_the_host(tmp_path: Path) -> None:
    case = Case("end")
    graph = compare(case.write(tmp_path / "m.onnx", [silu(case)]))
    assert all(op.on_host for op in graph.operators)


def test_two_tensors_are_no_function(tmp_path: Path) -> None:
    case = Case("two")
    other = case.dequantized("other", tuple(d.dim_value for d in case.inputs[0].type.tensor_type.shape.dim))
    y = case.node("Sigmoid", [case.node("Div", [case.x, other], "ratio")], "y")
    w = case.weights("w", case.rng.integers(-128, 128, (5, case_channels(case), 1, 1)), 0.01)
    y = case.node("Conv", [case.qdq(y, 0.02, 3), w], "conv")
    with pytest.raises(InputError, match="'ratio'"):
        load_onnx(case.path_of(tmp_path / "m.onnx", y))


@pytest.mark.parametrize(("op", "attributes"), [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.2})])
@pytest.mark.parametrize("dtype", DTYPES)
def test_qoperator_form(tmp_path: Path, op: str, attributes: dict[str, Any], dtype: type) -> None:
    build = OnnxBuilder(17, dtype)
    given = [build.constant("xs", 0.03, np.float32), build.constant("xz", middle(dtype, 9), dtype)]
    result = [build.constant("ys", 0.017, np.float32), build.constant("yz", middle(dtype, -30), dtype)]
    q = build.node("QuantizeLinear", [build.input("x", (1, 5, 6, 6)), *given], "x_q")
    y = build.node(op, [q, *given, *result], "y_q", "com.microsoft", **attributes)
    only_tables(compare(build.write(tmp_path / "m.onnx", [build.node("DequantizeLinear", [y, *result], "y")])))


def test_a_chain_too_long_is_refused_in_time(tmp_path: Path) -> None:
    case = Case("chain")
    y = case.x
    for i in range(3000):
        y = case.node("Neg", [y], f"n{i}")
    w = case.weights("w", case.rng.integers(-128, 128, (5, case_channels(case), 1, 1)), 0.01)
    with pytest.raises(InputError):
        load_onnx(case.path_of(tmp_path / "m.onnx", case.node("Conv", [case.qdq(y, 0.02, 3), w], "conv")))
