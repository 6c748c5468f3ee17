"""Which bytes a command touches, row by row: the validator's own account, apart from accesses.py.

A footprint is a set of intervals, one for each row that is read or written; gaps between rows do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.hw.config import Config
from intaglio.hw.isa import Command, LocalMemory, Opcode, conv_pixels, conv_rows

WORD = 1 << 32
MOST_ROWS = 1 << 20
"""Rows of one command beyond this are refused: no memory on chip holds them."""


@dataclass(frozen=True)
class Footprint:
    """starts, ends: int64 [rows], bytes [start, end) of a memory (None is external memory), in no order."""

    memory: LocalMemory | None
    write: bool
    starts: np.ndarray
    ends: np.ndarray

    @property
    def low(self) -> int:
        return int(self.starts.min())

    @property
    def high(self) -> int:
        return int(self.ends.max())

    def overlaps(self, other: Footprint) -> bool:
        """True where a byte belongs to both."""
        if self.memory is not other.memory or self.low >= other.high or other.low >= self.high:
            return False
        edges, depth = self._covered()
        first = np.searchsorted(edges, other.starts, side="right") - 1
        last = np.searchsorted(edges, other.ends, side="left") - 1
        total = np.concatenate(([0], np.cumsum(depth > 0)))
        return bool((total[last + 1] - total[np.maximum(first, 0)] > 0).any())

    def _covered(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges, ascending, and how many rows cover the bytes from each edge to the next."""
        edges = np.concatenate((self.starts, self.ends))
        step = np.concatenate((np.ones(len(self.starts), np.int64), -np.ones(len(self.ends), np.int64)))
        unique, inverse = np.unique(edges, return_inverse=True)
        change = np.zeros(len(unique), np.int64)
        np.add.at(change, inverse, step)
        return unique, np.cumsum(change)

    def same_bytes(self, other: Footprint) -> bool:
        return np.array_equal(self.starts, other.starts) and np.array_equal(self.ends, other.ends)

    def banks(self, bank_bytes: int) -> set[int]:
        first, last = self.starts // bank_bytes, (self.ends - 1) // bank_bytes
        return set(np.unique(first).tolist()) | set(np.unique(last).tolist())


def footprints(config: Config, c: Command) -> list[Footprint]:
    """Of a command whose counts are at least 1."""
    match c.opcode:
        case Opcode.LOAD | Opcode.STORE:
            load = c.opcode is Opcode.LOAD
            outside = _rows(c["external"], c["rows"], c["external_stride"], c["row_bytes"])
            inside = _rows(c["local"], c["rows"], c["local_stride"], c["row_bytes"])
            return [
                Footprint(None, not load, *outside),
                Footprint(LocalMemory(c["memory"]), load, *inside),
            ]
        case Opcode.ADD:
            return [
                Footprint(
                    LocalMemory.ACTIVATION,
                    x == "out",
                    *_rows(c[f"{x}_base"], c["rows"], c[f"{x}_row_stride"], c["row_bytes"]),
                )
                for x in ("a", "b", "out")
            ]
        case Opcode.POOL:
            return _pool(c)
        case Opcode.DEPTHWISE:
            return _depthwise(config, c)
        case _:
            return _conv(config, c)


