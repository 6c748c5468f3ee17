"""Inputs of shared/cases about importing and quantizing, and the model that LiteRT refuses: what is right for each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from tests.cli.command import intaglio, validate
from tests.network.network_data import SHARED, needs_shared

pytestmark = [pytest.mark.conformance, needs_shared]
CASES = SHARED / "cases"


def test_a_place_with_a_nul_byte() -> None:
    done = intaglio("check", CASES / "onnx11_57.onnx")
    assert done.status == 2 and done.out == "" and len(done.err.splitlines()) == 1
    assert "the data of constant 'Parameter5_zero_point' are in 'a\\x00b'" in done.err


def test_an_output_that_is_an_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", inputs=np.random.default_rng(0).normal(0, 1, (4, 2, 6, 6)).astype(np.float32))
    done = intaglio("quantize", CASES / "float5_49.onnx", "--data", tmp_path / "c.npz", "-o", tmp_path / "q.onnx")
    assert done.status == 2 and len(done.err.splitlines()) == 1 and not (tmp_path / "q.onnx").exists()
    assert "output 'x' is an input of the model, nothing computes it; remove it from the outputs" in done.err


def test_a_bias_of_one_row(tmp_path: Path) -> None:
    common = ["quantize", CASES / "F_ort24815.onnx", "--data", CASES / "F_ort24815.npz", "-o", tmp_path / "q.onnx"]
    done = intaglio(*common, "--per-channel", "--json", tmp_path / "Q.json")
    assert done.status == 0, done.err
    assert json.loads((tmp_path / "Q.json").read_text())["accelerator"]["would_run"]
    assert intaglio("check", tmp_path / "q.onnx").status == 0


def test_a_last_layer_without_quantize() -> None:
    done = intaglio("check", CASES / "ort13328_no_output_q.onnx", "--json", "-")
    assert done.status == 1
    found = json.loads(done.out)
    validate(found, "check")
    assert [op["op"] for op in found["operators"]] == ["QuantizeLinear"] + 3 * ["DequantizeLinear"] + ["Conv"]
    (refusal,) = found["operators"][-1]["refusals"]
    assert "its float result is never quantized" in refusal["reason"] and "outputs too" in refusal["remedy"]
    assert found["totals"]["macs"] == 6912


@pytest.mark.parametrize("name", ["resize_nearest", "brevitas436_qcdq_clip"])
def test_operators_that_were_refused(name: str, tmp_path: Path) -> None:
    done = intaglio("verify", CASES / f"{name}.onnx", "--inputs", 1, "--json", tmp_path / "V.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "V.json").read_text())
    assert found["equal"] and found["reference"] is not None


@pytest.mark.slow
def test_verify_of_the_model_that_litert_refuses(tmp_path: Path) -> None:
    model = SHARED / "models" / "tflm_person_detect_int8_original.tflite"
    done = intaglio("verify", model, "--inputs", 1, "--json", tmp_path / "V.json")
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "V.json").read_text())
    validate(found, "verify")
    assert found["equal"] and found["reference"] is None and "quantized_dimension" in found["reference_refusal"]
    assert "NO REFERENCE WAS COMPARED" in done.out
