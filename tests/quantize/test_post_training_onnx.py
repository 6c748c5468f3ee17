"""Quantizing ONNX: accuracy on the shipped network, and what the file holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
import onnxruntime

from intaglio import data
from intaglio.dataset import read_dataset
from intaglio.network import execute, load_onnx, random_inputs
from intaglio.network.float_network import FloatNetwork
from intaglio.network.onnx.oracle import OnnxOracle
from intaglio.quantize.measure import accuracy
from intaglio.quantize.model_file import input_forms
from intaglio.quantize.post_training import Quantized, Settings, quantize
from intaglio.quantize.runtime import runtime_session
from tests.quantize.onnx_models import CLASSES, Builder, residual, samples, save
from tests.quantize.own_network import channels_first, write_own_network


def silent(what: str, done: int, of: int) -> None:
    assert 0 < done <= of


def weights_of(made: Quantized) -> dict[str, np.ndarray]:
    model = onnx.load_model_from_string(made.content)
    return {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return write_own_network(tmp_path_factory.mktemp("own"))


def test_the_exported_network_is_the_float_network(own: tuple[Path, Path, Path]) -> None:
    images = data.network_input(data.test_set()[0])[:50]
    session = onnxruntime.InferenceSession(own[0], providers=["CPUExecutionProvider"])
    found = [session.run(None, {"images": image[None]})[0][0] for image in channels_first(images)]
    expected = FloatNetwork.load(data.FLOAT_MODEL).logits(images)
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "activations", "per_channel", "narrow_range"),
    [
        ("minmax", "int8", False, True),
        ("minmax", "uint8", True, True),
        ("minmax", "int16", True, True),
        ("percentile", "int8", True, False),
        ("entropy", "int8", True, True),
        ("mse", "int8", True, True),
        ("mse", "uint8", False, False),
    ],
)
def test_accuracy_of_the_own_network(
    own: tuple[Path, Path, Path], method: str, activations: str, per_channel: bool, narrow_range: bool
) -> None:
    """Within a point of the float network's 94.0 % on the 500 images, which calibration has not seen."""
    settings = Settings(method, activations, per_channel, narrow_range)
    made = quantize(own[0], own[1], settings, silent)
    model = onnx.load_model_from_string(made.content)
    test = read_dataset(own[2], input_forms(model))
    found = accuracy(model, own[0], "integer" if activations == "int8" else "none", "", test, silent)
    assert found.total == 500 and found.correct >= 465, found
    assert made.stays_float == [] and made.accuracies is None and made.samples == 48
    kinds = [tensor.kind for tensor in made.tensors]
    assert kinds.count("weight") == 10
    assert {t.dtype for t in made.tensors if t.kind == "activation"} == {activations}
    for tensor in made.tensors:
        assert tensor.sqnr_db is not None and tensor.sqnr_db > 24, tensor
        if tensor.kind == "weight":
            assert tensor.zero_point == 0 and (tensor.channels > 1) == per_channel
    arrays = weights_of(made)
    integers = [array for name, array in arrays.items() if array.dtype == np.int8 and array.ndim > 1]
    assert len(integers) == 10
    lowest = min(int(array.min()) for array in integers)
    assert lowest == (-127 if narrow_range else -128) and max(int(a.max()) for a in integers) == 127
    assert sum(array.dtype == np.int32 and array.ndim == 1 for array in arrays.values()) >= 10


def test_least_error_beats_the_extremes(own: tuple[Path, Path, Path]) -> None:
    """The activations' errors, summed over the layers: what the method is for."""
    mean = {}
    for method in ("minmax", "mse"):
        made = quantize(own[0], own[1], Settings(method, per_channel=True), silent)
        mean[method] = np.mean([t.sqnr_db for t in made.tensors if t.kind == "activation"])
    assert mean["mse"] > mean["minmax"]


def quantized_residual(tmp_path: Path, settings: Settings, **options: object) -> Quantized:
    save(residual(**options), tmp_path / "float.onnx")  # type: ignore[arg-type]
    labels = np.arange(12) % CLASSES
    np.savez(tmp_path / "calib.npz", image=samples(), labels=labels)
    return quantize(tmp_path / "float.onnx", tmp_path / "calib.npz", settings, silent)


@pytest.mark.parametrize("activations", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_reported_errors_are_those_of_the_file(tmp_path: Path, activations: str, per_channel: bool) -> None:
    """SQNR of the output and of a weight, computed again from the two files."""
    made = quantized_residual(tmp_path, Settings("minmax", activations, per_channel))
    before = onnxruntime.InferenceSession(tmp_path / "float.onnx", providers=["CPUExecutionProvider"])
    after = runtime_session(
        onnx.load_model_from_string(made.content), tmp_path, "integer" if activations == "int8" else "none"
    )
    exact, found = (
        np.concatenate([s.run(None, {"image": image[None]})[0] for image in samples()]).astype(np.float64)
        for s in (before, after)
    )
    tensor = next(t for t in made.tensors if t.name == "scores")
    expected = 10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum())
    assert tensor.sqnr_db == pytest.approx(expected, abs=0.02) and tensor.sqnr_db > 25
    assert made.accuracies is not None
    right = [int((scores.argmax(axis=1) == np.arange(12) % CLASSES).sum()) for scores in (exact, found)]
    assert [result.correct for result in made.accuracies] == right
    arrays = weights_of(made)
    weight = next(t for t in made.tensors if t.kind == "weight" and t.channels == (6 if per_channel else 1))
    scale = arrays[f"{weight.name}_scale"].astype(np.float64).reshape(-1, 1, 1, 1)
    reals = arrays[f"{weight.name}_quantized"] * scale
    assert (weight.low, weight.high) == (reals.min(), reals.max())
    assert weight.scale == (scale.min(), scale.max())


