"""ADD and POOL, compiled: results and ledger of one command (isa.py has their meaning).

c: operands.Add or Pool. z: operands.Sizes. activation: the memory, int8 [bytes]. ledger int64 [len(Counter)]
is added to. Both raise IndexError before they touch what lies outside the memory.
"""

from __future__ import annotations

import numba
import numpy as np

from intaglio.hw.counters import Counter
from intaglio.hw.isa import ADD_LEFT_SHIFT, RoundingCode
from intaglio.sim.activation_port import ADDRESS_MASK, check_inside, half_words
from intaglio.sim.requantize import MULTIPLIER_MASK, SHIFT_MAX, SHIFT_MIN, requantize, takes, to_output, wrap32

_READS, _WRITES = int(Counter.ACTIVATION_READS), int(Counter.ACTIVATION_WRITES)
_REQUANTIZATIONS = int(Counter.REQUANTIZATIONS)
_DOUBLE = int(RoundingCode.DOUBLE)
_LOWEST = -128  # no element is below


@numba.njit(cache=True, error_model="numpy", nogil=True)
def add(c, z, activation, ledger):
    if not (_in_range(c.shift_a) and _in_range(c.shift_b)):
        raise IndexError("a shift beyond -31 to 30")
    _check_scale(c)
    pass_bytes = 2 * z.requantizers
    for row in range(c.rows):
        for begin in range(0, c.row_bytes, pass_bytes):
            count = min(pass_bytes, c.row_bytes - begin)
            a = (c.a_base + row * c.a_row_stride + begin) & ADDRESS_MASK
            b = (c.b_base + row * c.b_row_stride + begin) & ADDRESS_MASK
            out = (c.out_base + row * c.out_row_stride + begin) & ADDRESS_MASK
            check_inside(a, count, activation)
            check_inside(b, count, activation)
            check_inside(out, count, activation)
            ledger[_READS] += half_words(a, count, z.half_shift) + half_words(b, count, z.half_shift)
            ledger[_WRITES] += _writes(out, count, z)
            ledger[_REQUANTIZATIONS] += count
            for i in range(count):
                total = _operand(activation[a + i], c.zero_a, c.mult_a, c.shift_a) + _operand(
                    activation[b + i], c.zero_b, c.mult_b, c.shift_b
                )
                activation[out + i] = _output(c, total)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def pool(c, z, activation, sums, ledger):
    """sums: int64 [requantizers], sums or maxima, kept between commands."""
    _check_scale(c)
    for y in range(c.region_rows):
        for x in range(c.region_cols):
            for begin in range(0, c.channels, z.requantizers):
                count = min(z.requantizers, c.channels - begin)
                if not c.resume:
                    sums[:] = _LOWEST if c.maximum else 0
                for kh in range(c.kernel_rows):
                    for kw in range(c.kernel_cols):
                        at = c.in_base + y * c.row_step + x * c.x_step + begin
                        at = (at + kh * c.in_row_stride + kw * c.kernel_x_step) & ADDRESS_MASK
                        check_inside(at, count, activation)
                        ledger[_READS] += half_words(at, count, z.half_shift)
                        for i in range(count):
                            value = np.int64(activation[at + i])
                            sums[i] = max(sums[i], value) if c.maximum else sums[i] + value
                if c.hold:
                    continue
                out = (c.out_base + y * c.out_row_stride + x * c.out_pixel_stride + begin) & ADDRESS_MASK
                check_inside(out, count, activation)
                ledger[_WRITES] += half_words(out, count, z.half_shift)
                ledger[_REQUANTIZATIONS] += count
                for i in range(count):
                    activation[out + i] = _output(c, sums[i])


@numba.njit(cache=True)
def _in_range(shift):
    return SHIFT_MIN <= shift <= SHIFT_MAX


@numba.njit(cache=True)
def _check_scale(c):
    if not _in_range(c.shift_out):
        raise IndexError("a shift beyond -31 to 30")
    if not takes(c.mult_out & MULTIPLIER_MASK, c.rounding):
        raise IndexError("a multiplier below 2**30, for FLOAT")


@numba.njit(cache=True)
def _operand(value, zero_point, multiplier, shift):
    """One operand of ADD, scaled: 32 bits."""
    centred = (np.int64(value) - zero_point) << ADD_LEFT_SHIFT
    return requantize(centred, multiplier & MULTIPLIER_MASK, shift, _DOUBLE)


@numba.njit(cache=True)
def _output(c, total):
    multiplier = c.mult_out & MULTIPLIER_MASK
    return to_output(
        wrap32(total + c.bias), multiplier, c.shift_out, c.rounding, c.out_zero_point, c.clamp_min, c.clamp_max
    )


@numba.njit(cache=True)
def _writes(address, count, z):
    """Half words of `count` bytes written a pass of the requantizers at a time."""
    total = 0
    for begin in range(0, count, z.requantizers):
        total += half_words(address + begin, min(z.requantizers, count - begin), z.half_shift)
    return total
