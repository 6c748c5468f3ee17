"""The shipped network from float ONNX to hardware: quantize, run, compare, export; held against onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from intaglio.accuracy import first_outputs, read_labelled, score
from intaglio.machine.config_files import load_config
from intaglio.network import load
from intaglio.quantize.runtime import runtime_session
from intaglio.session import Session
from tests.cli.command import intaglio, validate
from tests.quantize.own_network import write_own_network


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The float network, images, and two quantized networks."""
    folder = tmp_path_factory.mktemp("chain")
    float_model, calibration, test = write_own_network(folder)
    files = {"float": float_model, "test": test, "int8": folder / "int8.onnx", "uint8": folder / "uint8.onnx"}
    for name, options in (("int8", ["--per-channel"]), ("uint8", ["--method", "mse", "--full-range"])):
        done = intaglio(
            "quantize", float_model, "--data", calibration, "-o", files[name], "--activations", name, *options
        )
        assert done.status == 0, done.err
    return files


@pytest.mark.parametrize("name", ["int8", "uint8"])
def test_the_hardware_computes_what_onnxruntime_does(files: dict[str, Path], name: str) -> None:
    """int8: every output of 500 images is equal. uint8: onnxruntime's integer kernels saturate on some processors, so it
    computes in float32, whose roundings differ from the integers' now and then, by one step."""
    graph = load(files[name])
    session = Session.map(graph, load_config("edge64"))
    data = read_labelled(files["test"], graph)
    runtime = runtime_session(onnx.load(files[name]), files[name], "integer" if name == "int8" else "none")
    expected = np.stack([runtime.run(None, data.sample(index))[0] for index in range(len(data))])
    found = first_outputs(session, data)
    different = found != expected
    if name == "int8":
        assert not different.any()
    else:
        last = graph.tensors[graph.operators[-1].inputs[0]].quantization
        assert last is not None and different.sum() <= found.size // 500
        assert np.abs(found - expected).max() <= 1.01 * last.scale[0]
    assert score(found, data.labels, (-1,), "classes").correct >= 465


def test_run_with_data(files: dict[str, Path], tmp_path: Path) -> None:
    done = intaglio("run", files["int8"], "--data", files["test"], "--json", tmp_path / "R.json")
    assert done.status == 0, done.err
    report = json.loads((tmp_path / "R.json").read_text())
    validate(report, "run")
    accuracy = report["accuracy"]
    assert accuracy["total"] == 500 and accuracy["correct"] >= 465 and accuracy["data"] == str(files["test"])
    assert f"accuracy: {accuracy['correct']} of 500 right, {100 * accuracy['top1']:.2f} %" in done.out
    assert report["totals"]["macs"] == 3_328_440


def test_compare_with_both_accuracies(files: dict[str, Path]) -> None:
    done = intaglio("compare", files["int8"], "--data", files["test"], "--float-model", files["float"])
    assert done.status == 0, done.err
    assert "FP32 94.00 % (470 of 500" in done.out and "accuracy: INT8 9" in done.out


def test_export(files: dict[str, Path], tmp_path: Path) -> None:
    done = intaglio("export", files["int8"], "--config", "tiny16", "-o", tmp_path / "board")
    assert done.status == 0, done.err
    assert {"intaglio.v", "manifest.json"} <= {path.name for path in (tmp_path / "board").rglob("*")}


def test_the_float_network_is_refused_with_the_command(files: dict[str, Path]) -> None:
    done = intaglio("run", files["float"])
    assert done.status == 2 and "intaglio quantize" in done.err and "Traceback" not in done.err


@pytest.mark.slow
def test_host_and_rtl(files: dict[str, Path]) -> None:
    done = intaglio("verify", files["int8"], "--config", "tiny16", "--inputs", 1)
    assert done.status == 0 and "EQUAL" in done.out, done
