"""CONV: results and ledger of one command (isa.py and architecture.md: meaning and ledger).

Sums are products of matrices in float32, which are exact: a product of two operands is an integer below 2**15, and as many
of them are added as stay below 2**24.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from intaglio.hw.counters import Counter
from intaglio.sim.activation_port import ADDRESS_MASK, check_inside, half_words
from intaglio.sim.cores import workers
from intaglio.sim.requantize import MULTIPLIER_MASK, SHIFT_MAX, SHIFT_MIN, takes, to_output, wrap32

_MACS, _READS, _WRITES = int(Counter.MACS), int(Counter.ACTIVATION_READS), int(Counter.ACTIVATION_WRITES)
_WEIGHTS, _CHANNELS = int(Counter.WEIGHT_READS), int(Counter.CHANNEL_READS)
_REQUANTIZATIONS = int(Counter.REQUANTIZATIONS)
_RECORD_WORDS = 4  # 32-bit words of a channel's record
_BLOCK = 1 << 17
"""Inputs gathered at once: 512 KiB, so that they stay in a core's cache."""
_EXACT = 1 << 24
"""Integers below this are float32 numbers."""


def convolve(
    c: Any, z: Any, activation: np.ndarray, weight: np.ndarray, channel: np.ndarray, sums: np.ndarray, ledger: np.ndarray
) -> None:
    """Runs one command.

    c: operands.Conv. z: operands.Sizes. activation int8 [bytes], weight int8 [bytes], channel int32 [words]:
    the memories. sums int32 [rows, cols]: the array's, kept between commands. ledger int64 [len(Counter)] is
    added to. Raises IndexError for what lies outside a memory; legal commands only else.
    """
    steps = c.kernel_rows * c.kernel_cols * ((c.chunks - 1) * c.chunk_bytes + c.last_chunk_bytes)
    _check(c, z, steps, weight, channel)
    pixels = (c.pixel_tiles - 1) * c.rows_per_tile + c.last_pixels
    channels = (c.channel_tiles - 1) * z.cols + c.last_channels
    weights = _unpacked(c, z, steps, channels, weight)
    exact = (_EXACT - 1) // (128 * (128 + abs(c.weight_zero_point)))
    block = max(1, _BLOCK // steps)

    def run(first: int) -> np.ndarray:
        """The pixels from number `first` on; their part of the ledger."""
        counts = np.zeros_like(ledger)
        inputs = np.empty((min(block, pixels - first), steps), np.float32)
        counts[_READS] = c.channel_tiles * _gather(c, z, first, activation, inputs)
        totals = _products(inputs, weights, exact)
        if not c.start:
            totals += sums[:pixels, :channels]
        if c.drain:
            _drain(c, z, first, totals, activation, channel, counts)
        else:
            sums[:pixels, :channels] = totals
        return counts

    # A command's outputs are none of its inputs, so blocks run side by side.
    blocks = range(0, pixels, block)
    for counts in map(run, blocks) if len(blocks) == 1 else workers().map(run, blocks):
        ledger += counts
    ledger[_MACS] += steps * pixels * channels
    ledger[_WEIGHTS] += steps * c.pixel_tiles * c.channel_tiles


def _products(inputs: np.ndarray, weights: np.ndarray, exact: int) -> np.ndarray:
    """inputs float32 [pixels, steps] x weights float32 [steps, channels], integers: int32 [pixels, channels], wraps.
    exact: products that add up without a rounding."""
    total = (inputs[:, :exact] @ weights[:exact]).astype(np.int32)
    for low in range(exact, len(weights), exact):
        total += (inputs[:, low : low + exact] @ weights[low : low + exact]).astype(np.int32)
    return total


def _check(c: Any, z: Any, steps: int, weight: np.ndarray, channel: np.ndarray) -> None:
    if steps < 1 or c.region_width < 1 or c.last_chunk_bytes < 1 or min(c.pixel_tiles, c.channel_tiles) < 1:
        raise IndexError("a CONV without work")
    if max(c.rows_per_tile, c.last_pixels) > z.rows or c.last_channels > z.cols:
        raise IndexError("a tile larger than the array")
    if not (c.start and c.drain) and max(c.pixel_tiles, c.channel_tiles) > 1:
        raise IndexError("sums of several tiles that begin or go on elsewhere")
    if (c.weight_base + c.channel_tiles * steps) * z.weight_word_bytes > weight.size:
        raise IndexError("an address beyond the weight memory")
    groups = (c.channel_tiles - 1) * z.channel_groups + (c.last_channels - 1) // z.requantizers + 1
    if c.drain and (c.channel_base + groups) * z.channel_word_bytes > channel.size * 4:
        raise IndexError("an address beyond the channel memory")


def _unpacked(c: Any, z: Any, steps: int, channels: int, weight: np.ndarray) -> np.ndarray:
    """The weights less their zero point, float32 [steps, channels]."""
    first = c.weight_base * z.weight_word_bytes
    words = weight[first : first + c.channel_tiles * steps * z.weight_word_bytes]
    tiles = words.reshape(c.channel_tiles, steps, z.weight_word_bytes)[:, :, : z.cols].transpose(1, 0, 2)
    flat = tiles.reshape(steps, -1)[:, :channels].astype(np.float32)
    return flat - np.float32(c.weight_zero_point) if c.weight_zero_point else flat


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _gather(c, z, first, activation, inputs):
    """Fills inputs float32 [pixels, steps] for the region's pixels from number `first` on; returns half words read."""
    reads = 0
    for i in range(len(inputs)):
        y, x = (first + i) // c.region_width, (first + i) % c.region_width
        reads += _gather_pixel(c, z, y, x, activation, inputs[i])
    return reads


@numba.njit(cache=True, error_model="numpy")
def _gather_pixel(c, z, y, x, activation, inputs):
    """inputs float32 [steps] of the pixel at row y, column x of the region; returns half words read."""
    reads = 0
    step = 0
    for kh in range(c.kernel_rows):
        iy = c.iy_start + y * c.stride_rows + kh * c.dilation_rows
        inside = 0 <= iy < c.in_rows
        for kw in range(c.kernel_cols):
            at = c.x_start + x * c.x_step + kw * c.kernel_x_step
            base = c.origin + y * c.row_step + x * c.x_step + kh * c.kernel_row_step + kw * c.kernel_x_step
            for chunk in range(c.chunks):
                count = c.last_chunk_bytes if chunk == c.chunks - 1 else c.chunk_bytes
                low = min(max(0, -at), count) if inside else count
                high = max(min(count, c.in_row_bytes - at), low)
                first = (base + low) & ADDRESS_MASK
                if high > low:
                    check_inside(first, high - low, activation)
                    reads += half_words(first, high - low, z.half_shift)
                for i in range(low):
                    inputs[step + i] = c.in_zero_point
                for i in range(high - low):
                    inputs[step + low + i] = activation[first + i]
                for i in range(high, count):
                    inputs[step + i] = c.in_zero_point
                step += count
                at += c.chunk_bytes
                base += c.chunk_bytes
    return reads


@numba.njit(cache=True, error_model="numpy", nogil=True)
def _drain(c, z, first, totals, activation, channel, ledger):
    """Requantizes totals int32 [pixels, channels] of the pixels from number `first` on, requantizers channels a pass."""
    for i in range(len(totals)):
        y, x = (first + i) // c.region_width, (first + i) % c.region_width
        out = c.out_base + y * c.out_row_stride + x * c.out_pixel_stride
        for tile in range(c.channel_tiles):
            channels = c.last_channels if tile == c.channel_tiles - 1 else z.cols
            for group in range((channels - 1) // z.requantizers + 1):
                begin = group * z.requantizers
                count = min(z.requantizers, channels - begin)
                address = (out + tile * z.cols + begin) & ADDRESS_MASK
                check_inside(address, count, activation)
                record = (c.channel_base + tile * z.channel_groups + group) * z.channel_word_bytes // 4
                _requantize(c, record, totals[i, tile * z.cols + begin :][:count], channel, activation[address:])
                ledger[_WRITES] += half_words(address, count, z.half_shift)
                ledger[_CHANNELS] += 1
                ledger[_REQUANTIZATIONS] += count


@numba.njit(cache=True, error_model="numpy")
def _requantize(c, record, totals, channel, out):
    """One pass: totals int32 [count] with the records from word `record` of channel on, to out int8."""
    for i in range(totals.size):
        at = record + i * _RECORD_WORDS
        multiplier = np.int64(channel[at + 1]) & MULTIPLIER_MASK
        shift = ((np.int64(channel[at + 2]) + 128) & 255) - 128
        if shift < SHIFT_MIN or shift > SHIFT_MAX:
            raise IndexError("a shift in a channel's record beyond -31 to 30")
        if not takes(multiplier, c.rounding):
            raise IndexError("a multiplier in a channel's record below 2**30, for FLOAT")
        total = wrap32(np.int64(totals[i]) + channel[at])
        out[i] = to_output(total, multiplier, shift, c.rounding, c.out_zero_point, c.clamp_min, c.clamp_max)
