"""CONV: convolution on the array, output-stationary.

CONV: convolution of one region of pixels with one range of output channels, the whole reduction or a part of it:
    for tile_c in range(channel_tiles):              # cols channels; the last has last_channels
      for tile_p in range(pixel_tiles):              # rows_per_tile pixels; the last has last_pixels
        for kh, kw, chunk:                           # kernel_rows x kernel_cols x chunks "slots"
          one slot: each pixel of the tile takes chunk_bytes (last_chunk_bytes in the last chunk) bytes of
          input, starting at
              iy = iy_start + (pixel // region_width) * stride_rows + kh * dilation_rows
              x  = x_start + (pixel % region_width) * x_step + kw * kernel_x_step + chunk * chunk_bytes
          byte i is activation[in_base + iy * in_row_stride + x + i] where 0 <= iy < in_rows and
          0 <= x + i < in_row_bytes, its address less wrap_bytes where iy >= wrap_iy (rows of a ring that begin again), and
          in_zero_point elsewhere; each is multiplied with the next word of
          cols weights (word weight_base + step, step counted through the tile; the words of channel tile
          tile_c follow those of tile_c - 1), each weight - weight_zero_point, which a configuration without
          weight_zero_points takes for 0.
      With `split` a tile is one output pixel, whose reduction the array's rows 0 and 1 take by halves: there are the two
      "pixels" of a region_width of 2, x_step bytes apart; each takes weights of its own, at step s of a channel tile row 0
      word 2 * s and row 1 word 2 * s + 1 (weight_base is even, words are 2 * steps a channel tile). The sum of both rows is
      that of pixel 0, and there is no pixel 1.
      A pixel's passes, one for each group of `requantizers` of the tile's channels, are numbered n through the command in the
      order channel tile, pixel (through all pixel tiles), group.
      without `start`, the sums of word partial_base + n of the partial-sum memory are added to those of pass n. Then, for
          pixels from number drain_from on, out[y][x][c] = requantize(sum + bias[c]) is written to
          out_base + y * out_row_stride + x * out_pixel_stride + tile_c * cols + c, pixel = y * region_width + x, with the
          channels' records from word channel_base on, or for pixels below number early_pixels from word early_base on;
          for those before, the sums, wrapped to 32 bits, are kept in word partial_base + n.
    iy * in_row_stride etc. are wrapping 32-bit sums that the hardware forms from the given steps
    (row_step = stride_rows * in_row_stride, kernel_row_step = dilation_rows * in_row_stride,
    origin = in_base + iy_start * in_row_stride + x_start).
    With `start` and drain_from = 0 no partial sums are touched, with drain_from beyond the last pixel no channel records.
    Timing: a slot lasts slot_cycles (last_slot_cycles in the last chunk of a run), a tile its slots and
    idle_cycles.
"""

from __future__ import annotations

from intaglio.machine.commands.shape import FEED, HEADER, OUTPUT, TIMELESS_FEED, TIMELESS_OUTPUT, Format, in_order
from intaglio.machine.fields import Field

_OWN = (
    Field("stride_rows", 5, 16, 16),
    Field("kernel_row_step", 9),
    Field("chunks", 10, 16, 16),
    Field("kernel_x_step", 11),
    Field("chunk_bytes", 12, 0, 16),
    Field("last_chunk_bytes", 12, 16, 16),
    Field("slot_cycles", 13, 0, 16),
    Field("last_slot_cycles", 13, 16, 16),
    Field("region_width", 17, 0, 16),
    Field("pixel_tiles", 17, 16, 16),
    Field("rows_per_tile", 18, 0, 16),
    Field("last_pixels", 18, 16, 16),
    Field("start", 20, 8, 1),
    Field("split", 20, 10, 1),  # built in where config.lanes is 2
    Field("partial_base", 21),  # in words of partial_word_bytes
    Field("drain_from", 22),
    Field("early_pixels", 23),
    Field("early_base", 28),  # in words of channel_word_bytes
)
CONV = Format(
    words=32,
    fields=HEADER + in_order(*FEED, *_OWN) + OUTPUT,
    counts=(
        "in_rows",
        "in_row_bytes",
        "stride_rows",
        "kernel_rows",
        "dilation_rows",
        "kernel_cols",
        "chunks",
        "chunk_bytes",
        "last_chunk_bytes",
        "slot_cycles",
        "last_slot_cycles",
        "region_width",
        "pixel_tiles",
        "rows_per_tile",
        "last_pixels",
        "channel_tiles",
        "last_channels",
    ),
    aligned=(),
    unseen=("origin", "iy_start", "x_start", "channel_base", "out_base", "early_base"),
    timeless=TIMELESS_FEED + TIMELESS_OUTPUT,
)
