"""Networks as integer graphs: importers, the exact integer arithmetic, the reference executor."""

from __future__ import annotations

from pathlib import Path

from intaglio.errors import InputError
from intaglio.files import first_bytes
from intaglio.network.execute import check_inputs, execute, extreme_inputs, random_inputs
from intaglio.network.graph import Graph
from intaglio.network.onnx.file import is_onnx
from intaglio.network.onnx.importer import load_onnx, survey_onnx
from intaglio.network.survey import Survey
from intaglio.network.tflite.importer import load_tflite, survey_tflite

__all__ = [
    "Graph",
    "check_inputs",
    "execute",
    "extreme_inputs",
    "load",
    "load_onnx",
    "load_tflite",
    "random_inputs",
    "survey",
]


def load(path: str | Path) -> Graph:
    """The graph of a model file, by its suffix; a file without one is taken for what its bytes say. InputError for a
    file that cannot be read; RefusedError (with every operator at once) for a network that is not supported."""
    return survey(path).accepted(path)


def survey(path: str | Path) -> Survey:
    """As load, but what is not supported stands beside the rest, without an error."""
    path = Path(path)
    if is_onnx(path):
        return survey_onnx(path)
    if path.suffix.lower() == ".tflite" or not path.is_file() or has_tflite_identifier(path):
        return survey_tflite(path)
    raise InputError(f"{path}: neither a .tflite nor an .onnx file, by its content; give a quantized model")


def has_tflite_identifier(path: Path) -> bool:
    """True if the file has TensorFlow Lite's mark at byte 4."""
    return first_bytes(path, 8)[4:] == b"TFL3"
