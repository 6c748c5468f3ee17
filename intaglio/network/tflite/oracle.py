"""LiteRT's own reference kernels as an oracle: every tensor of a .tflite file for given inputs."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np

from intaglio.network.reference import NoReference
from intaglio.network.tflite.file import read_model_file
from intaglio.network.tflite.host import interpreter_of


class LiteRTOracle:
    """Runs a .tflite file with LiteRT's BUILTIN_REF kernels, one thread, nothing fused or delegated. NoReference for a
    file that LiteRT does not take.

    Tensors carry our names (`tflite.file`, unique in the file). preserve_all_tensors keeps every
    intermediate value. A tensor that LiteRT does not allocate (constants without use) is left out, and so
    are constants: the result holds the inputs and what operators compute, the output of a PAD included
    that `load_tflite` folds away.
    """

    name = "LiteRT"

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        model = read_model_file(path)
        try:
            self.interpreter = interpreter_of(model_path=str(path))
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise NoReference(path, f"{self.name} {version('ai-edge-litert')}", error) from error
        computed = {i for op in model.operators for i in op.outputs} | set(model.inputs)
        self.names = {t.index: t.name for t in model.tensors if t.index in computed}
        self.inputs = {model.tensors[i].name: i for i in model.inputs}

    def run(
        self, inputs: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray] | None = None
    ) -> dict[str, np.ndarray]:
        """Every input and computed tensor by name. given: see Oracle; no tensor here is inexact."""
        for name, index in self.inputs.items():
            self.interpreter.set_tensor(index, np.asarray(inputs[name]))
        self.interpreter.invoke()
        return {name: self.interpreter.get_tensor(index) for index, name in self.names.items()}
