"""Write int8 and uint8 networks as .tflite files: their operators, one call each.

    b = TfliteBuilder("net")
    x = b.input((1, 8, 8, 3), scale=0.02, zero_point=-1)
    y = b.conv2d(x, weights, bias, weight_scales, scale=0.05, zero_point=3, stride=(2, 2), activation="RELU")
    b.write(Path("net.tflite"), outputs=[y])

Tensors are NHWC; pairs are (rows, columns); padding is "SAME" or "VALID"; an activation is None, "RELU",
"RELU6" or "RELU_N1_TO_1". scale and zero_point are those of the result: real = scale * (q - zero_point),
zero_point -128..127. The same calls give the same bytes.

An operator's result has its input's type: int8, or uint8 behind an input or a quantize of dtype "uint8". The calls take
the same numbers for both: int8, of which the file has 128 more where it is uint8, zero points and weights included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intaglio.network.float_network import output_size
from intaglio.network.tflite.contents import Contents, schema

SOFTMAX_SCALE, SOFTMAX_ZERO_POINT = 1 / 256, -128
"""The only output quantization that TFLite's softmax and logistic accept."""
OFFSETS = {"int8": 0, "uint8": 128}
"""The file's integers less those of the calls."""


@dataclass(frozen=True)
class Value:
    """A tensor of the file. scale and zero_point (of the calls' int8) are None for float32 and int32."""

    index: int
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int | None = None
    dtype: str = "float32"


