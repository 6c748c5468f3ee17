"""onnxruntime sessions: one thread order, no warnings, and faults as one message."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from intaglio.errors import InputError
from intaglio.quantize.model_file import first_line

_LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "integer": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
WARNINGS, FATAL_ONLY = 2, 4
"""Levels of onnxruntime's log; the first is its default."""


def runtime_session(
    model: onnx.ModelProto, path: Path, optimize: str, save_to: Path | None = None
) -> onnxruntime.InferenceSession:
    """A session on the CPU. path: for messages. save_to: writes the optimized model.

    optimize: none; basic (folds constants and batch norm); integer (DequantizeLinear - operator - QuantizeLinear runs as
    one integer kernel where there is one, signed int8 included).
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = _LEVELS[optimize]
    options.log_severity_level = FATAL_ONLY
    if optimize == "integer":
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class but this
        raise InputError(f"{path}: onnxruntime cannot run it ({first_line(error)}); export the model again") from None


def try_out(model: onnx.ModelProto, path: Path, sample: dict[str, np.ndarray]) -> None:
    """InputError where the model cannot compute one sample: shapes that do not fit show only then."""
    session = runtime_session(model, path, "none")
    try:
        session.run(None, sample)
    except Exception as error:
        raise InputError(f"{path}: onnxruntime cannot run it ({first_line(error)}); export the model again") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without what onnxruntime.quantization logs and prints."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    onnxruntime.set_default_logger_severity(FATAL_ONLY)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
        onnxruntime.set_default_logger_severity(WARNINGS)
