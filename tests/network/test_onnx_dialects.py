"""Valid .onnx files as other producers write them: taken, or refused for the true cause with everything listed at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper
from onnx_files import OnnxBuilder
from test_onnx_operators import SIGNS, compare, conv_file

from intaglio.check import Check, check
from intaglio.errors import InputError, Refusal, RefusedError
from intaglio.machine.config_files import load_config
from intaglio.network import load


def changed(path: Path, change: Callable[[onnx.ModelProto], object], **parts: Any) -> Path:
    model = onnx.load(conv_file(path, **parts))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def refusals(path: Path) -> tuple[Refusal, ...]:
    with pytest.raises(RefusedError) as error:
        load(path)
    assert "not a usable" not in str(error.value)
    return error.value.refusals


def checked(path: Path) -> Check:
    """What `check` says; every node of the file is listed, in its order."""
    found = check(path, load_config("tiny16"))
    assert [row.op.split(".")[-1] for row in found.operators] == [node.op_type for node in onnx.load(path).graph.node]
    return found


@pytest.mark.parametrize("signs", SIGNS)
def test_ir_version_3(tmp_path: Path, signs: tuple[type, type]) -> None:
    """Every initializer is an input too: there it had to be, and is a constant all the same."""

    def old(model: onnx.ModelProto) -> None:
        model.ir_version = 3
        for tensor in model.graph.initializer:
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))

    graph = compare(changed(tmp_path / "m.onnx", old, signs=signs, **({"scale": 0.01} if signs[1] is np.uint8 else {})))
    assert graph.inputs == ("x",) and graph.notes == []


def test_inputs_with_default_values(tmp_path: Path) -> None:
    def default(model: onnx.ModelProto) -> None:
        model.graph.input.append(helper.make_tensor_value_info("w_raw", onnx.TensorProto.INT8, (6, 4, 3, 3)))

    graph = compare(changed(tmp_path / "m.onnx", default))
    assert graph.notes == ["1 inputs have default values, which are taken as constants: 'w_raw'"]


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize("opset", [10, 11, 12])
def test_old_opsets(tmp_path: Path, opset: int, signs: tuple[type, type]) -> None:
    """From QuantizeLinear's first opset on, with what later opsets say by inputs said by attributes."""
    build = OnnxBuilder(opset, *signs)
    rng = np.random.default_rng(opset)
    shift = 128 if signs[1] is np.uint8 else 0
    zero = 128 if signs[0] is np.uint8 else 0
    x = build.qdq(build.input("x", (1, 4, 8, 8)), 0.02, zero)
    if opset < 11:
        x = build.node("Pad", [x], "padded", pads=[0, 0, 1, 2, 0, 0, 2, 1], value=0.0)
    else:
        pads = build.constant("pads", [0, 0, 1, 2, 0, 0, 2, 1], np.int64)
        x = build.node("Pad", [x, pads], "padded")
    x = build.qdq(x, 0.02, zero)
    y = build.node("Conv", [x, build.weights("w", rng.integers(-9, 9, (4, 4, 3, 3)) + shift, 0.01, shift)], "y")
    if opset < 11:
        y = build.node("Clip", [y], "clipped", min=0.0, max=6.0)
    else:
        low, high = build.constant("low", 0, np.float32), build.constant("high", 6, np.float32)
        y = build.node("Clip", [y, low, high], "clipped")
    y = build.qdq(y, 6 / 255, zero - 128)
    y = build.qdq(build.node("MaxPool", [y], "pooled", kernel_shape=[2, 2], strides=[2, 2]), 6 / 255, zero - 128)
    y = build.node("Squeeze", [build.node("Unsqueeze", [y], "longer", axes=[0])], "shorter", axes=[0])
    path = build.write(tmp_path / "m.onnx", [y])
    assert compare(path, inexact=load(path).inexact != ()).operators


