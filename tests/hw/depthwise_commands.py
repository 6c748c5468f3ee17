"""Random DEPTHWISE commands for the compute core, legal for a configuration."""

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, Opcode
from intaglio.machine.timing import least_idle_cycles
from tests.hw.core_commands import output_fields, random_rounding, random_rows


def random_depthwise(config: Config, rng: np.random.Generator) -> Command:
    """A DEPTHWISE whose input lies in the lower half of the activation memory and whose output in the upper. Half of them
    have no more idle cycles than they must, half of them rows that lie elsewhere from some row on."""
    while True:
        fields = _fields(config, rng)
        if fields is not None:
            break
    fields["idle_cycles"] = least_idle_cycles(config, Command(Opcode.DEPTHWISE, fields)) + int(
        rng.integers(0, 2)
    ) * int(rng.integers(0, 4))
    return Command(Opcode.DEPTHWISE, fields)


def _fields(config: Config, rng: np.random.Generator) -> dict[str, int] | None:
    """Without idle_cycles; None where it does not fit the configuration."""
    kh, kw = [(1, 7), (7, 1), *(tuple(rng.integers(1, 6, 2)) for _ in range(6))][int(rng.integers(8))]
    kh, kw = int(kh), int(kw)
    down, across = (int(v) for v in rng.integers(1, 4, 2))  # strides in raster pixels
    dilate_y, dilate_x = (int(v) for v in rng.integers(1, 4, 2))
    ph = int(rng.integers(1, config.rows + 1))
    pw = int(rng.integers(1, config.rows // ph + 1))
    raster_cols = (pw - 1) * across + kw
    delays = across, down * raster_cols - (pw - 1) * across
    most = config.depthwise_delay + 1
    if (pw > 1 and delays[0] > most) or (ph > 1 and delays[1] > most):
        return None
    tap_delay = delays[0] if pw > 1 else int(rng.integers(1, most + 1))
    patch_delay = delays[1] if ph > 1 else int(rng.integers(1, most + 1))
    patches = rng.integers(1, 4, 2)
    lines, columns = int(rng.integers(1, ph + 1)), int(rng.integers(1, pw + 1))
    out_rows, out_cols = (int(patches[0]) - 1) * ph + lines, (int(patches[1]) - 1) * pw + columns

    width = int(rng.integers(1, min(config.cols, config.feed_bytes) + 1))
    tiles = int(rng.integers(1, 4))
    last = int(rng.integers(1, width + 1))
    channels = (tiles - 1) * width + last
    pad_y, pad_x = (int(v) for v in rng.integers(0, 3, 2))
    in_rows = max(1, ((out_rows - 1) * down + kh - 1) * dilate_y + 1 - pad_y - int(rng.integers(0, 3)))
    in_cols = max(1, ((out_cols - 1) * across + kw - 1) * dilate_x + 1 - pad_x - int(rng.integers(0, 3)))
    row_stride, out_stride = in_cols * channels + int(rng.integers(0, 9)), out_cols * channels + int(rng.integers(0, 9))
    half = config.activation_bytes // 2
    words = config.weight_bytes // config.weight_word_bytes, config.channel_bytes // config.channel_word_bytes
    if (
        in_rows * row_stride > half
        or out_rows * out_stride > half - 64
        or tiles * kh * kw > words[0]
        or tiles * config.channel_groups > words[1]
    ):
        return None
    base, wrap, wrap_bytes = random_rows(rng, in_rows, row_stride, half)
    iy, x = -pad_y, -pad_x * channels
    out = int(rng.integers(half, config.activation_bytes - out_stride * out_rows + 1))
    return {
        "origin": (base + iy * row_stride + x) % (1 << 32),
        "in_row_bytes": in_cols * channels,
        "iy_start": iy,
        "x_start": x,
        "in_rows": in_rows,
        "dilation_rows": dilate_y,
        "x_step": dilate_x * channels,
        "row_step": dilate_y * row_stride,
        "patch_iy_step": ph * down * dilate_y,
        "patch_row_step": ph * down * dilate_y * row_stride,
        "patch_x_step": pw * across * dilate_x * channels,
        "kernel_rows": kh,
        "kernel_cols": kw,
        "raster_rows": (ph - 1) * down + kh,
        "last_raster_rows": (lines - 1) * down + kh,
        "raster_cols": raster_cols,
        "tap_delay": tap_delay,
        "patch_delay": patch_delay,
        "weight_base": int(rng.integers(0, words[0] - tiles * kh * kw + 1)),
        "channel_base": int(rng.integers(0, words[1] - tiles * config.channel_groups + 1)),
        "patches_down": int(patches[0]),
        "patches_across": int(patches[1]),
        "patch_rows": ph,
        "last_patch_rows": lines,
        "patch_cols": pw,
        "last_patch_cols": columns,
        "tile_pixels": ph * pw,
        "last_tile_pixels": lines * pw,
        "channel_tiles": tiles,
        "tile_channels": width,
        "last_channels": last,
        "in_zero_point": int(rng.integers(-128, 128)),
        "weight_zero_point": int(rng.integers(-128, 128)) * bool(rng.integers(0, 2)) * config.weight_zero_points,
        "wrap_iy": wrap,
        "wrap_bytes": wrap_bytes,
        "out_patch_row_step": ph * out_stride,
        "out_patch_step": pw * channels,
        **output_fields(rng, out, out_stride, channels, random_rounding(config, rng)),
    }
