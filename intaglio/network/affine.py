"""Real numbers as 8-bit ones and back, exactly as LiteRT's reference kernels or onnxruntime do."""

from __future__ import annotations

import numpy as np

from intaglio.network.graph import Quantization


def quantize(x: np.ndarray, to: Quantization, half_even: bool = False) -> np.ndarray:
    """reference_ops::AffineQuantize. x float32, finite -> int8: round(x / scale), half away from zero, or half to
    even (onnxruntime's QuantizeLinear).

    The division is float32's. Beyond 32 bits the reference is undefined; here it saturates.
    """
    with np.errstate(over="ignore"):
        ratio = (x.astype(np.float32) / np.float32(to.scale[0])).astype(np.float64)
    whole = np.rint(ratio) if half_even else np.sign(ratio) * np.floor(np.abs(ratio) + 0.5)
    rounded = np.clip(whole, -(2.0**31), 2.0**31)
    return np.clip(rounded.astype(np.int64) + int(to.zero_point[0]), -128, 127).astype(np.int8)


def dequantize(x: np.ndarray, of: Quantization) -> np.ndarray:
    """reference_ops::Dequantize. x int8 -> float32, rounded once."""
    real = np.float64(of.scale[0]) * (x.astype(np.int64) - int(of.zero_point[0]))
    return real.astype(np.float32)
