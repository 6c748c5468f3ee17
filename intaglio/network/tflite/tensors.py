"""Tensors as TFLite's quantization specification allows them, and the refusals of others."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from intaglio.network.graph import Padding, Quantization, Tensor
from intaglio.network.tflite.file import MAX_ELEMENTS, FileOperator, FileTensor, ModelFile

MAX_RANK = 8
OFFSETS = {"INT8": 0, "UINT8": 128}
"""8-bit type of the file -> its integers and zero points less the graph's, which are int8."""
FLOAT = "quantize the network to int8 first (full integer quantization, int8 inputs and outputs)"
PACKED = "export 8-bit weights and activations; packed types of fewer bits are not supported yet"
STATE = (
    "state that lasts between inferences is not supported yet: export the network with its state as inputs and outputs"
)
OUTSIDE = "compute what needs this type outside the network"
REMEDY_BY_TYPE = {
    "FLOAT32": FLOAT,
    "FLOAT16": FLOAT,
    "BFLOAT16": FLOAT,
    "FLOAT64": FLOAT,
    "INT16": "quantize activations to int8; int16 activations are not supported yet",
    "INT4": PACKED,
    "UINT4": PACKED,
    "INT2": PACKED,
    "RESOURCE": STATE,
    "VARIANT": STATE,
    "STRING": OUTSIDE,
    "COMPLEX64": OUTSIDE,
    "COMPLEX128": OUTSIDE,
    "BOOL": OUTSIDE,
}
AT_EDGE = (
    "only the network's inputs or outputs are {kind}, its layers are int8: convert it again with int8 at both ends "
    "(inference_input_type = inference_output_type = tf.int8)"
)


def remedy_for(tensor: FileTensor, otherwise: str) -> str:
    """The remedy for a tensor of a type that is not taken."""
    if tensor.at_edge:
        return AT_EDGE.format(kind=tensor.type.lower())
    return REMEDY_BY_TYPE.get(tensor.type, otherwise)


class Unsupported(Exception):
    """Why an operator cannot be imported: the tensor concerned (or ''), the reason and the remedy."""

    def __init__(self, tensor: str, reason: str, remedy: str) -> None:
        super().__init__(tensor, reason, remedy)
        self.tensor, self.reason, self.remedy = tensor, reason, remedy

    def described(self) -> str:
        """The reason with the tensor that it is about."""
        return f"tensor {self.tensor!r}: {self.reason}" if self.tensor else self.reason


@dataclass(frozen=True)
class Activation:
    """A run-time 8-bit tensor of the file with its one scale and zero point, the latter as the graph has it: int8.
    type: one of OFFSETS."""

    name: str
    shape: tuple[int, ...]
    scale: np.float32
    zero_point: int
    type: str

    @property
    def file_zero_point(self) -> int:
        """The zero point as the file has it."""
        return self.zero_point + OFFSETS[self.type]

    def tensor(self, name: str | None = None, shape: tuple[int, ...] | None = None) -> Tensor:
        """A tensor of the graph of its quantization; its own, unless a name and a shape are given."""
        quantization = Quantization(np.array([self.scale], np.float32), np.array([self.zero_point], np.int64))
        return Tensor(name or self.name, shape or self.shape, np.dtype(np.int8), quantization)


@dataclass(frozen=True)
class Weights:
    """Constant weights as the graph has them: int8, real = scale * (integer - zero_point). scale: float32 [1] or [O].
    type: the file's."""

    values: np.ndarray
    scale: np.ndarray
    zero_point: int
    type: str


@dataclass
class Scope:
    """The file as the operators' rules see it. padded: tensor of a folded PAD -> its input and the padding. between: tensors of the
    graph that the file does not have, within operators that become several."""

    model: ModelFile
    padded: dict[int, tuple[int, Padding]]
    notes: list[str]
    between: list[Tensor] = field(default_factory=list)

    def tensor(self, op: FileOperator, position: int) -> FileTensor:
        """The tensor of an input that must be there."""
        if position >= len(op.inputs) or op.inputs[position] < 0:
            raise Unsupported("", f"input {position} is missing", "export the model again")
        return self.model.tensors[op.inputs[position]]


