"""CONV, compiled: results and ledger of one command (isa.py and architecture.md: meaning and ledger)."""

from __future__ import annotations

import numba
import numpy as np

from intaglio.hw.counters import Counter
from intaglio.sim.activation_port import ADDRESS_MASK, check_inside, half_words
from intaglio.sim.requantize import MULTIPLIER_MASK, SHIFT_MAX, SHIFT_MIN, takes, to_output, wrap32

_MACS, _READS, _WRITES = int(Counter.MACS), int(Counter.ACTIVATION_READS), int(Counter.ACTIVATION_WRITES)
_WEIGHTS, _CHANNELS = int(Counter.WEIGHT_READS), int(Counter.CHANNEL_READS)
_REQUANTIZATIONS = int(Counter.REQUANTIZATIONS)
_RECORD_WORDS = 4  # 32-bit words of a channel's record


@numba.njit(cache=True, error_model="numpy", nogil=True)
def convolve(c, z, activation, weight, channel, sums, ledger):
    """Runs one command.

    c: operands.Conv. z: operands.Sizes. activation int8 [bytes], weight int8 [bytes], channel int32 [words]:
    the memories. sums int32 [rows, cols]: the array's, kept between commands. ledger int64 [len(Counter)] is
    added to. Raises IndexError before it touches what lies outside a memory.
    """
    steps = c.kernel_rows * c.kernel_cols * ((c.chunks - 1) * c.chunk_bytes + c.last_chunk_bytes)
    _check(c, z, steps, weight, channel)
    inputs = np.empty(steps, np.int32)
    weights = np.empty((steps, z.cols), np.int32)
    for tile_c in range(c.channel_tiles):
        channels = c.last_channels if tile_c == c.channel_tiles - 1 else z.cols
        first_word = c.weight_base + tile_c * steps
        for step in range(steps):
            at = (first_word + step) * z.weight_word_bytes
            for n in range(channels):
                weights[step, n] = weight[at + n] - c.weight_zero_point
        for tile_p in range(c.pixel_tiles):
            pixels = c.last_pixels if tile_p == c.pixel_tiles - 1 else c.rows_per_tile
            for row in range(pixels):
                pixel = tile_p * c.rows_per_tile + row
                y, x = pixel // c.region_width, pixel % c.region_width
                ledger[_READS] += _gather(c, z, y, x, activation, inputs)
                if c.start:
                    sums[row] = 0
                _accumulate(inputs, weights, channels, sums[row])
                if c.drain:
                    out = c.out_base + y * c.out_row_stride + x * c.out_pixel_stride + tile_c * z.cols
                    _drain(c, z, out, tile_c, channels, activation, channel, sums[row], ledger)
            ledger[_MACS] += steps * pixels * channels
            ledger[_WEIGHTS] += steps


@numba.njit(cache=True)
def _check(c, z, steps, weight, channel):
    if steps < 1 or c.region_width < 1 or c.last_chunk_bytes < 1:
        raise IndexError("a CONV without work")
    if max(c.rows_per_tile, c.last_pixels) > z.rows or c.last_channels > z.cols:
        raise IndexError("a tile larger than the array")
    if (c.weight_base + c.channel_tiles * steps) * z.weight_word_bytes > weight.size:
        raise IndexError("an address beyond the weight memory")
    groups = (c.channel_tiles - 1) * z.channel_groups + (c.last_channels - 1) // z.requantizers + 1
    if c.drain and (c.channel_base + groups) * z.channel_word_bytes > channel.size * 4:
        raise IndexError("an address beyond the channel memory")


@numba.njit(cache=True, error_model="numpy")
def _gather(c, z, y, x, activation, inputs):
    """Fills inputs int32 [steps] for the pixel at row y, column x of the region; returns half words read."""
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


@numba.njit(cache=True)
def _accumulate(inputs, weights, channels, sums):
    """sums int32 [cols] += inputs int32 [steps] x weights int32 [steps, cols], the columns in use; wraps."""
    for step in range(inputs.size):
        value = inputs[step]
        for n in range(channels):
            sums[n] += value * weights[step, n]


@numba.njit(cache=True)
def _drain(c, z, out, tile_c, channels, activation, channel, sums, ledger):
    """Requantizes one row's sums int32 [cols] to `out`, requantizers channels a pass."""
    for group in range((channels - 1) // z.requantizers + 1):
        begin = group * z.requantizers
        count = min(z.requantizers, channels - begin)
        address = (out + begin) & ADDRESS_MASK
        check_inside(address, count, activation)
        word = c.channel_base + tile_c * z.channel_groups + group
        for i in range(count):
            record = word * z.channel_word_bytes // 4 + i * _RECORD_WORDS
            multiplier = np.int64(channel[record + 1]) & MULTIPLIER_MASK
            shift = ((np.int64(channel[record + 2]) + 128) & 255) - 128
            if shift < SHIFT_MIN or shift > SHIFT_MAX:
                raise IndexError("a shift in a channel's record beyond -31 to 30")
            if not takes(multiplier, c.rounding):
                raise IndexError("a multiplier in a channel's record below 2**30, for FLOAT")
            total = wrap32(np.int64(sums[begin + i]) + channel[record])
            activation[address + i] = to_output(
                total, multiplier, shift, c.rounding, c.out_zero_point, c.clamp_min, c.clamp_max
            )
        ledger[_WRITES] += half_words(address, count, z.half_shift)
        ledger[_CHANNELS] += 1
        ledger[_REQUANTIZATIONS] += count
