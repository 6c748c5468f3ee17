"""The structure of a .tflite file, read defensively: records of tensors and operators, or one BrokenFile.

Nothing here knows what an operator means; `tflite.ops` does. The flatbuffer is read through LiteRT's
generated classes (`ai_edge_litert.schema_py_generated`), field by field, so that a hostile file cannot
make us build more than it contains.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.files import read_bytes

MAX_RANK = 8
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
}
"""Operator -> its options table in the schema, the scalar fields and the integer vectors we read."""


class BrokenFile(Exception):
    """The bytes are not a well-formed model; the text is the reason."""


@dataclass(frozen=True)
class FileQuantization:
    """As in the file; not yet checked. scale float32 [S], zero_point int64 [Z]."""

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
    """Why the tensor is of a kind we never read (sparse, variable, ...), or empty."""


@dataclass(frozen=True)
class FileOperator:
    """inputs and outputs are tensor indices, -1 for an absent optional input."""

    index: int
    code: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] | None


@dataclass
class ModelFile:
    """One subgraph: every index in it is valid and every tensor is produced before it is used."""

    tensors: list[FileTensor]
    operators: list[FileOperator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def schema_module() -> Any:
    """LiteRT's generated schema, or an InputError that names the extra."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise InputError(
            "reading .tflite files needs LiteRT, which is not installed: pip install 'intaglio[litert]'"
        ) from error
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
        if model.SubgraphsLength() != 1:
            raise BrokenFile(
                f"it has {model.SubgraphsLength()} subgraphs; only models with one are supported"
            )
        graph = model.Subgraphs(0)
        count = self.spend(graph.TensorsLength())
        tensors = [self.tensor(model, graph.Tensors(i), i) for i in range(count)]
        codes = self.operator_codes(model)
        count = self.spend(graph.OperatorsLength())
        operators = [self.operator(codes, graph.Operators(i), i, len(tensors)) for i in range(count)]
        inputs = self.indices(graph, "Inputs", len(tensors), "the graph")
        outputs = self.indices(graph, "Outputs", len(tensors), "the graph")
        if not outputs or not operators:
            raise BrokenFile("it has no operators or no outputs")
        if min(inputs + outputs) < 0:
            raise BrokenFile("an input or output of the graph is absent (-1)")
        return ModelFile(tensors, operators, inputs, outputs)

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
        if len(shape) > MAX_RANK:
            raise BrokenFile(f"tensor {name!r} has {len(shape)} dimensions")
        kind = types.get(tensor.Type(), f"type {tensor.Type()}")
        unusual = "sparse" if tensor.Sparsity() is not None else "variable" if tensor.IsVariable() else ""
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
        """The bytes of a buffer, or None if it is empty; a view of the file."""
        if index >= model.BuffersLength():
            raise BrokenFile(f"tensor {name!r} names buffer {index}, but there are {model.BuffersLength()}")
        buffer = model.Buffers(index)
        if buffer.Offset() > 1:
            raise BrokenFile(f"the data of tensor {name!r} lie outside the flatbuffer (a model above 2 GB)")
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
        """The operators' names; the code is the larger of the old 8-bit and the new field."""
        names = self.enum_names("BuiltinOperator")
        codes = []
        for i in range(self.spend(model.OperatorCodesLength())):
            code = model.OperatorCodes(i)
            value = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
            codes.append(names.get(value, f"operator {value}"))
        return codes

    def operator(self, codes: list[str], operator: Any, index: int, tensors: int) -> FileOperator:
        if operator.OpcodeIndex() >= len(codes):
            raise BrokenFile(
                f"operator #{index} names code {operator.OpcodeIndex()}, but there are {len(codes)}"
            )
        code = codes[operator.OpcodeIndex()]
        owner = f"operator #{index} ({code})"
        return FileOperator(
            index,
            code,
            self.indices(operator, "Inputs", tensors, owner),
            self.indices(operator, "Outputs", tensors, owner),
            self.options(code, operator, owner),
        )

    def options(self, code: str, operator: Any, owner: str) -> dict[str, Any] | None:
        """The fields of OPTIONS by name, or None if the file has no options for this operator."""
        table = operator.BuiltinOptions()
        if code not in OPTIONS or table is None:
            return None
        name, scalars, vectors = OPTIONS[code]
        if operator.BuiltinOptionsType() != getattr(self.schema.BuiltinOptions, name):
            raise BrokenFile(f"{owner} carries the options of another operator")
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


def check_order(model: ModelFile) -> None:
    """Every tensor is an input, a constant or the output of one operator, and exists before it is used."""
    names = [tensor.name for tensor in model.tensors]
    if len(set(model.inputs)) != len(model.inputs):
        raise BrokenFile("a tensor is an input of the graph twice")
    ready = set(model.inputs) | {t.index for t in model.tensors if t.data is not None}
    for i in model.inputs:
        if model.tensors[i].data is not None:
            raise BrokenFile(f"input {names[i]!r} of the graph is a constant")
    for op in model.operators:
        for i in op.inputs:
            if i >= 0 and i not in ready:
                raise BrokenFile(f"operator #{op.index} ({op.code}) reads {names[i]!r} before it is produced")
        if not op.outputs or -1 in op.outputs:
            raise BrokenFile(f"operator #{op.index} ({op.code}) has no output")
        for i in op.outputs:
            if i in ready:
                raise BrokenFile(
                    f"operator #{op.index} ({op.code}) writes {names[i]!r}, which exists already"
                )
            ready.add(i)
    for i in model.outputs:
        if i not in ready or model.tensors[i].data is not None:
            raise BrokenFile(f"output {names[i]!r} of the graph is never computed")
