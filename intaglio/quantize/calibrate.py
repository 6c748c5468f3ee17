"""The range of every activation over the calibration data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import CalibraterBase, TensorData, TensorsData, create_calibrator

from intaglio.dataset import Dataset
from intaglio.errors import InputError
from intaglio.quantize.mse import Histogram, best_range
from intaglio.quantize.runtime import quiet
from intaglio.unfinished import temporary_folder

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
    extremes = _extremes(model, data, bar)
    if method == "mse":
        return _by_error(model, data, extremes, levels, op_types, bar)
    options = {"percentile": percentile, "symmetric": False} if method == "percentile" else {}
    with _calibrator(model, RUNTIME_METHODS[method], op_types, options) as calibrator:
        for at in range(0, len(data), SAMPLES_AT_ONCE):
            end = min(at + SAMPLES_AT_ONCE, len(data))
            calibrator.collect_data(_Reader(data.sample(i) for i in range(at, end)))
            bar(f"calibrating ({method})", end, len(data))
        return calibrator.compute_data()


class _Reader:
    """A CalibrationDataReader over some samples."""

    def __init__(self, samples: Iterator[dict[str, np.ndarray]]):
        self._samples = samples

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._samples, None)


@contextmanager
def _calibrator(
    model: Path, method: CalibrationMethod, op_types: list[str] | None, options: dict[str, Any]
) -> Iterator[CalibraterBase]:
    with quiet(), temporary_folder() as folder:
        yield create_calibrator(
            model, op_types, f"{folder}/augmented.onnx", calibrate_method=method, extra_options=options
        )


def _values(
    model: Path, data: Dataset, op_types: list[str] | None, what: str, bar: Bar
) -> Iterator[dict[str, np.ndarray]]:
    """For each sample, the float tensors that operators of op_types (None: all) read or write, by name."""
    with _calibrator(model, CalibrationMethod.Percentile, op_types, {}) as calibrator:
        session, wanted = calibrator.infer_session, calibrator.tensors_to_calibrate
        names = [output.name for output in session.get_outputs() if output.name in wanted]
        for index in range(len(data)):
            yield dict(zip(names, session.run(names, data.sample(index)), strict=True))
            bar(what, index + 1, len(data))


def _extremes(model: Path, data: Dataset, bar: Bar) -> dict[str, tuple[float, float]]:
    """(least, greatest) of every float tensor; InputError for the first that is not finite."""
    found: dict[str, tuple[float, float]] = {}
    order = [name for node in onnx.load(model).graph.node for name in (*node.input, *node.output)]
    for index, values in enumerate(_values(model, data, None, "looking at the values", bar)):
        for name in order:
            if name not in values or not values[name].size:
                continue
            if not np.isfinite(values[name]).all():
                raise InputError(
                    f"tensor {name!r} is NaN or infinite in the float model for sample {index}; leave that sample out, "
                    "or look at the model"
                )
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    return found


def _by_error(
    model: Path, data: Dataset, extremes: dict[str, tuple[float, float]], levels: int, op_types: list[str], bar: Bar
) -> TensorsData:
    histograms: dict[str, Histogram] = {}
    for values in _values(model, data, op_types, "calibrating (mse)", bar):
        for name, array in values.items():
            if name in extremes:
                histograms.setdefault(name, Histogram(*extremes[name])).add(array)
    ranges = {}
    for count, (name, histogram) in enumerate(sorted(histograms.items())):
        low, high = best_range(*histogram.points(), levels)
        ranges[name] = TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        bar("choosing ranges (mse)", count + 1, len(histograms))
    return TensorsData(CalibrationMethod.MinMax, ranges)
