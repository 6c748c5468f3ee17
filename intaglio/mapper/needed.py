"""What of each tensor the network's outputs need: windows may leave rows and columns between them, which no schedule has to read,
nor, in a chain, to compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intaglio.mapper.layout import Layout

Mask = NDArray[np.bool_]


class Need(NamedTuple):
    """rows: bool [rows of the layout]; columns: bool [bytes of a row]. Needed is where both are."""

    rows: Mask
    columns: Mask

    @staticmethod
    def whole(layout: Layout) -> Need:
        return Need(np.ones(layout.rows, bool), np.ones(layout.row_bytes, bool))

    @property
    def is_whole(self) -> bool:
        return bool(self.rows.all() and self.columns.all())

    @property
    def elements(self) -> int:
        return int(self.rows.sum()) * int(self.columns.sum())


def touched(outputs: Mask, stride: int, kernel: int, dilation: int, before: int, length: int) -> Mask:
    """Rows or columns of an input, `length` of them, that the windows of the needed outputs of one axis have. before: of the padding."""
    taps = np.flatnonzero(outputs)[:, None] * stride - before + np.arange(kernel) * dilation
    inside = np.unique(taps[(taps >= 0) & (taps < length)])
    found = np.zeros(length, bool)
    found[inside] = True
    return found


def window_need(
    need: Need, images: int, axes: Sequence[tuple[int, int, int, int, int]], channels: tuple[int, int]
) -> Need:
    """What windows read. axes: for rows, then columns (stride, kernel, dilation, before, length). channels: of an output pixel and of an
    input pixel."""
    down, across = axes
    rows = [touched(of, *down) for of in need.rows.reshape(images, -1)]
    pixels: Mask = need.columns.reshape(-1, channels[0])[:, 0]
    columns = touched(pixels, *across)
    return Need(np.concatenate(rows), np.repeat(columns, channels[1]))
