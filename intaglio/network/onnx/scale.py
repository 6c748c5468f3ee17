"""Scales of ONNX's integer operators, as onnxruntime computes them in float32, as Requantize."""

from __future__ import annotations

import math

import numpy as np

from intaglio.network.arithmetic import requantize
from intaglio.network.graph import Requantize, Rounding
from intaglio.network.onnx.values import Unsupported
from intaglio.network.quantized_multiplier import requantize_by

SMALLEST = float(np.finfo(np.float32).tiny)
"""The smallest normal binary32 number: below it processors differ (flush to zero)."""
LARGEST = 2.0**30


def product_scale(x: np.float32, w: np.ndarray, y: np.float32, alpha: float = 1.0) -> Requantize:
    """float32(float32(float32(alpha * x) * w) / y) for each channel, with FLOAT rounding.

    Sources: QLinearConv and QLinearMatMul (alpha 1), QGemm in `contrib_ops/cpu/quantization/quant_gemm.cc`.
    """
    with np.errstate(all="ignore"):
        return float_scale((np.float32(alpha) * x * w.astype(np.float32)) / y)


def mean_scale(x: np.float32, y: np.float32, count: int) -> Requantize:
    """float32(x / float32(y * float32(count))): MlasQLinearGlobalAveragePool (`mlas/lib/qlgavgpool.cpp`)."""
    with np.errstate(all="ignore"):
        return float_scale(np.atleast_1d(x / (y * np.float32(count))))


def float_scale(reals: np.ndarray) -> Requantize:
    """FLOAT rounding by binary32 numbers, exactly; a scale below 2**-32 gives 0 as there."""
    values = np.asarray(reals, np.float32).astype(np.float64)
    if not np.isfinite(values).all() or values.min() <= 0 or values.max() >= LARGEST:
        raise Unsupported(
            f"its scales give the factor {float(values.max()):g}, which is not between 0 and 2**30",
            "quantize the network again",
        )
    return requantize_by(values.tolist(), Rounding.FLOAT)


def elementwise(
    table: np.ndarray, input_zero_point: int, output_zero_point: int, clamp: tuple[int, int], ratio: float
) -> tuple[Requantize, int]:
    """The Requantize of a graph.Rescale that gives `table` (int64 [256], for -128..127), and how many of the 256
    values it gets wrong: 0 wherever any multiplier does (a real tie can be decided by float32's error: none may). ratio: about input scale / output scale."""
    integers = np.arange(-128, 128, dtype=np.int64) - input_zero_point

    def wrong(how: Requantize) -> int:
        got = np.clip(requantize(integers, how) + output_zero_point, *clamp)
        return int((got != table).sum())

    best: tuple[int, Requantize] | None = None
    for how in _candidates(integers, table - output_zero_point, clamp, output_zero_point, ratio):
        off = wrong(how)
        if best is None or off < best[0]:
            best = (off, how)
        if off == 0:
            break
    assert best is not None
    return best[1], best[0]


def _candidates(
    integers: np.ndarray, wanted: np.ndarray, clamp: tuple[int, int], zero_point: int, ratio: float
) -> list[Requantize]:
    """FLOAT with the scale and its neighbours, then the multipliers that every step of the table allows."""
    scale = np.float32(ratio)
    scales = [scale]
    for direction in (np.float32(np.inf), np.float32(0)):
        near = scale
        for _ in range(4):
            near = np.nextafter(near, direction)
            scales.append(near)
    found = [float_scale(np.atleast_1d(s)) for s in scales]
    shift = max(math.frexp(ratio)[1], -31)
    low, high = clamp[0] - zero_point, clamp[1] - zero_point
    multiplier = _allowed(integers.tolist(), wanted.tolist(), low, high, 31 - shift)
    if multiplier is not None:
        found.append(Requantize(np.array([multiplier], np.int32), np.array([shift], np.int32), Rounding.SINGLE))
    return found


def _allowed(integers: list[int], wanted: list[int], low: int, high: int, right: int) -> int | None:
    """A multiplier m of 31 bits with (d * m + half) >> right == t for all pairs; at the clamp's ends d * m may lie
    beyond. None where the pairs contradict each other."""
    least, most = 2**30, 2**31 - 1
    half, one = 1 << (right - 1), 1 << right
    for d, t in zip(integers, wanted, strict=True):
        above, below = t * one - half, (t + 1) * one - half  # above <= d * m < below
        if d > 0:
            least = least if t <= low else max(least, -(-above // d))
            most = most if t >= high else min(most, -(-below // d) - 1)
        elif d < 0:
            most = most if t <= low else min(most, -above // -d)
            least = least if t >= high else max(least, -below // -d + 1)
    return (least + most) // 2 if least <= most else None
