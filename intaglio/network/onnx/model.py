"""An .onnx file as a ModelProto in the plain form that the importer reads: damage is one InputError, what is valid and
not supported a list of refusals."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError, Refusal
from intaglio.files import read_bytes
from intaglio.network.onnx.external import read_external
from intaglio.network.onnx.file import MAX_ELEMENTS, MAX_FOLDED, QUANTIZED, broken, onnx_module

OLDEST_OPSET = 7
"""The oldest that onnxruntime, the reference, takes."""
MAX_BYTES = 2**31 - 1
"""protobuf's limit for one message."""
PACKED_BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
"""Types with several elements a byte."""
QUANTIZED_FORMS = {
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "DynamicQuantizeMatMul",
    "ConvInteger",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "QGemm",
    "QAttention",
    "MatMulNBits",
    "MatMulBnb4",
    "Quant",
    "IntQuant",
    "FloatQuant",
    "BipolarQuant",
    "Trunc",
    "MultiThreshold",
}
"""Operators of ONNX, onnxruntime and QONNX that only a quantized model has, beside those that begin with QLinear."""


def quantized_operators(model: Any) -> list[str]:
    """The kinds of a model's operators that only a quantized one has, sorted."""
    kinds = {node.op_type for node in model.graph.node}
    return sorted(kind for kind in kinds if kind in QUANTIZED_FORMS or kind.startswith("QLinear"))


def parsed(path: Path, give: str) -> Any:
    """The file's ModelProto with external data read into it, and no constant that claims more than the file holds.
    InputError otherwise. give: the remedy for what is no ONNX file, 'give ...'."""
    onnx = onnx_module()
    data = read_bytes(path, give)
    remedy = f"{give}, or export the model again, or download it again if it was cut"
    if len(data) > MAX_BYTES:
        raise broken(path, f"it has {len(data)} bytes", "keep the file below 2 GB (external data)")
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:
        raise broken(path, f"its bytes are no protobuf message ({type(error).__name__})", remedy) from error
    if not _is_text(model):
        raise broken(path, "a name in it is not UTF-8")
    if not data or not (model.graph.node or model.graph.output):
        raise broken(path, "the file is empty" if not data else "it has no nodes", remedy)
    left = MAX_BYTES
    for tensor in _tensors(model):
        left -= _check_tensor(path, tensor, left)
    return model


def plain(path: Path, model: Any) -> tuple[list[str], list[Refusal]]:
    """Brings a model of any producer into one form: functions inlined, constants dense and no inputs, a batch of 1
    where it is open. (notes, refusals of inputs and of the whole network); shapes of outputs are removed, since the
    batch is in them."""
    notes: list[str] = []
    faults = _versions(path, model)
    _inline(path, model)
    faults += _dense(path, model)
    _import_domains(model)
    _drop_constant_inputs(model, notes)
    for value in model.graph.input:
        faults += _fix_batch(path, value, notes)
    del model.graph.value_info[:]
    for value in model.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    return notes, faults


def check(path: Path, model: Any) -> None:
    """onnx's own checker on a plain model; InputError for what it finds."""
    onnx = onnx_module()
    model.ir_version = max(model.ir_version, 4)  # before 4, initializers had to be inputs too
    model.graph.name = model.graph.name or "graph"
    del model.metadata_props[:]
    _type_outputs(model)
    for value in model.graph.output:  # onnxruntime does without shapes, onnx's checker does not
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise broken(path, f"onnx's checker says: {error}") from error
    for value in model.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")


def _type_outputs(model: Any) -> None:
    """Types of outputs that the file leaves open, which onnxruntime infers too."""
    onnx = onnx_module()
    if all(value.type.WhichOneof("value") and value.type.tensor_type.elem_type for value in model.graph.output):
        return
    with contextlib.suppress(Exception):  # the checker tells what is wrong then
        bare = type(model).FromString(model.SerializeToString())
        del bare.graph.output[:]
        found = {v.name: v.type for v in onnx.shape_inference.infer_shapes(bare).graph.value_info}
        for value in model.graph.output:
            if value.name in found and not value.type.tensor_type.elem_type:
                value.type.tensor_type.elem_type = found[value.name].tensor_type.elem_type


