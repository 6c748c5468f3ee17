"""One operator of a .tflite file as a file of its own: its tensors, options and constants as they stand there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from intaglio.network.tflite.file import FileOperator, FileTensor, ModelFile
from intaglio.network.tflite.tensors import Unsupported

MAX_ELEMENTS = 2**26
"""Elements of a tensor that an operator on the host computes or reads at run time."""


def run_time_inputs(model: ModelFile, op: FileOperator) -> list[FileTensor]:
    """The tensors that it reads and that are no constants, each once."""
    read = dict.fromkeys(i for i in op.inputs if i >= 0 and model.tensors[i].data is None)
    return [model.tensors[i] for i in read]


def alone(model: ModelFile, op: FileOperator) -> bytes:
    """A .tflite file of the operator: its run-time inputs and its outputs in their order. Unsupported for tensors that have no
    fixed size, or a very large one, and for what cannot be copied."""
    inputs, outputs = run_time_inputs(model, op), [model.tensors[i] for i in op.outputs]
    for tensor in (*inputs, *outputs):
        if min(tensor.shape, default=1) < 1:
            raise Unsupported(
                tensor.name,
                f"its shape {list(tensor.shape)} is not fixed and positive",
                "export the model with fixed shapes, or leave the operator out and compute it from the network's outputs yourself",
            )
        if math.prod(tensor.shape) > MAX_ELEMENTS:
            raise Unsupported(
                tensor.name,
                f"it has {math.prod(tensor.shape)} elements",
                f"stay at or below {MAX_ELEMENTS} on the host",
            )
    try:
        return _copied(model, op, inputs, outputs)
    except Exception as error:  # the generated code raises anything on damaged bytes
        reason = f"it cannot be read ({type(error).__name__}: {error})"
        raise Unsupported("", reason, "export the model again") from error


def _copied(model: ModelFile, op: FileOperator, inputs: list[FileTensor], outputs: list[FileTensor]) -> bytes:
    from intaglio.network.tflite.contents import AlignedBuffer, finished, schema

    whole = schema.Model.GetRootAs(model.content, 0)
    graph = whole.Subgraphs(0)
    constants = [model.tensors[i] for i in dict.fromkeys(op.inputs) if i >= 0 and model.tensors[i].data is not None]
    order = [*inputs, *outputs, *constants]
    place = {tensor.index: number for number, tensor in enumerate(order)} | {-1: -1}
    buffers: list[Any] = [schema.BufferT()]
    tensors = []
    for tensor in order:
        copy = schema.TensorT.InitFromObj(graph.Tensors(tensor.index))
        copy.shape, copy.shapeSignature = np.array(tensor.shape, np.int32), None
        copy.buffer, copy.externalBuffer = 0, 0
        if tensor.data is not None and tensor.data.size:
            copy.buffer = len(buffers)
            buffers.append(AlignedBuffer(np.frombuffer(tensor.data.tobytes(), np.uint8)))
        tensors.append(copy)
    operator = schema.OperatorT.InitFromObj(graph.Operators(op.index))
    code = schema.OperatorCodeT.InitFromObj(whole.OperatorCodes(operator.opcodeIndex))
    operator.opcodeIndex, operator.intermediates, operator.debugMetadataIndex = 0, None, -1
    operator.inputs = np.array([place[i] for i in op.inputs], np.int32)
    operator.outputs = np.array([place[i] for i in op.outputs], np.int32)
    part = schema.SubGraphT(
        tensors=tensors,
        inputs=np.array([place[t.index] for t in inputs], np.int32),
        outputs=np.array([place[t.index] for t in outputs], np.int32),
        operators=[operator],
    )
    return finished(schema.ModelT(version=whole.Version(), operatorCodes=[code], subgraphs=[part], buffers=buffers))
