"""The array's sums made bytes: the scales of output channels, and a pixel's way into the activation memory.

c: operands of CONV or DEPTHWISE. z: operands.Sizes. width: channels of a channel tile; the last has c.last_channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.counters import Counter
from intaglio.sim.activation_port import ADDRESS_MASK, check_inside, passes
from intaglio.sim.requantize import MULTIPLIER_MASK, Scales, looked_up, requantize_row, scales_of

_WRITES, _CHANNELS = int(Counter.ACTIVATION_WRITES), int(Counter.CHANNEL_READS)
_REQUANTIZATIONS = int(Counter.REQUANTIZATIONS)
_RECORD_WORDS = 4  # 32-bit words of a channel's record


@compiled(error_model="numpy")
def records(c: Any, z: Any, base: int, width: int, channels: int, channel: np.ndarray) -> Scales:
    """Scales of a command's output channels, all `channels` of them, from word `base` of channel int32 [words] on."""
    bias, multiplier, shift = np.empty(channels, np.int64), np.empty(channels, np.int64), np.empty(channels, np.int64)
    for n in range(channels):
        tile, inside = n // width, n % width
        group, lane = inside // z.requantizers, inside % z.requantizers
        word = base + tile * z.channel_groups + group
        at = word * z.channel_word_bytes // 4 + lane * _RECORD_WORDS
        bias[n] = channel[at]
        multiplier[n] = channel[at + 1] & MULTIPLIER_MASK
        shift[n] = ((np.int64(channel[at + 2]) + 128) & 255) - 128
    return scales_of(bias, multiplier, shift, c.rounding)


@compiled(error_model="numpy")
def drain_pixel(
    c: Any, out: int, totals: np.ndarray, scales: Scales, activation: np.ndarray, tables: np.ndarray
) -> None:
    """Requantizes totals int32 [channels] of one output pixel to address `out`. scales: of `records`."""
    address = out & ADDRESS_MASK
    check_inside(address, totals.size, activation)
    target = activation[address : address + totals.size]
    requantize_row(totals, scales, c.out_zero_point, c.clamp_min, c.clamp_max, target)
    looked_up(target, c.table, tables)


@compiled(error_model="numpy")
def count_drained(c: Any, z: Any, width: int, out: int, ledger: np.ndarray) -> None:
    """Adds what one output pixel to address `out` counts. width: channels of a channel tile; the last has c.last_channels."""
    address = out & ADDRESS_MASK
    ledger[_REQUANTIZATIONS] += (c.channel_tiles - 1) * width + c.last_channels
    for tile in range(c.channel_tiles):
        channels = c.last_channels if tile == c.channel_tiles - 1 else width
        ledger[_WRITES] += passes(address + tile * width, channels, z.requantizers, z.half_shift)
        ledger[_CHANNELS] += (channels - 1) // z.requantizers + 1
