"""The requantizer's arithmetic, compiled: bit for bit network.arithmetic.requantize on one sum."""

from __future__ import annotations

import numba

from intaglio.hw.isa import RoundingCode

_DOUBLE, _SINGLE, _FLOAT = int(RoundingCode.DOUBLE), int(RoundingCode.SINGLE), int(RoundingCode.FLOAT)
_SIGNIFICANT = 24  # bits of a binary32 significand
SHIFT_MIN, SHIFT_MAX = -31, 30
MULTIPLIER_MASK = 2**31 - 1


@numba.njit(cache=True)
def wrap32(x):
    """The low 32 bits of an int64 as a signed number."""
    return ((x + 2147483648) & 4294967295) - 2147483648


@numba.njit(cache=True)
def takes(multiplier, rounding):
    """Whether a mode takes this multiplier, 0 to 2**31 - 1: FLOAT only those of the highest bit, or 0."""
    return rounding != _FLOAT or multiplier == 0 or multiplier >= 1 << 30


@numba.njit(cache=True)
def requantize(total, multiplier, shift, rounding):
    """total * multiplier * 2**(shift - 31), rounded, as 32 bits; FLOAT saturates there.

    total: a signed 32-bit value as int64. multiplier: 0 to 2**31 - 1 that the mode takes. shift: SHIFT_MIN to SHIFT_MAX,
    positive is left. rounding: isa.RoundingCode.
    """
    if rounding == _DOUBLE:
        # Its saturating case needs a negative multiplier; with a non-negative one the nudged division
        # towards zero is a floor after adding half.
        high = (wrap32(total << max(shift, 0)) * multiplier + (1 << 30)) >> 31
        if shift >= 0:
            return high
        return (high + (1 << (-shift - 1)) - (1 if high < 0 else 0)) >> -shift
    right = 31 - shift
    if rounding == _FLOAT:
        magnitude = _binary32(_binary32(abs(total)) * multiplier)  # at most 2**62
        magnitude = min(_half_to_even(magnitude, right), 2147483647)
        return -magnitude if total < 0 else magnitude
    half = 1 << (right - 1)
    if rounding == _SINGLE:
        return wrap32((total * multiplier + half) >> right)
    magnitude = (abs(total) * multiplier + half) >> right
    return wrap32(-magnitude if total < 0 else magnitude)


@numba.njit(cache=True)
def _half_to_even(magnitude, right):
    """magnitude >= 0 divided by 2**right, right >= 0, half to even."""
    down = magnitude >> right
    twice = (magnitude - (down << right)) << 1
    return down + (twice > 1 << right or (twice == 1 << right and down & 1))


@numba.njit(cache=True)
def _binary32(magnitude):
    """magnitude, 0 to 2**62, rounded to a binary32 number, half to even."""
    excess = 0
    for step in (20, 10, 5, 2, 1, 1):  # any number of bits up to 39, and no shift beyond 62
        if magnitude >> (excess + step + _SIGNIFICANT - 1):
            excess += step
    return _half_to_even(magnitude, excess) << excess


@numba.njit(cache=True)
def to_output(total, multiplier, shift, rounding, zero_point, clamp_min, clamp_max):
    """One output element: total as for requantize; the rest as in the compute commands."""
    return min(max(requantize(total, multiplier, shift, rounding) + zero_point, clamp_min), clamp_max)
