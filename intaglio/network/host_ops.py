"""Operators that only the host runs, exactly as LiteRT's reference kernels or onnxruntime do.

Softmax follows `reference/softmax.h` and gemmlowp's `fixedpoint.h`; a comment Qm.n gives the integer and
fractional bits of a 32-bit value. Values are int64 arrays that hold 32-bit numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from intaglio.network.affine import dequantize, quantize
from intaglio.network.arithmetic import (
    INT32_MAX,
    INT32_MIN,
    rounding_divide_by_power_of_two,
    rounding_doubling_high_multiply,
)
from intaglio.network.graph import Dequantize, Operator, Quantization, Quantize, Softmax, Tensor
from intaglio.network.onnx import host as onnx_host
from intaglio.network.onnx.host import OnnxHost
from intaglio.network.quantized_multiplier import quantize_multiplier
from intaglio.network.tflite import host as litert_host
from intaglio.network.tflite.host import LiteRTHost

SCALED_DIFFERENCE_BITS = 5
"""Integer bits of the exponent's argument (Q5.26)."""
ACCUMULATION_BITS = 12
"""Integer bits of the sum of exponentials (Q12.19), so at most 4,095 elements can be summed."""

# exp(-2**i) for i = -2..4 and the constants of the polynomial and of the division, all Q0.31 or Q2.29.
EXPONENTIALS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
EXP_MINUS_ONE_EIGHTH, ONE_THIRD = 1895147668, 715827883
FORTY_EIGHT_OVER_17, MINUS_THIRTY_TWO_OVER_17 = 1515870810, -1010580540


def per_tensor(tensor: Tensor) -> Quantization:
    """The single scale and zero point of an int8 tensor."""
    if tensor.quantization is None or len(tensor.quantization.scale) != 1:
        raise ValueError(f"tensor {tensor.name!r} has no per-tensor quantization")
    return tensor.quantization


def in_graph(x: np.ndarray, tensor: Tensor) -> np.ndarray:
    """int8 numbers in the model file's layout, as the graph lays out `tensor`."""
    if tensor.form is None:
        return x
    return dataclasses.replace(tensor.form, dtype=x.dtype).from_file(x, tensor.shape, x.dtype)


