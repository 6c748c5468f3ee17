"""Accuracy: which labels fit, what is counted, and that it is the hardware's numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intaglio.accuracy import class_axis, evaluate, first_outputs, read_data, read_labelled, score
from intaglio.errors import InputError
from intaglio.machine.config_files import load_config
from intaglio.network import execute, load
from intaglio.session import Session
from tests.cli.command import small_network


def test_counts() -> None:
    outputs = np.array([[[1, 5, 2, 0, 0, 0, 0]], [[9, 5, 9, 0, 0, 0, 0]], [[0, 1, 2, 3, 4, 5, 6]]])
    found = score(outputs, np.array([1, 2, 0]), (-1,), "out")
    assert (found.correct, found.total, found.top1) == (1, 3, 1 / 3)
    assert found.top5 == 2 / 3  # of equal outputs the first is the answer; 0 is only sixth in the last
    assert score(outputs[..., :5], np.array([1, 0, 4]), (-1,), "out").top5 is None


def test_top_five_takes_the_first_of_equals() -> None:
    outputs = np.zeros((1, 1, 8), np.int8)
    outputs[0, 0, 7] = -128
    assert score(outputs, np.array([4]), (-1,), "out").top5 == 1.0
    assert score(outputs, np.array([5]), (-1,), "out").top5 == 0.0


@pytest.mark.parametrize(
    ("labels", "output", "axes", "expected"),
    [
        ((), (1, 10), (-1,), 1),
        ((1,), (1, 10), (-1,), 1),
        ((), (1, 1, 1, 10), (-1,), 3),
        ((), (1, 10, 1, 1), (1, -1), 1),
        ((), (1, 10, 1, 1), (-1,), None),
        ((4, 5), (1, 4, 5, 3), (-1,), 3),
        ((4, 5), (1, 3, 4, 5), (1, -1), 1),
        ((1, 4, 5), (1, 4, 5, 3), (1, -1), 3),
        ((), (1, 4, 5, 3), (-1,), None),
        ((4,), (1, 4, 5, 3), (-1,), None),
        ((), (1, 1), (-1,), None),
        ((), (), (-1,), None),
        ((), (10,), (1, -1), 0),
        ((3,), (3, 10), (-1,), 1),
    ],
)
def test_the_axis_of_the_classes(
    labels: tuple[int, ...], output: tuple[int, ...], axes: tuple[int, ...], expected: int | None
) -> None:
    assert class_axis(labels, output, axes) == expected


def test_places(tmp_path: Path) -> None:
    """A class for each pixel, channels first and last."""
    outputs = np.random.default_rng(3).normal(size=(6, 1, 4, 5, 3))
    labels = outputs[:, 0].argmax(axis=-1)
    labels[0, 0, 0] = (labels[0, 0, 0] + 1) % 3
    for scores, axes in ((outputs, (-1,)), (np.moveaxis(outputs, -1, 2), (1, -1))):
        found = score(scores, labels, axes, "out")
        assert (found.correct, found.total) == (6 * 20 - 1, 6 * 20)


def test_labels_that_do_not_fit() -> None:
    outputs = np.zeros((3, 1, 4))
    for labels, part in (
        (None, "no labels"),
        (np.array([0, 1, 4]), "label 4.*4 classes"),
        (np.array([0, -1, 3]), "label -1"),
        (np.zeros((3, 2), np.int64), r"labels of shape \[2\]"),
    ):
        with pytest.raises(InputError, match=part):
            score(outputs, labels, (-1,), "out")


def test_the_hardware_s_numbers(tmp_path: Path) -> None:
    """Outputs equal the reference executor's, in the samples' order; real numbers are quantized as TFLite does."""
    graph = load(small_network(tmp_path / "small.tflite"))
    session = Session.map(graph, load_config("tiny16"))
    images = np.random.default_rng(1).integers(-128, 128, (20, 6, 6, 3), np.int8)
    expected = np.stack([execute(graph, {"image": image[None]})["classes"] for image in images])
    labels = expected[:, 0].argmax(axis=1)
    labels[:7] = (labels[:7] + 1) % 4
    seen: list[tuple[str, int, int]] = []
    for array in (images, ((images.astype(np.float32) + 3) * np.float32(0.02))[:, None]):
        np.savez(tmp_path / "d.npz", inputs=array, labels=labels)
        data = read_labelled(tmp_path / "d.npz", graph)
        np.testing.assert_array_equal(data.inputs["image"][:, 0], images)
        found = evaluate(session, data, lambda *told: seen.append(told))
        assert (found.correct, found.total, found.top5) == (13, 20, None)
    assert [(done, of) for _, done, of in seen] == [(n, 20) for n in range(1, 21)] * 2
    np.testing.assert_array_equal(first_outputs(session, data), expected)


def test_data_without_labels(tmp_path: Path) -> None:
    graph = load(small_network(tmp_path / "small.tflite"))
    np.savez(tmp_path / "d.npz", inputs=np.zeros((2, 6, 6, 3), np.int8))
    assert read_data(tmp_path / "d.npz", graph).labels is None
    with pytest.raises(InputError, match=r"d\.npz: no labels"):
        read_labelled(tmp_path / "d.npz", graph)
