"""Geometry of what a convolution reads, and the reduction in runs, parts and chunks.

A run is what one pixel reads without a gap: a whole kernel row (kernel_cols * channels elements) where columns
are not dilated and pixels packed, else one kernel column (channels elements; fewer with slices). Steps count elements in the order kernel
row, kernel column, channel; they name weight words too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple

from intaglio.program.layout import align_up, split


class Part(NamedTuple):
    """A contiguous range of the reduction: kernel rows and columns from (row0, col0), `elements` from element0 on of each
    run. Either several rows with whole runs, or several columns of one row, or a part of one run. halves: runs of an even
    number of elements, which two rows of the array take by halves."""

    row0: int
    rows: int
    col0: int
    cols: int
    element0: int
    elements: int
    halves: bool = False

    @property
    def steps(self) -> int:
        return self.rows * self.cols * self.elements


@dataclass(frozen=True)
class Chunks:
    """A run cut into `count` reads of `each` bytes, the last of `last`; cycles of the run's slots in all."""

    count: int
    each: int
    last: int
    slot: int
    last_slot: int

    @property
    def cycles(self) -> int:
        return (self.count - 1) * self.slot + self.last_slot


@lru_cache(maxsize=4096)
def chunks_of(run: int, pixels: int, feed_bytes: int) -> Chunks:
    """The cut of a run of `run` bytes with the fewest cycles, then the fewest reads, for tiles of `pixels`."""
    best: Chunks | None = None
    for each in range(min(feed_bytes, run), 0, -1):
        count = -(-run // each)
        last = run - (count - 1) * each
        option = Chunks(count, each, last, max(pixels, each), max(pixels, last))
        if best is None or (option.cycles, option.count) < (best.cycles, best.count):
            best = option
        if count > 1 and each <= pixels:
            break  # shorter reads only add slots of `pixels` cycles
    assert best is not None
    return best


@dataclass(frozen=True)
class Slices:
    """A grouped convolution's channel tiles: `width` output channels each, of which tile t reads the `span` input
    channels from starts[t] on. A run is then a slice of one pixel, so it lies inside the image or outside as a whole.
    """

    width: int
    span: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """A convolution over images of in_rows rows of in_cols pixels of `channels` elements, every one of which each channel
    tile reads, or with slices some. packed: pixels follow one another without a gap. depthwise: each output channel reads one input channel, that of its number. split: the
    one output pixel's reduction is over two rows of the array; its runs merge.

    A fully connected layer has one image whose rows are the batch: kernel_rows rows of the layout for each
    output row, each one kernel column of row_bytes channels.
    """

    images: int
    in_rows: int
    in_cols: int
    channels: int
    kernel_rows: int
    kernel_cols: int
    stride_rows: int
    stride_cols: int
    dilation_rows: int
    dilation_cols: int
    top: int
    left: int
    out_rows: int
    out_cols: int
    out_channels: int
    slices: Slices | None = None
    depthwise: bool = False
    split: bool = False
    packed: bool = True

    @property
    def depth(self) -> int:
        """Channels of a pixel that an output channel's sums take steps for."""
        if self.depthwise:
            return 1
        return self.channels if self.slices is None else self.slices.span

    @property
    def steps(self) -> int:
        return self.kernel_rows * self.kernel_cols * self.depth

    @property
    def runs_merge(self) -> bool:
        """True where a kernel row is one run."""
        gaps = not self.packed or self.dilation_cols > 1
        return self.kernel_cols == 1 or not (gaps or self.depthwise or self.slices is not None)

    @cached_property
    def whole_part(self) -> Part:
        """With split in halves; of a run of odd length the second has an element more than there is."""
        full = self._whole
        return full._replace(elements=align_up(full.elements, 2), halves=True) if self.split else full

    @cached_property
    def _whole(self) -> Part:
        if self.runs_merge:
            return Part(0, self.kernel_rows, 0, 1, 0, self.kernel_cols * self.depth)
        return Part(0, self.kernel_rows, 0, self.kernel_cols, 0, self.depth)

    def parts(self, most: int) -> list[Part]:
        """The reduction in as few nearly equal parts of at most `most` >= 1 steps as its structure allows."""
        full = self._whole
        row = full.cols * full.elements
        if row <= most:
            return [Part(i, n, 0, full.cols, 0, full.elements) for i, n in split(self.kernel_rows, most // row)]
        out = []
        for kh in range(self.kernel_rows):
            if full.elements <= most:
                out += [Part(kh, 1, i, n, 0, full.elements) for i, n in split(full.cols, most // full.elements)]
                continue
            for kw in range(full.cols):
                out += [Part(kh, 1, kw, 1, i, n) for i, n in split(full.elements, most)]
        return out

    @cached_property
    def rows_inside(self) -> list[int]:
        """Kernel rows that lie inside the image, for each output row. What lies in the padding need not be computed."""
        return [len(rows) for rows in self._rows_inside]

    @cached_property
    def used_rows(self) -> int:
        """Kernel rows that lie inside the image for some output row: the others need not be loaded."""
        changes = [0] * (self.kernel_rows + 1)  # of the number of output rows, from one kernel row to the next
        for rows in filter(len, self._rows_inside):
            changes[rows.start] += 1
            changes[rows.stop] -= 1
        return sum(n > 0 for n in accumulate(changes))

    @cached_property
    def _rows_inside(self) -> list[range]:
        found = []
        for y in range(self.out_rows):
            first = y * self.stride_rows - self.top
            low = max(0, -(first // self.dilation_rows)) if first < 0 else 0
            found.append(range(low, max(low, min(self.kernel_rows, -((first - self.in_rows) // self.dilation_rows)))))
        return found

    @property
    def used_steps(self) -> int:
        """The part of `steps` of kernel rows that lie inside the image for some output row."""
        return self.steps // self.kernel_rows * self.used_rows

    def first_step(self, part: Part) -> int:
        return (part.row0 * self.kernel_cols + part.col0) * self.depth + part.element0
