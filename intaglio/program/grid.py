"""A tensor cut into pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

from intaglio.program.layout import Layout, Region


@dataclass(frozen=True, eq=False)
class Grid(Sequence[Region]):
    """A tensor in bands of at most band_rows rows within each image of image_rows rows, and each band in columns of at most
    width elements: regions band by band, or with `downwards` image by image, column by column. They are made when one is asked
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
            Region(row, min(row + self.band_rows, first + self.image_rows), 0, self.layout.row_elements)
            for first in range(0, self.layout.rows, self.image_rows)
            for row in range(first, first + self.image_rows, self.band_rows)
        )

    @cached_property
    def columns(self) -> tuple[Region, ...]:
        """Elements of all rows of the first image."""
        end = self.layout.row_elements
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
        return count * -(-self.layout.row_elements // self.width)

    def __iter__(self) -> Iterator[Region]:
        return iter(self._regions)

    @overload
    def __getitem__(self, index: int) -> Region: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Region, ...]: ...

    def __getitem__(self, index: int | slice) -> Region | tuple[Region, ...]:
        return self._regions[index]


def pixels(region: Region, pixel: int) -> list[Region]:
    """The pixels of a region, of `pixel` elements each, row after row."""
    return [
        Region(y, y + 1, x, x + pixel)
        for y in range(region.row0, region.row1)
        for x in range(region.x0, region.x1, pixel)
    ]
