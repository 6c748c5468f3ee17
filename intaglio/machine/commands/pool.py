"""POOL: windows of each channel, summed or their maxima.

POOL: for each pixel of region_rows x region_cols and each of `channels` bytes c:
    sum over kernel_rows x kernel_cols of in[in_base + y * row_step + x * x_step + kh * in_row_stride +
    kw * kernel_x_step + c], or with `maximum` the greatest of them, plus bias, scaled (mult_out, shift_out, rounding),
    + out_zero_point, clamped, to out_base + y * out_row_stride + x * out_pixel_stride + c. A row of a window, y * row_step +
    kh * in_row_stride bytes (a wrapping 32-bit sum) from the first, is read wrap_bytes lower where those are wrap_from or more.
    Average and max pooling, Mean, Rescale and copies are POOL commands; windows lie inside the input.
    Channels are taken in slabs of config.slab_channels, the last of what is left, each for the whole window: one read of a
    slab's bytes a cycle. Its results leave in passes of `requantizers` channels while the next slab or pixel is read
    (timing.pool_pixel_cycles).
    A window that does not fit on chip is taken in parts: with `hold` nothing is written and the sums (or maxima) stay,
    with `resume` they continue those of the previous POOL (one pixel and at most slab_channels channels then; of the
    same `maximum`).
"""

from __future__ import annotations

from intaglio.machine.commands.shape import HEADER, OUTPUT, SCALE_OUT, TIMELESS_OUTPUT, Format
from intaglio.machine.fields import Field
from intaglio.machine.formats import FORMAT_BITS

_FIELDS = (
    HEADER
    + (
        Field("in_base", 1),
        Field("in_row_stride", 2),
        Field("row_step", 3),
        Field("x_step", 4),
        Field("kernel_rows", 5, 0, 16),
        Field("kernel_cols", 5, 16, 16),
        Field("kernel_x_step", 6),
        Field("region_rows", 7, 0, 16),
        Field("region_cols", 7, 16, 16),
        Field("channels", 8),
        Field("resume", 9, 0, 1),
        Field("hold", 9, 1, 1),
        Field("maximum", 9, 2, 1),
        Field("in_format", 9, 8, FORMAT_BITS, reserved=True),
        Field("wrap_from", 29),
        Field("wrap_bytes", 30),
    )
    + SCALE_OUT
    + OUTPUT
)
POOL = Format(
    words=32,
    fields=_FIELDS,
    counts=("kernel_rows", "kernel_cols", "region_rows", "region_cols", "channels"),
    aligned=(),
    unseen=("in_base", "out_base"),
    timeless=(
        "in_base",
        "mult_out",
        "shift_out",
        "bias",
        *TIMELESS_OUTPUT,
    ),
)