def opset_of(model: Any) -> int:
    """The version of ONNX's own operators, 0 where the file names none."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def _versions(path: Path, model: Any) -> list[Refusal]:
    onnx = onnx_module()
    newest, opset = onnx.defs.onnx_opset_version(), opset_of(model)
    faults = []
    if model.ir_version > onnx.IR_VERSION:
        reason = f"its IR version is {model.ir_version}; onnx {onnx.__version__} reads up to {onnx.IR_VERSION}"
        faults.append(Refusal(path.stem, "network", reason, "export it with an older onnx"))
    if opset > newest:
        reason = f"its opset is {opset}; onnx {onnx.__version__} knows up to {newest}"
        faults.append(Refusal(path.stem, "network", reason, f"export it with opset 13 to {newest}"))
    elif opset < OLDEST_OPSET:
        reason = f"its opset is {opset}; onnxruntime, the reference, takes {OLDEST_OPSET} and later"
        faults.append(Refusal(path.stem, "network", reason, f"export it with opset 13 to {newest}"))
    if not faults and (node := next(filter(partial(_too_new, opset), model.graph.node), None)):
        what = (
            "QuantizeLinear and DequantizeLinear exist since opset 10"
            if opset < 10
            else "scales along an axis exist since opset 13"
        )
        reason = f"{what}, and its opset is {opset} (node {node.name or node.output[0]!r})"
        faults.append(Refusal(path.stem, "network", reason, f"export it with opset 13 to {newest}"))
    return faults


def _too_new(opset: int, node: Any) -> bool:
    """True if an operator that quantizes is not in the opset that the file names."""
    if node.op_type not in QUANTIZED or node.domain not in ("", "ai.onnx"):
        return False
    return opset < 10 or (opset < 13 and any(attribute.name == "axis" for attribute in node.attribute))


def _inline(path: Path, model: Any) -> None:
    """Functions of the file's own in place of their calls."""
    if not model.functions:
        return
    calls = {(f.domain, f.name): {(node.domain, node.op_type) for node in _nodes(f.node)} for f in model.functions}
    done: set[tuple[str, str]] = set()
    while leaves := {key for key, called in calls.items() if key not in done and not (called & calls.keys()) - done}:
        done |= leaves
    if done != calls.keys():
        raise broken(path, f"its function {min(calls.keys() - done)[1]!r} calls itself")
    import onnx.inliner

    try:
        model.CopyFrom(onnx.inliner.inline_local_functions(model))
    except Exception as error:
        raise broken(path, f"its functions cannot be inlined ({error})") from error