@pytest.mark.parametrize("batch", [-1, 0, "N", None])
def test_an_open_batch_is_1_with_a_note(tmp_path: Path, batch: Any) -> None:
    def open_batch(model: onnx.ModelProto) -> None:
        dim = model.graph.input[0].type.tensor_type.shape.dim[0]
        dim.Clear()
        if isinstance(batch, str):
            dim.dim_param = batch
        elif batch is not None:
            dim.dim_value = batch

    path = changed(tmp_path / "m.onnx", open_batch)
    note = f"input 'x': the batch dimension {'?' if batch is None else batch} is set to 1"
    assert compare(path).notes == [note] and checked(path).notes == (note,)


def test_functions_are_inlined(tmp_path: Path) -> None:
    """As torch's newer exporters write them: one function calls another."""

    def function(model: onnx.ModelProto) -> None:
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
        inner = helper.make_node("Relu", ["a"], ["b"])
        outer = helper.make_node("Inner", ["a"], ["b"], domain="mine")
        model.functions.append(helper.make_function("mine", "Outer", ["a"], ["b"], [outer], opsets))
        model.functions.append(helper.make_function("mine", "Inner", ["a"], ["b"], [inner], opsets))
        model.opset_import.append(helper.make_opsetid("mine", 1))
        model.graph.node.append(helper.make_node("Outer", ["y_dq"], ["z"], domain="mine"))
        model.graph.output[0].name = "z"

    graph = compare(changed(tmp_path / "m.onnx", function))
    assert graph.outputs == ("z",)


@pytest.mark.parametrize("flat", [True, False])
def test_sparse_constants(tmp_path: Path, flat: bool) -> None:
    def sparse(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == "w_raw")
        array = numpy_helper.to_array(tensor)
        places = np.flatnonzero(array) if flat else np.argwhere(array)
        model.graph.sparse_initializer.append(
            helper.make_sparse_tensor(
                numpy_helper.from_array(array[array != 0], "w_raw"),
                numpy_helper.from_array(places.astype(np.int64)),
                array.shape,
            )
        )
        model.graph.initializer.remove(tensor)

    path = changed(tmp_path / "m.onnx", sparse)
    dense, found = load(conv_file(tmp_path / "dense.onnx")), load(path)
    np.testing.assert_array_equal(dense.operators[1].weights, found.operators[1].weights)  # type: ignore[attr-defined]


def test_an_output_without_a_type(tmp_path: Path) -> None:
    assert load(changed(tmp_path / "m.onnx", lambda m: m.graph.output[0].ClearField("type"))).outputs == ("y_dq",)


def test_an_output_that_is_an_input(tmp_path: Path) -> None:
    path = changed(tmp_path / "m.onnx", lambda m: m.graph.output.append(m.graph.input[0]))
    assert load(path).outputs == ("y_dq", "x")


def test_everything_at_once_although_sizes_are_open(tmp_path: Path) -> None:
    """What does not depend on the sizes is listed beside them, and every operator."""
    build = OnnxBuilder()
    x = build.qdq(build.input("x", ("N", 4, "rows", 6)), 0.02, 0)
    v = build.qdq(build.input("v", ("N", 4, 6, -1)), 0.02, 0)
    build.node("GRU", [x], "recurrent")
    path = build.write(tmp_path / "m.onnx", ["recurrent"])
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Quant", [v], ["brevitas"], domain="onnx.brevitas"))
    path.write_bytes(model.SerializeToString())
    found = refusals(path)
    assert [(r.operator, r.layer) for r in found] == [
        ("input", "x"),
        ("input", "v"),
        ("GRU", "recurrent"),
        ("onnx.brevitas.Quant", "brevitas"),
    ]
    assert "['N', 4, 'rows', 6]" in found[0].reason and "--input_shape 1,4,SIZE,6" in found[0].remedy
    rows = checked(path).operators
    assert all(row.place == "refused" for row in rows) and "cannot be told before" in rows[0].why and rows[-1].refusals