def _rows(base: int, rows: int, stride: int, row_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    starts = base + np.arange(rows, dtype=np.int64) * stride
    return starts, starts + row_bytes


def _pool(c: Command) -> list[Footprint]:
    """Windows read: one interval for each region row and kernel row."""
    ys = np.arange(c["region_rows"], dtype=np.int64)
    kernel = np.arange(c["kernel_rows"], dtype=np.int64) * c["in_row_stride"]
    lines = (ys[:, None] * c["row_step"] + kernel).ravel()
    starts = c["in_base"] + lines
    if c["wrap_bytes"]:
        starts = (starts - np.where(lines % WORD >= c["wrap_from"], c["wrap_bytes"], 0)) % WORD
    across = (c["region_cols"] - 1) * c["x_step"] + (c["kernel_cols"] - 1) * c["kernel_x_step"]
    out = [Footprint(LocalMemory.ACTIVATION, False, starts, starts + across + c["channels"])]
    if not c["hold"]:
        outs = c["out_base"] + ys * c["out_row_stride"]
        wide = (c["region_cols"] - 1) * c["out_pixel_stride"] + c["channels"]
        out.append(Footprint(LocalMemory.ACTIVATION, True, outs, outs + wide))
    return out


def _conv(config: Config, c: Command) -> list[Footprint]:
    rows, rest = divmod(conv_rows(c), c["region_width"])
    widths = np.full(rows + (rest > 0), c["region_width"], np.int64)  # pixels of each output row
    if rest:
        widths[-1] = rest
    run = (c["chunks"] - 1) * c["chunk_bytes"] + c["last_chunk_bytes"]
    out = _inputs(c, widths, run)
    steps = c["kernel_rows"] * c["kernel_cols"] * run * (2 if c["split"] else 1)
    out.append(_block(LocalMemory.WEIGHT, c["weight_base"], c["channel_tiles"] * steps, config.weight_word_bytes))
    pixels = conv_pixels(c)
    if c["drain_from"] < pixels:
        words = (c["channel_tiles"] - 1) * config.channel_groups
        words += -(-c["last_channels"] // config.requantizers)
        if c["early_pixels"] < pixels:
            out.append(_block(LocalMemory.CHANNEL, c["channel_base"], words, config.channel_word_bytes))
        if c["early_pixels"] > c["drain_from"]:
            out.append(_block(LocalMemory.CHANNEL, c["early_base"], words, config.channel_word_bytes))
        if c["split"]:
            widths = np.ones(1, np.int64)
        starts = c["out_base"] + np.arange(len(widths), dtype=np.int64) * c["out_row_stride"]
        channels = (c["channel_tiles"] - 1) * config.cols + c["last_channels"]
        ends = starts + (widths - 1) * c["out_pixel_stride"] + channels
        row, column = divmod(c["drain_from"], c["region_width"])
        starts[row] += column * c["out_pixel_stride"]
        out.append(Footprint(LocalMemory.ACTIVATION, True, starts[row:], ends[row:]))
    return out


def _inputs(c: Command, widths: np.ndarray, run: int) -> list[Footprint]:
    """The valid bytes of each input row that an output row needs."""
    oy = np.arange(len(widths), dtype=np.int64)
    kh = np.arange(c["kernel_rows"], dtype=np.int64)
    iy = c["iy_start"] + oy[:, None] * c["stride_rows"] + kh * c["dilation_rows"]
    x0 = np.broadcast_to(np.int64(max(c["x_start"], 0)), iy.shape)
    across = (widths - 1) * c["x_step"] + (c["kernel_cols"] - 1) * c["kernel_x_step"] + run
    x1 = np.broadcast_to(np.minimum(c["x_start"] + across, c["in_row_bytes"])[:, None], iy.shape)
    valid = (iy >= 0) & (iy < c["in_rows"]) & (x0 < x1)
    if not valid.any():
        return []
    stride = c["kernel_row_step"] // c["dilation_rows"]
    offset = (iy - c["iy_start"]) * stride - c["x_start"] + x0
    starts = (c["origin"] + offset[valid]) % WORD
    return [Footprint(LocalMemory.ACTIVATION, False, starts, starts + (x1 - x0)[valid])]


def _depthwise(config: Config, c: Command) -> list[Footprint]:
    """Rasters read: one interval for each raster row of each row of patches, from its first pixel in the image to its last."""
    channels = (c["channel_tiles"] - 1) * c["tile_channels"] + c["last_channels"]
    down = np.arange(c["patches_down"], dtype=np.int64)[:, None]
    y = np.arange(c["raster_rows"], dtype=np.int64)
    short = (down == c["patches_down"] - 1) & (y >= c["last_raster_rows"])
    iy = c["iy_start"] + down * c["patch_iy_step"] + y * c["dilation_rows"]
    lines = ((iy >= 0) & (iy < c["in_rows"]) & ~short).ravel()
    across = np.arange(c["patches_across"], dtype=np.int64)[:, None] * c["patch_x_step"]
    at = (across + np.arange(c["raster_cols"], dtype=np.int64) * c["x_step"]).ravel()
    at = at[(c["x_start"] + at >= 0) & (c["x_start"] + at < c["in_row_bytes"])]
    out = []
    if lines.any() and at.size:
        rows = c["origin"] + down * c["patch_row_step"] + y * c["row_step"]
        rows = (rows - np.where(iy >= c["wrap_iy"], c["wrap_bytes"], 0)).ravel()[lines]
        starts = (rows + at.min()) % WORD
        out.append(Footprint(LocalMemory.ACTIVATION, False, starts, starts + int(at.max() - at.min()) + channels))
    taps = c["kernel_rows"] * c["kernel_cols"]
    out.append(_block(LocalMemory.WEIGHT, c["weight_base"], c["channel_tiles"] * taps, config.weight_word_bytes))
    words = (c["channel_tiles"] - 1) * config.channel_groups + -(-c["last_channels"] // config.requantizers)
    out.append(_block(LocalMemory.CHANNEL, c["channel_base"], words, config.channel_word_bytes))
    i = np.arange(c["patch_rows"], dtype=np.int64)
    written = ((down < c["patches_down"] - 1) | (i < c["last_patch_rows"])).ravel()
    starts = (c["out_base"] + down * c["out_patch_row_step"] + i * c["out_row_stride"]).ravel()[written]
    last = (c["patches_across"] - 1) * c["out_patch_step"] + (c["last_patch_cols"] - 1) * c["out_pixel_stride"]
    if c["patches_across"] > 1:
        full = (c["patches_across"] - 2) * c["out_patch_step"] + (c["patch_cols"] - 1) * c["out_pixel_stride"]
        last = max(last, full)
    out.append(Footprint(LocalMemory.ACTIVATION, True, starts, starts + last + channels))
    return out


def _block(memory: LocalMemory, base: int, words: int, word_bytes: int) -> Footprint:
    start = np.array([base * word_bytes], np.int64)
    return Footprint(memory, False, start, start + words * word_bytes)
