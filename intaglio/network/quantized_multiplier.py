"""Real scales as fixed-point multipliers, computed as TFLite does (`quantization_util.cc`)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from intaglio.network.graph import Requantize, Rounding


def quantize_multiplier(real: float) -> tuple[int, int]:
    """TFLite's QuantizeMultiplier: (multiplier, shift) with real close to multiplier * 2**(shift - 31).

    real >= 0, double precision. multiplier is 0 or 2**30 <= m < 2**31; a scale below 2**-32 becomes 0.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2.0**31 + 0.5)  # the product and the sum are exact
    if multiplier == 2**31:
        multiplier //= 2
        shift += 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def requantize_by(reals: Iterable[float], rounding: Rounding) -> Requantize:
    """One Requantize from a real scale for each channel (or a single one)."""
    pairs = [quantize_multiplier(real) for real in reals]
    return Requantize(np.array([m for m, _ in pairs], np.int32), np.array([s for _, s in pairs], np.int32), rounding)


def mean_multiplier(real: float, count: int) -> tuple[int, int]:
    """The multiplier of a mean over `count` elements (`reference/reduce.h`, QuantizedMeanOrSum).

    real: input scale / output scale. 1 / count is folded in by integer division, so the multiplier is
    truncated and may lie below 2**30.
    """
    multiplier, shift = quantize_multiplier(real)
    by = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << by) // count, shift - by
