"""Ranges of least squared error, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from intaglio.quantize.mse import BINS, Histogram, best_range


def error(values: np.ndarray, low: float, high: float, levels: int) -> float:
    """Of the values themselves, quantized as ONNX does."""
    scale = (high - low) / levels or 1.0
    zero_point = np.rint(-low / scale)
    integers = np.clip(np.rint(values / scale) + zero_point, 0, levels)
    return float((((integers - zero_point) * scale - values) ** 2).sum())


def distributions(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    normal = random.normal(0, 1, 20000)
    return {
        "normal": normal,
        "outlier": np.append(normal, [40.0]),
        "low outlier": np.append(np.abs(normal), [-25.0]),
        "relu": np.maximum(normal, 0),
        "laplace": random.laplace(0.3, 1, 20000),
        "negative": -np.abs(normal),
        "pixels": random.integers(0, 256, 20000) / 255,
        "one value": np.full(10, 0.7),
    }


def chosen(values: np.ndarray, levels: int) -> tuple[float, float]:
    histogram = Histogram(float(values.min()), float(values.max()))
    for part in np.array_split(values, 7):
        histogram.add(part)
    return best_range(*histogram.points(), levels)


@pytest.mark.parametrize("name", distributions(0))
@pytest.mark.parametrize("levels", [15, 255])
def test_as_good_as_brute_force(name: str, levels: int) -> None:
    values = distributions(0)[name]
    low, high = chosen(values, levels)
    ends = min(values.min(), 0.0), max(values.max(), 0.0)
    assert ends[0] - 1e-9 <= low <= 0 <= high <= ends[1] + 1e-9
    found = error(values, low, high, levels)
    assert found <= error(values, *ends, levels) * 1.001 + 1e-12
    shares = np.arange(1, 33) / 32
    best = min(error(values, a * ends[0], b * ends[1], levels) for a in shares for b in shares)
    assert found <= best * 1.02 + 1e-12, (found, best)


def test_an_outlier_is_clipped_where_that_pays() -> None:
    values = distributions(1)["outlier"]
    assert chosen(values, 15)[1] < 20
    few = np.append(np.full(3, 0.5), [40.0])
    assert chosen(few, 255)[1] > 39


def test_zeros_only() -> None:
    histogram = Histogram(0.0, 0.0)
    histogram.add(np.zeros(5))
    assert histogram.counts.sum() == 0 and best_range(*histogram.points(), 255) == (0.0, 0.0)


def test_histogram_counts_all_but_zeros() -> None:
    values = np.random.default_rng(4).normal(0, 1, 5000).round(2)
    histogram = Histogram(float(values.min()), float(values.max()))
    histogram.add(values.reshape(50, 100))
    points, counts = histogram.points()
    assert counts.sum() == np.count_nonzero(values) and len(points) <= BINS
    np.testing.assert_allclose((points * counts).sum(), values.sum(), atol=1e-6)
