"""The structure of an .onnx file, read defensively: nodes in order, constants, types and shapes, or one InputError.

onnx's own checker, shape inference and reference evaluator do the work; nothing here knows what a quantized
operator means. A file is refused before anything is allocated that its bytes do not hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.files import read_bytes

OLDEST_OPSET = 13
"""The first with per-channel QuantizeLinear and DequantizeLinear."""
MAX_BYTES = 2**31 - 1
"""protobuf's limit for one message."""
MAX_ELEMENTS = 2**26
"""Elements of the largest tensor that is computed; a constant may have what the file's bytes hold."""
MAX_FOLDED = 2**22
"""Elements of the largest constant that is computed here."""
MICROSOFT = "com.microsoft"
PACKED_BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
"""Types with several elements a byte."""
QUANTIZED = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Node:
    """A node of the file, or one of those that `onnx_qoperator` writes for it.

    op: with its domain unless ONNX's own ('com.microsoft.QGemm'). number: of the file's node; code: that one's op.
    fused: it was a single integer operator in the file, so that onnxruntime certainly computes it as one.
    """

    op: str
    number: int
    code: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    proto: Any
    fused: bool = False

    @property
    def label(self) -> str:
        """How messages name it."""
        name = self.proto.name.split("::")[0] if self.proto is not None else ""
        return f"{name or (self.outputs or ('',))[0]!r} ({self.code})"


@dataclass
class OnnxFile:
    """shapes and types of every value that inference knows; constants by name; inputs and outputs of the network.
    opsets: domain -> version."""

    path: Path
    nodes: list[Node]
    constants: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, np.dtype]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opsets: dict[str, int]
    notes: list[str]


def is_onnx(path: Path) -> bool:
    """By its suffix; without .onnx or .tflite, by its first bytes: the field ir_version of a ModelProto."""
    if path.suffix.lower() in (".onnx", ".tflite") or not path.is_file():
        return path.suffix.lower() == ".onnx"
    with path.open("rb") as file:
        start = file.read(8)
    return len(start) == 8 and start[0] == 0x08 and 3 <= start[1] < 0x40 and start[4:] != b"TFL3"


def onnx_module() -> Any:
    """onnx, or an InputError that names the extra."""
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        raise InputError(
            "reading .onnx files needs onnx, which is not installed: pip install 'intaglio[onnx]'"
        ) from error
    return onnx


def broken(
    path: Path, reason: str, remedy: str = "export the model again, or download it again if it was cut"
) -> InputError:
    """The refusal of a whole file."""
    return InputError(f"{path}: not a usable ONNX model: {' '.join(reason.split())[:400]}; {remedy}")


def read_model(path: Path) -> Any:
    """The file's ModelProto, checked by onnx; external data are read into it. Shapes of outputs may be missing in the
    file and are of no use (see fix_batch)."""
    onnx = onnx_module()
    data = read_bytes(path, "give a quantized .onnx file")
    if len(data) > MAX_BYTES:
        raise broken(path, f"it has {len(data)} bytes", "keep the file below 2 GB (external data)")
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as error:
        raise broken(path, f"its bytes are no protobuf message ({type(error).__name__})") from error
    if not _is_text(model):
        raise broken(path, "a name in it is not UTF-8")
    if not data or not model.graph.node:
        raise broken(path, "the file is empty" if not data else "it has no nodes")
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    newest = onnx.defs.onnx_opset_version()
    foreign = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx", MICROSOFT})
    if foreign:
        kinds = sorted({node.op_type for node in model.graph.node if node.domain in foreign})
        raise broken(
            path,
            f"operators {', '.join(kinds)} are of the domain {', '.join(foreign)}",
            "export it in QDQ form, with ONNX's own operators",
        )
    if not OLDEST_OPSET <= opset <= newest:
        raise broken(
            path,
            f"its opset is {opset}",
            f"use opset {OLDEST_OPSET} to {newest} (onnx.version_converter.convert_version)",
        )
    if model.functions:
        raise broken(path, "it defines functions", "inline them with onnx.inliner.inline_local_functions")
    if model.graph.sparse_initializer:
        raise broken(path, "it has sparse initializers", "store them dense")
    model.ir_version = max(model.ir_version, 4)  # before 4, initializers had to be inputs too; onnxruntime does not ask
    for tensor in _tensors(model):
        _check_tensor(path, tensor)
    for value in (*model.graph.output, *model.graph.value_info):  # onnxruntime does without, onnx's checker does not
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise broken(path, f"onnx's checker says: {error}") from error
    return model


