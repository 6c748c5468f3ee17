"""DEPTHWISE: results and ledger of one command (meaning: machine/commands/depthwise.py; ledger: docs/architecture/array.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.counters import Counter
from intaglio.sim.activation_port import ADDRESS_MASK, check_inside, half_words
from intaglio.sim.cores import workers
from intaglio.sim.drain import count_drained, drain_pixel, records

_MACS, _READS = int(Counter.MACS), int(Counter.ACTIVATION_READS)
_WEIGHTS = int(Counter.WEIGHT_READS)
_SMALL = 1 << 18
"""Products below which a command stays on one core."""


def convolve_depthwise(
    c: Any,
    z: Any,
    activation: np.ndarray,
    weight: np.ndarray,
    channel: np.ndarray,
    tables: np.ndarray,
    ledger: np.ndarray,
) -> None:
    """Runs one command.

    c: operands.Depthwise. z: operands.Sizes. activation int8 [bytes], weight int8 [bytes], channel int32 [words]:
    the memories; tables: as `looked_up` takes them. ledger int64 [len(Counter)] is added to. Raises IndexError for what lies outside a memory; legal commands
    only else.
    """
    taps = c.kernel_rows * c.kernel_cols
    _check(c, z, taps, weight, channel)
    channels = (c.channel_tiles - 1) * c.tile_channels + c.last_channels
    weights = np.ascontiguousarray(_unpacked(c, z, taps, weight)[:, :channels])

    def run(down: int) -> None:
        """One row of patches."""
        _patches(c, z, down, activation, weights, channel, tables, ledger)

    # A command's outputs are none of its inputs, so rows of patches run side by side.
    rows = range(c.patches_down)
    small = len(rows) == 1 or outputs_of(c) * taps * channels < _SMALL
    for _ in map(run, rows) if small else workers().map(run, rows):
        pass


def _check(c: Any, z: Any, taps: int, weight: np.ndarray, channel: np.ndarray) -> None:
    counts = (
        taps,
        c.patches_down,
        c.patches_across,
        c.channel_tiles,
        c.last_patch_rows,
        c.last_patch_cols,
        c.last_channels,
    )
    if min(counts) < 1:
        raise IndexError("a DEPTHWISE without work")
    if c.patch_rows * c.patch_cols > z.rows or max(c.tile_channels, c.last_channels) > z.cols:
        raise IndexError("a patch larger than the array")
    if (c.weight_base + c.channel_tiles * taps) * z.weight_word_bytes > weight.size:
        raise IndexError("an address beyond the weight memory")
    groups = (c.channel_tiles - 1) * z.channel_groups + (c.last_channels - 1) // z.requantizers + 1
    if (c.channel_base + groups) * z.channel_word_bytes > channel.size * 4:
        raise IndexError("an address beyond the channel memory")


def _unpacked(c: Any, z: Any, taps: int, weight: np.ndarray) -> np.ndarray:
    """The weights less their zero point, int32 [taps, channel_tiles * tile_channels]."""
    first = c.weight_base * z.weight_word_bytes
    words = weight[first : first + c.channel_tiles * taps * z.weight_word_bytes]
    width = c.tile_channels if c.channel_tiles > 1 else c.last_channels
    tiles = words.reshape(c.channel_tiles, taps, z.weight_word_bytes)[:, :, :width].transpose(1, 0, 2)
    weights: np.ndarray = tiles.reshape(taps, -1).astype(np.int32) - c.weight_zero_point
    return weights


@compiled(error_model="numpy", nogil=True)
def _patches(
    c: Any,
    z: Any,
    down: int,
    activation: np.ndarray,
    weights: np.ndarray,
    channel: np.ndarray,
    tables: np.ndarray,
    ledger: np.ndarray,
) -> None:
    """The outputs of row `down` of patches; with the first one the ledger of all. weights: int32 [taps, channels]."""
    lines = patch_lines(c, down)
    down_stride = (c.raster_rows - c.kernel_rows) // (c.patch_rows - 1) if c.patch_rows > 1 else 0
    across_stride = (c.raster_cols - c.kernel_cols) // (c.patch_cols - 1) if c.patch_cols > 1 else 0
    totals = np.empty(weights.shape[1], np.int32)
    scales = records(c, z, c.channel_base, c.tile_channels, totals.size, channel)
    for across in range(c.patches_across):
        _check_raster(c, down, across, activation)
        for i in range(lines):
            for j in range(patch_columns(c, across)):
                _output(c, down, across, i * down_stride, j * across_stride, activation, weights, totals)
                drain_pixel(c, output_at(c, down, across, i, j), totals, scales, activation, tables)
    if down == 0:
        count_depthwise(c, z, ledger)


@compiled()
def outputs_of(c: Any) -> int:
    """Outputs of each channel that the array computes: patches in the last column count whole."""
    outputs: int = ((c.patches_down - 1) * c.patch_rows + c.last_patch_rows) * c.patch_cols * c.patches_across
    return outputs


@compiled()
def patch_lines(c: Any, down: int) -> int:
    """Rows of outputs of the patches in row `down`."""
    lines: int = c.last_patch_rows if down == c.patches_down - 1 else c.patch_rows
    return lines


@compiled()
def patch_columns(c: Any, across: int) -> int:
    columns: int = c.last_patch_cols if across == c.patches_across - 1 else c.patch_cols
    return columns


@compiled()
def output_at(c: Any, down: int, across: int, i: int, j: int) -> int:
    """Address, not yet wrapped, of the first byte of output (i, j) of a patch."""
    out = c.out_base + down * c.out_patch_row_step + across * c.out_patch_step
    address: int = out + i * c.out_row_stride + j * c.out_pixel_stride
    return address


@compiled()
def raster_rows(c: Any, down: int) -> int:
    """Rows of the rasters of the patches in row `down`."""
    rows: int = c.last_raster_rows if down == c.patches_down - 1 else c.raster_rows
    return rows


@compiled(error_model="numpy")
def raster_pixel(c: Any, down: int, across: int, y: int, x: int) -> int:
    """Address of pixel (y, x) of a patch's raster, channel 0; -1 where it lies in the padding."""
    iy = c.iy_start + down * c.patch_iy_step + y * c.dilation_rows
    at = across * c.patch_x_step + x * c.x_step
    if not (0 <= iy < c.in_rows and 0 <= c.x_start + at < c.in_row_bytes):
        return -1
    wrap = c.wrap_bytes if iy >= c.wrap_iy else 0
    address: int = (c.origin + down * c.patch_row_step + y * c.row_step + at - wrap) & ADDRESS_MASK
    return address


