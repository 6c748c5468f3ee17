"""The reference that a model file's format has: what `verify` holds the network against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from intaglio.network.graph import Graph
from intaglio.network.onnx.file import is_onnx
from intaglio.network.onnx.oracle import OnnxOracle
from intaglio.network.tflite.oracle import LiteRTOracle


class Oracle(Protocol):
    """name: for reports."""

    name: str

    def run(
        self, inputs: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Every tensor that it computes, by name, as the model file has it. given: the graph's `inexact` tensors, with
        which it goes on instead of its own."""


def oracle_of(path: str | Path, graph: Graph) -> Oracle:
    """onnxruntime for .onnx files, LiteRT's reference kernels for .tflite. graph: of that file."""
    if is_onnx(Path(path)):
        return OnnxOracle(path, graph.inexact)
    return LiteRTOracle(path)
