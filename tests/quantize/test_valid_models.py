"""Valid float models as different producers write them: quantized, or refused for the true cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper, numpy_helper

from intaglio.errors import InputError, RefusedError
from intaglio.machine.config_files import load_config
from intaglio.quantize import opset as opset_module
from intaglio.quantize.afterwards import refused_afterwards
from intaglio.quantize.post_training import Quantized, Settings, quantize
from tests.quantize.onnx_models import Builder, residual, samples, save


def quantized(folder: Path, model: onnx.ModelProto, data: np.ndarray, **settings: Any) -> Quantized:
    """The result of quantize; the accelerator takes it."""
    np.savez(folder / "c.npz", inputs=data)
    made = quantize(save(model, folder / "m.onnx"), folder / "c.npz", Settings(**settings), lambda *_: None)
    assert made.tensors
    return made


def fault(folder: Path, model: onnx.ModelProto, data: np.ndarray | None = None) -> str:
    with pytest.raises(InputError) as error:
        quantized(folder, model, samples(count=3) if data is None else data)
    assert "m.onnx" in str(error.value)
    return str(error.value)


def accepted(made: Quantized, config: str = "edge64") -> bool:
    return not refused_afterwards(made.content, "network", load_config(config))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (9,), (1, 9), (1, 1), (4, 9), (4, 1)])
def test_biases_of_any_shape(tmp_path: Path, shape: tuple[int, ...], per_channel: bool) -> None:
    """What onnxruntime's quantizer does not take of a Gemm: a bias of other than one dimension; beta, which it loses."""
    b = Builder((4, 6), 2)
    bias = b.constant(np.full(shape, 0.25, np.float32))
    b.node("Gemm", ["image", b.weight(9, 6), bias], "y", transB=1, alpha=0.5, beta=2.0)
    data = np.random.default_rng(1).normal(0, 1, (12, 4, 6)).astype(np.float32)
    made = quantized(tmp_path, b.model("y"), data, per_channel=per_channel)
    y = next(tensor for tensor in made.tensors if tensor.name == "y")
    assert y.sqnr_db is not None and y.sqnr_db > 25
    if len(shape) < 2 or shape[0] == 1:
        assert accepted(made)


def test_outputs_that_nothing_computes(tmp_path: Path) -> None:
    model = residual(batch=1)
    model.graph.output.add().CopyFrom(model.graph.input[0])
    assert "output 'image' is an input of the model, nothing computes it; remove it from the outputs" in fault(
        tmp_path, model
    )
    model = residual(batch=1)
    model.graph.output.add(name="w0").type.tensor_type.elem_type = 1
    assert "output 'w0' is a constant of the model" in fault(tmp_path, model)
    model = residual(batch=1)
    del model.graph.output[:]
    assert "the model has no output" in fault(tmp_path, model)


def test_ir_version_3_and_an_open_batch(tmp_path: Path) -> None:
    """Initializers that had to be inputs are none; a batch of -1 is 1, and that is told."""
    model = residual(batch=-1, opset=11)
    model.ir_version = 3
    for weight in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    made = quantized(tmp_path, model, samples())
    assert made.notes == ("input 'image': the batch dimension -1 is set to 1",) and accepted(made)


@pytest.mark.parametrize("opset", [7, 8, 9, 10, 11, 12])
def test_old_opsets(tmp_path: Path, opset: int) -> None:
    made = quantized(tmp_path, residual(opset=opset), samples(), per_channel=True)
    assert accepted(made) and max(o.version for o in onnx.ModelProto.FromString(made.content).opset_import) >= 13


