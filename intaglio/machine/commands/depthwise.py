"""DEPTHWISE: convolution of each channel by itself on the array.

DEPTHWISE: convolution of each channel by itself, for patches of neighbouring outputs; the array's rows are the outputs
    of a patch (row i * patch_cols + j), its columns tile_channels channels:
    for tile_c in range(channel_tiles):              # tile_channels channels; the last has last_channels
      for down in range(patches_down):               # patch_rows x patch_cols outputs; the last has last_patch_rows
        for across in range(patches_across):         # of the last, last_patch_cols columns are written
          for y in range(raster_rows), x in range(raster_cols):    # last_raster_rows in the last `down`; one cycle each
              iy = iy_start + down * patch_iy_step + y * dilation_rows
              at = x_start + across * patch_x_step + x * x_step
              pixel = activation[origin + tile_c * tile_channels + down * patch_row_step + y * row_step + at - x_start + c]
              for each of the tile's channels c, its address less wrap_bytes where iy >= wrap_iy, where 0 <= iy < in_rows and 0
              <= at < in_row_bytes, and in_zero_point elsewhere; where y < kernel_rows and x < kernel_cols the next word of
              weights (weight_base + tile_c * kernel_rows * kernel_cols + y * kernel_cols + x) enters row 0, less
              weight_zero_point as CONV's, and reaches the next row of the array tap_delay cycles later, or patch_delay between
              the rows i * patch_cols - 1 and i * patch_cols. A row adds up the products of the weight and the pixel that it
              holds in one cycle.
          out[i][j][c] = requantize(sum of row i * patch_cols + j + bias[c]) is written to
              out_base + tile_c * tile_channels + down * out_patch_row_step + across * out_patch_step +
              i * out_row_stride + j * out_pixel_stride + c
    Channel records: config.channel_groups words a channel tile from channel_base on. tile_pixels (last_tile_pixels) are
    patch_rows (last_patch_rows) * patch_cols. With strides s and t between a patch's outputs, in raster rows and columns:
        raster_cols = (patch_cols - 1) * t + kernel_cols, raster_rows = (patch_rows - 1) * s + kernel_rows,
        tap_delay = t, patch_delay = s * raster_cols - (patch_cols - 1) * t
    so that row (i, j) meets tap (y - i * s, x - j * t) with pixel (y, x).
    Timing: a tile lasts its raster's cycles and idle_cycles (timing.depthwise_timing, least_idle_cycles).
"""

from __future__ import annotations

from intaglio.machine.commands.shape import FEED, HEADER, OUTPUT, TIMELESS_FEED, TIMELESS_OUTPUT, Format, in_order
from intaglio.machine.fields import Field

_OWN = (
    Field("patch_iy_step", 5, 16, 16),
    Field("patch_row_step", 9),
    Field("raster_cols", 10, 16, 16),
    Field("patch_x_step", 11),
    Field("raster_rows", 12, 0, 16),
    Field("last_raster_rows", 12, 16, 16),
    Field("tap_delay", 13, 0, 16),
    Field("patch_delay", 13, 16, 16),
    Field("patches_down", 17, 0, 16),
    Field("patches_across", 17, 16, 16),
    Field("patch_rows", 18, 0, 8),
    Field("last_patch_rows", 18, 8, 8),
    Field("patch_cols", 18, 16, 8),
    Field("last_patch_cols", 18, 24, 8),
    Field("tile_pixels", 21, 0, 8),
    Field("last_tile_pixels", 21, 8, 8),
    Field("tile_channels", 21, 16, 8),
    Field("out_patch_row_step", 22),
    Field("out_patch_step", 23),
)
DEPTHWISE = Format(
    words=32,
    fields=HEADER + in_order(*FEED, *_OWN) + OUTPUT,
    counts=(
        "in_rows",
        "in_row_bytes",
        "x_step",
        "dilation_rows",
        "kernel_rows",
        "kernel_cols",
        "raster_rows",
        "last_raster_rows",
        "raster_cols",
        "tap_delay",
        "patch_delay",
        "patches_down",
        "patches_across",
        "patch_rows",
        "last_patch_rows",
        "patch_cols",
        "last_patch_cols",
        "channel_tiles",
        "tile_channels",
        "last_channels",
    ),
    aligned=(),
    unseen=("origin", "channel_base", "weight_base", "out_base"),
    timeless=TIMELESS_FEED + TIMELESS_OUTPUT,
)
