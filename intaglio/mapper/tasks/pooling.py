"""AveragePool2D, MaxPool2D and Mean as POOL commands: rectangles of outputs whose windows have one size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import ClassVar, NamedTuple

import numpy as np

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.machine.timing import head_cycles, pool_cycles
from intaglio.mapper.tasks.groups import Groups, tile_groups
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.needed import Need, touched
from intaglio.mapper.tasks.task import Cut, Lookup, Operand, Task, output_fields
from intaglio.mapper.tasks.windows import Block, Blocks
from intaglio.network.arithmetic import elements_inside
from intaglio.network.graph import AveragePool2D, Requantize, Rounding
from intaglio.network.quantized_multiplier import requantize_by
from intaglio.program.layout import Region, View, split


def division(count: int) -> tuple[int, int]:
    """(multiplier, shift) with which AWAY rounding divides exactly, ties away from zero, by count.

    For |sum| <= 255 * count and count < 2**21, or |sum| <= 128 * count and count < 2**22. The multiplier is rounded up,
    so m * |sum| / 2**s exceeds |sum| / count by less than 2**-22, or at most 2**-23: a tie stays at or above its half,
    and nothing below a half, which is at least 1 / (2 * count) away, reaches it.
    """
    _, shift = math.frexp(1.0 / count)
    return -(-(1 << (31 - shift)) // count), shift


def average_scale(op: AveragePool2D, inside: int) -> Requantize:
    """The binary32 scale of the sum of a window with `inside` elements inside the image, of an average with a rescale.

    0 below 2**-32, where no sum reaches one half.
    """
    assert op.rescale is not None
    count = op.filter[0] * op.filter[1] if op.count_padding else inside
    return requantize_by([float(np.float32(op.rescale) / np.float32(count))], Rounding.FLOAT)


class Span(NamedTuple):
    """Outputs [first, first + outputs) whose windows have `size` elements inside and start there at start + i * stride."""

    first: int
    outputs: int
    start: int
    size: int


@lru_cache(maxsize=4096)
def spans(outputs: range, length: int, window: int, stride: int, before: int, dilation: int = 1) -> tuple[Span, ...]:
    """Groups neighbouring outputs of one axis with windows of equal size inside [0, length)."""
    whole = range(-(-before // stride), (length - 1 - (window - 1) * dilation + before) // stride + 1)
    out: list[Span] = []
    at = outputs.start
    while at < outputs.stop:
        if at in whole:  # and so are those behind it, up to the last that lies inside
            count = min(whole.stop, outputs.stop) - at
            out.append(Span(at, count, at * stride - before, window))
            at += count
            continue
        start, size = elements_inside(at, length, window, stride, before, dilation)
        last = out[-1] if out else None
        if last is not None and last.size == size and start == last.start + last.outputs * stride:
            out[-1] = Span(last.first, last.outputs + 1, last.start, size)
        else:
            out.append(Span(at, 1, start, size))
        at += 1
    return tuple(out)


def covered(found: Sequence[Span], stride: int, dilation: int) -> tuple[int, int]:
    """The interval from the first to the last element of all windows. With dilation the outermost window need not
    have the outermost element."""
    last = max(s.start + (s.outputs - 1) * stride + (s.size - 1) * dilation for s in found)
    return min(s.start for s in found), last + 1


def _part(span: Span, dilation: int, low: int, high: int) -> Span:
    """The elements of one window within [low, high), the start counted from low; size <= 0 for none."""
    skipped = max(-(-(low - span.start) // dilation), 0)
    start = span.start + skipped * dilation
    return Span(span.first, 1, start - low, min(span.size - skipped, -(-(high - start) // dilation)))


def _sizes_in_blocks(
    outputs: range, most: int, length: int, window: int, stride: int, before: int, dilation: int
) -> Iterator[int]:
    """Elements of windows' one axis in each block, of those that have some; blocks have up to `most` rows or columns, from the window's
    first element on."""
    for output in outputs:
        start, size = elements_inside(output, length, window, stride, before, dilation)
        for at, n in split((size - 1) * dilation + 1, most):
            elements = _part(Span(output, 1, start, size), dilation, start + at, start + at + n).size
            if elements > 0:
                yield elements


@dataclass(frozen=True, eq=False)
class PoolTask(Task):
    """Windows over images of in_rows x in_cols pixels of `channels` elements.

    requantize: None divides sums of (input - input_zero_point) by the window's size (average pooling); else how sums over a
    window of so many elements inside the image are scaled. maximum: the greatest element in place of the sum.
    """

    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand
    in_rows: int
    in_cols: int
    channels: int
    window: tuple[int, int]
    stride: tuple[int, int]
    top: int
    left: int
    out_rows: int
    requantize: Callable[[int], Requantize] | None
    input_zero_point: int
    output_zero_point: int
    clamp: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    maximum: bool = False
    lookup: Lookup | None = None
    channelwise: ClassVar[bool] = True

    @property
    def cut(self) -> Cut:
        return Cut(self.out_rows, self.channels)

    @property
    def pooled(self) -> PoolTask:
        return self

    @property
    def image_rows(self) -> tuple[int, int]:
        return self.out_rows, self.in_rows

    @cached_property
    def goes_down(self) -> bool:
        """With dilation a window that lacks its first row may begin below the next one, which lacks its last."""
        return self.dilation[0] == 1 or bool((np.diff(self.rows_read(), axis=1) >= 0).all())

    def least_parts(self, config: Config) -> int:
        """Parts that all windows come in at least where one does not fit on chip, else 0."""
        rows, cols = self.extent
        parts = -(-rows * cols * self.channels // config.activation_bytes)
        return self.output.layout.elements // self.channels * parts if parts > 1 else 0

    def needs(self, need: Need) -> tuple[Need, ...]:
        rows, pixels = need.of_images(self.out_rows, self.channels)
        down = touched(rows, self.stride[0], self.window[0], self.dilation[0], self.top, self.in_rows)
        across = touched(pixels, self.stride[1], self.window[1], self.dilation[1], self.left, self.in_cols)
        return (Need(self.output.layout.rows // self.out_rows, down, across, self.channels),)

    @property
    def whole(self) -> Region:
        """All outputs of one image."""
        return Region(0, self.out_rows, 0, self.output.layout.row_elements)

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns from the first to the last element of the largest window inside the image."""
        rows, cols = ((k - 1) * d + 1 for k, d in zip(self.window, self.dilation, strict=True))
        return min(rows, self.in_rows), min(cols, self.in_cols)

    def _spans(self, region: Region) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        return self._row_spans(region), self._column_spans(region)

    def _row_spans(self, region: Region) -> tuple[Span, ...]:
        rows = range(region.row0 % self.out_rows, region.row0 % self.out_rows + region.rows)
        return spans(rows, self.in_rows, self.window[0], self.stride[0], self.top, self.dilation[0])

    def _column_spans(self, region: Region) -> tuple[Span, ...]:
        cols = range(region.x0 // self.channels, region.x1 // self.channels)
        return spans(cols, self.in_cols, self.window[1], self.stride[1], self.left, self.dilation[1])

    def reads(self, region: Region) -> tuple[Region, ...]:
        rows, cols = self._spans(region)
        first = region.row0 // self.out_rows * self.in_rows
        row0, row1 = covered(rows, self.stride[0], self.dilation[0])
        col0, col1 = covered(cols, self.stride[1], self.dilation[1])
        return (Region(first + row0, first + row1, col0 * self.channels, col1 * self.channels),)

    def cycles(self, config: Config, region: Region, groups: Groups | None = None, channels: int = 0) -> int:
        rows, cols = self._spans(region)
        shapes = list(product(*(Counter((span.outputs, span.size) for span in axis).items() for axis in (rows, cols))))
        return sum(
            n * m * self._command_cycles(config, r, c, len(slab), False)
            for slab in tile_groups(self.channels, channels or self.channels)
            for (r, n), (c, m) in shapes
        )

    def cycles_in_blocks(self, config: Config, blocks: Blocks) -> int:
        """Cycles of COMPUTE for all outputs where windows come in blocks: of what `part` gives."""
        images, across = self.output.layout.rows // self.out_rows, self.output.layout.row_elements // self.channels
        axes = (
            (
                range(self.out_rows),
                blocks.rows,
                self.in_rows,
                self.window[0],
                self.stride[0],
                self.top,
                self.dilation[0],
            ),
            (range(across), blocks.cols, self.in_cols, self.window[1], self.stride[1], self.left, self.dilation[1]),
        )
        shapes = list(product(*(Counter(_sizes_in_blocks(*axis)).items() for axis in axes)))
        cycles = 0
        for at in range(0, self.channels, blocks.channels):
            channels = min(blocks.channels, self.channels - at)
            cycles += sum(
                n * m * self._command_cycles(config, (1, r), (1, c), channels, True) for (r, n), (c, m) in shapes
            )
            last, held = (self._command_cycles(config, (1, 1), (1, 1), channels, hold) for hold in (False, True))
            cycles += self.out_rows * across * (last - held)
        return images * cycles

    def _command_cycles(
        self, config: Config, rows: tuple[int, int], cols: tuple[int, int], channels: int, hold: bool
    ) -> int:
        """rows, cols: how many outputs, and their windows' elements."""
        key = config, rows, cols, channels, hold
        if key not in self._known:
            names = ("region_rows", "kernel_rows", "region_cols", "kernel_cols", "channels", "hold", "table")
            fields = dict(zip(names, (*rows, *cols, channels, int(hold), self.table), strict=True))
            self._known[key] = pool_cycles(config, fields) - head_cycles(isa.Opcode.POOL)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[object, int]:
        """Known results of `_command_cycles`."""
        return {}

    def least_cycles(self, config: Config, need: Need) -> int:
        """Cycles of each pixel, however its window and channels are divided: the reads of its slabs, or its passes.

        At a stride of 1 neighbours in a row could be one pixel of more channels. Where not all is needed, of the smallest windows.
        """
        layout = self.output.layout
        rows, cols = self._spans(self.whole)
        if not need.is_whole:
            least = min(r.size for r in rows) * min(c.size for c in cols)
            return max(need.elements * least // config.slab_channels, need.elements // config.requantizers)
        cycles = 0
        for r in rows:
            for c in cols:
                pixels, channels = (1, c.outputs * self.channels) if self.stride[1] == 1 else (c.outputs, self.channels)
                reads = r.size * c.size * -(-channels // config.slab_channels)
                cycles += r.outputs * pixels * max(reads, -(-channels // config.requantizers))
        return cycles * (layout.rows // self.out_rows)

    def row_kind(self, region: Region) -> object:
        """The number of the outputs and the size of their windows: at the edges these are smaller."""
        return tuple((span.outputs, span.size) for span in self._row_spans(region))

    def column_kind(self, region: Region) -> object:
        return tuple((span.outputs, span.size) for span in self._column_spans(region))

    def expected_commands(self, region: Region) -> int:
        """Number of commands for a region of one image."""
        rows, cols = self._spans(region)
        return len(rows) * len(cols)

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        """A POOL for each rectangle of outputs whose windows have one size."""
        image = job.region.row0 // self.out_rows
        rows, cols = self._spans(job.region)
        some = range(self.channels) if job.channels is None else job.channels
        return [self._command(image, r, c, job.inputs[0], job.output, some) for r in rows for c in cols]

    def _command(self, image: int, rows: Span, cols: Span, view: View, output: View, channels: range) -> isa.Command:
        base = output.address(image * self.out_rows + rows.first, cols.first * self.channels + channels.start)
        first = image * self.in_rows + rows.start
        wraps = {}
        if view.ring:
            last = first + (rows.outputs - 1) * self.stride[0] + (rows.size - 1) * self.dilation[0]
            assert last - first < view.ring, f"rows {first} to {last} in a ring of {view.ring}"
            ring, (view, wrap) = view.ring, view.unrolled(first)
            if last >= wrap:
                wraps = {"wrap_from": (wrap - first) * view.stride, "wrap_bytes": ring * view.stride}
        pixel = view.step(self.channels)
        fields = wraps | {
            "in_base": view.address(first, cols.start * self.channels + channels.start),
            "in_row_stride": self.dilation[0] * view.stride,
            "row_step": self.stride[0] * view.stride,
            "x_step": self.stride[1] * pixel,
            "kernel_rows": rows.size,
            "kernel_cols": cols.size,
            "kernel_x_step": self.dilation[1] * pixel,
            "region_rows": rows.outputs,
            "region_cols": cols.outputs,
            "channels": len(channels),
        }
        strides = output.stride, output.step(self.channels)
        return isa.Command(isa.Opcode.POOL, fields | self._result(rows.size * cols.size, base, strides))

    def part(
        self,
        pixel: Region,
        inside: tuple[Span, Span],
        block: Block,
        at: int,
        strides: tuple[int, int],
        out: int,
        resume: bool,
        hold: bool,
    ) -> isa.Command:
        """The part of one output pixel's window that lies on chip.

        inside: its rows and columns in the block. at: address of the block's first byte; strides: of its rows and pixels. out:
        address of the result.
        """
        rows, cols = inside
        (all_rows,), (all_cols,) = self._spans(pixel)
        fields = {
            "in_base": at + rows.start * strides[0] + cols.start * strides[1],
            "in_row_stride": self.dilation[0] * strides[0],
            "kernel_rows": rows.size,
            "kernel_cols": cols.size,
            "kernel_x_step": self.dilation[1] * strides[1],
            "region_rows": 1,
            "region_cols": 1,
            "channels": block.count,
            "resume": int(resume),
            "hold": int(hold),
        }
        return isa.Command(
            isa.Opcode.POOL, fields | self._result(all_rows.size * all_cols.size, out, (0, self.channels))
        )

    def inside(self, pixel: Region, block: Block) -> tuple[Span, Span] | None:
        """The rows and columns of one output pixel's window in a block, counted from its first; None where it has no element there, as
        windows with dilation may."""
        (rows,), (cols,) = self._spans(pixel)
        first = pixel.row0 // self.out_rows * self.in_rows
        down = _part(rows, self.dilation[0], block.row0 - first, block.row1 - first)
        across = _part(cols, self.dilation[1], block.col0, block.col1)
        return (down, across) if down.size > 0 and across.size > 0 else None

    def _scale(self, count: int) -> tuple[int, int, Rounding, int]:
        """(multiplier, shift, rounding, bias) of sums of `count` elements."""
        if self.requantize is None:
            return *division(count), Rounding.AWAY, -self.input_zero_point * count
        how = self.requantize(count)
        return int(how.multiplier[0]), int(how.shift[0]), how.rounding, -self.input_zero_point * count

    def _result(self, count: int, base: int, strides: tuple[int, int]) -> dict[str, int]:
        """Fields that turn sums of `count` elements into outputs. strides: of their rows and pixels, in bytes."""
        multiplier, shift, rounding, bias = self._scale(count)
        fields = {
            "tag": self.tag,
            "mult_out": multiplier,
            "shift_out": shift,
            "bias": bias,
            "maximum": int(self.maximum),
        }
        return fields | output_fields(base, *strides, self.output_zero_point, self.clamp, rounding, self.table)