def test_what_the_version_converter_cannot_do(tmp_path: Path) -> None:
    b = Builder((1, 3, 8, 8), 0, opset=9)
    scales = b.constant(np.array([1, 1, 2, 2], np.float32))
    model = b.model(b.node("Conv", [b.node("Upsample", ["image", scales], "u"), b.weight(4, 3, 3, 3)], "y"))
    model.opset_import[0].version = 8
    del model.graph.value_info[:]
    text = fault(tmp_path, model)
    assert "Upsample" in text
    b = Builder((1, 3, 8, 8), 0, opset=8)
    parts = [b.constant(np.ones((3, 8, 8), np.float32)) for _ in range(4)]
    model = b.model(b.node("BatchNormalization", ["image", *parts], "y", spatial=0))
    del model.graph.value_info[:]
    text = fault(tmp_path, model)
    assert "export it" in text


def test_a_version_converter_that_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opset_module, "CONVERT", "import os; os.abort()")
    text = fault(tmp_path, residual(opset=11))
    assert (
        "onnx's version converter cannot bring it from opset 11 to 13 (it ended with -6); export it with opset 13"
        in text
    )


def test_functions_are_inlined(tmp_path: Path) -> None:
    model = residual(batch=1)
    node = helper.make_node("Relu", ["a"], ["b"])
    model.functions.append(helper.make_function("mine", "F", ["a"], ["b"], [node], [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type, node.domain = "F", "mine"
    assert accepted(quantized(tmp_path, model, samples()))


def test_several_faults_at_once(tmp_path: Path) -> None:
    model = residual(batch=1)
    model.opset_import[0].version = 999
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "rows"
    np.savez(tmp_path / "c.npz", inputs=samples())
    with pytest.raises(RefusedError) as error:
        quantize(save(model, tmp_path / "m.onnx"), tmp_path / "c.npz", Settings(), lambda *_: None)
    assert [r.operator for r in error.value.refusals] == ["network", "input"]


def hardswish(folder: Path) -> Path:
    b = Builder((1, 3, 8, 8), 3)
    x = b.node("HardSwish", [b.node("Conv", ["image", b.weight(4, 3, 3, 3)], "first")], "hard")
    return save(b.model(b.node("Conv", [x, b.weight(4, 4, 3, 3)], "second")), folder / "m.onnx")


def test_what_the_accelerator_refuses_afterwards(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", inputs=samples())
    made = quantize(hardswish(tmp_path), tmp_path / "c.npz", Settings(), lambda *_: None)
    found = refused_afterwards(made.content, "network", load_config("edge64"))
    assert [r.operator for r in found] == ["HardSwish"]  # which onnxruntime's optimizer takes apart
    assert "set tables: 4" in found[0].remedy
    assert refused_afterwards(made.content, "network", load_config("edge64", ["tables=4"])) == ()
    made = quantize(hardswish(tmp_path), tmp_path / "c.npz", Settings(activations="int16"), lambda *_: None)
    assert any("int16" in r.reason for r in refused_afterwards(made.content, "network", load_config("edge64")))


def test_what_the_machine_is_too_small_for(tmp_path: Path) -> None:
    made = quantized(tmp_path, residual(), samples())
    assert accepted(made, "tiny16")
    b = Builder((1, 3, 4, 4), 3)
    x = b.node("Conv", ["image", b.weight(600, 3, 1, 1)], "wide")
    wide = quantized(tmp_path, b.model(b.node("Conv", [x, b.weight(4, 600, 1, 1)], "y")), samples(shape=(3, 4, 4)))
    found = refused_afterwards(wide.content, "network", load_config("tiny16", ["activation_bytes=512"]))
    assert found and all("activation_bytes" in refusal.remedy for refusal in found)


def test_external_data_of_a_float_model(tmp_path: Path) -> None:
    model = residual(batch=1)
    weight = model.graph.initializer[0]
    (tmp_path / "weights").write_bytes(numpy_helper.to_array(weight).tobytes())
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights")
    assert accepted(quantized(tmp_path, model, samples()))
    weight.external_data[0].value = "we\0ights"
    assert "the data of constant 'w0' are in 'we\\x00ights'" in fault(tmp_path, model)