def test_a_softmax_at_the_end_stays_float(tmp_path: Path) -> None:
    made = quantized_residual(tmp_path, Settings(), softmax=True)
    assert [op for _, op in made.stays_float] == ["Softmax"]
    nodes = onnx.load_model_from_string(made.content).graph.node
    assert [n.op_type for n in nodes][-2:] == ["DequantizeLinear", "Softmax"]


def test_operators_without_an_integer_form_are_named(tmp_path: Path) -> None:
    b = Builder((1, 4, 6, 6), 1)
    x = b.node("Conv", ["image", b.weight(4, 4, 1, 1)], "c", name="first")
    x = b.node("LpNormalization", [x], "e", name="odd", axis=1)
    x = b.node("Conv", [x, b.weight(3, 4, 1, 1)], "d", name="last")
    save(b.model(x), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", inputs=samples(shape=(4, 6, 6)))
    made = quantize(tmp_path / "m.onnx", tmp_path / "c.npz", Settings(), silent)
    assert made.stays_float == [("odd", "LpNormalization")]


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_tables_and_moves_are_quantized_and_imported(tmp_path: Path, activations: str) -> None:
    """Gates, functions, a Concat of two scales, a Resize and blocks: all on the accelerator, as onnxruntime has them."""
    b = Builder((1, 4, 6, 6), 1)
    x = b.node("Conv", ["image", b.weight(8, 4, 1, 1)], "c")
    x = b.node("Mul", [x, b.node("Sigmoid", [x], "gate")], "silu")
    y = b.node("HardSwish", [b.node("Conv", [x, b.weight(8, 8, 1, 1)], "d")], "swish")
    y = b.node(
        "Concat", [b.node("Tanh", [y], "tanh"), x, b.node("LeakyRelu", [y], "leaky", alpha=0.1)], "joined", axis=1
    )
    y = b.node("DepthToSpace", [b.node("Conv", [y, b.weight(8, 24, 1, 1)], "e")], "blocks", blocksize=2)
    scales = b.constant(np.array([1, 1, 2, 2], np.float32))
    y = b.node("Resize", [y, "", scales], "wide", mode="nearest")
    y = b.node("Conv", [b.node("Elu", [y], "elu"), b.weight(3, 2, 3, 3)], "f", strides=[2, 2])
    save(b.model(y), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", inputs=samples(shape=(4, 6, 6)))
    made = quantize(tmp_path / "m.onnx", tmp_path / "c.npz", Settings(activations=activations), silent)
    assert made.stays_float == []
    (tmp_path / "q.onnx").write_bytes(made.content)
    graph = load_onnx(tmp_path / "q.onnx")
    assert [op.on_host for op in graph.operators] == [True, *[False] * (len(graph.operators) - 2), True]
    oracle, inputs = OnnxOracle(tmp_path / "q.onnx", graph.inexact), random_inputs(graph, 0)
    ours = execute(graph, inputs)
    theirs = oracle.run(inputs, ours)
    for name in set(ours) & set(theirs) - set(graph.inexact):
        np.testing.assert_array_equal(ours[name], theirs[name], name)


def test_a_reshape_of_the_input_is_quantized(tmp_path: Path) -> None:
    b = Builder((1, 4, 6), 1)
    x = b.node("Gemm", [b.node("Flatten", ["image"], "f"), b.weight(24, 5)], "y")
    save(b.model(x), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", inputs=samples(shape=(4, 6)))
    made = quantize(tmp_path / "m.onnx", tmp_path / "c.npz", Settings(), silent)
    assert made.stays_float == [] and made.tensors[0].name == "image"


def test_external_weights(tmp_path: Path) -> None:
    """As PyTorch's exporter writes them."""
    settings = Settings()
    inside = quantized_residual(tmp_path, settings, batch=1)
    model = residual(batch=1)
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    outside = quantize(tmp_path / "split.onnx", tmp_path / "calib.npz", settings, silent)
    assert outside.content == inside.content
    assert (
        quantize(tmp_path / "split.onnx", tmp_path / "calib.npz", replace(settings, per_channel=True), silent) != inside
    )


def test_the_same_bytes_again(tmp_path: Path) -> None:
    settings = Settings("mse", per_channel=True)
    assert quantized_residual(tmp_path, settings).content == quantized_residual(tmp_path, settings).content
