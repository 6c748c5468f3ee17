"""The structure of a .tflite file, read defensively: records of tensors and operators, or one BrokenFile.

Nothing here knows what an operator means; `tflite.ops` does. The flatbuffer is read through LiteRT's
generated classes (`ai_edge_litert.schema_py_generated`), field by field, so that a hostile file cannot
make us build more than it contains.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.extras import install
from intaglio.files import read_bytes

MAX_ELEMENTS = 2**28
"""Elements of the largest tensor we accept: more than any network of the kind, little enough to allocate."""

ITEM_TYPES: dict[str, np.dtype] = {
    "FLOAT32": np.dtype("<f4"),
    "INT8": np.dtype("i1"),
    "UINT8": np.dtype("u1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
}

_CONVOLUTION = ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction")
_POOLING = ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction")

OPTIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", _CONVOLUTION, ()),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _CONVOLUTION, ()),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _POOLING, ()),
    "MAX_POOL_2D": ("Pool2DOptions", _POOLING, ()),
    "FULLY_CONNECTED": (
        "FullyConnectedOptions",
        ("FusedActivationFunction", "WeightsFormat", "KeepNumDims"),
        (),
    ),
    "ADD": ("AddOptions", ("FusedActivationFunction",), ()),
    "MEAN": ("ReducerOptions", ("KeepDims",), ()),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",), ()),
    "RESHAPE": ("ReshapeOptions", (), ("NewShape",)),
    "SQUEEZE": ("SqueezeOptions", (), ("SqueezeDims",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction"), ()),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask", "Offset"),
        (),
    ),
    "PACK": ("PackOptions", ("ValuesCount", "Axis"), ()),
    "UNPACK": ("UnpackOptions", ("Axis",), ()),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims"), ()),
    "MIRROR_PAD": ("MirrorPadOptions", ("Mode",), ()),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",), ()),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",), ()),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters"), ()),
    "TRANSPOSE_CONV": ("TransposeConvOptions", ("Padding", "StrideH", "StrideW", "FusedActivationFunction"), ()),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",), ()),
    "DIV": ("DivOptions", ("FusedActivationFunction",), ()),
    "SUB": ("SubOptions", ("FusedActivationFunction",), ()),
    "MUL": ("MulOptions", ("FusedActivationFunction",), ()),
    "REDUCE_PROD": ("ReducerOptions", ("KeepDims",), ()),
}
"""Operator -> its options table in the schema, the scalar fields and the integer vectors we read."""


CONTROL_FLOW = ("IF", "WHILE", "CALL", "CALL_ONCE")
"""Operators that run another subgraph."""
EDGE_TYPES = ("INT16",)
"""Types that are not taken and that an int8 network may have at its inputs and outputs."""
PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
"""Operators whose second input is weights."""
SPARSE, VARIABLE = "stored sparse", "a variable (state that lasts between inferences)"
BLOCKWISE, ELSEWHERE = "quantized in a custom way", "stored in another file (an external buffer)"


class BrokenFile(Exception):
    """The bytes are not a well-formed model; the text is the reason."""


@dataclass(frozen=True)
class FileQuantization:
    """As in the file; not yet checked. scale float32 [S], zero_point int64 [Z], empty where the file has none."""

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int


@dataclass(frozen=True)
class FileTensor:
    """name is unique in the file; data is None for a tensor without constant values."""

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    quantization: FileQuantization | None
    data: np.ndarray | None
    unusual: str
    """The tensor's kind where we never read that (SPARSE, VARIABLE, BLOCKWISE, ELSEWHERE), else empty."""
    at_edge: bool = False
    """True for a run-time tensor of EDGE_TYPES in a network whose layers are int8."""

    @property
    def is_variable(self) -> bool:
        return self.unusual == VARIABLE


@dataclass(frozen=True)
class FileOperator:
    """inputs and outputs are tensor indices, -1 for an absent optional one. code: 'CUSTOM:NAME' for a custom
    operator."""

    index: int
    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] | None


