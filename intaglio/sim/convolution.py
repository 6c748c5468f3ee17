"""CONV: results and ledger of one command (meaning: machine/commands/conv.py; ledger: docs/architecture/array.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.counters import Counter
from intaglio.sim.activation_port import ADDRESS_MASK, check_inside, half_words
from intaglio.sim.cores import in_parts
from intaglio.sim.drain import count_drained, drain_pixel, records
from intaglio.sim.products import LEAST_ROWS, WIDTH, multiply, pack

_MACS, _READS, _WEIGHTS = int(Counter.MACS), int(Counter.ACTIVATION_READS), int(Counter.WEIGHT_READS)
_PARTIAL_READS, _PARTIAL_WRITES = int(Counter.PARTIAL_READS), int(Counter.PARTIAL_WRITES)
_BLOCK = 1 << 16
"""Inputs gathered at once: 128 KiB, so that they stay in a core's cache."""
_PART = 1 << 22
"""Products that are worth a thread, which takes 50 us or more to hear of its work."""


def convolve(
    c: Any,
    z: Any,
    activation: np.ndarray,
    weight: np.ndarray,
    channel: np.ndarray,
    tables: np.ndarray,
    partial: np.ndarray,
    ledger: np.ndarray,
) -> None:
    """Runs one command.

    c: operands.Conv. z: operands.Sizes. activation int8 [bytes], weight int8 [bytes], channel int32 [words]:
    the memories; tables: as `looked_up` takes them; partial int32 [words * requantizers]: that of partial sums. ledger int64 [len(Counter)] is
    added to. Raises IndexError for what lies outside a memory; legal commands only else.
    """
    pixels = pixel_count(c)
    macs = pixels * c.channel_tiles * z.cols * steps_of(c)

    def run(first: int, last: int) -> None:
        _pixels(c, z, first, last, activation, weight, channel, tables, partial, ledger)

    # A command's outputs are none of its inputs, and each pixel has partial sums of its own: they run side by side.
    in_parts(run, pixels, macs // _PART)


@compiled()
def steps_of(c: Any) -> int:
    """Inputs of an output, and weight words of a channel tile: the array's steps, of both rows where these split them."""
    steps: int = c.kernel_rows * c.kernel_cols * ((c.chunks - 1) * c.chunk_bytes + c.last_chunk_bytes)
    return 2 * steps if c.split else steps


@compiled()
def pixel_count(c: Any) -> int:
    if c.split:
        return 1
    pixels: int = (c.pixel_tiles - 1) * c.rows_per_tile + c.last_pixels
    return pixels


@compiled()
def _check(c: Any, z: Any, weight: np.ndarray, channel: np.ndarray, partial: np.ndarray) -> None:
    if steps_of(c) < 1 or c.region_width < 1 or c.last_chunk_bytes < 1 or min(c.pixel_tiles, c.channel_tiles) < 1:
        raise IndexError("a CONV without work")
    if max(c.rows_per_tile, c.last_pixels) > z.rows or c.last_channels > z.cols:
        raise IndexError("a tile larger than the array")
    if c.split and z.rows < 2:
        raise IndexError("a reduction split over rows that are not there")
    if (c.weight_base + c.channel_tiles * steps_of(c)) * z.weight_word_bytes > weight.size:
        raise IndexError("an address beyond the weight memory")
    groups = (c.channel_tiles - 1) * z.channel_groups + (c.last_channels - 1) // z.requantizers + 1
    pixels = pixel_count(c)
    late = max(c.drain_from, c.early_pixels) < pixels
    if late and (c.channel_base + groups) * z.channel_word_bytes > channel.size * 4:
        raise IndexError("an address beyond the channel memory")
    if c.drain_from < c.early_pixels and (c.early_base + groups) * z.channel_word_bytes > channel.size * 4:
        raise IndexError("an address beyond the channel memory")
    if (c.drain_from > 0 or not c.start) and (c.partial_base + pixels * groups) * z.requantizers > partial.size:
        raise IndexError("an address beyond the partial-sum memory")


@compiled(error_model="numpy")
def _packed(c: Any, z: Any, channels: int, weight: np.ndarray) -> np.ndarray:
    """The weights less their zero point as products.multiply takes them; 0 beyond the last."""
    steps = steps_of(c)
    first = c.weight_base * z.weight_word_bytes
    words = weight[first : first + c.channel_tiles * steps * z.weight_word_bytes]
    tiles = words.reshape(c.channel_tiles, steps, z.weight_word_bytes)
    out = np.zeros(((channels + WIDTH - 1) // WIDTH, (steps + 1) // 2, WIDTH, 2), np.int16)
    column = 0
    while column < channels:  # those that lie in one channel tile and in one panel
        tile, inside = column // z.cols, column % z.cols
        panel, lane = column // WIDTH, column % WIDTH
        count = min(min(z.cols - inside, WIDTH - lane), channels - column)
        pack(tiles[tile, :, inside:], count, c.weight_zero_point, out[panel, :, lane:])
        column += count
    return out


@compiled(error_model="numpy", nogil=True)
def _pixels(
    c: Any,
    z: Any,
    first: int,
    last: int,
    activation: np.ndarray,
    weight: np.ndarray,
    channel: np.ndarray,
    tables: np.ndarray,
    partial: np.ndarray,
    ledger: np.ndarray,
) -> None:
    """The region's pixels from number `first` up to `last`; with the first one the ledger of all."""
    _check(c, z, weight, channel, partial)
    steps = steps_of(c)
    channels = (c.channel_tiles - 1) * z.cols + c.last_channels
    weights = _packed(c, z, channels, weight)
    late = max(c.drain_from, c.early_pixels) < pixel_count(c)
    scales = records(c, z, c.channel_base, z.cols, channels if late else 0, channel)
    early = records(c, z, c.early_base, z.cols, channels if c.drain_from < c.early_pixels else 0, channel)
    block = max(1, _BLOCK // steps)
    height = -(-min(block, last - first) // LEAST_ROWS) * LEAST_ROWS
    inputs = np.zeros((height, 2 * weights.shape[1]), np.int16)
    totals = np.empty((height, weights.shape[0] * WIDTH), np.int32)
    for begin in range(first, last, block):
        count = min(block, last - begin)
        rows = -(-count // LEAST_ROWS) * LEAST_ROWS
        for i in range(count):
            _inputs(c, begin + i, activation, inputs[i])
        totals[:rows] = 0
        multiply(inputs[:rows], weights, totals[:rows])
        for i in range(count):
            if not c.start:
                _add_partial(c, z, begin + i, partial, totals[i])
            if begin + i < c.drain_from:
                _keep(c, z, begin + i, partial, totals[i])
                continue
            mine = early if begin + i < c.early_pixels else scales
            drain_pixel(c, output_at(c, begin + i), totals[i, :channels], mine, activation, tables)
    if first == 0:
        count_convolution(c, z, ledger)


@compiled()
def output_at(c: Any, pixel: int) -> int:
    """Address, not yet wrapped, of the first output byte of a pixel of the region."""
    y, x = pixel // c.region_width, pixel % c.region_width
    address: int = c.out_base + y * c.out_row_stride + x * c.out_pixel_stride
    return address


@compiled()
def _partial_at(c: Any, z: Any, pixel: int, tile: int, partial: np.ndarray) -> tuple[int, int]:
    """(first sum, channels) in the partial-sum memory, of a pixel's channels in a channel tile. IndexError where that
    does not hold them."""
    channels = c.last_channels if tile == c.channel_tiles - 1 else z.cols
    words = (channels - 1) // z.requantizers + 1
    word = c.partial_base + tile * z.channel_groups * pixel_count(c) + pixel * words
    at = word * z.requantizers
    if at + channels > partial.size:
        raise IndexError("sums beyond the partial-sum memory")
    return at, channels


@compiled()
def _add_partial(c: Any, z: Any, pixel: int, partial: np.ndarray, totals: np.ndarray) -> None:
    for tile in range(c.channel_tiles):
        at, channels = _partial_at(c, z, pixel, tile, partial)
        for n in range(channels):
            totals[tile * z.cols + n] += partial[at + n]


@compiled()
def _keep(c: Any, z: Any, pixel: int, partial: np.ndarray, totals: np.ndarray) -> None:
    for tile in range(c.channel_tiles):
        at, channels = _partial_at(c, z, pixel, tile, partial)
        for n in range(channels):
            partial[at + n] = totals[tile * z.cols + n]


@compiled(error_model="numpy")
def _inputs(c: Any, pixel: int, activation: np.ndarray, inputs: np.ndarray) -> None:
    """inputs int16 [steps] of one output in the order of the weight words."""
    if not c.split:
        _gather(c, pixel, activation, inputs)
        return
    half = steps_of(c) // 2
    row = np.empty(half, np.int16)
    for r in range(2):
        _gather(c, r, activation, row)
        for step in range(half):
            inputs[2 * step + r] = row[step]


@compiled(error_model="numpy")
def _gather(c: Any, pixel: int, activation: np.ndarray, inputs: np.ndarray) -> None:
    """inputs int16 [steps] of one pixel of the region."""
    y, x = pixel // c.region_width, pixel % c.region_width
    run = run_bytes(c)
    step = 0
    for kh in range(c.kernel_rows):
        for kw in range(c.kernel_cols):
            first, low, high = run_inside(c, y, x, kh, kw)
            if high > low:
                check_inside(first, high - low, activation)
                source, target = activation[first : first + high - low], inputs[step + low : step + high]
                for i in range(high - low):
                    target[i] = source[i]
            if high - low < run:
                inputs[step : step + low] = c.in_zero_point
                inputs[step + high : step + run] = c.in_zero_point
            step += run


@compiled()
def run_bytes(c: Any) -> int:
    """Bytes that a pixel reads without a gap, those in the padding included."""
    run: int = (c.chunks - 1) * c.chunk_bytes + c.last_chunk_bytes
    return run


@compiled(error_model="numpy")
def run_inside(c: Any, y: int, x: int, kh: int, kw: int) -> tuple[int, int, int]:
    """(address, low, high): of the run of pixel (y, x) of the region at tap (kh, kw) the bytes `low` to `high` lie inside the
    image, from `address` on. None where high == low."""
    run = run_bytes(c)
    iy = c.iy_start + y * c.stride_rows + kh * c.dilation_rows
    at = c.x_start + x * c.x_step + kw * c.kernel_x_step
    row = c.origin + y * c.row_step + kh * c.kernel_row_step - (c.wrap_bytes if iy >= c.wrap_iy else 0)
    base = row + x * c.x_step + kw * c.kernel_x_step
    low = min(max(0, -at), run) if 0 <= iy < c.in_rows else run
    high = max(min(run, c.in_row_bytes - at), low)
    return (base + low) & ADDRESS_MASK, low, high


@compiled(error_model="numpy")
def count_convolution(c: Any, z: Any, ledger: np.ndarray) -> None:
    """Adds the command's part of the ledger."""
    steps, pixels = steps_of(c), pixel_count(c)
    channels = (c.channel_tiles - 1) * z.cols + c.last_channels
    ledger[_MACS] += steps * pixels * channels
    ledger[_WEIGHTS] += steps * c.pixel_tiles * c.channel_tiles
    reads = 0
    for pixel in range(2 if c.split else pixels):
        y, x = pixel // c.region_width, pixel % c.region_width
        for kh in range(c.kernel_rows):
            for kw in range(c.kernel_cols):
                reads += _run_reads(c, z, *run_inside(c, y, x, kh, kw))
    ledger[_READS] += c.channel_tiles * reads
    words = (c.channel_tiles - 1) * z.channel_groups + (c.last_channels - 1) // z.requantizers + 1
    for pixel in range(pixels):
        if not c.start:
            ledger[_PARTIAL_READS] += words
        if pixel < c.drain_from:
            ledger[_PARTIAL_WRITES] += words
        else:
            count_drained(c, z, z.cols, output_at(c, pixel), ledger)


@compiled(error_model="numpy")
def _run_reads(c: Any, z: Any, first: int, low: int, high: int) -> int:
    """Half words that the chunks of a run touch. Its bytes `low` to `high` lie inside, from address `first` on."""
    if high <= low:
        return 0
    if c.chunk_bytes & ((1 << z.half_shift) - 1) == 0 and low == 0 and c.chunks > 1:  # chunks lie alike
        whole: int = (high - 1) // c.chunk_bytes
        reads = whole * half_words(first, c.chunk_bytes, z.half_shift)
        return reads + half_words(first + whole * c.chunk_bytes, high - whole * c.chunk_bytes, z.half_shift)
    reads = 0
    begin = 0
    for chunk in range(c.chunks):
        end = begin + (c.last_chunk_bytes if chunk == c.chunks - 1 else c.chunk_bytes)
        since, until = max(begin, low), min(end, high)
        if until > since:
            reads += half_words(first + since - low, until - since, z.half_shift)
        begin = end
    return reads