def test_a_last_layer_that_is_not_quantized(tmp_path: Path) -> None:
    """The cause is the layer's, and so are its MACs; every operator is listed."""
    build = OnnxBuilder()
    x = build.qdq(build.input("x", (1, 4, 6, 6)), 0.02, 0)
    y = build.node("Conv", [x, build.weights("w", np.ones((3, 4, 1, 1)), 0.01)], "y")
    path = build.write(tmp_path / "m.onnx", [build.node("Softmax", [y], "z", axis=1), "y"])
    (found,) = refusals(path)
    assert (found.layer, found.operator, found.number) == ("y", "Conv", 3)
    assert "its float result is never quantized" in found.reason and "outputs too" in found.remedy
    answer = checked(path)
    assert answer.macs == 36 * 3 * 4 and answer.accelerator_macs == 0
    places = {row.name: (row.place, row.why) for row in answer.operators}
    assert places["y"] == ("refused", "") and places["x_dq"] == ("fused", "part of y")
    assert places["z"] == ("refused", "cannot be told: an operator before it is refused")


def test_constants_and_what_nothing_reads_are_listed(tmp_path: Path) -> None:
    def add(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node("Shape", ["y_dq"], ["size"]))
        model.graph.node.append(helper.make_node("Relu", ["y_dq"], ["lost"]))

    path = changed(tmp_path / "m.onnx", add)
    answer = checked(path)
    rows = {row.name: row for row in answer.operators}
    assert answer.would_run and rows["size"].why == "a constant, computed when the file is read"
    assert rows["lost"].why == "nothing reads its result" and rows["lost"].place == "fused"


@pytest.mark.parametrize("op", ["HardSwish", "HardSigmoid", "Sigmoid", "Elu", "LeakyRelu", "Erf"])
def test_functions_of_what_is_not_quantized(tmp_path: Path, op: str) -> None:
    """Directly behind a convolution: the remedy is a QuantizeLinear before it."""
    build = OnnxBuilder()
    x = build.qdq(build.input("x", (1, 4, 8, 8)), 0.02, 0)
    y = build.node("Conv", [x, build.weights("w", np.ones((4, 4, 1, 1)), 0.01)], "y")
    z = build.qdq(build.node(op, [y], "z"), 0.02, 0)
    z = build.node("Conv", [z, build.weights("v", np.ones((4, 4, 1, 1)), 0.01)], "last")
    (found,) = refusals(build.write(tmp_path / "m.onnx", [build.qdq(z, 0.02, 0)]))
    assert found.operator == op and "QuantizeLinear and DequantizeLinear before" in found.remedy


@pytest.mark.parametrize(
    ("op", "domain", "reason", "remedy"),
    [
        ("Quant", "onnx.brevitas", "a custom operator of the domain 'onnx.brevitas'", "export_onnx_qcdq"),
        ("Gelu", "com.microsoft", "onnxruntime's own (com.microsoft)", "ONNX's own operators"),
        ("Conv", "com.microsoft.nchwc", "onnxruntime's own (com.microsoft.nchwc)", "ONNX's own operators"),
        ("MatMulNBits", "com.microsoft", "onnxruntime's own", "8-bit weights"),
        ("Mine", "my.company", "Mine is a custom operator of the domain 'my.company'", "ONNX's own operators"),
    ],
)
def test_custom_operators_by_their_names(tmp_path: Path, op: str, domain: str, reason: str, remedy: str) -> None:
    """Without an opset import for the domain, as QONNX writes files."""

    def add(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(op, ["y_dq"], ["z"], "custom", domain=domain))
        model.graph.output[0].name = "z"

    path = changed(tmp_path / "m.onnx", add)
    (found,) = refusals(path)
    assert (
        (found.layer, found.operator) == ("z", f"{domain}.{op}") and reason in found.reason and remedy in found.remedy
    )
    assert [row.place for row in checked(path).operators].count("accelerator") == 1


