"""The requantizer's arithmetic, compiled: bit for bit network.arithmetic.requantize on one sum."""

from __future__ import annotations

import numba

from intaglio.hw.isa import RoundingCode

_DOUBLE, _SINGLE = int(RoundingCode.DOUBLE), int(RoundingCode.SINGLE)
SHIFT_MIN, SHIFT_MAX = -31, 30
MULTIPLIER_MASK = 2**31 - 1


@numba.njit(cache=True)
def wrap32(x):
    """The low 32 bits of an int64 as a signed number."""
    return ((x + 2147483648) & 4294967295) - 2147483648


@numba.njit(cache=True)
def requantize(total, multiplier, shift, rounding):
    """total * multiplier * 2**(shift - 31), rounded, as 32 bits.

    total: a signed 32-bit value as int64. multiplier: 0 to 2**31 - 1. shift: SHIFT_MIN to SHIFT_MAX, positive
    is left. rounding: isa.RoundingCode.
    """
    if rounding == _DOUBLE:
        # Its saturating case needs a negative multiplier; with a non-negative one the nudged division
        # towards zero is a floor after adding half.
        high = (wrap32(total << max(shift, 0)) * multiplier + (1 << 30)) >> 31
        if shift >= 0:
            return high
        return (high + (1 << (-shift - 1)) - (1 if high < 0 else 0)) >> -shift
    right = 31 - shift
    half = 1 << (right - 1)
    if rounding == _SINGLE:
        return wrap32((total * multiplier + half) >> right)
    magnitude = (abs(total) * multiplier + half) >> right
    return wrap32(-magnitude if total < 0 else magnitude)


@numba.njit(cache=True)
def to_output(total, multiplier, shift, rounding, zero_point, clamp_min, clamp_max):
    """One output element: total as for requantize; the rest as in the compute commands."""
    return min(max(requantize(total, multiplier, shift, rounding) + zero_point, clamp_min), clamp_max)
