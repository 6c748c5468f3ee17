"""The integer graph: what every importer produces and the mapper consumes.

Tensors are named as in the model file, have the file's shapes (NHWC for images) and types. An operator
holds its weights and its integer constants, so that `arithmetic.py` needs nothing else to compute it.
All zero points, multipliers and shifts are already those of the format's integer arithmetic; the float
scales stay on the tensors, for edges and reports only.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

import numpy as np

from intaglio.machine.formats import ElementFormat, format_named


class Rounding(enum.Enum):
    """Rounding of a 32-bit sum scaled by multiplier * 2**(shift - 31). Named per operator, never global."""

    DOUBLE = "double"
    """gemmlowp: saturating rounding doubling high multiply, then rounding divide by a power of two
    (half away from zero). TFLite convolutions, Add, Quantize."""
    SINGLE = "single"
    """(acc * m + 2**(s-1)) >> s with s = 31 - shift. TFLite fully connected, with a multiplier from
    `exact_multipliers` (LiteRT's reference rounds a double there)."""
    AWAY = "away"
    """sign(acc) * ((|acc| * m + 2**(s-1)) >> s): half away from zero."""
    FLOAT = "float"
    """rint(float32(acc) * float32(scale)): both roundings of IEEE 754 binary32, then half to even.
    onnxruntime's integer kernels (MlasRequantizeOutput)."""


@dataclass(frozen=True)
class Requantize:
    """Scaling of 32-bit sums to the output's type.

    multiplier: int32 [C] or [1], 0 or 2**30 <= m < 2**31 (in a Mean any 0 <= m < 2**31). shift: int32 [C]
    or [1], -31..30, positive is left (TFLite's convention: real scale = multiplier / 2**31 * 2**shift).
    FLOAT: the multiplier is a multiple of 128, so that the scale is a binary32 number.
    """

    multiplier: np.ndarray
    shift: np.ndarray
    rounding: Rounding


@dataclass(frozen=True)
class Padding:
    """Rows and columns of zero points around an input; all >= 0."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class Quantization:
    """real = scale * (integer - zero_point). scale float32 [1] or [C]; zero_point int64, same length;
    axis: the dimension of per-channel scales, or None."""

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None = None


@dataclass(frozen=True)
class FileForm:
    """The form in which the model file holds a tensor that the graph holds as int8 or NHWC.

    The file's array is array.reshape(unfolded).transpose(permutation).reshape(shape), as dtype; uint8 is
    the graph's int8 plus 128 (zero points differ by the same).
    """

    unfolded: tuple[int, ...]
    permutation: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: np.dtype

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """The graph's array as the file has it."""
        moved = array.reshape(self.unfolded).transpose(self.permutation).reshape(self.shape)
        return (moved ^ np.int8(-128)).view(np.uint8) if self._relabels(array.dtype) else moved.astype(self.dtype)

    def from_file(self, array: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """The inverse: the graph's array of this shape and dtype."""
        folded = array.reshape(tuple(self.unfolded[axis] for axis in self.permutation))
        moved = folded.transpose(np.argsort(self.permutation)).reshape(shape)
        return moved.view(np.int8) ^ np.int8(-128) if self._relabels(dtype) else moved.astype(dtype)

    def order(self) -> np.ndarray:
        """For each element of the file's array the graph's element, counted in row-major order: int64 [shape]."""
        count = np.arange(math.prod(self.unfolded), dtype=np.int64)
        return count.reshape(self.unfolded).transpose(self.permutation).reshape(self.shape)

    def _relabels(self, dtype: np.dtype) -> bool:
        return self.dtype == np.uint8 and dtype == np.int8


@dataclass(frozen=True)
class Tensor:
    """A value of the graph. data is set for constants only. form: None where the file holds it as it stands here."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    quantization: Quantization | None = None
    data: np.ndarray | None = None
    form: FileForm | None = None

    @property
    def format(self) -> ElementFormat:
        """The format of its elements, where these are integers of at most 16 bits; ValueError for others."""
        return format_named(self.dtype.name)

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """The graph's array of this tensor as the model file has it: shape, layout, type."""
        return array if self.form is None else self.form.to_file(array)

    def from_file(self, array: np.ndarray) -> np.ndarray:
        """The inverse of to_file."""
        return array if self.form is None else self.form.from_file(array, self.shape, self.dtype)

    @property
    def file_shape(self) -> tuple[int, ...]:
        return self.shape if self.form is None else self.form.shape

    @property
    def file_dtype(self) -> np.dtype:
        return self.dtype if self.form is None else self.form.dtype


@dataclass(frozen=True)
class Operator:
    """inputs and outputs: names of run-time tensors (weights and biases are fields, not inputs)."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def on_host(self) -> bool:
        """True for operators that only the host runs (float edges, Softmax)."""
        return isinstance(self, HostOperator)


@dataclass(frozen=True)
class Conv2D(Operator):
    """out[n,y,x,o] = clamp(requantize(sum) + output_zero_point),
    sum = bias[o] + sum over kh, kw, i of (in - input_zero_point) * (weights[o,kh,kw,i] - weight_zero_point).

    weights int8 [O, KH, KW, I]; bias int32 [O]; stride, dilation (rows, columns) >= 1;
    clamp: lowest and highest output integer, within the output's type.
    groups: of O / groups output channels, the n-th of which read the n-th I input channels alone; the input has
    I * groups channels and O is a multiple of groups. A depthwise convolution has I = 1.
    """

    weights: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding
    input_zero_point: int
    output_zero_point: int
    requantize: Requantize
    clamp: tuple[int, int]
    weight_zero_point: int = 0
    groups: int = 1


@dataclass(frozen=True)
class FullyConnected(Operator):
    """out[n,o] = clamp(requantize(sum) + output_zero_point),
    sum = bias[o] + sum over i of (in[n,i] - input_zero_point) * (weights[o,i] - weight_zero_point).

    The input is flattened to [N, I]. weights int8 [O, I]; bias int32 [O].
    """

    weights: np.ndarray
    bias: np.ndarray
    input_zero_point: int
    output_zero_point: int
    requantize: Requantize
    clamp: tuple[int, int]
    weight_zero_point: int = 0


@dataclass(frozen=True)
class Add(Operator):
    """Element-wise sum of two int8 tensors of one shape, TFLite's arithmetic:

    a' = scale((a - zero_points[0]) << left_shift, operand_requantize[0]), b' likewise,
    out = clamp(scale(a' + b' + bias, requantize) + output_zero_point). Every Requantize here is per tensor;
    the operands' are DOUBLE.
    """

    input_zero_points: tuple[int, int]
    left_shift: int
    operand_requantize: tuple[Requantize, Requantize]
    output_zero_point: int
    requantize: Requantize
    clamp: tuple[int, int]
    bias: int = 0


@dataclass(frozen=True)
class AveragePool2D(Operator):
    """Mean of a window's elements.

    rescale None (TFLite; input and output share their quantization):
    out = clamp(mean of (in - input_zero_point) over the elements inside the input + output_zero_point), the mean half
    away from zero. Both zero points are 0 where the file has int8, and -128 where it has uint8, so that halves go up.
    Else (ONNX): out = clamp(requantize(sum (in - input_zero_point)) + output_zero_point) with FLOAT rounding and
    the scale float32(rescale / count); rescale is float32(input scale / output scale). count: the window's
    elements inside the input, or all of them with count_padding.
    """

    filter: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding
    clamp: tuple[int, int]
    rescale: float | None = None
    input_zero_point: int = 0
    output_zero_point: int = 0
    count_padding: bool = False


@dataclass(frozen=True)
class MaxPool2D(Operator):
    """out = clamp(the greatest of a window's elements inside the input); input and output share their quantization.

    filter, stride, dilation (rows, columns) >= 1. Every window has an element inside the input.
    """

    filter: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding
    clamp: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Mean(Operator):
    """Mean over rows and columns of [N,H,W,C] (global average):
    out = clamp(requantize(sum (in - input_zero_point)) + output_zero_point), the division folded into
    the multiplier. The output is [N,C] or [N,1,1,C], as its tensor says."""

    input_zero_point: int
    output_zero_point: int
    requantize: Requantize
    clamp: tuple[int, int]


@dataclass(frozen=True)
class Rescale(Operator):
    """Element-wise change of quantization (Quantize int8 to int8, a stand-alone Relu or Relu6):
    out = clamp(requantize(in - input_zero_point) + output_zero_point)."""

    input_zero_point: int
    output_zero_point: int
    requantize: Requantize
    clamp: tuple[int, int]


@dataclass(frozen=True)
class Table(Operator):
    """Any function of an element: out = values[in + 128]. values: int8 [256]. what: its name as people know it, such as
    Logistic or HardSwish."""

    values: np.ndarray
    what: str

    @property
    def kind(self) -> str:
        return self.what


@dataclass(frozen=True)
class Reshape(Operator):
    """Same elements in the same order, new shape (also Squeeze, ExpandDims, Flatten)."""


@dataclass(frozen=True)
class Box:
    """Elements that a Move takes: for all indices i, each below its size, output[to + sum of i * to_steps] is
    input[at + sum of i * steps], elements of both counted in row-major order.

    source: number of the input; None for elements that are `value`, of which `at` and `steps` mean nothing. Each axis of a
    box lies within one axis of the output, and one of the input.
    """

    source: int | None
    at: int
    to: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    to_steps: tuple[int, ...]
    value: int = 0


@dataclass(frozen=True)
class Move(Operator):
    """Elements of the inputs, or constants, in other places; none is changed. Every element of the output is in one box.

    what: name of the operator as people know it, such as Concat, Slice or Transpose. `moves` makes the boxes.
    """

    boxes: tuple[Box, ...]
    what: str

    @property
    def kind(self) -> str:
        return self.what


class HostOperator(Operator):
    """An operator that runs on the host, exactly as the format's reference does."""


@dataclass(frozen=True)
class Quantize(HostOperator):
    """float32 to int8 at the network's input; the output tensor holds scale and zero point. half_even: ONNX's
    rounding, else half away from zero (TFLite)."""

    half_even: bool = False


@dataclass(frozen=True)
class Dequantize(HostOperator):
    """int8 to float32 at the network's output; the input tensor holds scale and zero point."""


@dataclass(frozen=True)
class Softmax(HostOperator):
    """int8 softmax over the last axis; beta from the model file."""

    beta: float


@dataclass
class Graph:
    """A network. operators stand in an order in which they can be run."""

    name: str
    tensors: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: list[Operator] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Notes for a person about the import, such as a sum that no fixed-point multiplier can round
    as the format's reference does; empty for most networks."""
    inexact: tuple[str, ...] = ()
    """Tensors that may differ by 1 from the reference's, as notes say, since the reference computes them in float."""
