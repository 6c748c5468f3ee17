"""ADD and POOL: results and ledger of one command (machine/commands has their meaning).

c: operands.Add or Pool. z: operands.Sizes. activation: the memory, int8 [bytes]; tables: as `looked_up` takes them. ledger int64 [len(Counter)]
is added to. Both raise IndexError before they touch what lies outside the memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.counters import Counter
from intaglio.machine.isa import ADD_LEFT_SHIFT, RoundingCode
from intaglio.sim.activation_port import ADDRESS_MASK, check_inside, passes
from intaglio.sim.cores import in_parts
from intaglio.sim.requantize import (
    MULTIPLIER_MASK,
    SHIFT_MAX,
    SHIFT_MIN,
    Scales,
    looked_up,
    requantize,
    requantize_row,
    scales_of,
)

_READS, _WRITES = int(Counter.ACTIVATION_READS), int(Counter.ACTIVATION_WRITES)
_REQUANTIZATIONS = int(Counter.REQUANTIZATIONS)
_DOUBLE = int(RoundingCode.DOUBLE)
_LOWEST = -128  # no element is below
_PART = 1 << 15
"""Elements that are worth a thread, which takes 50 us or more to hear of its work."""


def add(c: Any, z: Any, activation: np.ndarray, tables: np.ndarray, ledger: np.ndarray) -> None:
    def run(first: int, last: int) -> None:
        _add(c, z, first, last, activation, tables, ledger)

    in_parts(run, c.rows, c.rows * c.row_bytes // _PART)


def pool(c: Any, z: Any, activation: np.ndarray, tables: np.ndarray, sums: np.ndarray, ledger: np.ndarray) -> None:
    """sums: int64 [slab_channels], sums or maxima, kept between commands."""

    def run(first: int, last: int) -> None:
        _pool(c, z, first, last, activation, tables, sums, ledger)

    elements = c.region_rows * c.region_cols * c.kernel_rows * c.kernel_cols * c.channels
    in_parts(run, c.region_rows, elements // _PART)


@compiled(error_model="numpy", nogil=True)
def _add(c: Any, z: Any, first: int, last: int, activation: np.ndarray, tables: np.ndarray, ledger: np.ndarray) -> None:
    """Rows `first` up to `last`; with the first one the ledger of all."""
    scales = _scales(c, c.row_bytes, activation)
    table_a = _operands(c.zero_a, c.mult_a, c.shift_a)
    table_b = _operands(c.zero_b, c.mult_b, c.shift_b)
    count = c.row_bytes
    totals = np.empty(count, np.int32)
    for row in range(first, last):
        a, b, out = add_row(c, row)
        for address in (a, b, out):
            check_inside(address, count, activation)
        for i in range(count):
            totals[i] = table_a[activation[a + i] + 128] + table_b[activation[b + i] + 128]
        target = activation[out : out + count]
        requantize_row(totals, scales, c.out_zero_point, c.clamp_min, c.clamp_max, target)
        looked_up(target, c.table, tables)
    if first == 0:
        count_add(c, z, ledger)


@compiled()
def add_row(c: Any, row: int) -> tuple[int, int, int]:
    """Addresses of a row of ADD: of both operands and of the result."""
    a = (c.a_base + row * c.a_row_stride) & ADDRESS_MASK
    b = (c.b_base + row * c.b_row_stride) & ADDRESS_MASK
    return a, b, (c.out_base + row * c.out_row_stride) & ADDRESS_MASK


@compiled(error_model="numpy", nogil=True)
def _pool(
    c: Any,
    z: Any,
    first: int,
    last: int,
    activation: np.ndarray,
    tables: np.ndarray,
    sums: np.ndarray,
    ledger: np.ndarray,
) -> None:
    """Rows `first` up to `last` of the region; with the first one the ledger of all."""
    if (c.hold or c.resume) and (c.region_rows * c.region_cols > 1 or c.channels > z.slab_channels):
        raise IndexError("sums of several slabs that begin or go on elsewhere")
    scales = _scales(c, c.channels, activation)
    totals = np.empty(c.channels, np.int32)
    for y in range(first, last):
        for x in range(c.region_cols):
            if c.resume:
                for i in range(c.channels):
                    totals[i] = sums[i]
            else:
                totals[:] = _LOWEST if c.maximum else 0
            for kh in range(c.kernel_rows):
                for kw in range(c.kernel_cols):
                    at = pool_element(c, y, x, kh, kw)
                    check_inside(at, c.channels, activation)
                    taken = activation[at : at + c.channels]
                    if c.maximum:
                        for i in range(c.channels):
                            totals[i] = max(totals[i], np.int32(taken[i]))
                    else:
                        for i in range(c.channels):
                            totals[i] += taken[i]
            if c.hold:
                for i in range(c.channels):
                    sums[i] = totals[i]
                continue
            out = pool_output(c, y, x)
            check_inside(out, c.channels, activation)
            target = activation[out : out + c.channels]
            requantize_row(totals, scales, c.out_zero_point, c.clamp_min, c.clamp_max, target)
            looked_up(target, c.table, tables)
    if first == 0:
        count_pool(c, z, ledger)


@compiled()
def pool_element(c: Any, y: int, x: int, kh: int, kw: int) -> int:
    """Address of element (kh, kw) of the window of output (y, x), channel 0."""
    line = (y * c.row_step + kh * c.in_row_stride) & ADDRESS_MASK
    row = c.in_base + line - (c.wrap_bytes if line >= c.wrap_from else 0)
    address: int = (row + x * c.x_step + kw * c.kernel_x_step) & ADDRESS_MASK
    return address


@compiled()
def pool_output(c: Any, y: int, x: int) -> int:
    """Address of output (y, x), channel 0."""
    address: int = (c.out_base + y * c.out_row_stride + x * c.out_pixel_stride) & ADDRESS_MASK
    return address


@compiled()
def _scales(c: Any, count: int, activation: np.ndarray) -> Scales:
    """The one scale of `count` elements, which fit in the memory."""
    check_inside(0, count, activation)
    one = np.ones(1, np.int64)
    s = scales_of(one * c.bias, one * (c.mult_out & MULTIPLIER_MASK), one * c.shift_out, c.rounding)
    return Scales(
        np.full(count, s.bias[0]),
        np.full(count, s.multiplier[0]),
        np.full(count, s.shift[0]),
        np.full(count, s.factor[0]),
        s.factors,
        s.rounding,
    )


@compiled()
def _operands(zero_point: int, multiplier: int, shift: int) -> np.ndarray:
    """An operand of ADD, scaled: int32, by its value + 128."""
    if shift < SHIFT_MIN or shift > SHIFT_MAX:
        raise IndexError("a shift beyond -31 to 30")
    out = np.empty(256, np.int32)
    for value in range(-128, 128):
        centred = (value - zero_point) << ADD_LEFT_SHIFT
        out[value + 128] = requantize(centred, multiplier & MULTIPLIER_MASK, shift, _DOUBLE)
    return out


@compiled(error_model="numpy")
def count_add(c: Any, z: Any, ledger: np.ndarray) -> None:
    """Adds the command's part of the ledger."""
    for row in range(c.rows):
        a, b, out = add_row(c, row)
        for operand in (a, b):
            ledger[_READS] += passes(operand, c.row_bytes, 2 * z.requantizers, z.half_shift)
        ledger[_WRITES] += passes(out, c.row_bytes, z.requantizers, z.half_shift)
    ledger[_REQUANTIZATIONS] += c.rows * c.row_bytes


@compiled(error_model="numpy")
def count_pool(c: Any, z: Any, ledger: np.ndarray) -> None:
    """Adds the command's part of the ledger."""
    row_reads = np.full(
        1 << z.half_shift, -1, np.int64
    )  # of a row of a window, by the place in a half word where it begins
    for y in range(c.region_rows):
        for x in range(c.region_cols):
            for kh in range(c.kernel_rows):
                begin = pool_element(c, y, x, kh, 0) & ((1 << z.half_shift) - 1)
                if row_reads[begin] < 0:
                    row_reads[begin] = 0
                    for kw in range(c.kernel_cols):
                        at = begin + kw * c.kernel_x_step
                        row_reads[begin] += passes(at, c.channels, z.slab_channels, z.half_shift)
                ledger[_READS] += row_reads[begin]
            if not c.hold:
                ledger[_WRITES] += passes(pool_output(c, y, x), c.channels, z.requantizers, z.half_shift)
                ledger[_REQUANTIZATIONS] += c.channels
