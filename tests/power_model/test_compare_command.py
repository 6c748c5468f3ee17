"""`intaglio compare` on small networks: document, tables, accuracy, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio import data
from intaglio.power_model import load_table
from tests.cli.command import Done, intaglio, small_network, validate
from tests.power_model.energy_tables import shipped, with_idle, write

RESNET8 = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "mlptiny_ic_resnet8_int8.tflite"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.tflite", softmax=True)


def compared(*arguments: object) -> dict[str, Any]:
    done = intaglio("compare", *arguments, "--json", "-")
    assert done.status == 0, done.err
    document: dict[str, Any] = json.loads(done.out)
    validate(document, "compare")
    return document


def refused(done: Done, *parts: str) -> None:
    assert done.status == 2 and done.out == "" and done.err.startswith("intaglio: ")
    for part in parts:
        assert part in done.err, f"{part!r} is not in {done.err!r}"


def test_document(tmp_path: Path, model: Path) -> None:
    document = compared(model, "--config", "tiny16", "--set", "rows=3")
    run = json.loads(intaglio("run", model, "--config", "tiny16", "--set", "rows=3", "--json", "-").out)
    layers, totals = document["layers"], document["totals"]
    assert [x["name"] for x in layers] == [x["name"] for x in run["layers"]]
    assert [x["where"] for x in layers] == ["accelerator"] * 5 + ["host"]
    assert layers[5]["int8"] is None and layers[5]["gain"] is None and layers[5]["host_seconds"] > 0
    assert totals["host_seconds"] == layers[5]["host_seconds"]
    priced = layers[:5]
    for side in ("int8", "equal_elements", "equal_bytes"):
        parts = [x["int8"] if side == "int8" else x["fp32"][side] for x in (*priced, totals)]
        for part in ("arithmetic", "on_chip", "external", "total"):
            *each, whole = (x["energy"][part]["value"] for x in parts)
            assert sum(each) == pytest.approx(whole)
        assert sum(x["cycles"] for x in parts[:-1]) == parts[-1]["cycles"]
    assert totals["int8"]["cycles"] == run["totals"]["cycles"] == totals["fp32"]["equal_elements"]["cycles"]
    assert totals["int8"]["external_bytes"] == run["totals"]["external_bytes"] + run["totals"]["command_bytes"]
    assert document["rates"]["int8"]["inferences_per_second"] == run["totals"]["inferences_per_second"]
    assert document["operand_bandwidth"] == 4
    assert document["accuracy"] == {"int8": None, "fp32": None} and document["measured"] is None
    assert len(document["not_priced"]) == 5 and totals["int8"]["energy"]["idle"] is None
    assert document["curve"]["start"] == 4 and round(document["curve"]["end"], 1) == 15.3


def test_text(model: Path) -> None:
    text = intaglio("compare", model, "--config", "tiny16").out
    for part in (
        "INT8",
        "FP32 (a)",
        "FP32 (b)",
        "inferences/s/W",
        "TOPS/W",
        "Not priced",
        "leakage_sram",
        "16X",
        "15.3X",
        "accuracy: INT8 not evaluated; FP32 not evaluated",
        "host: 1 of 6 operators",
        "answer (Softmax)",
    ):
        assert part in text, part
    assert "System:" not in text


def test_sources(model: Path) -> None:
    alone = intaglio("compare", "--sources")
    assert alone.status == 0
    for entry in load_table().entries.values():
        assert entry.name in alone.out
    assert "Figure 1.1.9" in " ".join(alone.out.split()) and "1300 to 2600" in alone.out
    both = intaglio("compare", model, "--config", "tiny16", "--sources").out
    assert "TOPS/W" in both and "1300 to 2600" in both


def test_a_table_of_ones_own(tmp_path: Path, model: Path) -> None:
    path = write(tmp_path / "mine.yaml", {**with_idle(), "name": "mine"})
    document = compared(model, "--config", "tiny16", "--table", path)
    assert document["table"]["name"] == "mine" and document["not_priced"] == []
    idle = document["totals"]["int8"]["energy"]["idle"]["value"]
    assert idle > 0 and document["totals"]["int8"]["energy"]["total"]["value"] > idle
    text = intaglio("compare", model, "--config", "tiny16", "--table", path).out
    assert "Not priced" not in text and text.count("FP32 (b)") == 5 + 2


def test_refusals(tmp_path: Path, model: Path) -> None:
    content = shipped()
    content["entries"]["int32_add"]["value"] = -1
    bad = write(tmp_path / "bad.yaml", content)
    target = tmp_path / "C.json"
    refused(intaglio("compare", model, "--table", bad, "--json", target), "bad.yaml", "int32_add", "value = -1")
    refused(intaglio("compare", model, "--table", "horowitz"), "horowitz", "horowitz45")
    refused(intaglio("compare"), "give MODEL")
    refused(intaglio("compare", "--sources", "--json", target), "give MODEL")
    refused(intaglio("compare", model, "--float-data", "x.npz"), "--float-model")
    refused(intaglio("compare", model, "--float-model", "x.onnx"), "--data D.npz")
    refused(intaglio("compare", tmp_path / "none.tflite", "--json", target), "none.tflite")
    refused(intaglio("compare", model, "--json", tmp_path / "no" / "C.json"), "there is no folder")
    refused(intaglio("compare", model, "--data", tmp_path / "none.npz", "--json", target), "none.npz")
    assert not target.exists()


def test_accuracy_of_both_sides(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    from intaglio.network.float_network import FloatNetwork
    from training.export_onnx import float_model

    pixels, labels = (array[:40] for array in data.test_set())
    images = data.network_input(pixels)
    int8, fp32 = tmp_path / "nhwc.npz", tmp_path / "nchw.npz"
    np.savez(int8, inputs=images, labels=labels)
    np.savez(fp32, inputs=images.transpose(0, 3, 1, 2), labels=labels)
    network = FloatNetwork.load(data.FLOAT_MODEL)
    onnx.save(float_model(network), tmp_path / "f.onnx")
    found = compared(
        data.MODEL, "--config", "tiny16", "--data", int8, "--float-model", tmp_path / "f.onnx", "--float-data", fp32
    )["accuracy"]
    assert found["fp32"]["correct"] == int((network.logits(images).argmax(axis=1) == labels).sum())
    assert found["int8"]["total"] == found["fp32"]["total"] == 40
    assert 30 <= found["int8"]["correct"] <= 40 and found["int8"]["top5"] >= found["int8"]["top1"]
    np.savez(int8, inputs=images, labels=labels + 20)
    refused(intaglio("compare", data.MODEL, "--data", int8), "nhwc.npz", "label")


@pytest.mark.conformance
@pytest.mark.skipif(not RESNET8.exists(), reason=f"{RESNET8} (conformance data) is missing")
def test_a_measured_system_by_what_the_network_is(tmp_path: Path) -> None:
    copy = tmp_path / "anything.tflite"
    copy.write_bytes(RESNET8.read_bytes())
    system = compared(copy)["measured"]
    assert system["microjoules"] == 2578.969 and "STM32U575" in system["system"] and "v1.2" in system["source"]
    named = tmp_path / RESNET8.name
    small_network(named)
    assert compared(named, "--config", "tiny16")["measured"] is None