def inputs_and_outputs(op: FileOperator, inputs: tuple[int, ...], outputs: int = 1) -> None:
    """Refuses a number of operands that the operator cannot have."""
    if len(op.inputs) not in inputs or len(op.outputs) != outputs:
        raise Unsupported("", f"it has {len(op.inputs)} inputs and {len(op.outputs)} outputs", "export the model again")


def check_shape(tensor: FileTensor) -> None:
    """Refuses dynamic, empty, scalar and absurdly large tensors."""
    elements = math.prod(tensor.shape)
    if len(tensor.shape) > MAX_RANK:
        raise Unsupported(tensor.name, f"it has {len(tensor.shape)} dimensions", f"use at most {MAX_RANK}")
    if not tensor.shape or min(tensor.shape) < 1:
        raise Unsupported(
            tensor.name,
            f"its shape {list(tensor.shape)} is not fixed and positive",
            "export the model with a fixed input shape (batch 1)",
        )
    if elements > MAX_ELEMENTS:
        raise Unsupported(tensor.name, f"it has {elements} elements", f"stay at or below {MAX_ELEMENTS}")


def run_time(tensor: FileTensor, *kinds: str) -> None:
    """Refuses a tensor that is not a run-time value of one of the types `kinds`."""
    if tensor.type not in kinds:
        wanted = " or ".join(kinds).lower()
        raise Unsupported(
            tensor.name,
            f"its type is {tensor.type.lower()}, not {wanted}",
            remedy_for(tensor, f"use {wanted} here"),
        )
    if tensor.unusual:
        remedy = STATE if tensor.is_variable else "export the model with dense tensors, one scale each, all in one file"
        raise Unsupported(tensor.name, f"it is {tensor.unusual}", remedy)
    if tensor.data is not None:
        raise Unsupported(tensor.name, "it is a constant where a computed tensor must be", "fold it when exporting")
    check_shape(tensor)


def activation(tensor: FileTensor) -> Activation:
    """A run-time int8 or uint8 tensor, quantized per tensor."""
    run_time(tensor, *OFFSETS)
    quantization = checked_quantization(tensor)
    if len(quantization.scale) != 1:
        raise Unsupported(
            tensor.name,
            f"an activation has {len(quantization.scale)} scales, TFLite allows one",
            "quantize activations per tensor",
        )
    return Activation(tensor.name, tensor.shape, quantization.scale[0], int(quantization.zero_point[0]), tensor.type)


def checked_quantization(tensor: FileTensor) -> Quantization:
    """Scales finite and above 0, zero points within the tensor's 8 bits, one or as many as scales, a valid axis. The
    result's zero points are the graph's."""
    if tensor.quantization is None:
        raise Unsupported(tensor.name, "it has no scale", "quantize the network to int8 first")
    scale, zero_point = tensor.quantization.scale, tensor.quantization.zero_point
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise Unsupported(tensor.name, "a scale is not finite and positive", "quantize the network again")
    if not len(zero_point):
        raise Unsupported(
            tensor.name,
            "it has a scale and no zero point (LiteRT refuses that too)",
            "store zero points, 0 where it is symmetric: quantize the network again with another converter",
        )
    if len(zero_point) not in (1, len(scale)):
        raise Unsupported(
            tensor.name,
            f"it has {len(scale)} scales and {len(zero_point)} zero points",
            "export the model again",
        )
    offset = OFFSETS.get(tensor.type, 0)
    if zero_point.min() < offset - 128 or zero_point.max() > offset + 127:
        reason = f"a zero point is outside {offset - 128}..{offset + 127}"
        raise Unsupported(tensor.name, reason, "quantize the network again")
    axis = None
    if len(scale) > 1:
        axis = tensor.quantization.axis
        if not 0 <= axis < len(tensor.shape) or tensor.shape[axis] != len(scale):
            raise Unsupported(
                tensor.name,
                f"{len(scale)} scales do not fit axis {axis} of shape {list(tensor.shape)}",
                "export the model again",
            )
    return Quantization(scale, np.broadcast_to(zero_point - offset, scale.shape).copy(), axis)