class TfliteBuilder:
    """Collects operators in the order of the calls; each call returns its result's Value."""

    def __init__(self, name: str) -> None:
        self._file = Contents(name)

    def input(
        self, shape: Sequence[int], scale: float, zero_point: int, name: str = "input", dtype: str = "int8"
    ) -> Value:
        """An input of the network, int8 or uint8."""
        value = self._activation(name, shape, scale, zero_point, dtype)
        self._file.inputs.append(value.index)
        return value

    def float_input(self, shape: Sequence[int], name: str = "input") -> Value:
        """A float32 input of the network."""
        value = Value(self._file.tensor(name, shape, "float32"), tuple(shape))
        self._file.inputs.append(value.index)
        return value

    def conv2d(
        self,
        x: Value,
        weights: np.ndarray,
        bias: np.ndarray,
        weight_scales: np.ndarray,
        scale: float,
        zero_point: int,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: str = "SAME",
        activation: str | None = None,
        name: str | None = None,
        weight_zero_point: int = 0,
    ) -> Value:
        """x [N, H, W, I]; weights int8 [O, KH, KW, I]; bias int32 [O] at scale x.scale * weight_scales;
        weight_scales float32 [O], or [1] for all channels. uint8 has one scale, and a weight_zero_point that int8 has
        not."""
        sizes = self._window_sizes(x, weights.shape[1:3], stride, dilation, padding)
        options = schema.Conv2DOptionsT(
            padding=getattr(schema.Padding, padding),
            strideH=stride[0],
            strideW=stride[1],
            dilationHFactor=dilation[0],
            dilationWFactor=dilation[1],
            fusedActivationFunction=_activation_code(activation),
        )
        name = name or self._new_name("conv2d")
        inputs = [x.index, *self._parameters(name, x, weights, bias, weight_scales, weight_zero_point)]
        y = self._activation(name, (x.shape[0], *sizes, len(weights)), scale, zero_point, x.dtype)
        return self._operator("CONV_2D", inputs, y, options)

    def depthwise_conv2d(
        self,
        x: Value,
        weights: np.ndarray,
        bias: np.ndarray,
        weight_scales: np.ndarray,
        scale: float,
        zero_point: int,
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: str = "SAME",
        activation: str | None = None,
        name: str | None = None,
        weight_zero_point: int = 0,
    ) -> Value:
        """x [N, H, W, I]; weights int8 [O, KH, KW, 1], where output channel o reads input channel o // (O / I);
        the rest as for conv2d."""
        sizes = self._window_sizes(x, weights.shape[1:3], stride, dilation, padding)
        options = schema.DepthwiseConv2DOptionsT(
            padding=getattr(schema.Padding, padding),
            strideH=stride[0],
            strideW=stride[1],
            depthMultiplier=len(weights) // x.shape[3],
            dilationHFactor=dilation[0],
            dilationWFactor=dilation[1],
            fusedActivationFunction=_activation_code(activation),
        )
        name = name or self._new_name("depthwise_conv2d")
        inputs = [x.index, *self._parameters(name, x, weights, bias, weight_scales, weight_zero_point, last=True)]
        y = self._activation(name, (x.shape[0], *sizes, len(weights)), scale, zero_point, x.dtype)
        return self._operator("DEPTHWISE_CONV_2D", inputs, y, options)

    def fully_connected(
        self,
        x: Value,
        weights: np.ndarray,
        bias: np.ndarray,
        weight_scales: np.ndarray,
        scale: float,
        zero_point: int,
        activation: str | None = None,
        name: str | None = None,
        weight_zero_point: int = 0,
    ) -> Value:
        """x of N * I elements; weights int8 [O, I]; bias int32 [O] at scale x.scale * weight_scales;
        weight_scales float32 [1], or [O] for per-channel weights; weight_zero_point as for conv2d. The result is
        [N, O]."""
        options = schema.FullyConnectedOptionsT(fusedActivationFunction=_activation_code(activation))
        name = name or self._new_name("fully_connected")
        inputs = [x.index, *self._parameters(name, x, weights, bias, weight_scales, weight_zero_point)]
        batch = int(np.prod(x.shape)) // weights.shape[1]
        y = self._activation(name, (batch, len(weights)), scale, zero_point, x.dtype)
        return self._operator("FULLY_CONNECTED", inputs, y, options)

    def add(
        self,
        a: Value,
        b: Value,
        scale: float,
        zero_point: int,
        activation: str | None = None,
        name: str | None = None,
    ) -> Value:
        """Element-wise sum of two tensors of one shape."""
        options = schema.AddOptionsT(fusedActivationFunction=_activation_code(activation), potScaleInt16=False)
        y = self._activation(name or self._new_name("add"), a.shape, scale, zero_point, a.dtype)
        return self._operator("ADD", [a.index, b.index], y, options)

    def average_pool(
        self,
        x: Value,
        filter: tuple[int, int],
        stride: tuple[int, int],
        padding: str = "VALID",
        activation: str | None = None,
        name: str | None = None,
    ) -> Value:
        """Mean over windows of x [N, H, W, C]; the result keeps x's quantization, as TFLite demands."""
        name = name or self._new_name("average_pool")
        return self._pool("AVERAGE_POOL_2D", x, filter, stride, padding, activation, name)

    def max_pool(
        self,
        x: Value,
        filter: tuple[int, int],
        stride: tuple[int, int],
        padding: str = "VALID",
        activation: str | None = None,
        name: str | None = None,
    ) -> Value:
        """Maximum over windows of x [N, H, W, C]; the result keeps x's quantization, as TFLite demands."""
        return self._pool("MAX_POOL_2D", x, filter, stride, padding, activation, name or self._new_name("max_pool"))

    def _pool(
        self,
        code: str,
        x: Value,
        filter: tuple[int, int],
        stride: tuple[int, int],
        padding: str,
        activation: str | None,
        name: str,
    ) -> Value:
        sizes = self._window_sizes(x, filter, stride, (1, 1), padding)
        options = schema.Pool2DOptionsT(
            padding=getattr(schema.Padding, padding),
            strideH=stride[0],
            strideW=stride[1],
            filterHeight=filter[0],
            filterWidth=filter[1],
            fusedActivationFunction=_activation_code(activation),
        )
        y = self._like(x, name, (x.shape[0], *sizes, x.shape[3]))
        return self._operator(code, [x.index], y, options)

    def mean(self, x: Value, scale: float, zero_point: int, keep_dims: bool = False, name: str | None = None) -> Value:
        """Mean over rows and columns of x [N, H, W, C]: [N, 1, 1, C] with keep_dims, else [N, C]."""
        name = name or self._new_name("mean")
        axes = self._file.tensor(f"{name}/axes", (2,), "int32", data=np.array([1, 2], np.int32))
        shape = (x.shape[0], 1, 1, x.shape[3]) if keep_dims else (x.shape[0], x.shape[3])
        y = self._activation(name, shape, scale, zero_point, x.dtype)
        return self._operator("MEAN", [x.index, axes], y, schema.ReducerOptionsT(keepDims=keep_dims))

    def reshape(self, x: Value, shape: Sequence[int], name: str | None = None) -> Value:
        """The same elements in the same order; shape gives every dimension."""
        name = name or self._new_name("reshape")
        target = np.array(shape, np.int32)
        constant = self._file.tensor(f"{name}/shape", target.shape, "int32", data=target)
        options = schema.ReshapeOptionsT(newShape=target)
        return self._operator("RESHAPE", [x.index, constant], self._like(x, name, shape), options)

    def relu(self, x: Value, scale: float, zero_point: int, kind: str = "RELU", name: str | None = None) -> Value:
        """A stand-alone "RELU" or "RELU6"; the result has its own quantization."""
        y = self._activation(name or self._new_name(kind.lower()), x.shape, scale, zero_point, x.dtype)
        return self._operator(kind, [x.index], y, None)

    def quantize(
        self, x: Value, scale: float, zero_point: int, name: str | None = None, dtype: str | None = None
    ) -> Value:
        """float32, int8 or uint8 to int8 or uint8 of another scale and zero point; dtype: x's, or int8 of float32, where
        it is None."""
        dtype = dtype or ("int8" if x.scale is None else x.dtype)
        y = self._activation(name or self._new_name("quantize"), x.shape, scale, zero_point, dtype)
        return self._operator("QUANTIZE", [x.index], y, schema.QuantizeOptionsT())

    def dequantize(self, x: Value, name: str | None = None) -> Value:
        """int8 or uint8 to float32."""
        y = Value(self._file.tensor(name or self._new_name("dequantize"), x.shape, "float32"), x.shape)
        return self._operator("DEQUANTIZE", [x.index], y, schema.DequantizeOptionsT())

    def softmax(self, x: Value, beta: float = 1.0, name: str | None = None) -> Value:
        """Softmax over the last axis; out at scale 1/256, zero point -128."""
        name = name or self._new_name("softmax")
        y = self._activation(name, x.shape, SOFTMAX_SCALE, SOFTMAX_ZERO_POINT, x.dtype)
        return self._operator("SOFTMAX", [x.index], y, schema.SoftmaxOptionsT(beta=beta))

    def logistic(self, x: Value, name: str | None = None) -> Value:
        """1 / (1 + exp(-x)); of int8 at scale 1/256, zero point -128, as TFLite demands, else float32."""
        name = name or self._new_name("logistic")
        if x.scale is None:
            y = Value(self._file.tensor(name, x.shape, "float32"), x.shape)
        else:
            y = self._activation(name, x.shape, SOFTMAX_SCALE, SOFTMAX_ZERO_POINT, x.dtype)
        return self._operator("LOGISTIC", [x.index], y, None)

    def function(
        self, x: Value, kind: str, scale: float, zero_point: int, alpha: float = 0.1, name: str | None = None
    ) -> Value:
        """A function of each element: kind "hard_swish", "gelu", or "leaky_relu" with its slope alpha below 0."""
        options = {
            "leaky_relu": schema.LeakyReluOptionsT(alpha=alpha),
            "gelu": schema.GeluOptionsT(approximate=False),
        }
        y = self._activation(name or self._new_name(kind), x.shape, scale, zero_point, x.dtype)
        return self._operator(kind.upper(), [x.index], y, options.get(kind))

    def concatenation(self, sources: Sequence[Value], axis: int, name: str | None = None) -> Value:
        """Tensors of one scale and zero point, one behind the other along an axis."""
        first = sources[0]
        shape = [sum(x.shape[axis] for x in sources) if a == axis else n for a, n in enumerate(first.shape)]
        y = self._like(first, name or self._new_name("concatenation"), shape)
        return self._operator("CONCATENATION", [x.index for x in sources], y, schema.ConcatenationOptionsT(axis=axis))

    def strided_slice(self, x: Value, axes: Sequence[tuple[int, int, int]], name: str | None = None) -> Value:
        """(first, end, step) of each axis, all from 0 on."""
        name = name or self._new_name("strided_slice")
        given = [
            self._integers(f"{name}/{what}", column)
            for what, column in zip(("begin", "end", "strides"), zip(*axes, strict=True), strict=True)
        ]
        y = self._like(x, name, [len(range(*axis)) for axis in axes])
        return self._operator("STRIDED_SLICE", [x.index, *given], y, schema.StridedSliceOptionsT())

    def pad(self, x: Value, around: Sequence[tuple[int, int]], name: str | None = None) -> Value:
        """So many zero points before and behind each axis."""
        name = name or self._new_name("pad")
        amounts = self._integers(f"{name}/amounts", around)
        y = self._like(x, name, [n + a + b for n, (a, b) in zip(x.shape, around, strict=True)])
        return self._operator("PAD", [x.index, amounts], y, schema.PadOptionsT())

    def transpose(self, x: Value, order: Sequence[int], name: str | None = None) -> Value:
        """Axis a of the result is axis order[a]."""
        name = name or self._new_name("transpose")
        given = self._integers(f"{name}/perm", order)
        y = self._like(x, name, [x.shape[a] for a in order])
        return self._operator("TRANSPOSE", [x.index, given], y, schema.TransposeOptionsT())

    def resize_nearest(self, x: Value, size: tuple[int, int], name: str | None = None) -> Value:
        """x [N, H, W, C] with so many rows and columns."""
        name = name or self._new_name("resize")
        given = self._integers(f"{name}/size", size)
        y = self._like(x, name, (x.shape[0], *size, x.shape[3]))
        return self._operator("RESIZE_NEAREST_NEIGHBOR", [x.index, given], y, schema.ResizeNearestNeighborOptionsT())

    def _integers(self, name: str, values: Any) -> int:
        """A constant of int32."""
        data = np.asarray(values, np.int32)
        return self._file.tensor(name, data.shape, "int32", data=data)

    def arg_max(self, x: Value, name: str | None = None) -> Value:
        """The place of the greatest value along the last axis, int32; of equal ones the first."""
        name = name or self._new_name("arg_max")
        axis = self._file.tensor(f"{name}/axis", (), "int32", data=np.array(-1, np.int32))
        y = Value(self._file.tensor(name, x.shape[:-1], "int32"), x.shape[:-1])
        options = schema.ArgMaxOptionsT(outputType=schema.TensorType.INT32)
        return self._operator("ARG_MAX", [x.index, axis], y, options)

    def to_bytes(self, outputs: Sequence[Value]) -> bytes:
        """The file's contents, with outputs as the network's outputs."""
        return self._file.to_bytes([value.index for value in outputs])

    def write(self, path: Path, outputs: Sequence[Value]) -> None:
        """Write to_bytes(outputs) to path."""
        path.write_bytes(self.to_bytes(outputs))

    def _parameters(
        self,
        name: str,
        x: Value,
        weights: np.ndarray,
        bias: np.ndarray,
        weight_scales: np.ndarray,
        weight_zero_point: int,
        last: bool = False,
    ) -> list[int]:
        """Weight and bias tensors' indices; the bias's scale is x.scale * weight_scales in float32. last: the file
        has dimension 0 of weights, the output channels, and the last one in each other's place."""
        if weights.dtype != np.int8 or bias.dtype != np.int32:
            raise TypeError(f"{name}: weights {weights.dtype}, bias {bias.dtype}; int8 and int32 needed")
        scales = np.asarray(weight_scales, np.float32)
        if x.scale is None or bias.shape != (len(weights),) or scales.shape not in ((1,), bias.shape):
            raise ValueError(f"{name}: x must be int8 or uint8; bias [{len(weights)}], weight_scales [1] or as many")
        if (x.dtype == "uint8" and len(scales) > 1) or (x.dtype == "int8" and weight_zero_point):
            raise ValueError(f"{name}: uint8 weights have one scale, int8 ones zero point 0")
        bias_scales = np.float32(x.scale) * scales
        zeros = np.zeros(len(scales), np.int64)
        axis = weights.ndim - 1 if last else 0
        weights = weights.swapaxes(0, axis)
        if x.dtype == "uint8":
            weights = (weights ^ np.int8(-128)).view(np.uint8)
        points = zeros + weight_zero_point + OFFSETS[x.dtype]
        return [
            self._file.tensor(f"{name}/weights", weights.shape, x.dtype, scales, points, weights, axis),
            self._file.tensor(f"{name}/bias", bias.shape, "int32", bias_scales, zeros, bias),
        ]

    def _window_sizes(
        self,
        x: Value,
        kernel: Sequence[int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
        padding: str,
    ) -> list[int]:
        sizes = [
            output_size(x.shape[1 + axis], kernel[axis], stride[axis], dilation[axis], padding) for axis in range(2)
        ]
        if min(sizes) < 1:
            raise ValueError(f"window {tuple(kernel)}, dilation {dilation} does not fit into {x.shape}")
        return sizes

    def _like(self, x: Value, name: str, shape: Sequence[int]) -> Value:
        if x.scale is None or x.zero_point is None:
            raise ValueError(f"{name}: its input must be int8 or uint8")
        return self._activation(name, shape, x.scale, x.zero_point, x.dtype)

    def _activation(self, name: str, shape: Sequence[int], scale: float, zero_point: int, dtype: str) -> Value:
        if dtype not in OFFSETS:
            raise ValueError(f"{name}: {dtype} is neither int8 nor uint8")
        if not -128 <= zero_point <= 127:
            raise ValueError(f"{name}: zero point {zero_point} outside -128..127")
        scales, points = np.array([scale], np.float32), np.array([zero_point + OFFSETS[dtype]], np.int64)
        index = self._file.tensor(name, shape, dtype, scales, points)
        return Value(index, tuple(shape), float(scales[0]), zero_point, dtype)

    def _operator(self, kind: str, inputs: list[int], y: Value, options: object | None) -> Value:
        self._file.operator(kind, inputs, [y.index], options)
        return y

    def _new_name(self, kind: str) -> str:
        return f"{kind}_{self._file.operator_count}"


def _activation_code(activation: str | None) -> int:
    code: int = getattr(schema.ActivationFunctionType, activation or "NONE")
    return code
