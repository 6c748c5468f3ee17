"""The structure of an .onnx model: nodes in order, constants, types and shapes, or one InputError.

onnx's own shape inference and numpy helper do the work; nothing here knows what a quantized operator means, and
`onnx.model` reads the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.extras import install
from intaglio.files import first_bytes

MAX_ELEMENTS = 2**26
"""Elements of the largest tensor that is computed; a constant may have what the file's bytes hold."""
LONGEST = 2**18
"""Indices of an axis of what is moved index by index."""
MAX_FOLDED = 2**22
"""Elements of the largest constant that is computed here."""
MICROSOFT = "com.microsoft"
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
        """The node's name in messages."""
        name = self.proto.name.split("::")[0] if self.proto is not None else ""
        return f"{name or (self.outputs or ('',))[0]!r} ({self.code})"


@dataclass
class OnnxFile:
    """shapes and types of every value that inference knows; constants by name; inputs and outputs of the network.
    opsets: domain -> version. faults: of integer operators that could not be written as QDQ, by number."""

    path: Path
    nodes: list[Node]
    constants: dict[str, np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, np.dtype]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opsets: dict[str, int]
    notes: list[str]
    faults: Mapping[int, Exception]


def is_onnx(path: Path) -> bool:
    """True for an ONNX file, by its suffix; without .onnx or .tflite, by its first bytes: the field ir_version of a
    ModelProto."""
    if path.suffix.lower() in (".onnx", ".tflite") or not path.is_file():
        return path.suffix.lower() == ".onnx"
    start = first_bytes(path, 8)
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
        raise InputError(f"reading .onnx files needs onnx, which is not installed; {install('onnx')}") from error
    return onnx


def broken(
    path: Path, reason: str, remedy: str = "export the model again, or download it again if it was cut"
) -> InputError:
    """The refusal of a whole file."""
    return InputError(f"{path}: not a usable ONNX model: {' '.join(reason.split())[:400]}; {remedy}")


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