def weights(tensor: FileTensor, rank: int, kind: str, axis: int = 0) -> Weights:
    """Constant weights of the activations' type `kind`: int8, symmetric, one scale or one for each output channel; or
    uint8, of one scale and any zero point. axis: that of the output channels."""
    if tensor.type != kind:
        raise Unsupported(
            tensor.name,
            f"weights are {tensor.type.lower()}, not {kind.lower()}",
            remedy_for(tensor, f"export {kind.lower()} weights"),
        )
    if tensor.unusual:
        raise Unsupported(
            tensor.name,
            f"weights are {tensor.unusual}",
            "export dense weights in the same file, with scales per output channel",
        )
    if tensor.data is None:
        raise Unsupported(tensor.name, "weights are computed at run time", "export the model with constant weights")
    check_shape(tensor)
    if len(tensor.shape) != rank:
        raise Unsupported(tensor.name, f"weights have shape {list(tensor.shape)}, not rank {rank}", "export it again")
    quantization = checked_quantization(tensor)
    if kind == "UINT8":
        return unsigned_weights(tensor, quantization)
    if quantization.zero_point.any():
        raise Unsupported(
            tensor.name,
            "weights have a zero point that is not 0",
            "quantize weights symmetrically (zero point 0)",
        )
    if quantization.axis not in (None, axis):
        raise Unsupported(
            tensor.name,
            f"scales are given along axis {quantization.axis}, not for each output channel (axis {axis})",
            "quantize per output channel",
        )
    return Weights(tensor.data, quantization.scale, 0, kind)


def unsigned_weights(tensor: FileTensor, quantization: Quantization) -> Weights:
    """uint8 weights, as symmetric ones where their distances from the zero point are int8: every machine has these."""
    assert tensor.data is not None
    if len(quantization.scale) > 1:
        raise Unsupported(
            tensor.name,
            f"uint8 weights have {len(quantization.scale)} scales; LiteRT takes one",
            "quantize uint8 weights per tensor, or the network to int8",
        )
    values, zero_point = (tensor.data ^ np.uint8(128)).view(np.int8), int(quantization.zero_point[0])
    distances = values.astype(np.int16) - zero_point
    if distances.min() >= -128 and distances.max() <= 127:
        values, zero_point = distances.astype(np.int8), 0
    return Weights(values, quantization.scale, zero_point, tensor.type)


def bias(scope: Scope, op: FileOperator, channels: int) -> np.ndarray:
    """The constant int32 bias [channels]; zeros where the operator has none."""
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return np.zeros(channels, np.int32)
    tensor = scope.model.tensors[op.inputs[2]]
    if tensor.unusual:
        raise Unsupported(tensor.name, f"the bias is {tensor.unusual}", "export dense biases in the same file")
    if tensor.type == "INT32" and tensor.data is None:
        raise Unsupported(tensor.name, "the bias is computed at run time", "export the model with constant biases")
    if tensor.type != "INT32" or tensor.data is None or tensor.data.size != channels:
        raise Unsupported(
            tensor.name,
            f"the bias must be a constant of {channels} int32 values, not {tensor.type.lower()} "
            f"of shape {list(tensor.shape)}",
            "quantize the network to int8 again",
        )
    if tensor.quantization is not None and tensor.quantization.zero_point.any():
        raise Unsupported(tensor.name, "the bias has a zero point that is not 0", "quantize the network again")
    return tensor.data.reshape(channels)


def constant_integers(tensor: FileTensor) -> tuple[int, ...]:
    """The values of a constant int32 or int64 tensor, such as axes or a shape; at most 64."""
    if tensor.type not in ("INT32", "INT64") or tensor.unusual or tensor.data is None:
        raise Unsupported(tensor.name, "it must be a constant of integers", "export the model with constant shapes")
    if tensor.data.size > 64:
        raise Unsupported(tensor.name, f"it has {tensor.data.size} values", "export the model again")
    return tuple(int(v) for v in tensor.data.reshape(-1))


def expect_shape(tensor: Activation | FileTensor, shape: tuple[int, ...]) -> None:
    """Refuses an output whose shape in the file is not the one that the operator's rules give."""
    if tuple(tensor.shape) != tuple(shape):
        raise Unsupported(
            tensor.name,
            f"the file says shape {list(tensor.shape)}, the operator gives {list(shape)}",
            "export the model again with fixed shapes",
        )
