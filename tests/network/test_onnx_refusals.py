"""What an .onnx file must not be: one message that lists every node, with reason and remedy."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

from onnx_files import OnnxBuilder
from test_onnx_operators import conv_file

from intaglio.errors import InputError, RefusedError
from intaglio.network import load, survey


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load(path)
    text = str(error.value)
    assert str(path) in text or text.startswith(str(path.parent))
    return text


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(conv_file(path))
    change(model)
    onnx.save(model, path)
    return path


def constant(model: onnx.ModelProto, name: str, values: Any) -> None:
    """Replaces an initializer."""
    tensor = next(t for t in model.graph.initializer if t.name == name)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.asarray(values, dtype), name))


@pytest.mark.parametrize("value", [0.0, -0.02, np.nan, np.inf, 1e-40])
@pytest.mark.parametrize("name", ["x_q_scale", "w_scale", "y_dq_scale", "y_q_scale"])
def test_impossible_scales(tmp_path: Path, name: str, value: float) -> None:
    def change(model: onnx.ModelProto) -> None:
        constant(model, name, np.full(6, value) if name == "w_scale" else value)

    text = refusal(changed(tmp_path / "m.onnx", change))
    assert "not a positive normal float32" in text and "quantize the network again" in text


def test_float_model_names_the_command(tmp_path: Path) -> None:
    build = OnnxBuilder()
    x = build.input("x", (1, 3, 5, 5))
    y = build.node("Conv", [x, build.constant("w", np.ones((2, 3, 3, 3)), np.float32)], "y")
    path = build.write(tmp_path / "net.onnx", [y])
    command = f"intaglio quantize {path} --data CALIB.npz -o {tmp_path / 'net_int8.onnx'}"
    assert command in refusal(path)


def test_everything_is_listed_at_once(tmp_path: Path) -> None:
    build = OnnxBuilder()
    rng = np.random.default_rng(0)
    x = build.qdq(build.input("x", (1, 4, 8, 8)), 0.02, 0)
    w = build.weights("w", rng.integers(-9, 9, (4, 1, 3, 3)), 0.01)
    y = build.qdq(build.node("Conv", [x, w], "grouped", group=3), 0.02, 0)
    y = build.qdq(build.node("MaxPool", [y], "pooled", kernel_shape=[2, 2], pads=[2, 0, 0, 0]), 0.02, 0)
    y = build.qdq(build.node("Softmax", [y], "shares", axis=1), 0.02, 0)
    v = build.weights("v", rng.integers(-9, 9, (4, 4, 1, 1)), 0.01)
    y = build.qdq(build.node("Conv", [y, v], "last"), 0.02, 0)
    with pytest.raises(RefusedError) as error:
        load(build.write(tmp_path / "m.onnx", [y]))
    found = [(r.operator, r.layer) for r in error.value.refusals]
    assert found == [("Conv", "grouped"), ("MaxPool", "pooled"), ("Softmax", "shares")]
    assert all(r.number is not None and r.reason and r.remedy for r in error.value.refusals)
    steps = {step.name: step for step in survey(tmp_path / "m.onnx").steps}
    assert steps["last"].became == "last_q" and not steps["last"].folded and steps["last_q"].folded


def two_convs(build: OnnxBuilder, middle_op: str, **attributes: Any) -> list[str]:
    """input -> QDQ -> Conv -> QDQ -> middle_op -> QDQ -> Conv -> QDQ."""
    rng = np.random.default_rng(0)
    y = build.qdq(build.input("x", (1, 4, 8, 8)), 0.02, 0)
    for name in ("first", "second"):
        w = build.weights(f"w_{name}", rng.integers(-9, 9, (4, 4, 1, 1)), 0.01)
        y = build.qdq(build.node("Conv", [y, w], name), 0.02, 0)
        if name == "first":
            y = build.qdq(build.node(middle_op, [y], "middle", **attributes), 0.02, 0)
    return [y]


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("Softmax", {"axis": 1}, "in the middle of the network"),
        ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, "ceil_mode"),
        ("ReduceMean", {"axes": [1]}, "a mean over axes"),
        ("MaxPool", {"kernel_shape": [2, 2], "pads": [0, 2, 0, 0]}, "as large as its window"),
        (
            "MaxPool",
            {"kernel_shape": [1, 2], "strides": [3, 1], "ceil_mode": 1, "pads": [0, 0, 0, 1]},
            "before opset 22",
        ),
        ("MaxPool", {"kernel_shape": [9, 2]}, "does not fit"),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [9, 1], "pads": [1, 0, 1, 0]}, "in its padding alone"),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2], "auto_pad": "SAME_UPPER"}, "dilations"),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [4, 1], "auto_pad": "SAME_UPPER"}, "use explicit pads"),
    ],
)
def test_what_the_accelerator_does_not_have(tmp_path: Path, op: str, attributes: dict, reason: str) -> None:
    build = OnnxBuilder()
    text = refusal(build.write(tmp_path / "m.onnx", two_convs(build, op, **attributes)))
    assert reason in text


def test_places_of_maxima(tmp_path: Path) -> None:
    build = OnnxBuilder()
    y = build.node("MaxPool", [build.qdq(build.input("x", (1, 4, 8, 8)), 0.02, 0)], "y", kernel_shape=[2, 2])
    build.nodes[-1].output.append("places")
    assert "remove its second output" in refusal(build.write(tmp_path / "m.onnx", [build.qdq(y, 0.02, 0)]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"zero_point": [0, 1, 0, 0, 0, 0]}, "differ from channel to channel"),
        ({"group": 4}, "group is 4 with 6 output channels"),
        ({"group": 0}, "group is 0"),
        ({"group": -2}, "group is -2"),
        ({"group": 2}, "in 2 groups do not fit the input [1, 4, 7, 9]"),
        ({"auto_pad": "SAME_UPPER", "dilations": [2, 2]}, "dilations"),
    ],
)
def test_convolutions(tmp_path: Path, changes: dict, reason: str) -> None:
    assert reason in refusal(conv_file(tmp_path / "m.onnx", **changes))


def test_computed_weights_and_float_weights(tmp_path: Path) -> None:
    build = OnnxBuilder()
    x = build.qdq(build.input("x", (1, 3, 5, 5)), 0.02, 0)
    w = build.qdq(build.input("w", (2, 3, 3, 3)), 0.02, 0)
    y = build.qdq(build.node("Conv", [x, w], "y"), 0.02, 0)
    assert "its weights are computed: it multiplies two computed tensors" in refusal(
        build.write(tmp_path / "m.onnx", [y])
    )
    build = OnnxBuilder()
    x = build.qdq(build.input("x", (1, 3, 5, 5)), 0.02, 0)
    y = build.qdq(build.node("Conv", [x, build.constant("w", np.ones((2, 3, 3, 3)), np.float32)], "y"), 0.02, 0)
    assert "its weights are float; quantize them to int8 too" in refusal(build.write(tmp_path / "m.onnx", [y]))


def test_an_operator_left_in_float(tmp_path: Path) -> None:
    build = OnnxBuilder()
    x = build.input("x", (1, 3, 5, 5))
    w = build.constant("w", np.ones((4, 3, 3, 3)), np.float32)
    x = build.qdq(build.node("Conv", [x, w], "float_conv"), 0.02, 0)
    v = build.weights("v", np.ones((4, 4, 1, 1)), 0.01)
    y = build.node("Conv", [x, v], "never_quantized")
    text = refusal(build.write(tmp_path / "m.onnx", [y]))
    assert "'float_conv': it computes in float32" in text and "never quantized" in text


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("int16", "quantizes to int16"),
        ("per channel", "scales for an activation"),
        ("blocks", "blocks of elements"),
        ("computed scale", "is not a constant"),
    ],
)
def test_activations(tmp_path: Path, kind: str, reason: str) -> None:
    build = OnnxBuilder(21)
    x = build.input("x", (1, 4, 6, 6))
    dtype = np.int16 if kind == "int16" else np.int8
    count = {"per channel": (4,), "blocks": (1, 2, 6, 6)}.get(kind, ())
    scale = build.input("s", ()) if kind == "computed scale" else build.constant("s", np.full(count, 0.02), np.float32)
    names = [scale, build.constant("z", np.zeros(count), dtype)]
    attributes = {"axis": 1} if count else {}
    attributes |= {"block_size": 2} if kind == "blocks" else {}
    q = build.node("QuantizeLinear", [x, *names], "x_q", **attributes)
    d = build.node("DequantizeLinear", [q, *names], "x_dq", **attributes)
    v = build.weights("v", np.ones((4, 4, 1, 1)), 0.01)
    y = build.qdq(build.node("Conv", [d, v], "y"), 0.02, 0)
    assert reason in refusal(build.write(tmp_path / "m.onnx", [y]))


def test_symbolic_dimensions_other_than_the_batch(tmp_path: Path) -> None:
    build = OnnxBuilder()
    x = build.qdq(build.input("x", ("N", 4, "rows", 6)), 0.02, 0)
    y = build.qdq(build.node("Conv", [x, build.weights("v", np.ones((4, 4, 1, 1)), 0.01)], "y"), 0.02, 0)
    text = refusal(build.write(tmp_path / "m.onnx", [y]))
    assert "make_dynamic_shape_fixed" in text and "'x'" in text and "rows" in text


@pytest.mark.parametrize(
    ("opset", "reason"),
    [
        (6, "takes 7 and later"),
        (9, "QuantizeLinear and DequantizeLinear exist since opset 10"),
        (12, "scales along an axis exist since opset 13, and its opset is 12 (node 'w')"),
        (999, "knows up to"),
    ],
)
def test_opsets(tmp_path: Path, opset: int, reason: str) -> None:
    """What is wrong besides is listed too, as far as it does not depend on shapes."""

    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = opset
        model.graph.node.append(onnx.helper.make_node("GRU", ["y_dq"], ["z"], "gru"))

    text = refusal(changed(tmp_path / "m.onnx", change))
    assert reason in text and f"its opset is {opset}" in text and "export it with opset 13 to" in text
    assert "GRU 'z': this operator is not supported; recurrent layers" in text and "convert_version" not in text
    rows = survey(tmp_path / "m.onnx").steps
    assert [row.code for row in rows] == [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]


@pytest.mark.parametrize("opset", [6, 11])
def test_float_comes_before_the_opset(tmp_path: Path, opset: int) -> None:
    build = OnnxBuilder(opset)
    build.node("Relu", [build.input("x", ("N", 3, "rows", 5))], "y")
    assert "a float model" in refusal(build.write(tmp_path / "m.onnx", ["y"]))


def test_bias_of_another_scale_and_too_large(tmp_path: Path) -> None:
    text = refusal(changed(tmp_path / "m.onnx", lambda m: constant(m, "b_scale", np.full(6, 0.5))))
    assert "its bias has the scale 0.5" in text
    path = conv_file(tmp_path / "m.onnx", bias="float")
    model = onnx.load(path)
    constant(model, "b", np.full(6, 1e9))
    onnx.save(model, path)
    assert "exceeds 32 bits" in refusal(path)


def test_outputs_that_nothing_computes(tmp_path: Path) -> None:
    def constant_output(model: onnx.ModelProto) -> None:
        model.graph.output.append(onnx.helper.make_tensor_value_info("w_scale", onnx.TensorProto.FLOAT, None))

    assert "it is a constant" in refusal(changed(tmp_path / "m.onnx", constant_output))


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = conv_file(tmp_path / "m.onnx")
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("onnx"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"-m pip install '?onnx.* '?onnxruntime"):
        load(path)