def in_file(x: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The inverse, for any type."""
    return x if tensor.form is None else dataclasses.replace(tensor.form, dtype=x.dtype).to_file(x)


def saturating_left_shift(x: np.ndarray, by: int) -> np.ndarray:
    """gemmlowp SaturatingRoundingMultiplyByPOT for a positive exponent."""
    shifted: np.ndarray = np.clip(x << by, INT32_MIN, INT32_MAX)
    return shifted


def exp_between_minus_quarter_and_zero(a: np.ndarray) -> np.ndarray:
    """exp(a) for -1/4 <= a < 0, Q0.31: a Taylor polynomial of degree 4 around -1/8."""
    x = a + (1 << 28)
    x2 = rounding_doubling_high_multiply(x, x)
    x3 = rounding_doubling_high_multiply(x2, x)
    x4_over_4 = rounding_divide_by_power_of_two(rounding_doubling_high_multiply(x2, x2), 2)
    third = rounding_doubling_high_multiply(x4_over_4 + x3, ONE_THIRD)
    tail = rounding_divide_by_power_of_two(third + x2, 1)
    return EXP_MINUS_ONE_EIGHTH + rounding_doubling_high_multiply(x + tail, EXP_MINUS_ONE_EIGHTH)


def exp_on_negative_values(a: np.ndarray) -> np.ndarray:
    """exp(a) for a <= 0: Q5.26 in, Q0.31 out. A quarter by polynomial, the rest by a factor for each bit."""
    fraction_bits = 31 - SCALED_DIFFERENCE_BITS
    quarter = 1 << (fraction_bits - 2)
    in_quarter = (a & (quarter - 1)) - quarter
    result = exp_between_minus_quarter_and_zero(saturating_left_shift(in_quarter, SCALED_DIFFERENCE_BITS))
    remainder = in_quarter - a
    for bit, factor in enumerate(EXPONENTIALS, start=fraction_bits - 2):
        scaled = rounding_doubling_high_multiply(result, factor)
        result = np.where(remainder & (1 << bit), scaled, result)
    return np.where(a == 0, INT32_MAX, result)


def one_over_one_plus(x: np.ndarray) -> np.ndarray:
    """1 / (1 + x) for 0 <= x < 1, Q0.31: three Newton-Raphson steps in Q2.29."""
    half_denominator = (x + INT32_MAX + 1) >> 1  # RoundingHalfSum of two non-negative numbers
    estimate = FORTY_EIGHT_OVER_17 + rounding_doubling_high_multiply(half_denominator, MINUS_THIRTY_TWO_OVER_17)
    for _ in range(3):
        error = (1 << 29) - rounding_doubling_high_multiply(half_denominator, estimate)
        estimate = estimate + saturating_left_shift(rounding_doubling_high_multiply(estimate, error), 2)
    return saturating_left_shift(estimate, 1)


def softmax_scaling(beta: float, scale: float) -> tuple[int, int]:
    """PreprocessSoftmaxScaling: (multiplier, left shift) to Q5.26 of an input difference.

    beta * scale > 2**-26.
    """
    real = min(beta * scale * 2.0 ** (31 - SCALED_DIFFERENCE_BITS), 2.0**31 - 1)
    return quantize_multiplier(real)


def softmax(x: np.ndarray, beta: float, scale: float) -> np.ndarray:
    """int8 softmax over the last axis, at most 4,095 long. Output scale 1/256, zero point -128.

    beta: float32 of the model file; scale: the input's.
    LiteRT 2.3.0 aborts the process where the sum of exponentials reaches 512 (more than 511 values near the
    largest); here the same formula goes on.
    """
    multiplier, left_shift = softmax_scaling(beta, scale)
    lowest = -math.floor((2**SCALED_DIFFERENCE_BITS - 1) * 2.0 ** (31 - SCALED_DIFFERENCE_BITS - left_shift))
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    counted = difference >= lowest
    scaled = rounding_doubling_high_multiply(np.where(counted, difference, 0) << left_shift, multiplier)
    exponential = exp_on_negative_values(scaled)
    addends = np.where(counted, rounding_divide_by_power_of_two(exponential, ACCUMULATION_BITS), 0)
    total = addends.sum(axis=-1, keepdims=True)
    bits = np.frompyfunc(int.bit_length, 1, 1)(total.astype(object)).astype(np.int64)
    reciprocal = one_over_one_plus((total << (32 - bits)) - 2**31)
    over_unit = ACCUMULATION_BITS - (32 - bits)
    quotient = rounding_divide_by_power_of_two(
        rounding_doubling_high_multiply(reciprocal, exponential), over_unit + 31 - 8
    )
    return np.where(counted, np.clip(quotient - 128, -128, 127), -128).astype(np.int8)


def prepare(op: Operator) -> None:
    """Starts what a host operator needs before it can run, so that `run` takes the operator's own time."""
    if isinstance(op, OnnxHost):
        onnx_host.start(op)
    elif isinstance(op, LiteRTHost):
        litert_host.start(op)


def run(
    op: Operator, values: Sequence[np.ndarray], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> list[np.ndarray]:
    """The values of a host operator's outputs; inputs and outputs are the tensors that op names."""
    match op:
        case OnnxHost():
            return onnx_host.run(op, values, inputs, outputs)
        case LiteRTHost():
            return litert_host.run(op, values, inputs, outputs)
        case Quantize():
            result = in_graph(quantize(values[0], per_tensor(outputs[0]), op.half_even), outputs[0])
        case Dequantize():
            result = in_file(dequantize(values[0], per_tensor(inputs[0])), inputs[0])
        case Softmax():
            result = softmax(values[0], op.beta, float(per_tensor(inputs[0]).scale[0]))
        case _:
            raise TypeError(f"no host arithmetic for {op.kind} {op.name!r}")
    return [result.reshape(outputs[0].shape)]
