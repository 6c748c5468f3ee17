"""The part of each tensor that the network's outputs need: windows may leave rows and columns between them, which no schedule has to read,
nor, in a chain, to compute."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intaglio.program.layout import Layout

Mask = NDArray[np.bool_]


class Need(NamedTuple):
    """The needed part of a tensor, the same of each of `images` images. rows: bool [rows], columns: bool [pixels of a row] of `pixel` elements each. Needed is where
    both are."""

    images: int
    rows: Mask
    columns: Mask
    pixel: int

    @staticmethod
    def whole(layout: Layout) -> Need:
        return Need(layout.rows, np.ones(1, bool), np.ones(1, bool), layout.row_elements)

    def fits(self, layout: Layout) -> bool:
        return (self.images * len(self.rows), len(self.columns) * self.pixel) == (layout.rows, layout.row_elements)

    def of_images(self, rows: int, pixel: int) -> tuple[Mask, Mask]:
        """The rows and pixels of each image, where it has so many rows and its pixels so many elements; all where it is told of in
        other ones."""
        pixels = len(self.columns) * self.pixel // pixel
        return (
            self.rows if len(self.rows) == rows else np.ones(rows, bool),
            self.columns if self.pixel == pixel else np.ones(pixels, bool),
        )

    @property
    def is_whole(self) -> bool:
        return bool(self.rows.all() and self.columns.all())

    @property
    def elements(self) -> int:
        return self.images * int(self.rows.sum()) * int(self.columns.sum()) * self.pixel


def touched(outputs: Mask, stride: int, kernel: int, dilation: int, before: int, length: int) -> Mask:
    """Rows or columns of an input, `length` of them, that the windows of the needed outputs of one axis have. before: of the padding."""
    starts = np.flatnonzero(outputs) * stride
    end = max(length + before, (int(starts.max()) if len(starts) else 0) + kernel * dilation + 1)
    changes = np.zeros(
        -(-end // dilation) * dilation, np.int64
    )  # of the number of windows, from an element to the one `dilation` on
    np.add.at(changes, starts, 1)
    np.add.at(changes, starts + kernel * dilation, -1)
    return (changes.reshape(-1, dilation).cumsum(axis=0) > 0).ravel()[before : before + length]
