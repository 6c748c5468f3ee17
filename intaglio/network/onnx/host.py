"""Nodes at the network's edges that onnxruntime itself runs on the host, each as a small model of its own."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.extras import install
from intaglio.network.graph import HostOperator, Tensor
from intaglio.network.onnx.file import MAX_ELEMENTS, Node, OnnxFile, onnx_module
from intaglio.network.onnx.values import Unsupported


@dataclass(frozen=True)
class OnnxHost(HostOperator):
    """model: the serialized ModelProto, its inputs and outputs named as the operator's, in the file's types, shapes
    and layout. operator: what the nodes are, for reports."""

    model: bytes
    operator: str

    @property
    def kind(self) -> str:
        return self.operator


def runtime_module() -> Any:
    """onnxruntime, or an InputError that names the extra."""
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"onnxruntime is not installed; {install('onnx')}") from error
    return onnxruntime


def session_of(model: bytes, optimized: Path | None = None) -> Any:
    """An onnxruntime session as every comparison here has it: CPU, one thread, ORT_ENABLE_EXTENDED, int8 allowed.

    optimized: where it writes the model that it really runs. The exceptions of onnxruntime pass.
    """
    runtime = runtime_module()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@functools.lru_cache(maxsize=64)
def _session(model: bytes) -> Any:
    return session_of(model)


def host_operator(file: OnnxFile, nodes: Sequence[Node], inputs: Sequence[str], outputs: Sequence[str]) -> OnnxHost:
    """The nodes as one operator; inputs: run-time values, the rest of what they read are constants."""
    onnx = onnx_module()
    last = nodes[-1]
    made = {name for node in nodes for name in node.outputs}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name and name not in made)
    for name in (*inputs, *outputs):
        if name not in file.types or name not in file.shapes:
            raise Unsupported(
                f"the shape of {name!r} is not known before it runs", "export the model with fixed shapes"
            )
        if math.prod(file.shapes[name]) > MAX_ELEMENTS:
            raise Unsupported(f"{name!r} has shape {list(file.shapes[name])}", f"use at most {MAX_ELEMENTS} elements")
    values = {
        name: onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(file.types[name]), file.shapes[name]
        )
        for name in (*inputs, *outputs)
    }
    graph = onnx.helper.make_graph(
        [node.proto for node in nodes],
        last.outputs[0],
        [values[name] for name in inputs],
        [values[name] for name in outputs],
        [onnx.numpy_helper.from_array(file.constants[name], name) for name in read if name not in inputs],
    )
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in file.opsets.items()]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    name = outputs[0]
    kinds = "+".join(n.op for n in nodes if n.op not in ("QuantizeLinear", "DequantizeLinear")) or last.op
    return OnnxHost(name, tuple(inputs), tuple(outputs), model.SerializeToString(), kinds)


def start(op: OnnxHost) -> None:
    """Makes the session that `run` takes."""
    with _told(op):
        _session(op.model)


@contextmanager
def _told(op: OnnxHost) -> Iterator[None]:
    """onnxruntime's exceptions as one InputError that names the operator."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # they have no common base
        raise InputError(
            f"operator {op.name!r} ({op.kind}): onnxruntime cannot run it: {' '.join(str(error).split())[:300]}; "
            "remove it from the model"
        ) from error


def run(
    op: OnnxHost, values: Sequence[np.ndarray], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> list[np.ndarray]:
    """onnxruntime's results for the graph's arrays, as the graph holds them."""
    given: Mapping[str, np.ndarray] = {
        tensor.name: tensor.to_file(value) for tensor, value in zip(inputs, values, strict=True)
    }
    with _told(op):
        results = _session(op.model).run(list(op.outputs), given)
    return [tensor.from_file(np.asarray(value)) for tensor, value in zip(outputs, results, strict=True)]