def _nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    """Nodes, and those of their subgraphs."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def _dense(path: Path, model: Any) -> list[Refusal]:
    """Sparse constants as dense ones."""
    onnx = onnx_module()
    faults = []
    for sparse in model.graph.sparse_initializer:
        name = sparse.values.name
        if math.prod(sparse.dims) > MAX_FOLDED or min(sparse.dims, default=1) < 0:
            reason = f"its sparse constant {name!r} has shape {list(sparse.dims)}"
            faults.append(Refusal(path.stem, "network", reason, "store it dense"))
            continue
        try:
            values, places = onnx.numpy_helper.to_array(sparse.values), onnx.numpy_helper.to_array(sparse.indices)
            array = np.zeros(tuple(sparse.dims), values.dtype)
            index = places if places.ndim == 1 else np.ravel_multi_index(tuple(places.T), array.shape)
            array.reshape(-1)[index] = values
        except Exception as error:  # whatever damaged indices raise
            raise broken(path, f"its sparse constant {name!r} cannot be read ({error})") from error
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    del model.graph.sparse_initializer[:]
    return faults


def _import_domains(model: Any) -> None:
    """Names each domain once, ONNX's own '', and those of custom operators too, as onnx's checker wants it; QONNX's
    files do not."""
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain not in ("", "ai.onnx")}
    versions |= {"": opset_of(model)}
    for domain in {node.domain for node in _nodes(model.graph.node)} - {"ai.onnx"}:
        versions.setdefault(domain, 1)
    del model.opset_import[:]
    for domain, version in sorted(versions.items()):
        model.opset_import.add(domain=domain, version=version)


def _drop_constant_inputs(model: Any, notes: list[str]) -> None:
    """Constants that the file lists among the inputs: before IR version 4 it had to, since then they are default
    values."""
    constants = {tensor.name for tensor in model.graph.initializer}
    kept = [value for value in model.graph.input if value.name not in constants]
    defaults = [value.name for value in model.graph.input if value.name in constants]
    if defaults and model.ir_version >= 4:
        named = ", ".join(repr(name) for name in defaults[:3]) + ", ..." * (len(defaults) > 3)
        notes.append(f"{len(defaults)} inputs have default values, which are taken as constants: {named}")
    del model.graph.input[:]
    model.graph.input.extend(kept)


def _fix_batch(path: Path, value: Any, notes: list[str]) -> list[Refusal]:
    """Sets an open first dimension (named, absent, 0 or negative) to 1, with a note; refuses other open dimensions."""
    if not value.type.HasField("tensor_type"):
        return [Refusal(value.name, "input", "it is no tensor", "export the model with tensors as inputs")]
    if not value.type.tensor_type.HasField("shape"):
        return [Refusal(value.name, "input", "it has no shape", "export the model with fixed shapes")]
    dims = value.type.tensor_type.shape.dim
    shown = [d.dim_param or (d.dim_value if d.HasField("dim_value") else "?") for d in dims]
    if any(d.dim_value < 1 for d in dims[1:]):
        reason = f"its shape is {shown}; all dimensions but the batch must be fixed"
        fixed = ",".join(str(d.dim_value) if d.dim_value > 0 else "SIZE" for d in [*dims][1:])
        remedy = (
            "export it with fixed sizes, or set them with: python -m onnxruntime.tools.make_dynamic_shape_fixed "
            f"--input_name {value.name} --input_shape 1,{fixed} {path} FIXED.onnx"
        )
        return [Refusal(value.name, "input", reason, remedy)]
    if dims and dims[0].dim_value < 1:
        notes.append(f"input {value.name!r}: the batch dimension {shown[0]} is set to 1")
        dims[0].dim_value = 1
    if math.prod(d.dim_value for d in dims) > MAX_ELEMENTS:
        return [Refusal(value.name, "input", f"its shape is {shown}", f"use at most {MAX_ELEMENTS} elements")]
    return []


def _is_text(message: Any) -> bool:
    """True if every string field is text; protobuf hands out bytes for those that are not."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == field.TYPE_MESSAGE:
            if not all(_is_text(inner) for inner in values):
                return False
        elif field.type == field.TYPE_STRING and not all(isinstance(text, str) for text in values):
            return False
    return True


def _tensors(model: Any) -> Iterable[Any]:
    """Every constant of the file, those of subgraphs and functions too."""
    yield from model.graph.initializer
    for sparse in model.graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in _nodes([*model.graph.node, *(node for function in model.functions for node in function.node)]):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors
            for graph in (attribute.g, *attribute.graphs):
                yield from graph.initializer


def _check_tensor(path: Path, tensor: Any, most: int) -> int:
    """Refuses a constant that claims more than the file, or an external file of `most` bytes, holds. The bytes that
    were read from an external file."""
    onnx = onnx_module()
    known = onnx.TensorProto.DataType.values()
    if tensor.data_type not in known or tensor.data_type == onnx.TensorProto.UNDEFINED:
        raise broken(path, f"constant {tensor.name!r} has type {tensor.data_type}, which onnx does not know")
    if min(tensor.dims, default=0) < 0:
        raise broken(path, f"constant {tensor.name!r} has shape {list(tensor.dims)}")
    if tensor.data_type == onnx.TensorProto.STRING:
        return 0
    elements = math.prod(tensor.dims)
    packed = PACKED_BITS.get(onnx.TensorProto.DataType.Name(tensor.data_type))
    itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    wanted: int = elements * itemsize if packed is None else -(-elements * packed // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        if wanted > most:
            raise broken(path, f"its constants in other files have more than {MAX_BYTES} bytes", "give a smaller model")
        read_external(path, tensor, wanted, partial(broken, path))
        return wanted
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != wanted:
            raise broken(
                path,
                f"constant {tensor.name!r} of shape {list(tensor.dims)} has {len(tensor.raw_data)} bytes of data, "
                f"not {wanted}",
            )
    elif elements > MAX_ELEMENTS:
        raise broken(path, f"constant {tensor.name!r} claims {elements} elements")
    return 0


def float_model(path: Path) -> InputError:
    """The refusal of a model without any quantized operator, with the command that quantizes it."""
    quantized = path.with_name(path.stem + "_int8.onnx")
    return InputError(
        f"{path}: a float model, without any quantized operator; quantize it: "
        f"intaglio quantize {path} --data CALIB.npz -o {quantized}"
    )
