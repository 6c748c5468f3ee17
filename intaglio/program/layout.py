"""Layout of a tensor's elements: rows padded to whole bus words, on chip and outside alike.

Regions count elements, `ByteRegion`s bytes; a layout turns one into the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from intaglio.machine.formats import INT8, ElementFormat

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


class Region(NamedTuple):
    """Rows [row0, row1) of a tensor and elements [x0, x1) of each of them; empty where row0 == row1 or x0 == x1."""

    row0: int
    row1: int
    x0: int
    x1: int

    @property
    def rows(self) -> int:
        return self.row1 - self.row0

    @property
    def width(self) -> int:
        """Elements of a row."""
        return self.x1 - self.x0

    @property
    def empty(self) -> bool:
        return self.row1 <= self.row0 or self.x1 <= self.x0


class ByteRegion(NamedTuple):
    """Rows [row0, row1) of a tensor and bytes [byte0, byte1) of each of them, counted from where the row's storage
    begins."""

    row0: int
    row1: int
    byte0: int
    byte1: int

    @property
    def rows(self) -> int:
        return self.row1 - self.row0

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return self.byte1 - self.byte0

    @property
    def empty(self) -> bool:
        return self.row1 <= self.row0 or self.byte1 <= self.byte0

    def on_bus(self, bus_bytes: int) -> ByteRegion:
        """The smallest region of whole bus words around this one."""
        return ByteRegion(self.row0, self.row1, align_down(self.byte0, bus_bytes), align_up(self.byte1, bus_bytes))


@dataclass(frozen=True)
class Layout:
    """The place of a tensor's elements in the value (storage) that holds them.

    rows: of row_elements elements of `format`. Row r's storage begins `start` + r * stride bytes from the value's first one, and the
    row `first` bytes behind that; start and stride are whole bus words. In a row every `pixel` elements begin at a byte, `pitch` bytes from
    the one group to the next; in between they are packed. image_rows: rows of an image, each of which begins image_gap bytes later
    than that, 0 for one image. So a slice of a tensor, and a tensor that is a part of a concatenated one, are layouts too.
    """

    rows: int
    row_elements: int
    stride: int
    format: ElementFormat = INT8
    pixel: int = 1
    pitch: int = 1
    start: int = 0
    first: int = 0
    image_rows: int = 0
    image_gap: int = 0

    @property
    def elements(self) -> int:
        return self.rows * self.row_elements

    def same_rows(self, other: Layout) -> bool:
        """True where both have as many rows of as many elements, wherever these lie."""
        return (self.rows, self.row_elements) == (other.rows, other.row_elements)

    @property
    def packed(self) -> bool:
        """True where the elements of a row follow one another without a gap between pixels."""
        return self.pitch * 8 == self.pixel * self.format.bits

    @property
    def adjacent(self) -> bool:
        """True where no byte lies between pixels, though bits may."""
        return self.pitch == self.format.bytes_of(self.pixel)

    @property
    def dense(self) -> bool:
        """True where no padding lies between elements, so that the rows are one run of bytes."""
        return self.packed and not self.image_gap and (self.rows == 1 or self.row_bytes == self.stride)

    @property
    def row_bytes(self) -> int:
        """Bytes from a row's first element to the end of its last."""
        return self._byte_end(self.row_elements)

    @property
    def size(self) -> int:
        """Bytes from the value's first one to the end of the last row's padding."""
        gaps = (self.rows - 1) // self.image_rows * self.image_gap if self.image_rows else 0
        return self.start + self.rows * self.stride + gaps

    def _byte_end(self, x: int) -> int:
        """Bytes from a row's first element to the end of the element before number x."""
        if self.pixel == 1 and self.packed:
            return x * self.pitch
        whole, rest = divmod(x, self.pixel)
        if not rest and whole:
            whole, rest = whole - 1, self.pixel
        return whole * self.pitch + self.format.bytes_of(rest)

    def bytes_of(self, region: Region) -> ByteRegion:
        """The bytes of a region's elements, and of what lies between its pixels."""
        if self.pixel == 1 and self.packed:
            return ByteRegion(
                region.row0, region.row1, self.first + region.x0 * self.pitch, self.first + region.x1 * self.pitch
            )
        column, element = divmod(region.x0, self.pixel)
        begin = column * self.pitch + element * self.format.bits // 8
        end = max(begin, self._byte_end(region.x1)) if region.x1 > region.x0 else begin
        return ByteRegion(region.row0, region.row1, self.first + begin, self.first + end)

    def row_at(self, row: int) -> int:
        """Bytes from the value's first one to where a row's storage begins."""
        images = row // self.image_rows if self.image_rows else 0
        return self.start + row * self.stride + images * self.image_gap

    def runs(self, row0: int, row1: int) -> list[tuple[int, int]]:
        """(first row, rows) of the parts of rows [row0, row1) that are equally far apart."""
        if not self.image_gap:
            return [(row0, row1 - row0)]
        cuts = range((row0 // self.image_rows + 1) * self.image_rows, row1, self.image_rows)
        edges = [row0, *cuts, row1]
        return [(a, b - a) for a, b in pairwise(edges)]

    def bus_elements(self, bus_bytes: int) -> int:
        """The fewest elements of a row that take whole bus words."""
        return self.pixel * math.lcm(self.pitch, bus_bytes) // self.pitch

    def bus_width(self, region: Region, bus_bytes: int) -> int:
        """Bytes of a row of the whole bus words around a region."""
        return self.bytes_of(region).on_bus(bus_bytes).width

    def transfer_bytes(self, region: Region, bus_bytes: int) -> int:
        """Bytes that a LOAD or STORE of a region moves, and that its buffer takes."""
        return 0 if region.empty else region.rows * self.bus_width(region, bus_bytes)

    def slab_stride(self, region: Region, pixel: int, channels: int, bus_bytes: int) -> int:
        """Bytes of one row of a buffer for so many channels of a region's pixels, which have `pixel` elements."""
        return align_up(region.width // pixel * self.format.bytes_of(channels), bus_bytes)

    # Views, for what lies on chip.

    def view(self, address: int) -> View:
        """The tensor where the first byte of its whole value lies at `address`."""
        base = address + self.start + self.first
        return View(base, self.stride, self.pixel, self.pitch, self.format.bits, 0, 0, self.image_rows, self.image_gap)

    def view_of_buffer(self, address: int, region: Region, bus_bytes: int, ring: int = 0, turn: int = 0) -> View:
        """The tensor where the bus words around `region` lie at `address`, row after row, or in a ring of rows: row
        `turn` there then."""
        bus = self.bytes_of(region).on_bus(bus_bytes)
        above = 0 if ring else bus.row0 * bus.width
        base = address - above - bus.byte0 + self.first
        return View(base, bus.width, self.pixel, self.pitch, self.format.bits, ring, turn)

    def view_of_slab(self, address: int, region: Region, pixel: int, channels: range, bus_bytes: int) -> View:
        """The tensor where `channels` of the pixels of `region`, which have `pixel` elements, lie at `address`, row
        after row."""
        each, stride = self.format.bytes_of(len(channels)), self.slab_stride(region, pixel, len(channels), bus_bytes)
        before = region.row0 * stride + region.x0 // pixel * each + self.format.bytes_of(channels.start)
        return View(address - before, stride, pixel, each, self.format.bits)


def layout_of(shape: Sequence[int], bus_bytes: int, form: ElementFormat = INT8) -> Layout:
    """The layout of a tensor: [N, H, W, C] is N * H rows of W * C, [N, I] is N rows of I. Elements of whole bytes
    follow one another, of others each pixel of C begins at a byte."""
    split = len(shape) - 2 if len(shape) > 2 else len(shape) - 1
    split = max(split, 0)
    pixel = 1 if form.bits % 8 == 0 else max(1, shape[-1] if shape else 1)
    row = math.prod(shape[split:])
    pitch = form.bytes_of(pixel)
    return Layout(math.prod(shape[:split]), row, align_up(row // pixel * pitch, bus_bytes), form, pixel, pitch)


class View(NamedTuple):
    """A tensor seen from the array.

    Element x of row r begins at the byte base + r * stride + x // pixel * pitch + x % pixel * bits // 8; base may be negative where only a
    region of the tensor is on chip. image_rows, image_gap: as a Layout's. ring: rows of a ring buffer that the tensor passes
    through, so that row r is in the place (r - turn) % ring; 0 where there is none.
    """

    base: int
    stride: int
    pixel: int = 1
    pitch: int = 1
    bits: int = 8
    ring: int = 0
    turn: int = 0
    image_rows: int = 0
    image_gap: int = 0

    def address(self, row: _Number, x: _Number) -> _Number:
        """The byte of an element, or of arrays of them."""
        at: _Number
        if self.pixel == 1:
            at = x * self.pitch
        else:
            column, element = divmod(x, self.pixel)
            at = column * self.pitch + element * self.bits // 8
        if self.image_gap:
            at = at + row // self.image_rows * self.image_gap
        at = at + self.base + ((row - self.turn) % self.ring if self.ring else row) * self.stride
        return at

    def unrolled(self, row: int) -> tuple[View, int]:
        """The ring as rows `row` to row + ring - 1 are read: a view without a ring, and the row from which on its
        addresses are ring * stride too high."""
        start = row - (row - self.turn) % self.ring
        return self._replace(base=self.base - start * self.stride, ring=0, turn=0), start + self.ring

    @property
    def packed(self) -> bool:
        """True where the elements of a row follow one another without a gap between pixels."""
        return self.pitch * 8 == self.pixel * self.bits

    def step(self, elements: int) -> int:
        """Bytes from an element to the one so many behind it, whole pixels."""
        return elements // self.pixel * self.pitch
