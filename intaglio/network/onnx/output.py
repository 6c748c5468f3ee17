"""Parts that the rules for ONNX's operators share: the QuantizeLinear behind one, its operands, its windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from intaglio.network.graph import Padding
from intaglio.network.onnx.file import Node
from intaglio.network.onnx.scope import Scope
from intaglio.network.onnx.values import UINT8, Constant, Pending, Real, Unsupported, Value, Weights


@dataclass(frozen=True)
class Output:
    """A QuantizeLinear: its output's name, scale, zero point and type in the file; node, for messages."""

    name: str
    scale: np.float32
    zero_point: int
    dtype: np.dtype
    node: Node

    @property
    def moved(self) -> int:
        """The zero point in the graph's int8."""
        return self.zero_point - 128 * (self.dtype == UINT8)

    def quantize(self, real: np.ndarray | np.float32) -> np.ndarray:
        """QuantizeLinear of float32 in the graph's int8: int64."""
        with np.errstate(all="ignore"):
            rounded = np.rint(np.float32(real) / self.scale).astype(np.float64) + self.moved
        clamped: np.ndarray = np.clip(np.nan_to_num(rounded, nan=-128.0), -128, 127)
        return clamped.astype(np.int64)

    def clamp(self, pending: Pending) -> tuple[int, int]:
        low, high = (int(self.quantize(np.float32(limit))) for limit in (pending.low, pending.high))
        return low, max(low, high)


def run_time(value: Value, scope: Scope) -> Real:
    """A dequantized 8-bit tensor."""
    if not isinstance(value, Real):
        if isinstance(value, Constant | Weights):
            raise Unsupported(
                "one of its operands is a constant",
                "fold it into the operator before (onnxruntime.quantization.quant_pre_process, then quantize again)",
            )
        raise Unsupported("an input of it is float, not a quantized tensor", "quantize activations to int8 or uint8")
    scope.accelerated(value.stored)
    return value


def unpadded(value: Value, scope: Scope) -> Real:
    """The same; zero points around it are elements of its tensor."""
    real = run_time(value, scope)
    if not real.stored.pad:
        return real
    stored = scope.solid(real)
    return replace(real, stored=stored, origin=stored)


def is_moved(scope: Scope, real: Real) -> bool:
    """True if operators that only move elements stand behind the value's DequantizeLinear."""
    maker = scope.makers.get(real.name)
    return maker is not None and maker.op != "DequantizeLinear" and not real.stored.pad


def centre(real: Real) -> int:
    """The input's zero point in the graph's int8."""
    return real.zero_point - 128 * (real.stored.form.dtype == UINT8)


def why_float(scope: Scope, pending: Pending, out: Output, *extra: str) -> None:
    """Notes where onnxruntime 1.31 leaves the operator in float32 (`optimizer/qdq_transformer`)."""
    reasons = [reason for reason in extra if reason]
    types = {v.stored.form.dtype for v in pending.operands if isinstance(v, Real)} | {out.dtype}
    if len(types) > 1:
        reasons.append("input and output have different types")
    if any(v.moves or is_moved(scope, v) for v in pending.operands if isinstance(v, Real)):
        reasons.append("its input is moved between DequantizeLinear and it")
    if any(scope.readers.get(node.outputs[0], 0) != 1 for node in pending.nodes):
        reasons.append("its float result is read elsewhere too")
    if out.clamp(pending) != (-128, 127):
        reasons.append("the activation before QuantizeLinear is not the type's range")
    if reasons and not pending.nodes[0].fused:
        scope.in_float(pending.nodes[0], out.name, ", ".join(reasons))


def window(
    node: Node, shape: tuple[int, ...], size: tuple[int, int], extra: Padding
) -> tuple[tuple[int, int], tuple[int, int], Padding, tuple[int, int]]:
    """stride, dilation, padding (with extra) and the output's rows and columns, by the operators' specification."""
    attributes = node.attributes
    stride, dilation = (pair(attributes.get(name, (1, 1)), name) for name in ("strides", "dilations"))
    if min(*size, *stride, *dilation) < 1:
        raise Unsupported(f"window {list(size)}, stride {list(stride)}, dilation {list(dilation)}", "export it again")
    auto = attributes.get("auto_pad", "NOTSET")
    inner = (shape[2] + extra.top + extra.bottom, shape[3] + extra.left + extra.right)
    begin: tuple[int, ...]
    end: tuple[int, ...]
    span = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    if auto == "NOTSET":
        pads = tuple(int(p) for p in attributes.get("pads", (0, 0, 0, 0)))
        if len(pads) != 4 or min(pads) < 0 or max(pads) >= 2**16:
            raise Unsupported(f"its pads are {list(pads)}", "use four pads that are not negative")
        begin, end = pads[:2], pads[2:]
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        if dilation != (1, 1):
            raise Unsupported(
                f"it has auto_pad {auto} and dilations; onnxruntime has no kernel for both", "use explicit pads"
            )
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(inner, stride, span, strict=True)]
        begin, end = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        if auto == "SAME_LOWER":
            begin, end = end, begin
    elif auto == "VALID":
        begin = end = (0, 0)
    else:
        raise Unsupported(f"its auto_pad is {auto!r}", "use explicit pads")
    out = tuple((n + b + e - k) // s + 1 for n, b, e, k, s in zip(inner, begin, end, span, stride, strict=True))
    if min(out) < 1:
        raise Unsupported(f"a window of {span} does not fit into {list(inner)}", "export the model again")
    padding = Padding(extra.top + begin[0], extra.bottom + end[0], extra.left + begin[1], extra.right + end[1])
    return stride, dilation, padding, (out[0], out[1])


def pair(values: object, name: str) -> tuple[int, int]:
    numbers = tuple(int(v) for v in np.atleast_1d(np.asarray(values)))
    if len(numbers) != 2:
        raise Unsupported(f"its {name} are {list(numbers)}", "use two-dimensional operators")
    return numbers[0], numbers[1]
