"""Reads a float ONNX file: what can be quantized, with every dimension known."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from intaglio.dataset import InputForm
from intaglio.errors import InputError, RefusedError
from intaglio.network import has_tflite_identifier
from intaglio.network.onnx.model import check, parsed, plain, quantized_operators

INPUT_TYPES = {
    TensorProto.FLOAT: np.float32,
    TensorProto.INT64: np.int64,
    TensorProto.INT32: np.int32,
    TensorProto.UINT8: np.uint8,
    TensorProto.INT8: np.int8,
}


def read_float_model(path: Path, notes: list[str] | None = None) -> onnx.ModelProto:
    """The model with its weights inside, local functions inlined, and a batch of 1 where the batch is open.

    InputError where the file is no ONNX model, is quantized already, or has an open dimension besides the batch. notes: a
    list to which is added what was assumed.
    """
    model = _parsed(path)
    if found := quantized_operators(model):
        raise InputError(f"{path}: is quantized already (it has {', '.join(found)}); give the float model it came from")
    told, faults = plain(path, model)
    if faults:
        raise RefusedError(f"{path}: cannot be quantized:", faults)
    if notes is not None:
        notes += told
    check(path, model)
    for weight in model.graph.initializer:
        try:
            array = onnx.numpy_helper.to_array(weight)
        except Exception as error:  # damaged data raise anything
            raise InputError(
                f"{path}: weight {weight.name!r} is broken ({first_line(error)}); export it again"
            ) from None
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{path}: weight {weight.name!r} holds NaN or infinity; train or export it again")
    _check_ends(path, model)
    return model


def input_forms(model: onnx.ModelProto) -> dict[str, InputForm]:
    """The forms of the model's inputs, by name."""
    return {
        value.name: InputForm(
            tuple(d.dim_value for d in value.type.tensor_type.shape.dim),
            np.dtype(INPUT_TYPES[value.type.tensor_type.elem_type]),
        )
        for value in model.graph.input
    }


def first_line(error: BaseException) -> str:
    """The first line of a message, at most 200 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _parsed(path: Path) -> onnx.ModelProto:
    remedy = "give a float .onnx file, as torch.onnx.export writes it"
    with contextlib.suppress(OSError, ValueError):
        if path.suffix.lower() == ".tflite" or (path.is_file() and has_tflite_identifier(path)):
            raise InputError(
                f"{path}: is a TensorFlow Lite file, which is quantized when it is made (TFLiteConverter with a "
                f"representative_dataset), not afterwards; quantize there, or {remedy}"
            )
    model: onnx.ModelProto = parsed(path, remedy)
    return model


def _check_ends(path: Path, model: onnx.ModelProto) -> None:
    """Refuses inputs of other types, and outputs that nothing computes or that are named twice."""
    inputs = [value.name for value in model.graph.input]
    if not inputs:
        raise InputError(f"{path}: the model has no input; export it again")
    if not model.graph.output:
        raise InputError(f"{path}: the model has no output; export it again")
    for value in model.graph.input:
        kind = value.type.tensor_type.elem_type
        if kind not in INPUT_TYPES:
            named = TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else f"type {kind}"
            raise InputError(
                f"{path}: input {value.name!r} is {named}; inputs must be float32 (or integer) tensors; export the model in float32"
            )
    computed = {name for node in model.graph.node for name in node.output}
    for value in model.graph.output:
        if value.name not in computed:
            what = "an input" if value.name in inputs else "a constant"
            raise InputError(
                f"{path}: output {value.name!r} is {what} of the model, nothing computes it; remove it from the outputs"
            )
    outputs = [value.name for value in model.graph.output]
    if len(set(outputs)) < len(outputs):
        raise InputError(f"{path}: an output is named twice ({', '.join(outputs)}); name it once")
