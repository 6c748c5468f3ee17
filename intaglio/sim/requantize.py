"""The requantizer's arithmetic, compiled: bit for bit network.arithmetic.requantize, of one sum or of a row of sums."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.isa import RoundingCode

_DOUBLE, _SINGLE, _AWAY, _FLOAT = map(
    int, (RoundingCode.DOUBLE, RoundingCode.SINGLE, RoundingCode.AWAY, RoundingCode.FLOAT)
)
_SIGNIFICANT = 24  # bits of a binary32 significand
SHIFT_MIN, SHIFT_MAX = -31, 30
MULTIPLIER_MASK = 2**31 - 1
_Integer = int | np.signedinteger[Any]


@compiled()
def wrap32(x: int) -> int:
    """The low 32 bits of an int64 as a signed number."""
    return ((x + 2147483648) & 4294967295) - 2147483648


@compiled()
def takes(multiplier: int, rounding: int) -> bool:
    """True if a mode takes this multiplier, 0 to 2**31 - 1: FLOAT only those of the highest bit, or 0."""
    return rounding != _FLOAT or multiplier == 0 or multiplier >= 1 << 30


@compiled()
def requantize(total: int, multiplier: int, shift: int, rounding: int) -> _Integer:
    """total * multiplier * 2**(shift - 31), rounded, as 32 bits; FLOAT saturates there.

    total: a signed 32-bit value as int64. multiplier: 0 to 2**31 - 1 that the mode takes. shift: SHIFT_MIN to SHIFT_MAX,
    positive is left. rounding: isa.RoundingCode.
    """
    if rounding == _DOUBLE:
        return _double(total, multiplier, shift)
    if rounding == _FLOAT:
        return _float(total, multiplier, shift)
    return _single(total, multiplier, shift) if rounding == _SINGLE else _away(total, multiplier, shift)


@compiled(inline="always")
def _double(total: _Integer, multiplier: _Integer, shift: _Integer) -> _Integer:
    # Its saturating case needs a negative multiplier; with a non-negative one the nudged division
    # towards zero is a floor after adding half.
    left, right = max(shift, 0), max(-shift, 0)
    high = (np.int64(np.int32(np.int64(total) << left)) * multiplier + (1 << 30)) >> 31
    return (high + ((1 << right) >> 1) - ((high < 0) & (right > 0))) >> right


@compiled(inline="always")
def _single(total: _Integer, multiplier: _Integer, shift: _Integer) -> _Integer:
    right = 31 - shift
    return np.int64(np.int32((np.int64(total) * multiplier + ((1 << right) >> 1)) >> right))


@compiled(inline="always")
def _away(total: _Integer, multiplier: _Integer, shift: _Integer) -> _Integer:
    right = 31 - shift
    magnitude = (abs(np.int64(total)) * multiplier + ((1 << right) >> 1)) >> right
    return np.int64(np.int32(-magnitude if total < 0 else magnitude))


@compiled()
def _float(total: Any, multiplier: _Integer, shift: _Integer) -> _Integer:
    magnitude = _binary32(_binary32(abs(total)) * multiplier)  # at most 2**62
    magnitude = min(_half_to_even(magnitude, 31 - shift), 2147483647)
    return -magnitude if total < 0 else magnitude


@compiled()
def _half_to_even(magnitude: _Integer, right: _Integer) -> _Integer:
    """magnitude >= 0 divided by 2**right, right >= 0, half to even."""
    down = magnitude >> right
    twice = (magnitude - (down << right)) << 1
    return down + (twice > 1 << right or (twice == 1 << right and down & 1))


@compiled()
def _binary32(magnitude: _Integer) -> _Integer:
    """magnitude, 0 to 2**62, rounded to a binary32 number, half to even."""
    excess = 0
    for step in (20, 10, 5, 2, 1, 1):  # any number of bits up to 39, and no shift beyond 62
        if magnitude >> (excess + step + _SIGNIFICANT - 1):
            excess += step
    return _half_to_even(magnitude, excess) << excess


class Scales(NamedTuple):
    """Scales of a row of sums, one after the other.

    bias, multiplier, shift: int32 [n], in their ranges. factor: float32 [n], the whole scale where FLOAT's multipliers have
    no more bits than a significand (`factors`), as those of a network do. rounding: isa.RoundingCode.
    """

    bias: Any
    multiplier: Any
    shift: Any
    factor: Any
    factors: bool
    rounding: int


@compiled()
def scales_of(bias: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, rounding: int) -> Scales:
    """Scales of three arrays of integers. IndexError for those that no requantizer takes."""
    n = bias.size
    out = Scales(
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.float32),
        not (multiplier & 127).any(),
        rounding,
    )
    for i in range(n):
        if shift[i] < SHIFT_MIN or shift[i] > SHIFT_MAX:
            raise IndexError("a shift beyond -31 to 30")
        if not takes(multiplier[i], rounding):
            raise IndexError("a multiplier below 2**30, for FLOAT")
        out.bias[i], out.multiplier[i], out.shift[i] = bias[i], multiplier[i], shift[i]
        out.factor[i] = multiplier[i] * 2.0 ** (shift[i] - 31)
    return out


@compiled(error_model="numpy")
def looked_up(out: np.ndarray, table: int, tables: np.ndarray) -> None:
    """Puts results int8 [n] through a table. table: as a command has it, 0 for none. tables: int8 [words, entries of a word],
    those of all tables one after the other. IndexError for a table that is not there."""
    if table:
        if 256 * table > tables.size:
            raise IndexError("no such table")
        width = tables.shape[1]
        first = (table - 1) * (256 // width)
        for i in range(out.size):
            entry = np.int64(out[i]) & 255
            out[i] = tables[first + entry // width, entry % width]


@compiled(error_model="numpy")
def requantize_row(
    totals: np.ndarray, s: Scales, zero_point: int, clamp_min: int, clamp_max: int, out: np.ndarray
) -> None:
    """out int8 [n] of totals int32 [n], scaled by s (Scales; totals and biases wrap) and put out as commands say.

    Loops without branches, one for each mode: they become vector instructions.
    """
    if s.rounding == _FLOAT and s.factors:
        # Beyond 9 bits every sum is clamped alike, and within all is exact in binary32.
        zero, low, high = np.float32(zero_point), np.float32(clamp_min), np.float32(clamp_max)
        for i in range(totals.size):
            product = np.float32(np.int32(totals[i] + s.bias[i])) * s.factor[i]
            product = min(max(product, np.float32(-512)), np.float32(512))
            out[i] = np.int32(min(max(np.rint(product) + zero, low), high))
    elif s.rounding == _DOUBLE:
        for i in range(totals.size):
            value = _double(np.int32(totals[i] + s.bias[i]), np.int64(s.multiplier[i]), np.int64(s.shift[i]))
            out[i] = min(max(value + zero_point, clamp_min), clamp_max)
    elif s.rounding == _SINGLE:
        for i in range(totals.size):
            value = _single(np.int32(totals[i] + s.bias[i]), np.int64(s.multiplier[i]), np.int64(s.shift[i]))
            out[i] = min(max(value + zero_point, clamp_min), clamp_max)
    elif s.rounding == _AWAY:
        for i in range(totals.size):
            value = _away(np.int32(totals[i] + s.bias[i]), np.int64(s.multiplier[i]), np.int64(s.shift[i]))
            out[i] = min(max(value + zero_point, clamp_min), clamp_max)
    else:
        for i in range(totals.size):
            value = _float(np.int64(np.int32(totals[i] + s.bias[i])), np.int64(s.multiplier[i]), np.int64(s.shift[i]))
            out[i] = min(max(value + zero_point, clamp_min), clamp_max)
