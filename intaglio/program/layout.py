"""Where bytes of a tensor lie: rows padded to whole bus words, on chip and outside alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar, overload

import numpy as np

_Number = TypeVar("_Number", int, np.ndarray)


def align_down(n: int, unit: int) -> int:
    return n - n % unit


def align_up(n: int, unit: int) -> int:
    return n + -n % unit


def split(total: int, most: int) -> list[tuple[int, int]]:
    """(start, length) of nearly equal pieces of at most `most`."""
    count = -(-total // most)
    each = -(-total // count)
    return [(i, min(each, total - i)) for i in range(0, total, each)]


@dataclass(frozen=True)
class Layout:
    """rows of row_bytes elements, one every stride bytes (a multiple of the bus width)."""

    rows: int
    row_bytes: int
    stride: int

    @property
    def size(self) -> int:
        """Bytes from the first row to the end of the last row's padding."""
        return self.rows * self.stride

    @property
    def elements(self) -> int:
        return self.rows * self.row_bytes

    @property
    def dense(self) -> bool:
        """True where no padding lies between elements, so that the rows are one run of bytes."""
        return self.row_bytes == self.stride or self.rows == 1

    def view(self, address: int) -> View:
        """The whole tensor where its first byte lies at `address`."""
        return View(address, self.stride)


def layout_of(shape: Sequence[int], bus_bytes: int) -> Layout:
    """The layout of a tensor: [N, H, W, C] is N * H rows of W * C, [N, I] is N rows of I."""
    split = len(shape) - 2 if len(shape) > 2 else len(shape) - 1
    split = max(split, 0)
    row_bytes = math.prod(shape[split:])
    return Layout(math.prod(shape[:split]), row_bytes, align_up(row_bytes, bus_bytes))


class Region(NamedTuple):
    """Rows [row0, row1) and bytes [x0, x1) of each of them; empty where row0 == row1 or x0 == x1."""

    row0: int
    row1: int
    x0: int
    x1: int

    @property
    def rows(self) -> int:
        return self.row1 - self.row0

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def empty(self) -> bool:
        return self.row1 <= self.row0 or self.x1 <= self.x0

    def on_bus(self, bus_bytes: int) -> Region:
        """The smallest region of whole bus words around this one."""
        return Region(self.row0, self.row1, align_down(self.x0, bus_bytes), align_up(self.x1, bus_bytes))

    def transfer_bytes(self, bus_bytes: int) -> int:
        """Bytes that a LOAD or STORE of this region moves, and that its buffer takes."""
        if self.row1 <= self.row0 or self.x1 <= self.x0:
            return 0
        return (self.row1 - self.row0) * (self.x1 + -self.x1 % bus_bytes - self.x0 + self.x0 % bus_bytes)


class View(NamedTuple):
    """A tensor seen from the array: byte x of row r has address base + r * stride + x.

    base may be negative where only a region of the tensor is on chip. pitch: where only some channels of each pixel are,
    bytes from pixel to pixel, which in the tensor has `pixel` bytes; 0 where pixels are whole. ring: rows of a ring buffer
    that the tensor passes through, so that byte x of row r has address base + (r - turn) % ring * stride + x; 0 where
    there is none.
    """

    base: int
    stride: int
    pixel: int = 0
    pitch: int = 0
    ring: int = 0
    turn: int = 0

    def address(self, row: _Number, x: _Number) -> _Number:
        """Of one byte, or of arrays of them."""
        if self.pitch:
            column, channel = divmod(x, self.pixel)
            x = column * self.pitch + channel
        at: _Number = self.base + ((row - self.turn) % self.ring if self.ring else row) * self.stride + x
        return at

    def unrolled(self, row: int) -> tuple[View, int]:
        """The ring as rows `row` to row + ring - 1 are read: a view without a ring, and the row from which on its addresses are
        ring * stride too high."""
        start = row - (row - self.turn) % self.ring
        return self._replace(base=self.base - start * self.stride, ring=0, turn=0), start + self.ring

    def pixel_step(self, pixel_bytes: int) -> int:
        """Bytes from a pixel to the next, of a tensor whose pixels have pixel_bytes."""
        return self.pitch or pixel_bytes


def view_of_buffer(address: int, region: Region, bus_bytes: int) -> View:
    """The view of a tensor of which `region` (whole bus words of it) lies at `address`, row after row."""
    bus = region.on_bus(bus_bytes)
    return View(address - bus.row0 * bus.width - bus.x0, bus.width)


def view_of_slab(address: int, region: Region, pixel_bytes: int, channels: range, bus_bytes: int) -> View:
    """The view of a tensor of which `channels` of the pixels of `region` lie at `address`, row after row."""
    stride = slab_stride(region, pixel_bytes, len(channels), bus_bytes)
    before = region.row0 * stride + region.x0 // pixel_bytes * len(channels) + channels.start
    return View(address - before, stride, pixel_bytes, len(channels))


def slab_stride(region: Region, pixel_bytes: int, channels: int, bus_bytes: int) -> int:
    """Bytes of one row of a buffer for so many channels of a region's pixels."""
    return align_up(region.width // pixel_bytes * channels, bus_bytes)


@dataclass(frozen=True, eq=False)
class Grid(Sequence[Region]):
    """A tensor in bands of at most band_rows rows within each image of image_rows rows, and each band in columns of at most
    width bytes: regions band by band, or with `downwards` image by image, column by column. They are made when one is asked
    for; a grid is equal to itself alone."""

    layout: Layout
    image_rows: int
    band_rows: int
    width: int
    downwards: bool = False

    @cached_property
    def bands(self) -> tuple[Region, ...]:
        """Rows of full width."""
        return tuple(
            Region(row, min(row + self.band_rows, first + self.image_rows), 0, self.layout.row_bytes)
            for first in range(0, self.layout.rows, self.image_rows)
            for row in range(first, first + self.image_rows, self.band_rows)
        )

    @cached_property
    def columns(self) -> tuple[Region, ...]:
        """Bytes of all rows of the first image."""
        end = self.layout.row_bytes
        return tuple(Region(0, self.image_rows, x, min(x + self.width, end)) for x in range(0, end, self.width))

    @cached_property
    def _regions(self) -> tuple[Region, ...]:
        if not self.downwards:
            return tuple(Region(b.row0, b.row1, c.x0, c.x1) for b in self.bands for c in self.columns)
        each = -(-self.image_rows // self.band_rows)
        images = [self.bands[i : i + each] for i in range(0, len(self.bands), each)]
        return tuple(Region(b.row0, b.row1, c.x0, c.x1) for bands in images for c in self.columns for b in bands)

    def __len__(self) -> int:
        count = -(-self.layout.rows // self.image_rows) * -(-self.image_rows // self.band_rows)
        return count * -(-self.layout.row_bytes // self.width)

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    @overload
    def __getitem__(self, index: int) -> Region: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Region, ...]: ...

    def __getitem__(self, index: int | slice) -> Region | tuple[Region, ...]:
        return self._regions[index]


def pixels(region: Region, pixel_bytes: int) -> list[Region]:
    """The pixels of a region, row after row."""
    return [
        Region(y, y + 1, x, x + pixel_bytes)
        for y in range(region.row0, region.row1)
        for x in range(region.x0, region.x1, pixel_bytes)
    ]