def _is_text(message: Any) -> bool:
    """Whether every string field is text; protobuf hands out bytes for those that are not."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == field.TYPE_MESSAGE:
            if not all(_is_text(inner) for inner in values):
                return False
        elif field.type == field.TYPE_STRING and not all(isinstance(text, str) for text in values):
            return False
    return True


def _tensors(model: Any) -> Iterable[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors


def _check_tensor(path: Path, tensor: Any) -> None:
    """Refuses constants that claim more than the file (or their external file) holds; reads external data."""
    onnx = onnx_module()
    known = onnx.TensorProto.DataType.values()
    if tensor.data_type not in known or tensor.data_type == onnx.TensorProto.UNDEFINED:
        raise broken(path, f"constant {tensor.name!r} has type {tensor.data_type}, which onnx does not know")
    if min(tensor.dims, default=0) < 0:
        raise broken(path, f"constant {tensor.name!r} has shape {list(tensor.dims)}")
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    elements = math.prod(tensor.dims)
    packed = PACKED_BITS.get(onnx.TensorProto.DataType.Name(tensor.data_type))
    itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    wanted = elements * itemsize if packed is None else -(-elements * packed // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _read_external(path, tensor, wanted)
    elif tensor.HasField("raw_data"):
        if len(tensor.raw_data) != wanted:
            raise broken(
                path,
                f"constant {tensor.name!r} of shape {list(tensor.dims)} has {len(tensor.raw_data)} bytes of data, "
                f"not {wanted}",
            )
    elif elements > MAX_ELEMENTS:
        raise broken(path, f"constant {tensor.name!r} claims {elements} elements")


def _read_external(path: Path, tensor: Any, wanted: int) -> None:
    """Puts the bytes of an external file into the tensor; it must lie in the model's folder or below."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    folder = path.parent.resolve()
    file = (folder / location).resolve()
    where = f"the data of constant {tensor.name!r} are in {location!r}"
    if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
        raise broken(path, f"{where}, outside the model's folder", "save the model with its data beside it")
    if not file.is_file():
        raise broken(path, f"{where}, which is missing", "put that file beside the model")
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", str(wanted)))
    except ValueError as error:
        raise broken(path, f"{where} at a place that is no number") from error
    if length != wanted or offset < 0 or offset + length > file.stat().st_size:
        raise broken(path, f"{where}: bytes {offset} to {offset + length} of {file.stat().st_size}, {wanted} needed")
    with file.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    tensor.data_location = 0
    del tensor.external_data[:]


def fix_batch(path: Path, model: Any) -> list[str]:
    """Sets an unknown first dimension of an input to 1, with a note; refuses other unknown dimensions."""
    constants = {tensor.name for tensor in model.graph.initializer}
    notes, faults, named = [], [], set()
    for value in model.graph.input:
        if value.name in constants:
            continue
        if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
            faults.append(f"input {value.name!r} has no shape")
            continue
        dims = value.type.tensor_type.shape.dim
        for axis, dim in enumerate(dims):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            if (dim.HasField("dim_value") and dim.dim_value < 0) or axis:
                shown = [d.dim_param or d.dim_value for d in dims]
                faults.append(f"input {value.name!r} has shape {shown}")
                break
            named.add(dim.dim_param)
            notes.append(f"input {value.name!r}: the batch dimension {dim.dim_param or '?'} is set to 1")
            dim.dim_value = 1
        if math.prod(max(d.dim_value, 1) for d in dims) > MAX_ELEMENTS:
            faults.append(f"input {value.name!r} has more than {MAX_ELEMENTS} elements")
    if faults:
        raise broken(
            path,
            ", ".join(faults) + "; all dimensions but the batch must be fixed",
            "fix them with: python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name NAME "
            f"--input_shape 1,... {path} FIXED.onnx",
        )
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return notes


def attributes_of(node: Any) -> dict[str, Any]:
    onnx = onnx_module()
    kinds = onnx.AttributeProto
    found = {}
    for attribute in node.attribute:
        if attribute.type in (kinds.GRAPH, kinds.GRAPHS):
            continue
        value = onnx.helper.get_attribute_value(attribute)
        found[attribute.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return found


def make_node(proto: Any, number: int, code: str = "") -> Node:
    """A Node of a NodeProto. code: of the file's operator, where the node is written for another."""
    domain = "" if proto.domain in ("", "ai.onnx") else proto.domain + "."
    if domain == MICROSOFT + "." and proto.op_type in QUANTIZED:
        domain = ""
    op = domain + proto.op_type
    return Node(
        op, number, code or op, tuple(proto.input), tuple(proto.output), attributes_of(proto), proto, bool(code)
    )


def constants_of(path: Path, model: Any) -> dict[str, np.ndarray]:
    """The values of initializers and Constant nodes by name."""
    onnx = onnx_module()
    found = {}
    try:
        for tensor in model.graph.initializer:
            found[tensor.name] = onnx.numpy_helper.to_array(tensor)
        for node in model.graph.node:
            if node.op_type == "Constant" and node.domain == "":
                attributes = attributes_of(node)
                name, value = next(iter(attributes.items()), ("", None))
                if name == "value":
                    found[node.output[0]] = onnx.numpy_helper.to_array(value)
                elif name in ("value_float", "value_floats"):
                    found[node.output[0]] = np.array(value, np.float32)
                elif name in ("value_int", "value_ints"):
                    found[node.output[0]] = np.array(value, np.int64)
    except Exception as error:
        raise broken(path, f"a constant cannot be read ({type(error).__name__}: {error})") from error
    return found


def infer(path: Path, model: Any, strict: bool) -> tuple[dict[str, tuple[int, ...]], dict[str, np.dtype]]:
    """Shapes and types by onnx's shape inference; a value with an unknown dimension has no shape here."""
    onnx = onnx_module()
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=strict, strict_mode=strict, data_prop=True)
    except Exception as error:
        raise broken(path, f"onnx's shape inference says: {error}") from error
    shapes, types = {}, {}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        if not tensor.elem_type:
            continue
        try:
            types[value.name] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        except Exception:  # a type that numpy lacks: the value stays unknown
            continue
        if tensor.HasField("shape") and all(d.HasField("dim_value") and d.dim_value >= 0 for d in tensor.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
    return shapes, types
