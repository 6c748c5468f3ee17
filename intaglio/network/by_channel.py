"""Functions of an element that differ from channel to channel, as convolutions of each channel by one weight.

Products and sums with a constant by channel are lines a * x + b up to roundings. `fitted` finds integers with which the
requantizer gives the very same 256 results, or says for which channel there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.network.arithmetic import requantize
from intaglio.network.graph import Requantize, Rounding
from intaglio.network.quantized_multiplier import quantize_multiplier

CODES = np.arange(-128, 128)
_WEIGHTS = range(127, 31, -1)
"""Weights that are tried: the larger, the finer a bias is beside a step of the input."""
_NEAR = 160
"""Multipliers that are tried on either side of the nominal one, the last half a result's step off over the range."""
_NEARER_FIRST = sorted(range(-_NEAR, _NEAR + 1), key=abs)


@dataclass(frozen=True)
class Lines:
    """weights int8 [C], bias int32 [C], requantize with C multipliers, DOUBLE: a result is clamp(requantize(weights * (x -
    input zero point) + bias) + output zero point)."""

    weights: np.ndarray
    bias: np.ndarray
    requantize: Requantize


def fitted(
    results: np.ndarray, slope: float, input_zero_point: int, output_zero_point: int, clamp: tuple[int, int]
) -> Lines | int:
    """Lines that give all results; or the first channel of which none was found. results: int8 [C, 256], of the inputs -128
    to 127, rounded anyhow and clamped. slope: results' steps for a step of the input, not 0."""
    found = []
    for channel, values in enumerate(results.astype(np.int64)):
        line = _line(values, slope, input_zero_point, output_zero_point, clamp)
        if line is None:
            return channel
        found.append(line)
    weights, bias, multipliers, shifts = (np.array(column, np.int64) for column in zip(*found, strict=True))
    how = Requantize(multipliers.astype(np.int32), shifts.astype(np.int32), Rounding.DOUBLE)
    return Lines(weights.astype(np.int8), bias.astype(np.int32), how)


def _line(
    values: np.ndarray, slope: float, input_zero: int, output_zero: int, clamp: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """weight, bias, multiplier, shift of one channel."""
    low, high = int(values.min()), int(values.max())
    if low == high:  # clamped throughout, or flat
        return _flat(low - output_zero)
    # Of the results each that is not the least possible bounds the bias from below, and each not the greatest from above.
    rising, falling = values > clamp[0], values < clamp[1]
    steps = CODES - input_zero
    sign, reach = (1 if slope > 0 else -1), 0.5 / float(np.abs(steps).max())
    for weight in _WEIGHTS:
        sums = sign * weight * steps
        for near in _NEARER_FIRST:
            scale = (abs(slope) + near * reach / _NEAR) / weight
            if not 2.0**-31 < scale < 2.0**20:
                continue
            lower = ((values - output_zero - 0.5) / scale - sums)[rising].max()
            upper = ((values - output_zero + 0.5) / scale - sums)[falling].min()
            multiplier, shift = quantize_multiplier(scale)
            for bias in _between(lower, upper):
                if _gives(values, sums + bias, multiplier, shift, output_zero, clamp):
                    return sign * weight, bias, multiplier, shift
    return None


def _between(lower: float, upper: float) -> list[int]:
    """Whole numbers from the middle of an interval on, a few of them."""
    if not -(2.0**30) < lower <= upper + 1 < 2.0**30:
        return []
    middle = round((lower + upper) / 2)
    return [n for n in (middle, middle - 1, middle + 1, middle - 2, middle + 2) if lower - 1 <= n <= upper + 1]


def _gives(
    values: np.ndarray, sums: np.ndarray, multiplier: int, shift: int, output_zero: int, clamp: tuple[int, int]
) -> bool:
    how = Requantize(np.array([multiplier]), np.array([shift]), Rounding.DOUBLE)
    return bool((np.clip(requantize(sums, how) + output_zero, *clamp) == values).all())


def _flat(result: int) -> tuple[int, int, int, int]:
    """One result whatever the input: the bias, scaled by 1."""
    return 0, result, 1 << 30, 1
