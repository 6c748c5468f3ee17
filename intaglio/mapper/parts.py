"""Reductions in parts: the order of a tile's CONV commands, and which of its pixels each one computes.

Sums wait in the partial-sum memory from one part to the next, so a part's weights serve as many pixels as fit there. Output
rows whose kernel rows all lie in the padding are left out of a part, where padding is worth nothing: where its zero point is 0.
With any other, padding is a term of each sum, which the folded bias takes away again.
"""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.hw.config import Config
from intaglio.mapper.convolution import ConvTask
from intaglio.mapper.geometry import Geometry, Part
from intaglio.mapper.layout import Region


@dataclass(frozen=True)
class Step:
    """One command of each channel tile. region: of the output; rows of it are left out of the whole. first_pixel: of region,
    counted from the whole's first. start: its sums begin here. drain_from: pixels of region from this one on are
    complete."""

    part: Part
    region: Region
    first_pixel: int
    start: bool
    drain_from: int


def partial_pixels(config: Config, task: ConvTask) -> int:
    """Pixels of one channel tile whose sums the partial-sum memory holds, whole array tiles: at least one."""
    groups = -(-min(task.tile_width(config), task.geometry.out_channels) // config.requantizers)
    return config.partial_words // groups // config.rows * config.rows


def steps_of(task: ConvTask, region: Region, parts: tuple[Part, ...]) -> list[Step]:
    """The commands of a region of at most partial_pixels pixels, in order; every pixel starts and ends once."""
    g = task.geometry
    width = region.width // g.out_channels
    if task.input_zero_point:
        return _plain(region, parts, width)
    rows = [_rows(g, region, part) for part in parts]
    order = sorted(range(len(parts)), key=lambda i: (len(rows[i]) < region.rows, i))
    left = [sum(y in rows[i] for i in order) for y in range(region.row0, region.row1)]
    out: list[Step] = []
    for n, i in enumerate(order):
        if not rows[i]:
            continue
        complete = []
        for y in rows[i]:
            left[y - region.row0] -= 1
            complete.append(left[y - region.row0] == 0)
        done = sum(complete)
        if not all(complete[len(complete) - done :]) or (n == 0) != (len(rows[i]) == region.rows and not out):
            return _plain(region, parts, width)
        part = Region(rows[i].start, rows[i].stop, region.x0, region.x1)
        first = (rows[i].start - region.row0) * width
        out.append(Step(parts[i], part, first, n == 0, (len(complete) - done) * width))
    return out


def _plain(region: Region, parts: tuple[Part, ...], width: int) -> list[Step]:
    """Every part for every pixel."""
    last = len(parts) - 1
    return [Step(part, region, 0, i == 0, 0 if i == last else region.rows * width) for i, part in enumerate(parts)]


def _rows(g: Geometry, region: Region, part: Part) -> range:
    """Output rows for which one of the part's kernel rows lies inside the image: all between the first and the last."""
    image = region.row0 // g.out_rows * g.out_rows
    inside = [
        y
        for y in range(region.row0, region.row1)
        if any(
            0 <= (y - image) * g.stride_rows - g.top + (part.row0 + k) * g.dilation_rows < g.in_rows
            for k in range(part.rows)
        )
    ]
    return range(inside[0], inside[-1] + 1) if inside else range(0)
