"""The contents of a .tflite file, through LiteRT's own flatbuffer schema: tensors, constants and operators, in the order of the calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio.errors import InputError
from intaglio.extras import install

try:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
except ImportError as error:
    raise InputError(
        f"writing .tflite files needs LiteRT's schema, which is not installed; {install('litert')}"
    ) from error

__all__ = ["AlignedBuffer", "Contents", "finished", "schema"]

SCHEMA_VERSION = 3
LAST_OLD_CODE = 127
"""The greatest code of the older field, which stands for all that are greater."""

_VERSIONS = {
    "ADD": 2,
    "ARG_MAX": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "DEQUANTIZE": 2,
    "FULLY_CONNECTED": 4,
    "GELU": 2,
    "HARD_SWISH": 1,
    "LEAKY_RELU": 2,
    "LOGISTIC": 2,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "PAD": 2,
    "QUANTIZE": 1,
    "RELU": 2,
    "RELU6": 2,
    "RESHAPE": 1,
    "RESIZE_NEAREST_NEIGHBOR": 2,
    "SOFTMAX": 2,
    "STRIDED_SLICE": 2,
    "TRANSPOSE": 2,
}
"""Operator -> the version that introduced its int8 form."""


class Contents:
    """Collects what stands in a file. inputs: the tensors that are the network's."""

    def __init__(self, name: str) -> None:
        self.inputs: list[int] = []
        self._name = name
        self._buffers: list[Any] = [schema.BufferT()]
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}

    @property
    def operator_count(self) -> int:
        """Operators so far."""
        return len(self._operators)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        scale: np.ndarray | None = None,
        zero_point: np.ndarray | None = None,
        data: np.ndarray | None = None,
        axis: int = 0,
    ) -> int:
        """Adds a tensor and returns its index; per-channel scales run over dimension `axis`. Buffer 0 is the empty one."""
        buffer = 0
        if data is not None:
            buffer = len(self._buffers)
            self._buffers.append(AlignedBuffer(np.frombuffer(data.tobytes(), np.uint8)))
        quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=zero_point, quantizedDimension=axis)
        self._tensors.append(
            schema.TensorT(
                shape=np.array(shape, np.int32),
                type=getattr(schema.TensorType, dtype.upper()),
                buffer=buffer,
                name=name,
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self._tensors) - 1

    def operator(self, kind: str, inputs: list[int], outputs: list[int], options: object | None) -> None:
        """Adds an operator by the schema's name for it. inputs, outputs: tensors. options: of the schema's class for it."""
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=self._codes.setdefault(kind, len(self._codes)),
                inputs=inputs,
                outputs=outputs,
                builtinOptionsType=_options_code(options),
                builtinOptions=options,
            )
        )

    def to_bytes(self, outputs: Sequence[int]) -> bytes:
        """The file, with these tensors as the network's outputs."""
        graph = schema.SubGraphT(
            tensors=self._tensors,
            inputs=self.inputs,
            outputs=list(outputs),
            operators=self._operators,
            name=self._name,
        )
        codes = [
            schema.OperatorCodeT(
                deprecatedBuiltinCode=min(code, LAST_OLD_CODE), builtinCode=code, version=_VERSIONS[kind]
            )
            for kind, code in ((kind, getattr(schema.BuiltinOperator, kind)) for kind in self._codes)
        ]
        model = schema.ModelT(
            version=SCHEMA_VERSION,
            operatorCodes=codes,
            subgraphs=[graph],
            description=self._name,
            buffers=self._buffers,
        )
        return finished(model)


def finished(model: Any) -> bytes:
    """The file of a ModelT."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class AlignedBuffer(schema.BufferT):
    """A constant's bytes, aligned to 16: the schema asks for that, the generated Pack does not do it."""

    def Pack(self, builder: Any) -> int:
        builder.StartVector(1, len(self.data), 16)
        builder.head -= len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        end: int = schema.BufferEnd(builder)
        return end


def _options_code(options: object | None) -> int:
    """The union's tag of an options object, by its class's name without the closing T."""
    return 0 if options is None else getattr(schema.BuiltinOptions, type(options).__name__[:-1])
