"""One operator of a .tflite file as a file of its own: its tensors, options and constants as they stand there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.network.tflite.file import FileOperator, FileTensor, ModelFile
from intaglio.network.tflite.tensors import Unsupported

MAX_ELEMENTS = 2**26
"""Elements of a tensor that an operator on the host computes or reads at run time, and of all that those of a file do."""


def run_time_inputs(model: ModelFile, ops: Sequence[FileOperator]) -> list[FileTensor]:
    """The tensors that operators read and that neither are constants nor made by one of them, each once."""
    made = {i for op in ops for i in op.outputs}
    read = dict.fromkeys(i for op in ops for i in op.inputs if i >= 0 and i not in made)
    return [model.tensors[i] for i in read if model.tensors[i].data is None]


def results(model: ModelFile, ops: Sequence[FileOperator]) -> list[FileTensor]:
    """The outputs of the last operator."""
    return [model.tensors[i] for i in ops[-1].outputs]


def alone(model: ModelFile, ops: Sequence[FileOperator]) -> bytes:
    """A .tflite file of the last operator, the ones before it make constants for it: their run-time inputs, and its outputs in
    their order. Unsupported for tensors that have no fixed size, or a very large one, and for what cannot be copied."""
    inputs, outputs = run_time_inputs(model, ops), results(model, ops)
    for tensor in (*inputs, *outputs):
        if min(tensor.shape, default=1) < 1:
            raise Unsupported(
                tensor.name,
                f"its shape {list(tensor.shape)} is not fixed and positive",
                "export the model with fixed shapes, or leave the operator out and compute it from the network's outputs yourself",
            )
        if math.prod(tensor.shape) > MAX_ELEMENTS:
            reason = f"it has {math.prod(tensor.shape)} elements"
            raise Unsupported(tensor.name, reason, f"stay at or below {MAX_ELEMENTS} on the host")
    try:
        return _copied(model, ops, inputs, outputs)
    except Exception as error:  # the generated code raises anything on damaged bytes
        reason = f"it cannot be read ({type(error).__name__}: {error})"
        raise Unsupported("", reason, "export the model again") from error


def _copied(
    model: ModelFile, ops: Sequence[FileOperator], inputs: Sequence[FileTensor], outputs: Sequence[FileTensor]
) -> bytes:
    from intaglio.network.tflite.contents import AlignedBuffer, finished, schema

    whole = schema.Model.GetRootAs(model.content, 0)
    graph = whole.Subgraphs(0)
    first = [tensor.index for tensor in (*inputs, *outputs)]
    order = dict.fromkeys([*first, *(i for op in ops for i in (*op.inputs, *op.outputs) if i >= 0)])
    place = {index: number for number, index in enumerate(order)} | {-1: -1}
    buffers: list[Any] = [schema.BufferT()]
    tensors = []
    for index in order:
        tensor, copy = model.tensors[index], schema.TensorT.InitFromObj(graph.Tensors(index))
        copy.shape, copy.shapeSignature = np.array(tensor.shape, np.int32), None
        copy.buffer, copy.externalBuffer = 0, 0
        if tensor.data is not None and tensor.data.size:
            copy.buffer = len(buffers)
            buffers.append(AlignedBuffer(np.frombuffer(tensor.data.tobytes(), np.uint8)))
        tensors.append(copy)
    operators: list[Any] = []
    codes = []
    for op in ops:
        operator = schema.OperatorT.InitFromObj(graph.Operators(op.index))
        codes.append(schema.OperatorCodeT.InitFromObj(whole.OperatorCodes(operator.opcodeIndex)))
        operator.opcodeIndex, operator.intermediates, operator.debugMetadataIndex = len(operators), None, -1
        operator.inputs = np.array([place[i] for i in op.inputs], np.int32)
        operator.outputs = np.array([place[i] for i in op.outputs], np.int32)
        operators.append(operator)
    part = schema.SubGraphT(
        tensors=tensors,
        inputs=np.array([place[t.index] for t in inputs], np.int32),
        outputs=np.array([place[t.index] for t in outputs], np.int32),
        operators=operators,
    )
    return finished(schema.ModelT(version=whole.Version(), operatorCodes=codes, subgraphs=[part], buffers=buffers))
