"""LiteRT's results of one operator for rows of numbers, while a file is read: what tables and lines by channel are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from intaglio.network.tflite.host import interpreter_of
from intaglio.network.tflite.tensors import Unsupported

CODES = np.arange(-128, 128)
"""Every value of the graph's integers."""


@contextmanager
def computed(name: str) -> Iterator[None]:
    """LiteRT's exceptions as a refusal that names the tensor."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        reason = f"LiteRT cannot compute it: {' '.join(str(error).split())[:300]}"
        raise Unsupported(name, reason, "export the model again") from error


def runner(content: bytes, shape: Sequence[int], offset: int) -> Callable[[np.ndarray], np.ndarray]:
    """An operator as a function of the graph's integers, int [elements] -> int8 [elements]. content: a file of it alone, of one
    input and one output, which get this shape. offset: of the file's integers. LiteRT's exceptions pass."""
    from intaglio.network.tflite.contents import finished, schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (graph,) = model.subgraphs
    for index in (*graph.inputs, *graph.outputs):
        graph.tensors[index].shape = np.array(shape, np.int32)
    interpreter = interpreter_of(model_content=finished(model))
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(values: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(given["index"], (values + offset).astype(given["dtype"]).reshape(shape))
        interpreter.invoke()
        results = interpreter.get_tensor(found["index"]).reshape(-1).astype(np.int64) - offset
        return np.asarray(results, np.int8)

    return run