@dataclass
class ModelFile:
    """The first subgraph, which is what a runtime invokes: every index in it is valid and every tensor is produced
    before it is used. notes: what a person should know about the file."""

    tensors: list[FileTensor]
    operators: list[FileOperator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    notes: list[str] = field(default_factory=list)
    content: bytes = field(default=b"", repr=False)
    """The whole file."""

    def name_of(self, op: FileOperator) -> str:
        """An operator's name: its first output tensor's, or 'CALL_ONCE#3' where it has none."""
        return next((self.tensors[i].name for i in op.outputs if i >= 0), f"{op.code}#{op.index}")


def schema_module() -> Any:
    """LiteRT's generated schema, or an InputError that names the extra."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise InputError(f"reading .tflite files needs LiteRT, which is not installed; {install('litert')}") from error
    return schema_py_generated


def read_model_file(path: Path) -> ModelFile:
    """Reads and checks the structure; InputError names the file, the reason and the remedy."""
    data = read_bytes(path, "give a quantized .tflite file")
    schema = schema_module()
    try:
        if len(data) < 8 or data[4:8] != b"TFL3":
            what = "the file is empty" if not data else "the identifier TFL3 is missing at byte 4"
            raise BrokenFile(what)
        try:
            model = Decoder(schema, data).model()
        except BrokenFile:
            raise
        except Exception as error:  # the generated code raises anything on damaged bytes
            raise BrokenFile(f"its structure is damaged ({type(error).__name__}: {error})") from error
        check_order(model)
    except BrokenFile as reason:
        raise InputError(
            f"{path}: not a usable TensorFlow Lite model: {reason}; "
            "export the model again, or download the file again if the transfer was cut"
        ) from reason
    return model


@dataclass
class Decoder:
    """Reads the flatbuffer. Everything it builds is bounded by the size of the file."""

    schema: Any
    data: bytes
    spent: int = 0
    names: set[str] = field(default_factory=set)

    def spend(self, count: int) -> int:
        """Counts `count` vector elements against the file's size: shared or cyclic vectors run out of it."""
        self.spent += count
        if count < 0 or self.spent > len(self.data):
            raise BrokenFile("its vectors are longer than the file")
        return count

    def vector(self, table: Any, name: str) -> np.ndarray:
        """An integer or float vector of a table; empty if absent."""
        count = self.spend(getattr(table, name + "Length")())
        return np.array(getattr(table, name + "AsNumpy")()) if count else np.zeros(0, np.int64)

    def enum_names(self, name: str) -> dict[int, str]:
        """Value -> name of one of the schema's enumerations."""
        members = vars(getattr(self.schema, name)).items()
        return {value: key for key, value in members if isinstance(value, int)}

    def model(self) -> ModelFile:
        model = self.schema.Model.GetRootAs(self.data, 0)
        if model.Version() != 3:
            raise BrokenFile(f"its schema version is {model.Version()}, not 3")
        if model.SubgraphsLength() < 1:
            raise BrokenFile("it has no subgraph")
        graph = model.Subgraphs(0)
        count = self.spend(graph.TensorsLength())
        tensors = [self.tensor(model, graph.Tensors(i), i) for i in range(count)]
        codes = self.operator_codes(model)
        count = self.spend(graph.OperatorsLength())
        operators = [self.operator(codes, graph.Operators(i), i, len(tensors)) for i in range(count)]
        inputs = tuple(i for i in self.indices(graph, "Inputs", len(tensors), "the graph") if i >= 0)
        outputs = self.indices(graph, "Outputs", len(tensors), "the graph")
        if not outputs or not operators:
            raise BrokenFile("it has no operators or no outputs")
        if min(outputs) < 0:
            raise BrokenFile("an output of the graph is absent (-1)")
        notes = [note for i in inputs if (note := open_dimensions(graph.Tensors(i), tensors[i]))]
        if model.SubgraphsLength() > 1 and not any(op.code in CONTROL_FLOW for op in operators):
            notes.append(
                f"the file has {model.SubgraphsLength()} subgraphs; the first is taken, which a runtime invokes unless it is told "
                "otherwise"
            )
        return ModelFile(with_edges(tensors, operators), operators, inputs, outputs, notes, self.data)

    def indices(self, table: Any, name: str, count: int, owner: str) -> tuple[int, ...]:
        """Tensor indices, each -1 (absent) or below count."""
        values = tuple(int(i) for i in self.vector(table, name))
        for i in values:
            if not -1 <= i < count:
                raise BrokenFile(f"{name.lower()} of {owner} name tensor {i}, but there are {count}")
        return values

    def tensor(self, model: Any, tensor: Any, index: int) -> FileTensor:
        types = self.enum_names("TensorType")
        shape = tuple(int(d) for d in self.vector(tensor, "Shape"))
        name = self.unique_name(tensor.Name(), index)
        kind = types.get(tensor.Type(), f"type {tensor.Type()}")
        unusual = SPARSE if tensor.Sparsity() is not None else VARIABLE if tensor.IsVariable() else ""
        table = tensor.Quantization()
        if not unusual and table is not None and table.DetailsType() > 1:
            unusual = BLOCKWISE
        if not unusual and tensor.ExternalBuffer():
            unusual = ELSEWHERE
        data = self.buffer(model, tensor.Buffer(), name)
        if data is not None and not unusual and kind in ITEM_TYPES:
            data = shaped(data, shape, ITEM_TYPES[kind], name)
        return FileTensor(index, name, shape, kind, self.quantization(tensor), data, unusual)

    def unique_name(self, raw: bytes | None, index: int) -> str:
        """The file's name; 'name#index' where an earlier tensor has it, 'tensor#index' where it is empty."""
        self.spend(len(raw or b""))
        stem = (raw or b"").decode("utf-8", "replace") or f"tensor#{index}"
        name, tries = stem, 0
        while name in self.names:
            name = f"{stem}#{index}" + "'" * tries
            tries += 1
        self.names.add(name)
        return name

    def buffer(self, model: Any, index: int, name: str) -> np.ndarray | None:
        """The bytes of a buffer, or None if it is empty; a view of the file. A buffer lies in the flatbuffer, or behind
        it."""
        if index >= model.BuffersLength():
            raise BrokenFile(f"tensor {name!r} names buffer {index}, but there are {model.BuffersLength()}")
        buffer = model.Buffers(index)
        begin, count = buffer.Offset(), buffer.Size()
        if begin > 1 and count > 1:
            if begin + count > len(self.data):
                raise BrokenFile(
                    f"the data of tensor {name!r} are bytes {begin} to {begin + count} of the file, which has {len(self.data)}"
                )
            return np.frombuffer(self.data, np.uint8, count, begin)
        return np.asarray(buffer.DataAsNumpy()) if buffer.DataLength() else None

    def quantization(self, tensor: Any) -> FileQuantization | None:
        table = tensor.Quantization()
        if table is None or table.ScaleLength() == 0:
            return None
        return FileQuantization(
            self.vector(table, "Scale").astype(np.float32),
            self.vector(table, "ZeroPoint").astype(np.int64),
            table.QuantizedDimension(),
        )

    def operator_codes(self, model: Any) -> list[str]:
        """The operators' names; the code is the larger of the old 8-bit and the new field. A custom operator's is its
        own name."""
        names = self.enum_names("BuiltinOperator")
        codes = []
        for i in range(self.spend(model.OperatorCodesLength())):
            code = model.OperatorCodes(i)
            value = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
            custom = code.CustomCode() or b""
            self.spend(len(custom))
            name = names.get(value, f"operator {value}")
            codes.append(f"CUSTOM:{custom.decode('utf-8', 'replace')}" if name == "CUSTOM" else name)
        return codes

    def operator(self, codes: list[str], operator: Any, index: int, tensors: int) -> FileOperator:
        if operator.OpcodeIndex() >= len(codes):
            raise BrokenFile(f"operator #{index} names code {operator.OpcodeIndex()}, but there are {len(codes)}")
        code = codes[operator.OpcodeIndex()]
        owner = f"operator #{index} ({code})"
        return FileOperator(
            index,
            code,
            self.indices(operator, "Inputs", tensors, owner),
            self.indices(operator, "Outputs", tensors, owner),
            self.options(code, operator),
        )

    def options(self, code: str, operator: Any) -> dict[str, Any] | None:
        """The fields of OPTIONS by name, or None if the file has no options for this operator (those of another
        operator are none, for LiteRT too)."""
        table = operator.BuiltinOptions()
        if code not in OPTIONS or table is None:
            return None
        name, scalars, vectors = OPTIONS[code]
        if operator.BuiltinOptionsType() != getattr(self.schema.BuiltinOptions, name):
            return None
        options = getattr(self.schema, name)()
        options.Init(table.Bytes, table.Pos)
        found: dict[str, Any] = {key: getattr(options, key)() for key in scalars}
        found.update({key: tuple(int(v) for v in self.vector(options, key)) for key in vectors})
        return found


def shaped(data: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, name: str) -> np.ndarray:
    """Constant bytes as an array of the tensor's shape; BrokenFile if they do not fill it exactly."""
    elements = 1
    for d in shape:
        elements *= d
    if min(shape, default=1) < 0 or elements * dtype.itemsize != data.size:
        raise BrokenFile(f"tensor {name!r} of shape {list(shape)} has {data.size} bytes of data")
    return np.frombuffer(data.tobytes(), dtype).reshape(shape)


def open_dimensions(table: Any, tensor: FileTensor) -> str:
    """A note on an input whose shape_signature leaves more open (-1) than the batch, as every converter does: a runtime
    takes its `shape`, and so do we."""
    count = table.ShapeSignatureLength()
    if count != len(tensor.shape):
        return ""
    signature = [table.ShapeSignature(i) for i in range(count)]
    if all(known >= 0 for known in signature[1:]):
        return ""
    return (
        f"input {tensor.name!r}: its open shape {signature} is taken as {list(tensor.shape)}, as the file's shape says"
    )


def with_edges(tensors: list[FileTensor], operators: list[FileOperator]) -> list[FileTensor]:
    """The tensors, at_edge set where all that the network's layers (or, without such, any operator) read and write is
    int8."""
    layers = [op for op in operators if op.code in PRODUCTS]
    types = {tensors[i].type for op in layers for i in (*op.inputs[:2], *op.outputs) if i >= 0}
    if not layers:
        types = {tensors[i].type for op in operators for i in (*op.inputs, *op.outputs) if i >= 0} - set(EDGE_TYPES)
    if not types or types & set(EDGE_TYPES) or "INT8" not in types:
        return tensors
    return [replace(t, at_edge=True) if t.type in EDGE_TYPES and t.data is None else t for t in tensors]


def check_order(model: ModelFile) -> None:
    """Every tensor is an input, a constant, a variable or the output of one operator, and exists before it is used."""
    names = [tensor.name for tensor in model.tensors]
    produced = {i for op in model.operators for i in op.outputs}
    for t in model.tensors:
        if t.data is None and 0 in t.shape and t.type in ITEM_TYPES and t.index not in produced | set(model.inputs):
            model.tensors[t.index] = replace(t, data=np.zeros(t.shape, ITEM_TYPES[t.type]))  # nothing to store
    stored = (VARIABLE, ELSEWHERE)
    ready = set(model.inputs) | {t.index for t in model.tensors if t.data is not None or t.unusual in stored}
    for op in model.operators:
        for i in op.inputs:
            if i >= 0 and i not in ready:
                when = (
                    "before an operator computes it"
                    if i in produced
                    else "which nothing computes and which has no data"
                )
                raise BrokenFile(f"operator #{op.index} ({op.code}) reads {names[i]!r}, {when}")
        for i in op.outputs:
            if i >= 0 and i in ready and not model.tensors[i].is_variable:
                raise BrokenFile(f"operator #{op.index} ({op.code}) writes {names[i]!r}, which exists already")
            ready.add(i)
    for i in model.outputs:
        if i not in ready:
            raise BrokenFile(f"output {names[i]!r} of the graph is never computed")
