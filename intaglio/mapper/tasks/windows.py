"""Pooling windows that do not fit on chip: what of a window is loaded at once, and where it lies then.

One output pixel at a time takes its window in ranges of channels, the whole window of each. Where that does not fit, or
costs more cycles, ranges of up to slab_channels channels take their window in parts, bands of rows or pieces of one row,
whose sums continue (`hold`, `resume`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from intaglio.program.layout import Layout, Region, align_up, split


@dataclass(frozen=True)
class Load:
    """rows of row_bytes; offsets from the tensor's and from the buffer's start."""

    outside: int
    outside_stride: int
    inside: int
    inside_stride: int
    rows: int
    row_bytes: int


@dataclass(frozen=True)
class Block:
    """Rows [row0, row1) of the layout, pixels [col0, col1) of them, and `count` channels from `channel`."""

    row0: int
    row1: int
    col0: int
    col1: int
    channel: int
    count: int

    @property
    def rows(self) -> int:
        return self.row1 - self.row0

    @property
    def cols(self) -> int:
        return self.col1 - self.col0


@dataclass(frozen=True)
class Blocks:
    """The shape of what a buffer holds: at most rows x cols pixels, of each `channels` channels.

    pixel: elements of a pixel; pixel_bytes: from one to the next outside, where the first
    begins `first` bytes behind a row's start. dense: pixels come with all their channels; else only the words around the
    block's channels are loaded. step: bytes on chip from a pixel to the next; congruent to pixel_bytes, so that
    words keep their phase. lead: bytes of a word before a pixel's first channel, at most.
    """

    pixel: int
    pixel_bytes: int
    first: int
    bus_bytes: int
    channels: int
    dense: bool
    step: int
    lead: int
    rows: int
    cols: int

    def stride(self, cols: int) -> int:
        """Bytes on chip from a row of `cols` pixels to the next."""
        last = self.step if self.dense else self.channels
        return align_up(self.lead + (cols - 1) * self.step + last, self.bus_bytes)

    @property
    def buffer_bytes(self) -> int:
        return self.rows * self.stride(self.cols)

    def of_window(self, window: Region) -> Iterator[list[Block]]:
        """For each range of channels, the blocks that make up a window (rows, elements of whole pixels)."""
        pixel = self.pixel
        x0, x1 = window.x0 // pixel, window.x1 // pixel
        for channel in range(0, pixel, self.channels):
            count = min(self.channels, pixel - channel)
            yield [
                Block(window.row0 + y, window.row0 + y + n, x0 + x, x0 + x + m, channel, count)
                for y, n in split(window.rows, self.rows)
                for x, m in split(x1 - x0, self.cols)
            ]

    def first_byte(self, block: Block) -> int:
        """Offset in the buffer of the block's first pixel's first channel."""
        start = self.first + block.col0 * self.pixel_bytes
        return start % self.bus_bytes + block.channel if self.dense else (start + block.channel) % self.bus_bytes

    def loads(self, block: Block, layout: Layout) -> Iterator[Load]:
        """LOADs of a block, as few as the phases of its words allow."""
        outside = layout.row_at(block.row0) + self.first + block.col0 * self.pixel_bytes
        inside = self.first_byte(block)
        row = (layout.stride, self.stride(block.cols))
        if self.dense:
            yield self._around(outside, inside - block.channel, block.cols * self.pixel_bytes, block.rows, row)
            return
        outside += block.channel
        pixel = (self.pixel_bytes, self.step)
        aligned = self.pixel_bytes % self.bus_bytes == 0
        if aligned and (block.cols * pixel[0], block.cols * pixel[1]) == row:
            yield self._around(outside, inside, block.count, block.rows * block.cols, pixel)
        elif aligned and block.rows < block.cols:
            for y in range(block.rows):
                yield self._around(outside + y * row[0], inside + y * row[1], block.count, block.cols, pixel)
        else:
            for x in range(block.cols):
                yield self._around(outside + x * pixel[0], inside + x * pixel[1], block.count, block.rows, row)

    def _around(self, outside: int, inside: int, count: int, rows: int, strides: tuple[int, int]) -> Load:
        """The words around `count` bytes; both offsets have the same phase."""
        phase = outside % self.bus_bytes
        width = align_up(phase + count, self.bus_bytes)
        return Load(outside - phase, strides[0], inside - phase, strides[1], rows, width)
