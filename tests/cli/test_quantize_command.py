"""`intaglio quantize`: its documents and files, and every fault as one message with nothing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper

from intaglio import data as shipped
from tests.cli.command import Done, intaglio, validate
from tests.quantize.onnx_models import CLASSES, Builder, residual, samples, save

LABELS = np.arange(12) % CLASSES


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    model = save(residual(), tmp_path / "float.onnx")
    np.savez(tmp_path / "calib.npz", inputs=samples(), labels=LABELS)
    return model, tmp_path / "calib.npz"


def refused(done: Done, *parts: str) -> None:
    """The message holds every part."""
    assert done.status == 2, done
    assert done.out == "" and "Traceback" not in done.err
    assert done.err.startswith("intaglio: ") and done.err.count("intaglio: ") == 1
    for part in parts:
        assert part in done.err, f"{part!r} is not in {done.err!r}"


@pytest.mark.parametrize(
    "options", [[], ["--per-channel", "--activations", "uint8", "--method", "mse", "--full-range"]]
)
def test_report(tmp_path: Path, files: tuple[Path, Path], options: list[str]) -> None:
    target, report = tmp_path / "q.onnx", tmp_path / "Q.json"
    done = intaglio("quantize", files[0], "--data", files[1], "-o", target, "--json", report, *options)
    assert done.status == 0, done.err
    document = json.loads(report.read_text())
    validate(document, "quantize")
    assert document["output_bytes"] == target.stat().st_size and document["samples"] == 12
    assert document["settings"]["per_channel"] == bool(options) and document["settings"]["narrow_range"] == (
        not options
    )
    onnx.checker.check_model(onnx.load(target), full_check=True)
    for text in ("SQNR", "image", "scores", "float, onnxruntime: ", "quantized, onnxruntime (", " of 12 right"):
        assert text in done.out
    assert "int16" not in done.out and done.err == ""
    assert document["accelerator"] == {"config": "edge64", "would_run": True, "refusals": []} and document["notes"] == [
        "input 'image': the batch dimension batch is set to 1"
    ]
    assert "the accelerator (edge64) takes it" in done.out and "note: input 'image': the batch dimension" in done.out


def test_what_the_accelerator_will_refuse(tmp_path: Path) -> None:
    b = Builder((1, 3, 8, 8), 3)
    x = b.node("Elu", [b.node("Conv", ["image", b.weight(4, 3, 3, 3)], "first")], "elu")
    model = save(b.model(b.node("Conv", [x, b.weight(4, 4, 3, 3)], "second")), tmp_path / "m.onnx")
    np.savez(tmp_path / "plain.npz", inputs=samples())
    common = [
        "quantize",
        model,
        "--data",
        tmp_path / "plain.npz",
        "-o",
        tmp_path / "q.onnx",
        "--json",
        tmp_path / "Q.json",
    ]
    done = intaglio(*common, "--config", "tiny16")
    assert done.status == 0
    document = json.loads((tmp_path / "Q.json").read_text())
    validate(document, "quantize")
    (refusal,) = document["accelerator"]["refusals"]
    assert refusal["op"] == "Elu" and "field tables is 0" in refusal["reason"] and "set tables: 4" in refusal["remedy"]
    assert "the accelerator (tiny16) WILL REFUSE it:" in done.out and "set tables: 4" in done.out
    # The same of the file itself.
    found = json.loads(intaglio("check", tmp_path / "q.onnx", "--config", "tiny16", "--json", "-").out)
    assert [op["op"] for op in found["operators"] if op["refusals"]] == ["Elu"]
    assert intaglio(*common, "--config", "nothing").status == 2


def test_int16_says_that_the_accelerator_does_not_run_it(tmp_path: Path, files: tuple[Path, Path]) -> None:
    done = intaglio("quantize", files[0], "--data", files[1], "-o", tmp_path / "q.onnx", "--activations", "int16")
    assert done.status == 0 and "does not run int16 activations yet" in done.out


def test_json_on_standard_output_is_alone(tmp_path: Path, files: tuple[Path, Path]) -> None:
    for method in ("minmax", "percentile", "entropy", "mse"):
        done = intaglio(
            "quantize", files[0], "--data", files[1], "-o", tmp_path / "q.onnx", "--json", "-", "--method", method
        )
        validate(json.loads(done.out), "quantize")
        assert "SQNR" in done.err


def test_what_stays_float_is_named(tmp_path: Path, files: tuple[Path, Path]) -> None:
    model = save(residual(softmax=True), tmp_path / "soft.onnx")
    np.savez(tmp_path / "plain.npz", inputs=samples())
    done = intaglio("quantize", model, "--data", tmp_path / "plain.npz", "-o", tmp_path / "q.onnx")
    assert done.status == 0 and "stays float: probabilities (Softmax)" in done.out and "right" not in done.out


def changed(change: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    model = residual(batch=1)
    change(model)
    return model


def open_dimension(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"


def half(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def spoiled(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    array = onnx.numpy_helper.to_array(weight).copy()
    array.flat[3] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))


def quantized_already(model: onnx.ModelProto) -> None:
    constants = {"s": np.float32(0.1), "z": np.int8(0)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.array(v), k) for k, v in constants.items())
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["scores", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        ]
    )


def unknown_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "org.nowhere"
    model.opset_import.append(helper.make_opsetid("org.nowhere", 1))


def wrong_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4


MODELS: dict[str, tuple[object, list[str]]] = {
    "text.onnx": (b"this is not a network\n" * 20, ["not a usable ONNX model", "torch.onnx.export"]),
    "empty.onnx": (b"", ["not a usable ONNX model: the file is empty"]),
    "cut.onnx": (residual().SerializeToString()[:700], ["not"]),
    "network.tflite": (shipped.MODEL.read_bytes(), ["TensorFlow Lite", "representative_dataset"]),
    "renamed.onnx": (shipped.MODEL.read_bytes(), ["TensorFlow Lite"]),
    "quantized.onnx": (changed(quantized_already), ["quantized already", "DequantizeLinear", "float model"]),
    "open.onnx": (changed(open_dimension), ["'image'", "height", "all dimensions but the batch must be fixed"]),
    "half.onnx": (changed(half), ["'image' is float16", "float32"]),
    "nan.onnx": (changed(spoiled), ["weight 'w0'", "NaN"]),
    "domain.onnx": (changed(unknown_domain), ["onnxruntime cannot run it", "org.nowhere"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_be_quantized(tmp_path: Path, files: tuple[Path, Path], name: str) -> None:
    content, parts = MODELS[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())  # type: ignore[attr-defined]
    before = sorted(os.listdir(tmp_path))
    done = intaglio("quantize", path, "--data", files[1], "-o", tmp_path / "q.onnx", "--json", tmp_path / "Q.json")
    refused(done, name, *parts)
    assert sorted(os.listdir(tmp_path)) == before


GOOD = samples()
DATA: dict[str, tuple[dict[str, np.ndarray], list[str]]] = {
    "name": ({"picture": GOOD}, ["no array for input 'image'", "'picture' is no input"]),
    "shape": ({"inputs": GOOD.transpose(0, 2, 3, 1)}, ["[12, 8, 8, 3]", "[N, 3, 8, 8]"]),
    "type": ({"inputs": GOOD.astype(np.uint8)}, ["uint8", "scale it as in training"]),
    "nan": ({"inputs": np.where(GOOD[3, 0, 0, 0] == GOOD, np.nan, GOOD)}, ["NaN", "sample 3"]),
    "empty": ({"inputs": GOOD[:0]}, ["no sample"]),
    "fewer labels": ({"inputs": GOOD, "labels": LABELS[:5]}, ["'labels' has shape [5]", "12 samples"]),
    "float labels": ({"inputs": GOOD, "labels": LABELS / 2}, ["float64", "integers"]),
    "labels beyond": ({"inputs": GOOD, "labels": LABELS + 1}, [f"label {CLASSES}", f"{CLASSES} classes"]),
    "labels of pixels": ({"inputs": GOOD, "labels": np.zeros((12, 8, 8), np.int64)}, ["[8, 8]", "do not fit"]),
}


@pytest.mark.parametrize("name", DATA)
def test_data_that_does_not_fit(tmp_path: Path, files: tuple[Path, Path], name: str) -> None:
    arrays, parts = DATA[name]
    np.savez(tmp_path / "bad.npz", **arrays)
    before = sorted(os.listdir(tmp_path))
    done = intaglio("quantize", files[0], "--data", tmp_path / "bad.npz", "-o", tmp_path / "q.onnx")
    refused(done, "bad.npz", *parts)
    assert sorted(os.listdir(tmp_path)) == before


def test_shapes_that_do_not_fit_show_when_it_runs(tmp_path: Path) -> None:
    model = save(changed(wrong_channels), tmp_path / "channels.onnx")
    np.savez(tmp_path / "c.npz", inputs=samples(shape=(4, 8, 8)))
    done = intaglio("quantize", model, "--data", tmp_path / "c.npz", "-o", tmp_path / "q.onnx")
    refused(done, "channels.onnx", "onnxruntime cannot run it", "Conv", "export")
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("kinds", [["Tanh"], ["Sin", "Relu"], ["Softmax"]])
def test_nothing_to_quantize(tmp_path: Path, kinds: list[str]) -> None:
    b = Builder((1, 4), 0)
    x = "image"
    for kind in kinds:
        x = b.node(kind, [x], f"{kind}_out")
    save(b.model(x), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", inputs=np.ones((3, 4), np.float32))
    for method in ("minmax", "percentile", "mse"):
        done = intaglio(
            "quantize", tmp_path / "m.onnx", "--data", tmp_path / "c.npz", "-o", tmp_path / "q.onnx", "--method", method
        )
        refused(done, "m.onnx", "no operator that can be quantized", kinds[0])


def test_overflow_inside_the_network(tmp_path: Path) -> None:
    b = Builder((1, 4), 0)
    x = b.node("Exp", [b.node("Gemm", ["image", b.constant(np.full((4, 4), 1e3, np.float32))], "big")], "exp")
    save(b.model(b.node("Gemm", [x, b.weight(4, 4)], "y")), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", inputs=np.ones((3, 4), np.float32))
    for method in ("minmax", "percentile", "entropy", "mse"):
        done = intaglio(
            "quantize", tmp_path / "m.onnx", "--data", tmp_path / "c.npz", "-o", tmp_path / "q.onnx", "--method", method
        )
        refused(done, "infinite", "'exp'")


def test_targets(tmp_path: Path, files: tuple[Path, Path]) -> None:
    read_only = tmp_path / "kept.onnx"
    read_only.write_bytes(b"old")
    read_only.chmod(0o444)
    common = ["quantize", files[0], "--data", files[1]]
    before = sorted(os.listdir(tmp_path))
    refused(intaglio(*common, "-o", read_only), "kept.onnx", "read-only")
    refused(intaglio(*common, "-o", files[0]), "float.onnx", "the float network itself")
    refused(intaglio(*common, "-o", tmp_path / "no" / "q.onnx"), "no folder")
    refused(intaglio(*common, "-o", tmp_path / "q.onnx", "--json", tmp_path), "directory")
    refused(
        intaglio(*common, "-o", tmp_path / "q.onnx", "--method", "percentile", "--percentile", "40"),
        "percentile 40",
        "above 50",
    )
    refused(
        intaglio("quantize", tmp_path / "no.onnx", "--data", files[1], "-o", tmp_path / "q.onnx"), "no.onnx", "No such"
    )
    refused(
        intaglio("quantize", files[0], "--data", tmp_path / "no.npz", "-o", tmp_path / "q.onnx"), "no.npz", "No such"
    )
    assert read_only.read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_extra(tmp_path: Path, files: tuple[Path, Path], missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from intaglio.cli import main; main()"
    arguments = ["quantize", str(files[0]), "--data", str(files[1]), "-o", str(tmp_path / "q.onnx")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    refused(Done(done.returncode, done.stdout, done.stderr), "-m pip install", "onnxruntime")


@pytest.mark.parametrize("options", [["--method", "luck"], ["--weights", "int3"], ["--activations", "int4"], []])
def test_usage(files: tuple[Path, Path], options: list[str]) -> None:
    done = intaglio("quantize", files[0], *options)
    assert done.status == 2 and done.out == "" and "Traceback" not in done.err
