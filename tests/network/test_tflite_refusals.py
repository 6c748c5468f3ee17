"""Files that are well formed and cannot be imported: one InputError that names operator, reason, remedy."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from tflite_files import FileBuilder, conv, enum

from intaglio.errors import InputError
from intaglio.network import load, load_tflite


def conv_file(path: Path, **changes: Any) -> Path:
    """A 1x1 convolution [1,4,4,2] -> [1,4,4,3] with some of its parts changed."""
    part: dict[str, Any] = {
        "shape": (1, 4, 4, 2),
        "dtype": np.int8,
        "scale": 0.5,
        "zero_point": 0,
        "weights": np.ones((3, 1, 1, 2)),
        "weight_type": np.int8,
        "weight_scale": [0.1, 0.2, 0.3],
        "weight_zero": 0,
        "axis": 0,
        "bias": np.zeros(3),
        "bias_type": np.int32,
        "out": (1, 4, 4, 3),
        "out_scale": 1.0,
        "options": conv(),
    } | changes
    file = FileBuilder()
    x = file.tensor("x", part["shape"], part["dtype"], part["scale"], part["zero_point"])
    w = file.tensor(
        "w",
        np.shape(part["weights"]),
        part["weight_type"],
        part["weight_scale"],
        part["weight_zero"],
        part["axis"],
        part["weights"],
    )
    b = file.tensor("b", np.shape(part["bias"]), part["bias_type"], 1.0, data=part["bias"])
    y = file.tensor("y", part["out"], part["dtype"], part["out_scale"])
    file.operator("CONV_2D", [x, w, b], [y], **part["options"])
    return file.write(path / "model.tflite", [x], [y])


def test_the_unchanged_file_loads(tmp_path: Path) -> None:
    assert [op.kind for op in load(conv_file(tmp_path)).operators] == ["Conv2D"]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"dtype": np.float32, "scale": None, "out_scale": None}, ["'x'", "float32", "quantize the network"]),
        ({"dtype": np.uint8}, ["'w'", "int8, not uint8", "export uint8 weights"]),
        ({"dtype": np.uint8, "weight_type": np.uint8}, ["'w'", "3 scales", "LiteRT takes one"]),
        (
            {"dtype": np.uint8, "weight_type": np.uint8, "weight_scale": 0.1, "out_scale": 0.2},
            ["'b'", "scale 1,", "0.05"],
        ),
        ({"dtype": np.uint8, "zero_point": -1}, ["'x'", "outside 0..255"]),
        ({"dtype": np.uint8, "weight_type": np.uint8, "weight_zero": 256}, ["'w'", "outside 0..255"]),
        ({"dtype": np.int16}, ["'x'", "int16", "int8"]),
        ({"scale": None}, ["'x'", "no scale"]),
        ({"scale": 0.0}, ["'x'", "not finite and positive"]),
        ({"scale": float("nan")}, ["'x'", "not finite and positive"]),
        ({"scale": [0.5, 0.5], "axis": 0}, ["'x'", "scales"]),
        ({"zero_point": 128}, ["'x'", "outside -128..127"]),
        ({"out_scale": float("inf")}, ["'y'", "not finite"]),
        ({"shape": (1, -1, 4, 2)}, ["'x'", "not fixed", "fixed input shape"]),
        ({"shape": (1, 0, 4, 2)}, ["'x'", "not fixed"]),
        ({"shape": (4, 4, 2)}, ["'x'", "not [N, H, W, C]"]),
        ({"shape": (1, 2**20, 2**20, 2)}, ["'x'", "elements"]),
        ({"shape": (1, 4, 4, 4)}, ["'w'", "3 output channels", "2 input channels", "an input of 4"]),
        ({"shape": (1, 4, 4, 5)}, ["'w'", "2 input channels", "an input of 5"]),
        ({"shape": (1, 4, 4, 1)}, ["'w'", "2 input channels", "an input of 1"]),
        ({"out": (1, 4, 4, 4)}, ["'y'", "[1, 4, 4, 4]", "[1, 4, 4, 3]"]),
        ({"weight_zero": 1}, ["'w'", "zero point", "symmetric"]),
        ({"weight_scale": [0.1, 0.2], "axis": 3}, ["'w'", "axis 3", "output channel"]),
        ({"weight_scale": [0.1, 0.2]}, ["'w'", "do not fit axis 0"]),
        ({"weight_scale": [0.1] * 3, "axis": 9}, ["'w'", "do not fit axis 9"]),
        ({"weight_type": np.uint8}, ["'w'", "uint8"]),
        ({"weights": np.ones((3, 2))}, ["'w'", "rank 4"]),
        ({"bias": np.zeros(4)}, ["'b'", "3 int32"]),
        ({"bias_type": np.int16}, ["'b'", "int16"]),
        ({"options": {}}, ["options are missing"]),
        ({"options": conv(stride=(0, 1))}, ["stride [0, 1]", "positive"]),
        ({"options": conv(stride=(1, -1))}, ["stride [1, -1]", "positive"]),
        ({"options": conv(dilation=(0, 0))}, ["dilation [0, 0]"]),
        ({"options": conv(activation="TANH")}, ["fused activation 4", "RELU6"]),
        ({"weights": np.ones((3, 5, 5, 2))}, ["window of 5 does not fit"]),
        ({"weight_scale": [1e30] * 3}, ["too large"]),
    ],
)
def test_refused_convolutions(tmp_path: Path, changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(InputError) as error:
        load_tflite(conv_file(tmp_path, **changes))
    text = str(error.value)
    for part in ["model.tflite", "#0 CONV_2D 'y'", *parts]:
        assert part in text, text


def element_wise(path: Path, code: str, shapes: list[tuple[int, ...]], scales: list[float]) -> Path:
    """An operator of several inputs and one output, given as shapes and scales, the output last."""
    file = FileBuilder()
    tensors = [
        file.tensor(f"t{i}", shape, scale=scale) for i, (shape, scale) in enumerate(zip(shapes, scales, strict=True))
    ]
    file.operator(code, tensors[:-1], [tensors[-1]])
    return file.write(path / "model.tflite", tensors[:-1], [tensors[-1]])


@pytest.mark.parametrize(
    ("code", "shapes", "scales", "reason"),
    [
        ("ADD", [(1, 4), (1, 1), (1, 4)], [1, 1, 1], "broadcasting is not supported"),
        ("ADD", [(1, 4), (1, 4), (4,)], [1, 1, 1], "the operator gives [1, 4]"),
        ("ADD", [(1, 4), (1, 4), (1, 4)], [1, 1, 1e-9], "too small beside"),
        ("RELU6", [(1, 4), (2, 2)], [1, 1], "the operator gives"),
        ("RELU6", [(1, 4), (1, 4)], [1, 1e-12], "too"),
        ("SOFTMAX", [(1, 4), (1, 4)], [1, 1], "scale 1/256"),
        ("LOGISTIC", [(1, 4), (1, 4)], [1, 1], "LiteRT cannot compute it"),
        ("ELU", [(1, 4), (1, 4)], [1, 1], "not supported; replace it by Relu6"),
        ("SIGN", [(1, 4), (1, 4)], [1, 1], "not supported; use operators out of CONV_2D"),
        ("RESHAPE", [(1, 4), (4,)], [1, 1], "options are missing"),
        ("ADD", [(1, 4), (1, 4)], [1, 1], "1 inputs and 1 outputs"),
    ],
)
def test_refused_operators(
    tmp_path: Path, code: str, shapes: list[tuple[int, ...]], scales: list[float], reason: str
) -> None:
    with pytest.raises(InputError) as error:
        load_tflite(element_wise(tmp_path, code, shapes, scales))
    assert reason in str(error.value) and f"#0 {code}" in str(error.value)


def test_everything_is_listed_at_once(tmp_path: Path) -> None:
    file = FileBuilder()
    names = [file.tensor(f"t{i}", (1, 4), scale=1.0) for i in range(5)]
    for number, code in enumerate(("ELU", "RELU", "SIGN", "RELU")):
        file.operator(code, [names[number]], [names[number + 1]])
    spare = file.tensor("spare", (1, 4), np.int16, scale=1.0)
    with pytest.raises(InputError) as error:
        load_tflite(file.write(tmp_path / "model.tflite", [names[0], spare], [names[4]]))
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    assert "#0 ELU 't1'" in lines[1] and "#2 SIGN 't3'" in lines[2] and "input 'spare'" in lines[3]


def test_padding_that_changes_the_scale(tmp_path: Path) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 2, 2, 1), scale=1.0)
    amounts = file.tensor("amounts", (4, 2), np.int32, data=np.array([0, 0, 1, 1, 1, 1, 0, 0]))
    y = file.tensor("y", (1, 4, 4, 1), scale=2.0)
    file.operator("PAD", [x, amounts], [y], options="PadOptions")
    with pytest.raises(InputError, match="its scale 1 and zero point 0 are not those of 'y', 2 and 0 \\(int8, int8\\)"):
        load_tflite(file.write(tmp_path / "model.tflite", [x], [y]))


def test_mean_over_channels(tmp_path: Path) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 2, 2, 3), scale=1.0)
    axis = file.tensor("axis", (1,), np.int32, data=np.array([3]))
    y = file.tensor("y", (1, 2, 2), scale=1.0)
    file.operator("MEAN", [x, axis], [y], options="ReducerOptions")
    with pytest.raises(InputError, match=r"axes \[3\]"):
        load_tflite(file.write(tmp_path / "model.tflite", [x], [y]))


@pytest.mark.parametrize("kind", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
def test_pooling_that_changes_the_scale(tmp_path: Path, kind: str) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 2, 2, 3), scale=1.0)
    y = file.tensor("y", (1, 1, 1, 3), scale=2.0)
    pool = {
        "filterHeight": 2,
        "filterWidth": 2,
        "strideH": 2,
        "strideW": 2,
        "padding": enum("Padding", "VALID"),
    }
    file.operator(kind, [x], [y], options="Pool2DOptions", **pool)
    with pytest.raises(InputError, match="must not change scale"):
        load_tflite(file.write(tmp_path / "model.tflite", [x], [y]))


def test_fully_connected_bias_in_other_units(tmp_path: Path) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 2), scale=1.0)
    w = file.tensor("w", (2, 2), scale=1.0, data=np.ones((2, 2)))
    b = file.tensor("b", (2,), np.int32, scale=3.0, data=np.ones(2))
    y = file.tensor("y", (1, 2), scale=1.0)
    file.operator("FULLY_CONNECTED", [x, w, b], [y], options="FullyConnectedOptions")
    with pytest.raises(InputError, match="the bias has scale 3"):
        load_tflite(file.write(tmp_path / "model.tflite", [x], [y]))


def test_names_shared_or_empty_become_unique(tmp_path: Path) -> None:
    file = FileBuilder()
    indices = [file.tensor(name, (1, 4), scale=1.0) for name in ("a", "a", "", "a#1", "")]
    for i in range(4):
        file.operator("RELU", [indices[i]], [indices[i + 1]])
    graph = load_tflite(file.write(tmp_path / "model.tflite", [indices[0]], [indices[4]]))
    assert list(graph.tensors) == ["a", "a#1", "tensor#2", "a#1#3", "tensor#4"]


def test_without_litert_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = conv_file(tmp_path)
    real_import = builtins.__import__

    def no_litert(name: str, *args: Any) -> Any:
        if name.startswith("ai_edge_litert"):
            raise ImportError(name)
        return real_import(name, *args)

    monkeypatch.setattr(builtins, "__import__", no_litert)
    with pytest.raises(InputError, match=r"-m pip install '?ai-edge-litert"):
        load_tflite(path)


def test_load_dispatches_by_suffix_and_content(tmp_path: Path) -> None:
    path = conv_file(tmp_path)
    bare = tmp_path / "model"
    bare.write_bytes(path.read_bytes())
    assert load(bare).inputs == load(str(path)).inputs
    with pytest.raises(InputError, match=r"model.onnx: cannot be read"):
        load(tmp_path / "model.onnx")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes.txt: neither"):
        load(tmp_path / "notes.txt")
