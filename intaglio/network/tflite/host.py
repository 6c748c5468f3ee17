"""Operators behind the array's last one, which LiteRT's reference kernels run on the host, each as a small file of its own."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.extras import install
from intaglio.network.graph import HostOperator, Tensor

HOST_TYPES: dict[str, np.dtype] = {
    "FLOAT32": np.dtype(np.float32),
    "FLOAT16": np.dtype(np.float16),
    "FLOAT64": np.dtype(np.float64),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "INT16": np.dtype(np.int16),
    "UINT16": np.dtype(np.uint16),
    "INT32": np.dtype(np.int32),
    "UINT32": np.dtype(np.uint32),
    "INT64": np.dtype(np.int64),
    "UINT64": np.dtype(np.uint64),
    "BOOL": np.dtype(np.bool_),
}
"""Type in the file of what such operators read and write -> that of the arrays."""
KEPT = 256
"""Operators that stay prepared."""


@dataclass(frozen=True)
class LiteRTHost(HostOperator):
    """model: a .tflite file of this operator alone, its constants in it; its inputs and outputs are the operator's, in
    their order, in the types and shapes of the network's file. operator: its kind there. macs: multiply-accumulates, as
    far as the file's shapes tell."""

    model: bytes
    operator: str
    macs: int = 0

    @property
    def kind(self) -> str:
        return self.operator


def interpreter_of(**source: Any) -> Any:
    """LiteRT's interpreter as every comparison here has it: BUILTIN_REF kernels, one thread, nothing fused or delegated, every
    tensor kept. source: model_path or model_content. InputError names the extra; LiteRT's own exceptions pass."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise InputError(f"the reference needs LiteRT, which is not installed; {install('litert')}") from error
    return Interpreter(
        **source,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )


@functools.lru_cache(maxsize=KEPT)
def _prepared(model: bytes) -> tuple[Any, threading.Lock]:
    """An interpreter, and the lock that a thread holds while it uses its tensors."""
    interpreter = interpreter_of(model_content=model)
    interpreter.allocate_tensors()
    return interpreter, threading.Lock()


def start(op: LiteRTHost) -> None:
    """Prepares what `run` takes."""
    with _told(op):
        _prepared(op.model)


@contextmanager
def _told(op: LiteRTHost) -> Iterator[None]:
    """LiteRT's exceptions as one InputError that names the operator."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"operator {op.name!r} ({op.kind}): LiteRT cannot run it: {' '.join(str(error).split())[:300]}; "
            "remove it from the model"
        ) from error


def run(
    op: LiteRTHost, values: Sequence[np.ndarray], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> list[np.ndarray]:
    """LiteRT's results for the graph's arrays."""
    with _told(op):
        interpreter, lock = _prepared(op.model)
        with lock:
            for at, tensor, value in zip(interpreter.get_input_details(), inputs, values, strict=True):
                interpreter.set_tensor(at["index"], tensor.to_file(value))
            interpreter.invoke()
            results = [interpreter.get_tensor(at["index"]) for at in interpreter.get_output_details()]
    return [tensor.from_file(np.asarray(value)) for tensor, value in zip(outputs, results, strict=True)]
