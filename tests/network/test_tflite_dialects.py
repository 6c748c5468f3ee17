"""Valid files as other producers write them: taken, or named for what they are; never called broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from ai_edge_litert import schema_py_generated as schema
from test_tflite_refusals import conv_file
from tflite_files import FileBuilder, conv

from intaglio.check import check
from intaglio.errors import RefusedError
from intaglio.machine.config_files import load_config
from intaglio.network import execute, load, random_inputs, survey
from intaglio.network.tflite.oracle import LiteRTOracle


def refusals(path: Path) -> list[str]:
    """What is refused, a line each; the file is not called broken."""
    with pytest.raises(RefusedError) as error:
        load(path)
    assert "not a usable" not in str(error.value)
    return [str(refusal) for refusal in error.value.refusals]


def one_conv(file: FileBuilder) -> tuple[list[int], list[int]]:
    """x -> CONV_2D -> y (tensors 0 to 3 are x, w, y and the bias); inputs and outputs."""
    x = file.tensor("x", (1, 4, 4, 2), scale=0.5)
    w = file.tensor("w", (3, 1, 1, 2), scale=[0.1, 0.2, 0.3], data=np.arange(6).reshape(3, 1, 1, 2))
    y = file.tensor("y", (1, 4, 4, 3), scale=1.0)
    b = file.tensor("b", (3,), np.int32, scale=[0.05, 0.1, 0.15], data=np.arange(3))
    file.operator("CONV_2D", [x, w, b], [y], **conv())
    return [x], [y]


def equals_litert(path: Path) -> None:
    graph = load(path)
    inputs = random_inputs(graph, 1)
    here, there = execute(graph, inputs), LiteRTOracle(path).run(inputs)
    for name in graph.outputs:
        np.testing.assert_array_equal(here[name], there[name])


def test_several_subgraphs(tmp_path: Path) -> None:
    file = FileBuilder()
    ends = one_conv(file)
    file.model.subgraphs.append(file.graph)
    path = file.write(tmp_path / "m.tflite", *ends)
    assert "the file has 2 subgraphs; the first is taken" in load(path).notes[0]
    equals_litert(path)


def test_an_absent_optional_input(tmp_path: Path) -> None:
    file = FileBuilder()
    x, y = file.tensor("x", (1, 2), scale=0.5), file.tensor("y", (1, 3), scale=1.0)
    w = file.tensor("w", (3, 2), scale=0.1, data=np.arange(6).reshape(3, 2))
    file.operator("FULLY_CONNECTED", [x, w, -1], [y], "FullyConnectedOptions")
    equals_litert(file.write(tmp_path / "m.tflite", [x, -1], [y]))


def test_streaming_state(tmp_path: Path) -> None:
    """State in resource variables, set up by a second subgraph; operators without an output have names too."""
    file = FileBuilder()
    (x,), (y,) = one_conv(file)
    handle = file.tensor("handle", ())
    file.graph.tensors[handle].type = schema.TensorType.RESOURCE
    file.operator("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    file.operator("VAR_HANDLE", [], [handle], "VarHandleOptions", sharedName=b"state")
    file.operator("ASSIGN_VARIABLE", [handle, y], [])
    file.model.subgraphs.append(file.graph)
    found = refusals(file.write(tmp_path / "m.tflite", [x], [y]))
    assert [line.split(":")[0].strip() for line in found] == [
        "#1 CALL_ONCE 'CALL_ONCE#1'",
        "#2 VAR_HANDLE 'handle'",
        "#3 ASSIGN_VARIABLE 'ASSIGN_VARIABLE#3'",
    ]
    assert all("state that lasts between inferences is not supported yet" in line for line in found)
    rows = check(tmp_path / "m.tflite", load_config("tiny16")).operators
    assert [row.place for row in rows] == ["accelerator", "refused", "refused", "refused"]


def test_a_variable_tensor(tmp_path: Path) -> None:
    file = FileBuilder()
    x, state, y = (file.tensor(name, (1, 4), scale=1.0) for name in ("x", "state", "y"))
    file.graph.tensors[state].isVariable = True
    file.operator("SVDF", [x, state], [y])
    file.operator("ADD", [y, state], [file.tensor("z", (1, 4), scale=1.0)], "AddOptions")
    svdf, add = refusals(file.write(tmp_path / "m.tflite", [x], [3]))
    assert "recurrent layers are not supported yet" in svdf
    assert "tensor 'state': it is a variable (state that lasts between inferences)" in add


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("TFLite_Detection_PostProcess", ["CUSTOM:TFLite_Detection_PostProcess 'y'", "a custom operator", "outside"]),
        ("FlexErf", ["'Erf' is an operator of TensorFlow", "SELECT_TF_OPS"]),
        ("ethos-u", ["a compiler for another accelerator", "from before that compiler"]),
        ("", ["'' is a custom operator"]),
    ],
)
def test_custom_operators(tmp_path: Path, name: str, parts: list[str]) -> None:
    file = FileBuilder()
    x, y = (file.tensor(n, (1, 4), scale=1.0) for n in "xy")
    file.operator("CUSTOM", [x], [y])
    file.model.operatorCodes[0].customCode = name.encode()
    (line,) = refusals(file.write(tmp_path / "m.tflite", [x], [y]))
    for part in parts:
        assert part in line


def edges(path: Path, inside: Any, outer: Any = np.uint8) -> Path:
    """outer -> QUANTIZE -> CONV_2D of the type inside -> QUANTIZE -> outer."""
    file = FileBuilder()
    x = file.tensor("x", (1, 4, 4, 2), outer, 0.5, 128)
    a, b = (file.tensor(n, (1, 4, 4, c), inside, 0.5) for n, c in (("a", 2), ("b", 3)))
    w = file.tensor("w", (3, 1, 1, 2), inside, 0.1, data=np.ones((3, 1, 1, 2)))
    bias = file.tensor("bias", (3,), np.int32, 0.05, data=np.arange(3))
    y = file.tensor("y", (1, 4, 4, 3), outer, 0.5, 128)
    file.operator("QUANTIZE", [x], [a])
    file.operator("CONV_2D", [a, w, bias], [b], **conv())
    file.operator("QUANTIZE", [b], [y])
    return file.write(path, [x], [y])


def test_other_types_only_at_the_edges(tmp_path: Path) -> None:
    """uint8 is taken; int16 is told apart from a network of it, at the outputs the host changes the type."""
    path = edges(tmp_path / "m.tflite", np.int8)
    assert [op.kind for op in load(path).operators] == ["Reshape", "Conv2D", "Reshape"]
    equals_litert(path)
    found = refusals(edges(tmp_path / "n.tflite", np.int8, np.int16))
    if "#2 QUANTIZE 'y'" in found[1]:  # older releases of LiteRT have no such kernel
        assert "LiteRT cannot run it on the host: " in found.pop(1)
    assert len(found) == 2 and "input 'x'" in found[1]
    assert all("only the network's inputs or outputs are int16, its layers are int8" in line for line in found)
    assert all("inference_input_type" in line for line in found)


def test_uint8_throughout(tmp_path: Path) -> None:
    path = edges(tmp_path / "m.tflite", np.uint8)
    graph = load(path)
    assert [op.kind for op in graph.operators] == ["Rescale", "Conv2D", "Rescale"]
    assert {str(graph.tensors[name].file_dtype) for name in "xaby"} == {"uint8"}
    equals_litert(path)


def test_int8_and_uint8_in_one_operator(tmp_path: Path) -> None:
    file = FileBuilder()
    x, y = file.tensor("x", (1, 4), np.uint8, 1.0, 3), file.tensor("y", (1, 4), scale=1.0)
    file.operator("RELU", [x], [y])
    (line,) = refusals(file.write(tmp_path / "m.tflite", [x], [y]))
    assert "tensor 'x': it is uint8, and the output 'y' int8; give both one type, with a QUANTIZE between them" in line


def test_a_scale_without_zero_point(tmp_path: Path) -> None:
    file = FileBuilder()
    ends = one_conv(file)
    file.graph.tensors[1].quantization.zeroPoint = None
    (line,) = refusals(file.write(tmp_path / "m.tflite", *ends))
    assert "tensor 'w': it has a scale and no zero point (LiteRT refuses that too); store zero points" in line


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("STRING", "outside the network"),
        ("COMPLEX64", "outside the network"),
        ("BOOL", "outside the network"),
        ("INT4", "8-bit"),
        ("INT16", "int16 activations are not supported yet"),
        ("FLOAT16", "quantize the network to int8"),
        ("RESOURCE", "state"),
        ("INT64", "use int8 or uint8 here"),
    ],
)
@pytest.mark.parametrize("position", [0, 1])
def test_types(tmp_path: Path, kind: str, words: str, position: int) -> None:
    file = FileBuilder()
    ends = one_conv(file)
    file.graph.tensors[position].type = getattr(schema.TensorType, kind)
    if kind in ("INT64", "INT16") and position == 1:
        file.model.buffers[1].data = np.zeros(6 * (8 if kind == "INT64" else 2), np.uint8)
        words = "export int8 weights" if kind == "INT64" else words
    if kind == "INT16" and position == 0:
        file.graph.tensors[2].type = schema.TensorType.INT16
    found = refusals(file.write(tmp_path / "m.tflite", *ends))
    assert all(f" {kind.lower()}, not int8" in line and words in line for line in found), found


def test_sparse_and_custom_quantization(tmp_path: Path) -> None:
    file = FileBuilder()
    ends = one_conv(file)
    file.graph.tensors[1].sparsity = schema.SparsityParametersT()
    (line,) = refusals(file.write(tmp_path / "m.tflite", *ends))
    assert "weights are stored sparse; export dense weights" in line
    file = FileBuilder()
    ends = one_conv(file)
    file.graph.tensors[1].quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    file.graph.tensors[1].quantization.details = schema.BlockwiseQuantizationT()
    (line,) = refusals(file.write(tmp_path / "m.tflite", *ends))
    assert "weights are quantized in a custom way" in line


def test_shapes_that_the_file_computes(tmp_path: Path) -> None:
    """From values that are not known before it runs; their operators are not those of the network of the same kind."""
    file = FileBuilder()
    x, y = file.tensor("x", (1, 4), scale=1.0), file.tensor("y", (4, 1), scale=1.0)
    most, four, packed = (file.tensor(n, s, np.int32) for n, s in (("most", (1,)), ("four", (1,)), ("packed", (2,))))
    axis = file.tensor("axis", (1,), np.int32, data=np.array([1]))
    file.operator("ARG_MAX", [x, axis], [most], "ArgMaxOptions", outputType=2)
    file.operator("RANGE", [most, axis, axis], [four])
    file.operator("PACK", [most, four], [packed], "PackOptions", valuesCount=2)
    file.operator("RESHAPE", [x, packed], [y], "ReshapeOptions")
    most_at, shape, pack, reshape = refusals(file.write(tmp_path / "m.tflite", [x], [y]))
    assert "ARG_MAX 'most'" in most_at and "PACK 'packed'" in pack
    assert "export the model with fixed shapes, so that the converter folds it" in shape
    assert "export the model with constant shapes" in reshape


def test_weights_in_another_file(tmp_path: Path) -> None:
    file = FileBuilder()
    ends = one_conv(file)
    for tensor in file.graph.tensors[1], file.graph.tensors[3]:
        tensor.buffer, tensor.externalBuffer = 0, 1
    path = file.write(tmp_path / "m.tflite", *ends)
    assert (
        "weights are stored in another file (an external buffer); export dense weights in the same file"
        in refusals(path)[0]
    )
    file.graph.tensors[1].buffer, file.graph.tensors[1].externalBuffer = 1, 0
    assert "the bias is stored in another file" in refusals(file.write(path, *ends))[0]


def test_a_constant_without_elements(tmp_path: Path) -> None:
    """The shape () of a RESHAPE to a scalar: a tensor of no elements, whose buffer is empty."""
    file = FileBuilder()
    x, y = file.tensor("x", (1, 1), scale=1.0), file.tensor("y", (), scale=1.0)
    shape = file.tensor("shape", (0,), np.int32)
    file.operator("RESHAPE", [x, shape], [y], "ReshapeOptions")
    (line,) = refusals(file.write(tmp_path / "m.tflite", [x], [y]))
    assert "'y': its shape [] is not fixed and positive" in line


def test_options_of_another_operator_are_none(tmp_path: Path) -> None:
    path = conv_file(tmp_path, options={"options": "AddOptions"})
    assert "its options are missing" in refusals(path)[0]


def test_data_behind_the_flatbuffer(tmp_path: Path) -> None:
    """As models above 2 GB have them: a buffer names its place in the file."""
    file = FileBuilder()
    ends = one_conv(file)
    path = file.write(tmp_path / "m.tflite", *ends)
    inside = load(path)
    file.model.buffers[1].data = None
    file.model.buffers[1].offset, file.model.buffers[1].size = 2, 6  # not 0, so that the fields are there
    length = len(file.pack())
    file.model.buffers[1].offset = length
    path.write_bytes(file.pack() + bytes(range(6)))
    outside = load(path)
    np.testing.assert_array_equal(inside.operators[0].weights, outside.operators[0].weights)  # type: ignore[attr-defined]
    equals_litert(path)
    path.write_bytes(file.pack() + bytes(range(5)))
    with pytest.raises(Exception, match=f"the data of tensor 'w' are bytes {length} to {length + 6} of the file"):
        load(path)


def test_open_dimensions(tmp_path: Path) -> None:
    """An open batch is how every converter writes files: no note."""
    file = FileBuilder()
    ends = one_conv(file)
    file.graph.tensors[0].shapeSignature = [-1, 4, 4, 2]
    assert load(file.write(tmp_path / "m.tflite", *ends)).notes == []
    file.graph.tensors[0].shapeSignature = [-1, -1, 4, 2]
    path = file.write(tmp_path / "m.tflite", *ends)
    note = "input 'x': its open shape [-1, -1, 4, 2] is taken as [1, 4, 4, 2], as the file's shape says"
    assert load(path).notes == [note] and survey(path).graph.notes == [note]
    assert check(path, load_config("tiny16")).notes == (note,)


def test_bias_scales_that_differ_in_the_seventh_digit(tmp_path: Path) -> None:
    file = FileBuilder()
    x = file.tensor("x", (1, 2), scale=0.5)
    w = file.tensor("w", (2, 2), scale=0.02, data=np.ones((2, 2)))
    b = file.tensor("b", (2,), np.int32, scale=np.float32(0.010000004), data=np.ones(2))
    y = file.tensor("y", (1, 2), scale=1e-8)
    file.operator("FULLY_CONNECTED", [x, w, b], [y], options="FullyConnectedOptions")
    (line,) = refusals(file.write(tmp_path / "model.tflite", [x], [y]))
    assert "has scale 0.010000004, not input scale times weight scale 0.0099999998: " in line
    assert "2% of the output's scale 1e-08" in line
