"""Ways to cut a layer's output into pieces, from coarse to fine.

Bands of rows; then columns of whole bus words; then ragged columns, whole pixels whose ends share bus words
with their neighbours. The finest ragged piece is one pixel, or in a reshape what lies in one row on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise

from intaglio.machine.config import Config
from intaglio.mapper.tasks.task import Task
from intaglio.program.grid import Grid
from intaglio.program.layout import Layout, Region

MOST_PIECES = 1 << 14
"""Cuts into more pieces are considered only where nothing else is left."""
BLOCK_BANDS = (2, 4, 8, 16)
"""Heights of pieces of whole array tiles."""
ENOUGH = 8
"""Cuts into columns that fit, coarsest first, after which no finer ones are tried."""
COLUMN_BANDS = (1, 2, 4, 8)
"""Heights of pieces that are narrower than the output."""


class Pieces:
    """One way to cut a layer, and the bytes that its pieces transfer: for each input, then for the output, in
    all (total), of the largest piece, and of the first."""

    def __init__(self, task: Task, bus_bytes: int, pieces: Sequence[Region]):
        self.pieces = pieces
        self._task, self._bus_bytes = task, bus_bytes

    @property
    def total(self) -> list[int]:
        return self._sizes[0]

    @property
    def largest(self) -> list[int]:
        return self._sizes[1]

    @cached_property
    def first(self) -> list[int]:
        """No more than the largest: soon known where there are many pieces to be measured one by one."""
        return self._measured(Layout.transfer_bytes, self.pieces[0])

    def _measured(self, measure: Callable[[Layout, Region, int], int], piece: Region) -> list[int]:
        layouts = [operand.layout for operand in (*self._task.inputs, self._task.output)]
        regions = (*self._task.reads(piece), piece)
        return [measure(layout, r, self._bus_bytes) for layout, r in zip(layouts, regions, strict=True)]

    @cached_property
    def _sizes(self) -> tuple[list[int], list[int]]:
        """In all, and of the largest piece."""
        task, pieces, measured = self._task, self.pieces, self._measured
        if isinstance(pieces, Grid) and task.rectangular:
            # A piece's rows alone decide which rows it reads, and its columns which columns.
            rows = zip(*([r.rows for r in (*task.reads(band), band)] for band in pieces.bands), strict=True)
            widths = zip(*(measured(Layout.bus_width, x) for x in pieces.columns), strict=True)
            sides = [
                ([max(n, 0) for n in down], [max(n, 0) for n in across])
                for down, across in zip(rows, widths, strict=True)
            ]
            total = [sum(down) * sum(across) for down, across in sides]
            return total, [max(down) * max(across) for down, across in sides]
        kinds = [(piece, 1) for piece in pieces]
        if not task.rectangular:  # without padding pieces of one kind are of one size
            kinds = self.kinds(task.row_kind, task.column_kind)
        sizes = [(measured(Layout.transfer_bytes, piece), n) for piece, n in kinds]
        counted = zip(*([size * n for size in each] for each, n in sizes), strict=True)
        return [sum(column) for column in counted], [
            max(column) for column in zip(*(each for each, _ in sizes), strict=True)
        ]

    def kinds(self, rows: Callable[[Region], object], columns: Callable[[Region], object]) -> list[tuple[Region, int]]:
        """A piece of each kind, and how many there are: of one kind are those of which `rows` gives the same, and `columns`."""
        if not isinstance(self.pieces, Grid):
            return _counted(self.pieces, lambda piece: (rows(piece), columns(piece)))
        return [
            (Region(band.row0, band.row1, column.x0, column.x1), n * m)
            for band, n in _counted(self.pieces.bands, rows)
            for column, m in _counted(self.pieces.columns, columns)
        ]


def _counted(found: Iterable[Region], kind: Callable[[Region], object]) -> list[tuple[Region, int]]:
    """The last region of each kind, and how many there are."""
    out: dict[object, tuple[Region, int]] = {}
    for region in found:
        of = kind(region)
        out[of] = region, out[of][1] + 1 if of in out else 1
    return list(out.values())


class Cuts:
    """Every cut of one layer that is worth a look; each is measured once."""

    def __init__(self, task: Task, config: Config):
        self.task, self.config = task, config
        self._made: dict[tuple[int, int, bool], Pieces] = {}

    @cached_property
    def bands(self) -> list[Pieces]:
        """Coarsest first."""
        layout, cut = self.task.output.layout, self.task.cut
        bands = [n for n in sizes(cut.image_rows) if n <= cut.most_rows and layout.rows // n <= MOST_PIECES]
        found = dict.fromkeys(n for band in bands for n in (band, self._of_whole_tiles(band)))
        return [self._pieces(band, layout.row_elements) for band in found or [1]]

    def _of_whole_tiles(self, band: int) -> int:
        """The least height from `band` on that makes as many pieces, of which all but the last fill their array tiles; `band`
        if there is none."""
        cut = self.task.cut
        pixels = self.task.output.layout.row_elements // cut.pixel
        most = min(cut.most_rows, cut.image_rows)
        if cut.pixel > 1 and band < most:
            for n in range(band, most):
                if -(-cut.image_rows // n) != -(-cut.image_rows // band):
                    break
                if n * pixels % self.config.rows == 0:
                    return n
        return band

    @cached_property
    def blocks(self) -> list[Pieces]:
        """Narrower than the output, of whole array tiles but at the edges: where bands are too large to be double-buffered."""
        layout, cut, rows = self.task.output.layout, self.task.cut, self.config.rows
        pixels = layout.row_elements // cut.pixel
        return [
            self._pieces(band, width * cut.pixel)
            for band in BLOCK_BANDS
            for width in sorted({max(1, rows // 2), rows, 2 * rows})
            if band <= min(cut.image_rows, cut.most_rows)
            and width < pixels
            and band * width % rows == 0
            and width * cut.pixel % layout.bus_elements(self.config.bus_bytes) == 0
        ]

    def columns(self) -> Iterator[Pieces]:
        """Pieces narrower than the output, coarsest first."""
        for band, width in self._column_sizes:
            yield self._pieces(band, width)

    def ragged(self) -> Iterator[Pieces]:
        """Pieces of one row whose ends are not those of bus words, coarsest first."""
        for width in self._ragged_widths:
            yield self._pieces(1, width, True)

    @property
    def all(self) -> Iterator[Pieces]:
        yield from self.bands
        yield from self.columns()
        yield from self.ragged()

    @cached_property
    def finest(self) -> Pieces:
        if self._ragged_widths:
            return self._pieces(1, self._ragged_widths[-1], True)
        if self._column_sizes:
            return self._pieces(*self._column_sizes[-1])
        return self.bands[-1]

    @property
    def _unit(self) -> int:
        """Elements of the narrowest piece of whole pixels and whole bus words."""
        return math.lcm(self.task.cut.pixel, self.task.output.layout.bus_elements(self.config.bus_bytes))

    @cached_property
    def _column_sizes(self) -> list[tuple[int, int]]:
        """(rows, elements)."""
        layout, cut = self.task.output.layout, self.task.cut
        count = -(-layout.row_elements // self._unit)
        if count == 1:
            return []
        found = {
            (min(band, cut.image_rows), width * self._unit)
            for width in sizes(count)[1:]
            for band in COLUMN_BANDS
            if -(-layout.rows // min(band, cut.image_rows)) * -(-count // width) <= MOST_PIECES
        }
        return sorted(found | {(1, self._unit)}, key=lambda size: (-size[0] * size[1], size))

    @cached_property
    def _ragged_widths(self) -> list[int]:
        layout, cut = self.task.output.layout, self.task.cut
        pixel = cut.pixel
        if cut.period:
            return [width for band, width in self._column_sizes if band == 1] or [layout.row_elements]
        most = min(self._unit, layout.row_elements) - 1
        widths = [n * pixel for n in sizes(layout.row_elements // pixel) if n * pixel <= most]
        return [w for w in widths[:-1] if layout.rows * -(-layout.row_elements // w) <= MOST_PIECES] + widths[-1:]

    def _pieces(self, band: int, width: int, ragged: bool = False) -> Pieces:
        if (band, width, ragged) not in self._made:
            layout, cut = self.task.output.layout, self.task.cut
            pieces: Sequence[Region] = Grid(layout, cut.image_rows, band, width)
            if ragged and cut.period:
                pieces = tuple(part for piece in pieces for part in _broken(piece, layout.row_elements, cut.period))
            self._made[band, width, ragged] = Pieces(self.task, self.config.bus_bytes, pieces)
        return self._made[band, width, ragged]


def _broken(piece: Region, row_elements: int, period: int) -> list[Region]:
    """A piece of one row, cut where the count of the tensor's elements is a multiple of `period`."""
    row = piece.row0 * row_elements
    breaks = range((row + piece.x0) // period * period + period, row + piece.x1, period)
    edges = [piece.x0, *(at - row for at in breaks), piece.x1]
    return [piece._replace(x0=a, x1=b) for a, b in pairwise(edges)]


@lru_cache(maxsize=1 << 10)
def sizes(total: int) -> tuple[int, ...]:
    """The distinct sizes of nearly equal pieces of `total`, largest first."""
    return tuple(sorted({-(-total // count) for count in range(1, total + 1)}, reverse=True))
