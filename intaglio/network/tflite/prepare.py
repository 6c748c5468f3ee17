"""Parts of the rules that many operators share, after LiteRT's Prepare: operands, fused activations, windows and scales."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from intaglio.network.graph import (
    Padding,
    Requantize,
    Rounding,
)
from intaglio.network.quantized_multiplier import requantize_by
from intaglio.network.tflite.file import FileOperator
from intaglio.network.tflite.tensors import (
    Activation,
    Scope,
    Unsupported,
    activation,
)

SAME, VALID = 0, 1
"""schema.fbs, enum Padding."""
ACTIVATIONS: dict[int, tuple[float | None, float | None]] = {
    0: (None, None),
    1: (0.0, None),
    2: (-1.0, 1.0),
    3: (0.0, 6.0),
}
"""schema.fbs, ActivationFunctionType NONE, RELU, RELU_N1_TO_1, RELU6 -> lowest and highest real value."""


def options_of(op: FileOperator) -> dict[str, Any]:
    """The options of an operator that cannot do without."""
    if op.options is None:
        raise Unsupported("", "its options are missing", "export the model again")
    return op.options


def operand(scope: Scope, op: FileOperator, position: int = 0) -> Activation:
    """The 8-bit tensor at an input."""
    return activation(scope.tensor(op, position))


def result(scope: Scope, op: FileOperator, *operands: Activation) -> Activation:
    """The 8-bit tensor at the output; refuses operands of another type than its."""
    y = activation(scope.model.tensors[op.outputs[0]])
    for x in operands:
        if x.type != y.type:
            raise Unsupported(
                x.name,
                f"it is {x.type.lower()}, and the output {y.name!r} {y.type.lower()}",
                "give both one type, with a QUANTIZE between them",
            )
    return y


def image(tensor: Activation) -> Activation:
    """Refuses what is not [N, H, W, C]."""
    if len(tensor.shape) != 4:
        raise Unsupported(
            tensor.name,
            f"its shape is {list(tensor.shape)}, not [N, H, W, C]",
            "reshape it to four dimensions",
        )
    return tensor


def quantized_limit(real: float, output: Activation) -> int:
    """kernel_util.cc, Quantize: zero point + round(real / scale), in float32, half away from zero."""
    ratio = float(np.float32(real) / output.scale)
    if not abs(ratio) < 2.0**31:
        raise Unsupported(
            output.name, f"its scale {output.scale:g} is too small for the activation", "quantize it again"
        )
    return output.zero_point + int(math.copysign(math.floor(abs(ratio) + 0.5), ratio))


def clamp(code: int, output: Activation) -> tuple[int, int]:
    """kernel_util.cc, CalculateActivationRangeQuantized: the fused activation as lowest and highest int8 of
    the graph."""
    if code not in ACTIVATIONS:
        raise Unsupported(
            output.name,
            f"fused activation {code} is not supported",
            "use none, RELU, RELU6 or RELU_N1_TO_1, or a separate operator",
        )
    lowest, highest = ACTIVATIONS[code]
    low = -128 if lowest is None else max(-128, quantized_limit(lowest, output))
    high = 127 if highest is None else min(127, quantized_limit(highest, output))
    if low > high:
        raise Unsupported(output.name, f"the activation leaves no value between {low} and {high}", "quantize it again")
    return low, high


def window(
    op: FileOperator,
    size: tuple[int, int],
    image_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[Padding, tuple[int, int]]:
    """padding.h, ComputePaddingHeightWidth: explicit padding and the output's rows and columns."""
    padding = options_of(op)["Padding"]
    if padding not in (SAME, VALID):
        raise Unsupported("", f"padding {padding} is neither SAME nor VALID", "export the model again")
    if min(*size, *stride, *dilation) < 1:
        raise Unsupported(
            "",
            f"window {list(size)}, stride {list(stride)} and dilation {list(dilation)} must be positive",
            "export the model again",
        )
    before, after, counts = [], [], []
    for length, k, s, d in zip(image_shape[1:3], size, stride, dilation, strict=True):
        span = (k - 1) * d + 1
        count = -(-length // s) if padding == SAME else -(-(length - span + 1) // s)
        total = max((count - 1) * s + span - length, 0) if padding == SAME else 0
        if count < 1:
            raise Unsupported("", f"a window of {span} does not fit into {length} rows or columns", "use SAME padding")
        before.append(total // 2)
        after.append(total - total // 2)
        counts.append(count)
    return Padding(before[0], after[0], before[1], after[1]), (counts[0], counts[1])


def requantize(reals: list[float], output: Activation) -> Requantize:
    """Double rounding; refuses scales of 2**30 and more, which no shift can hold."""
    if max(reals) < 2.0**31:
        how = requantize_by(reals, Rounding.DOUBLE)
        if how.shift.max() <= 30:
            return how
    raise Unsupported(output.name, f"the scale {max(reals):g} is too large", "quantize the network again")
