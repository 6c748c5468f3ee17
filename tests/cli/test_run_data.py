"""`intaglio run --data`: accuracy in the report, and faults of the data before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from intaglio.network import execute, load
from tests.cli.command import intaglio, small_network, validate
from tests.cli.test_broken_inputs import refused

IMAGES = np.random.default_rng(2).integers(-128, 128, (15, 6, 6, 3), np.int8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return small_network(tmp_path / "small.tflite")


def test_accuracy_in_the_report(tmp_path: Path, model: Path) -> None:
    graph = load(model)
    answers = np.array([execute(graph, {"image": image[None]})["classes"].argmax() for image in IMAGES])
    answers[:4] = (answers[:4] + 1) % 4
    np.savez(tmp_path / "D.npz", inputs=IMAGES, labels=answers)
    done = intaglio("run", model, "--config", "tiny16", "--data", tmp_path / "D.npz", "--json", tmp_path / "R.json")
    assert done.status == 0, done.err
    report = json.loads((tmp_path / "R.json").read_text())
    validate(report, "run")
    found = report["accuracy"]
    assert (found["correct"], found["total"], found["top1"], found["top5"]) == (11, 15, 11 / 15, None)
    assert "accuracy: 11 of 15 right, 73.33 %" in done.out
    plain = json.loads(intaglio("run", model, "--config", "tiny16", "--json", "-").out)
    assert "accuracy" not in plain and plain["totals"]["cycles"] == report["totals"]["cycles"]


def test_data_that_does_not_fit(tmp_path: Path, model: Path) -> None:
    labels = np.arange(15) % 4
    cases: dict[str, tuple[dict[str, np.ndarray], list[str]]] = {
        "no labels": ({"inputs": IMAGES}, ["no labels"]),
        "other shape": ({"inputs": IMAGES[:, :5], "labels": labels}, ["[15, 5, 6, 3]", "[N, 6, 6, 3]"]),
        "label beyond": ({"inputs": IMAGES, "labels": labels + 1}, ["label 4", "4 classes"]),
        "unsigned": ({"inputs": IMAGES.view(np.uint8), "labels": labels}, ["uint8", "give real numbers"]),
        "pixels": ({"inputs": IMAGES, "labels": np.zeros((15, 6, 6), int)}, ["[6, 6]", "do not fit", "'classes'"]),
    }
    for arrays, parts in cases.values():
        np.savez(tmp_path / "D.npz", **arrays)
        refused(intaglio("run", model, "--data", tmp_path / "D.npz", "--json", tmp_path / "R.json"), "D.npz", *parts)
    refused(intaglio("run", model, "--data", tmp_path / "no.npz"), "no.npz", "No such file")
    assert not (tmp_path / "R.json").exists()


def test_a_network_without_classes(tmp_path: Path) -> None:
    """Its output is a picture: labels for each place fit, one for each sample do not."""
    from intaglio.network.tflite.write import TfliteBuilder

    builder = TfliteBuilder("pixels")
    x = builder.input((1, 4, 5, 3), 0.1, 0, "image")
    weights = np.random.default_rng(0).integers(-127, 128, (3, 1, 1, 3)).astype(np.int8)
    y = builder.conv2d(x, weights, np.zeros(3, np.int32), np.full(3, 0.01, np.float32), 0.1, 0, name="map")
    path = tmp_path / "pixels.tflite"
    builder.write(path, [y])
    images = np.random.default_rng(1).integers(-128, 128, (3, 4, 5, 3), np.int8)
    graph = load(path)
    labels = np.stack([execute(graph, {"image": image[None]})["map"][0].argmax(axis=-1) for image in images])
    np.savez(tmp_path / "D.npz", inputs=images, labels=labels)
    assert "accuracy: 60 of 60 right" in intaglio("run", path, "--data", tmp_path / "D.npz").out
    np.savez(tmp_path / "D.npz", inputs=images, labels=labels[:, 0, 0])
    refused(intaglio("run", path, "--data", tmp_path / "D.npz"), "one integer a sample", "[1, 4, 5, 3]")