@compiled(error_model="numpy")
def _check_raster(c: Any, down: int, across: int, activation: np.ndarray) -> None:
    """The array reads the whole raster, also where its patch's outputs are not in use."""
    channels = (c.channel_tiles - 1) * c.tile_channels + c.last_channels
    for y in range(raster_rows(c, down)):
        for x in range(c.raster_cols):
            address = raster_pixel(c, down, across, y, x)
            if address >= 0:
                check_inside(address, channels, activation)


@compiled(error_model="numpy")
def _output(
    c: Any, down: int, across: int, y0: int, x0: int, activation: np.ndarray, weights: np.ndarray, totals: np.ndarray
) -> None:
    """totals int32 [channels] of the output whose window begins in row y0, column x0 of its patch's raster."""
    totals[:] = 0
    for kh in range(c.kernel_rows):
        iy = c.iy_start + down * c.patch_iy_step + (y0 + kh) * c.dilation_rows
        row = c.origin + down * c.patch_row_step + (y0 + kh) * c.row_step - (c.wrap_bytes if iy >= c.wrap_iy else 0)
        for kw in range(c.kernel_cols):
            at = across * c.patch_x_step + (x0 + kw) * c.x_step
            tap = weights[kh * c.kernel_cols + kw]
            if 0 <= iy < c.in_rows and 0 <= c.x_start + at < c.in_row_bytes:
                address = (row + at) & ADDRESS_MASK
                check_inside(address, totals.size, activation)
                pixel = activation[address : address + totals.size]
                for n in range(totals.size):
                    totals[n] += np.int32(pixel[n]) * tap[n]
            else:
                for n in range(totals.size):
                    totals[n] += np.int32(c.in_zero_point) * tap[n]


@compiled(error_model="numpy")
def count_depthwise(c: Any, z: Any, ledger: np.ndarray) -> None:
    """Adds the command's part of the ledger."""
    taps = c.kernel_rows * c.kernel_cols
    last = (c.channel_tiles - 1) * c.tile_channels
    ledger[_MACS] += taps * outputs_of(c) * (last + c.last_channels)
    ledger[_WEIGHTS] += taps * c.patches_down * c.patches_across * c.channel_tiles
    for down in range(c.patches_down):
        for across in range(c.patches_across):
            for y in range(raster_rows(c, down)):
                for x in range(c.raster_cols):
                    address = raster_pixel(c, down, across, y, x)
                    if address >= 0:
                        for tile in range(c.channel_tiles - 1):
                            ledger[_READS] += half_words(
                                address + tile * c.tile_channels, c.tile_channels, z.half_shift
                            )
                        ledger[_READS] += half_words(address + last, c.last_channels, z.half_shift)
            for i in range(patch_lines(c, down)):
                for j in range(patch_columns(c, across)):
                    count_drained(c, z, c.tile_channels, output_at(c, down, across, i, j), ledger)
