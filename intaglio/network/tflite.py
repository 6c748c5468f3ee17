"""Reads a quantized .tflite file into the integer graph, by the format's rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from intaglio.errors import InputError
from intaglio.network.graph import Graph, Quantization, Tensor
from intaglio.network.tflite_file import FileOperator, FileTensor, ModelFile, read_model_file
from intaglio.network.tflite_ops import RULES, foldable_pads
from intaglio.network.tflite_tensors import Refusal, Scope, activation, checked_quantization, run_time


def load_tflite(path: str | Path) -> Graph:
    """The graph of a .tflite file, every tensor that is computed in it under the file's name.

    The result equals LiteRT's BUILTIN_REF on every input (see graph.notes for exceptions, if any). A file
    that cannot be read, or any operator that is not supported, gives one InputError that lists it all.
    """
    path = Path(path)
    model = read_model_file(path)
    scope = Scope(model, foldable_pads(model), [])
    operators, refusals = [], []
    for op in model.operators:
        try:
            if op.code not in RULES:
                raise Refusal(
                    "", "this operator is not supported", f"use operators out of {', '.join(RULES)}"
                )
            converted = RULES[op.code](scope, op)
        except Refusal as refusal:
            refusals.append(describe(model, op, refusal))
        else:
            if converted is not None:
                operators.append(converted)
    for i in model.inputs:
        try:
            check_input(model.tensors[i])
        except Refusal as refusal:
            refusals.append(f"  input {refusal.tensor!r}: {refusal.reason}; {refusal.remedy}")
    if refusals:
        raise InputError(
            f"{path}: {len(refusals)} of its {len(model.operators)} operators and {len(model.inputs)} inputs "
            "cannot be imported:\n" + "\n".join(refusals)
        )
    used = {name for op in operators for name in (*op.inputs, *op.outputs)}
    used |= {model.tensors[i].name for i in model.inputs + model.outputs}
    return Graph(
        path.stem,
        {t.name: graph_tensor(t) for t in model.tensors if t.name in used},
        tuple(model.tensors[i].name for i in model.inputs),
        tuple(model.tensors[i].name for i in model.outputs),
        operators,
        scope.notes,
    )


def describe(model: ModelFile, op: FileOperator, refusal: Refusal) -> str:
    """One line for a person: operator, tensor, reason, remedy."""
    name = model.tensors[op.outputs[0]].name
    tensor = f"tensor {refusal.tensor!r}: " if refusal.tensor else ""
    return f"  #{op.index} {op.code} {name!r}: {tensor}{refusal.reason}; {refusal.remedy}"


def check_input(tensor: FileTensor) -> None:
    """Refuses a network input that is neither int8 nor float32; operators check what they read themselves."""
    if tensor.type == "FLOAT32":
        run_time(tensor, "FLOAT32")
    else:
        activation(tensor)


def graph_tensor(tensor: FileTensor) -> Tensor:
    """A run-time tensor; the rules have checked those that operators touch."""
    quantization: Quantization | None = None
    dtype: np.dtype = np.dtype(np.float32)
    if tensor.type == "INT8":
        dtype = np.dtype(np.int8)
        quantization = checked_quantization(tensor)
    return Tensor(tensor.name, tensor.shape, dtype, quantization)
