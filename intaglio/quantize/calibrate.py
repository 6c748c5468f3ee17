"""The range of every activation over the calibration data."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import TensorData, TensorsData, create_calibrator

from intaglio.dataset import Dataset
from intaglio.errors import InputError
from intaglio.quantize.mse import Histogram, best_range
from intaglio.quantize.runtime import quiet

METHODS = ("minmax", "percentile", "entropy", "mse")
RUNTIME_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
SAMPLES_AT_ONCE = 8
"""onnxruntime's histograms hold all activations of so many samples in memory."""

Bar = Callable[[str, int, int], None]


def calibrated(
    model: Path, data: Dataset, method: str, percentile: float, levels: int, op_types: list[str], bar: Bar
) -> TensorsData:
    """(lowest, highest) of each float tensor that an operator of op_types reads or writes.

    minmax, percentile (99.999 keeps all but one value in 100,000) and entropy are onnxruntime's; mse takes the range
    whose quantization to `levels` steps has the least squared error (`mse.best_range`). bar: told of the progress.
    """
    if method != "mse":
        options = {"percentile": percentile, "symmetric": False} if method == "percentile" else {}
        ranges = _by_runtime(model, data, RUNTIME_METHODS[method], options, op_types, f"calibrating ({method})", bar)
    else:
        full = _by_runtime(model, data, CalibrationMethod.MinMax, {}, op_types, "calibrating (extremes)", bar)
        _check(full)
        ranges = _by_error(model, data, full, levels, op_types, bar)
    _check(ranges)
    return ranges


class _Reader:
    """A CalibrationDataReader over some samples."""

    def __init__(self, samples: Iterator[dict[str, np.ndarray]]):
        self._samples = samples

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._samples, None)


def _by_runtime(
    model: Path, data: Dataset, method: CalibrationMethod, options: dict[str, Any], op_types: list[str], what: str, bar: Bar
) -> TensorsData:
    with quiet(), tempfile.TemporaryDirectory(prefix="intaglio.") as folder:
        calibrator = create_calibrator(
            model, op_types, f"{folder}/augmented.onnx", calibrate_method=method, extra_options=options
        )
        for at in range(0, len(data), SAMPLES_AT_ONCE):
            end = min(at + SAMPLES_AT_ONCE, len(data))
            calibrator.collect_data(_Reader(data.sample(i) for i in range(at, end)))
            bar(what, end, len(data))
        return calibrator.compute_data()


def _by_error(
    model: Path, data: Dataset, full: TensorsData, levels: int, op_types: list[str], bar: Bar
) -> TensorsData:
    histograms = {name: Histogram(*(float(end) for end in _ends(entry))) for name, entry in full.items()}
    with quiet(), tempfile.TemporaryDirectory(prefix="intaglio.") as folder:
        calibrator = create_calibrator(
            model, op_types, f"{folder}/augmented.onnx", calibrate_method=CalibrationMethod.Percentile
        )
        names = [output.name for output in calibrator.infer_session.get_outputs()]
        for index in range(len(data)):
            values = dict(zip(names, calibrator.infer_session.run(None, data.sample(index)), strict=True))
            for name, histogram in histograms.items():
                histogram.add(values[name])
            bar("calibrating (histograms)", index + 1, len(data))
    ranges = {}
    for count, (name, histogram) in enumerate(histograms.items()):
        low, high = best_range(*histogram.points(), levels)
        ranges[name] = TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        bar("choosing ranges (mse)", count + 1, len(histograms))
    return TensorsData(CalibrationMethod.MinMax, ranges)


def _ends(entry: TensorData) -> tuple[np.ndarray, np.ndarray]:
    low, high = entry.range_value
    return np.asarray(low).reshape(()), np.asarray(high).reshape(())


def _check(ranges: TensorsData) -> None:
    for name, entry in ranges.items():
        if not all(np.isfinite(end) for end in _ends(entry)):
            raise InputError(f"tensor {name!r} is NaN or infinite for some sample; look at the data and the float model")
