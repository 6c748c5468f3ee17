"""Reads a float ONNX file: what can be quantized, with every dimension known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import TensorProto

from intaglio.dataset import InputForm
from intaglio.errors import InputError
from intaglio.files import read_bytes

QUANTIZED = {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
    "QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd", "MatMulNBits", "MatMulBnb4",
    "Quant", "BipolarQuant", "Trunc",
}  # fmt: skip
"""Operators of ONNX, onnxruntime and QONNX that only a quantized model has."""
INPUT_TYPES = {
    TensorProto.FLOAT: np.float32, TensorProto.INT64: np.int64, TensorProto.INT32: np.int32,
    TensorProto.UINT8: np.uint8, TensorProto.INT8: np.int8,
}  # fmt: skip


def read_float_model(path: Path) -> onnx.ModelProto:
    """The model with its weights inside, local functions inlined, and a batch of 1 where the batch is open.

    InputError where the file is no ONNX model, is quantized already, or has an open dimension besides the batch.
    """
    model = _parsed(path)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
        model = onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, OSError, ValueError, RuntimeError, DecodeError) as error:
        raise InputError(f"{path}: not a valid ONNX model ({first_line(error)}); export it again") from None
    found = sorted({node.op_type for node in model.graph.node if node.op_type in QUANTIZED})
    if found:
        raise InputError(f"{path}: is quantized already (it has {', '.join(found)}); give the float model it came from")
    for weight in model.graph.initializer:
        try:
            array = onnx.numpy_helper.to_array(weight)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: weight {weight.name!r} is broken ({first_line(error)}); export it again") from None
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{path}: weight {weight.name!r} holds NaN or infinity; train or export it again")
    _fix_batch(path, model)
    return model


def input_forms(model: onnx.ModelProto) -> dict[str, InputForm]:
    """What the model's inputs take; weights that old files list among the inputs are none."""
    return {
        value.name: InputForm(
            tuple(d.dim_value for d in value.type.tensor_type.shape.dim),
            np.dtype(INPUT_TYPES[value.type.tensor_type.elem_type]),
        )
        for value in real_inputs(model)
    }


def real_inputs(model: onnx.ModelProto) -> list[Any]:
    """The inputs that no initializer sets."""
    weights = {weight.name for weight in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def first_line(error: BaseException) -> str:
    """The first line of a message, at most 200 characters."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _parsed(path: Path) -> onnx.ModelProto:
    remedy = "give a float .onnx file, as torch.onnx.export writes it"
    content = read_bytes(path, remedy)
    if path.suffix.lower() == ".tflite" or content[4:8] == b"TFL3":
        raise InputError(
            f"{path}: is a TensorFlow Lite file, which is quantized when it is made (TFLiteConverter with a "
            f"representative_dataset), not afterwards; quantize there, or {remedy}"
        )
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise InputError(f"{path}: not an ONNX file; {remedy}") from None
    if not model.graph.node:
        raise InputError(f"{path}: not an ONNX file, or one without operators; {remedy}")
    return model


def _fix_batch(path: Path, model: onnx.ModelProto) -> None:
    """Sets an open first dimension to 1 and forgets the shapes that were inferred with it open."""
    inputs = real_inputs(model)
    if not inputs:
        raise InputError(f"{path}: the model has no input; export it again")
    for value in inputs:
        tensor = value.type.tensor_type
        if tensor.elem_type not in INPUT_TYPES or not tensor.HasField("shape"):
            kind = TensorProto.DataType.Name(tensor.elem_type).lower() if tensor.elem_type else "not a tensor"
            raise InputError(
                f"{path}: input {value.name!r} is {kind}; inputs must be float32 (or integer) tensors of a known "
                "rank; export the model in float32"
            )
        dims = list(tensor.shape.dim)
        names = [d.dim_param or "?" for d in dims[1:] if not d.HasField("dim_value") or d.dim_value < 1]
        if names:
            raise InputError(
                f"{path}: input {value.name!r} has open dimensions besides the batch ({', '.join(names)}); hardware is "
                "scheduled for one size: export with fixed sizes (no dynamic_axes but the batch's)"
            )
        if dims and (not dims[0].HasField("dim_value") or dims[0].dim_value < 1):
            dims[0].dim_value = 1
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
