"""Reductions in parts: the order of a tile's CONV commands, and which of its pixels each one computes.

Sums wait in the partial-sum memory from one part to the next, so a part's weights serve as many pixels as fit there. Output
rows whose kernel rows all lie in the padding are left out of a part where that saves tiles. The folded bias takes away what
padding adds to a sum, so such rows leave with records of their own, without the terms of the kernel rows left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from intaglio.machine.config import Config
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.geometry import Geometry, Part
from intaglio.program.layout import Region, align_up

_COMMAND = 80
"""Cycles of a command that are not its tiles', about."""


@dataclass(frozen=True)
class Step:
    """One command of each channel tile. region: of the output; rows of it are left out of the whole. first_pixel: of region,
    counted from the whole's first. start: its sums begin here. drain_from: pixels of region from this one on are complete.
    without: kernel rows that the sums of these lack; early_pixels: the region's first, whose sums lack `early_without`."""

    part: Part
    region: Region
    first_pixel: int
    start: bool
    drain_from: int
    without: tuple[int, ...] = ()
    early_pixels: int = 0
    early_without: tuple[int, ...] = ()

    def drains(self, task: ConvTask) -> bool:
        """True where any of its sums is complete."""
        return self.drain_from < self.region.rows * self.region.width // task.geometry.out_channels


def partial_pixels(config: Config, task: ConvTask) -> int:
    """Pixels of one channel tile whose sums the partial-sum memory holds, whole array tiles: at least one."""
    groups = -(-min(task.tile_width(config), task.geometry.out_channels) // config.requantizers)
    return config.partial_words // groups // config.rows * config.rows


def steps_of(config: Config, task: ConvTask, region: Region, parts: tuple[Part, ...]) -> list[Step]:
    """The commands of a region of at most partial_pixels pixels, in order; every pixel starts and ends once."""
    g = task.geometry
    width = region.width // g.out_channels
    plain = _plain(region, parts, width)
    rows = [_rows(g, region, part) for part in parts]
    if len(parts) == 1 or all(len(r) == region.rows for r in rows):
        return plain
    found = _without_padding(
        region, parts, rows, width, 1 if 2 * tile_record_bytes(config) > config.channel_bytes else 2
    )
    return found if found is not None and _cycles(config, found, width) < _cycles(config, plain, width) else plain


def is_needed(geometry: Geometry, part: Part) -> bool:
    """True where some output row has a kernel row of the part inside the image; else no schedule need load it."""
    return bool(_rows(geometry, Region(0, geometry.out_rows, 0, 1), part))


def variants(config: Config, task: ConvTask, pieces: Sequence[Region], parts: tuple[Part, ...]) -> set[tuple[int, ...]]:
    """Kernel rows that the records of the steps of these pieces may lack."""
    regions = [r for piece in pieces for r, _ in task.tile_kinds(piece, partial_pixels(config, task))]
    steps = [step for region in regions for step in steps_of(config, task, region, parts)]
    return {step.without for step in steps} | {step.early_without for step in steps if step.early_pixels}


def loads_of_parts(config: Config, task: ConvTask, pieces: Sequence[Region], parts: tuple[Part, ...]) -> Counter[Part]:
    """Count of how often each part of one channel tile's weights is loaded for these pieces."""
    most = partial_pixels(config, task)
    out = Counter[Part]()
    for region, n in (kind for piece in pieces for kind in task.tile_kinds(piece, most)):
        for step in steps_of(config, task, region, parts):
            out[step.part] += n
    return out


def tile_record_bytes(config: Config) -> int:
    """Bytes of the channel memory that the records of one channel tile take, whole bus words."""
    return align_up(config.channel_groups * config.channel_word_bytes, config.bus_bytes)


def _without_padding(
    region: Region, parts: tuple[Part, ...], rows: list[range], width: int, kinds: int
) -> list[Step] | None:
    """Steps that leave out what lies in the padding. kinds: of records, 1 or 2, that a step's rows may have. None where the first part cannot start every row, or complete rows are
    not a step's last."""
    order = sorted(range(len(parts)), key=lambda i: (len(rows[i]) < region.rows, i))
    if len(rows[order[0]]) < region.rows:
        return None
    left = {y: [i for i in order if y in rows[i]] for y in range(region.row0, region.row1)}
    lacks = {
        y: tuple(k for i, part in enumerate(parts) if i not in mine for k in range(part.row0, part.row0 + part.rows))
        for y, mine in left.items()
    }
    out: list[Step] = []
    for i in order:
        mine = rows[i]
        complete = [y for y in mine if left[y][-1] == i]
        if not mine:
            continue
        if complete and complete != list(range(complete[0], mine.stop)):
            return None
        # Rows that lack different kernel rows have records of their own, of which a command takes two kinds where there is room.
        ends = [y for y in complete[1:] if lacks[y] != lacks[y - 1]]
        begin = mine.start
        for end in [*ends[kinds - 1 :: kinds], mine.stop]:
            drained = [y for y in complete if begin <= y < end]
            kept = end - begin - len(drained)
            lack = lacks[drained[-1]] if drained else ()
            early = [y for y in drained if lacks[y] != lack]
            part = Region(begin, end, region.x0, region.x1)
            step = Step(parts[i], part, (begin - region.row0) * width, i == order[0], kept * width, lack)
            if early:
                step = replace(step, early_pixels=(early[-1] + 1 - begin) * width, early_without=lacks[early[0]])
            out.append(step)
            begin = end
    return out


def _cycles(config: Config, steps: list[Step], width: int) -> int:
    """About: the array's tiles, and what a command takes to begin and to end."""
    tiles = (-(-step.region.rows * width // config.rows) * step.part.steps for step in steps)
    return sum(tiles) + _COMMAND * len(steps)


def _plain(region: Region, parts: tuple[Part, ...], width: int) -> list[Step]:
    """Every part for every pixel."""
    last = len(parts) - 1
    return [Step(part, region, 0, i == 0, 0 if i == last else region.rows * width) for i, part in enumerate(parts)]


def _rows(g: Geometry, region: Region, part: Part) -> range:
    """Output rows for which one of the part's kernel rows lies inside the image: all between the first and the last."""
    image = region.row0 // g.out_rows * g.out_rows
    found: list[range] = []
    for k in range(part.row0, part.row0 + part.rows):
        above = g.top - k * g.dilation_rows  # an output row's element is in the image's row y * stride - above
        first, end = -(-above // g.stride_rows), -(-(g.in_rows + above) // g.stride_rows)
        found.append(range(max(region.row0, image + first), min(region.row1, image + end)))
    inside = [rows for rows in found if rows]
    return range(min(rows.start for rows in inside), max(rows.stop for rows in inside)) if inside else range(0)