def test_an_integer_operator_whose_scale_is_computed(tmp_path: Path) -> None:
    """Valid, and refused by its own name, beside what else is refused."""
    build = OnnxBuilder()
    x = build.quantize(build.input("x", (1, 4, 6, 6)), "x_q", 0.02, 0)
    scale = build.input("scale", ())
    names = [
        build.constant(f"c{i}", v, t)
        for i, (v, t) in enumerate(
            [
                (0, np.int8),
                (np.ones((4, 4, 1, 1)), np.int8),
                (0.01, np.float32),
                (0, np.int8),
                (0.03, np.float32),
                (0, np.int8),
            ]
        )
    ]
    y = build.node("QLinearConv", [x, scale, *names], "y")
    path = build.write(tmp_path / "m.onnx", [build.dequantize(y, "z", 0.03, 0)])
    (found,) = refusals(path)
    assert (found.operator, found.layer) == ("QLinearConv", "y") and "its scale 'scale' is computed" in found.reason
    assert [row.place for row in checked(path).operators] == ["host", "refused", "host"]


def replaced(model: onnx.ModelProto, name: str, array: np.ndarray) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def test_bias_scales(tmp_path: Path) -> None:
    """The channel that differs, in as many digits as show it."""
    scale = np.full(6, 0.01)
    good = np.float32(0.02) * scale.astype(np.float32)
    bad = good.copy()
    bad[4] *= 1.02
    (found,) = refusals(changed(tmp_path / "m.onnx", lambda m: replaced(m, "b_scale", bad), scale=scale))
    assert "its bias has the scale 0.000204 in channel 4, not input scale times weight scale 0.0002" in found.reason
    assert "0.000204 in" in found.reason
    (found,) = refusals(changed(tmp_path / "m.onnx", lambda m: replaced(m, "b_scale", good[:5]), scale=scale))
    assert "5 scales" in found.reason


@pytest.mark.parametrize(("key", "value"), [("location", "a\0b"), ("location", "n" * 5000), ("offset", "9" * 30)])
def test_places_that_no_system_knows(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "data").write_bytes(bytes(300))

    def external(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.name == "w_raw")
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for k, v in ({"location": "data"} | {key: value}).items():
            tensor.external_data.add(key=k, value=v)

    with pytest.raises(InputError, match="the data of constant 'w_raw'"):
        load(changed(tmp_path / "m.onnx", external))


def test_a_clip_of_quantized_numbers(tmp_path: Path) -> None:
    """Brevitas' form: the constant ones are folded, the others clamp integers."""
    build = OnnxBuilder()
    low, high = build.constant("low", -127, np.int8), build.constant("high", 127, np.int8)
    x = build.quantize(build.input("x", (1, 4, 6, 6)), "x_q", 0.02, 0)
    x = build.dequantize(build.node("Clip", [x, low, high], "x_clipped"), "x_dq", 0.02, 0)
    raw = build.node("Clip", [build.constant("raw", np.full((4, 4, 1, 1), -128), np.int8), low, high], "w_clipped")
    w = build.dequantize(raw, "w", 0.01, 0)
    y = build.qdq(build.node("Conv", [x, w], "y"), 0.02, 0)
    path = build.write(tmp_path / "m.onnx", [y])
    compare(path)
    rows = {row.name: row for row in checked(path).operators}
    assert rows["w_clipped"].why == "a constant, computed when the file is read" and rows["y"].place != "refused"


def test_large_pictures_are_not_looked_at_element_by_element(tmp_path: Path) -> None:
    """What an importer needs follows the file's size, not the pictures'."""

    def tall(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**20

    path = changed(tmp_path / "m.onnx", tall)
    tracemalloc.start()
    try:
        assert load(path).tensors["x_q"].shape == (1, 2**20, 9, 4)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
