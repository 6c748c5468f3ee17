"""Add and Rescale, element by element, and Reshape where the rows of the two layouts differ."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.needed import Need
from intaglio.mapper.tasks.task import FIELD_LIMIT, Cut, Lookup, Operand, Task, output_fields
from intaglio.network.graph import Add, Rescale, Rounding
from intaglio.program.layout import Region, View, align_up

IDENTITY = (1 << 30, 1)
"""Multiplier and shift of a scale of exactly 1: every rounding mode returns the sum itself."""


@dataclass(frozen=True)
class Runs:
    """`count` runs of `length` elements, each at (row, x) of every view or `steps` bytes (one for each view) behind the last one."""

    row: int
    x: int
    count: int
    length: int
    steps: tuple[int, ...]


def runs_of(region: Region, views: Sequence[View], pixel: int) -> list[Runs]:
    """A region as runs that are without gaps in every view: one where it is dense, else its rows, or where pixels lie apart those of
    each row. pixel: elements of a pixel, of which the region has whole ones."""
    strides = tuple(view.stride for view in views)
    if all(view.packed for view in views):
        width = region.width * views[0].bits // 8
        if all(view.stride == width and not view.image_gap for view in views):
            return [Runs(region.row0, region.x0, 1, region.rows * region.width, strides)]
        return [Runs(region.row0, region.x0, region.rows, region.width, strides)]
    steps, most = tuple(view.step(pixel) for view in views), FIELD_LIMIT * pixel
    return [
        Runs(row, x, -(-min(most, region.x1 - x) // pixel), pixel, steps)
        for row in range(region.row0, region.row1)
        for x in range(region.x0, region.x1, most)
    ]


class _ElementByElement(Task):
    """Tasks whose outputs each depend on the input elements in their place."""

    elementwise: ClassVar[bool] = True
    in_place: ClassVar[bool] = True

    @property
    def cut(self) -> Cut:
        """Whole pixels where some operand's lie apart, and single images where its images do."""
        layouts = [operand.layout for operand in (*self.inputs, self.output)]
        rows = min(x.image_rows if x.image_gap else x.rows for x in layouts)
        return Cut(rows, math.lcm(*(x.pixel for x in layouts)))

    def runs(self, job: Job) -> list[Runs]:
        return runs_of(job.region, (*job.inputs, job.output), self.cut.pixel)

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (need,) * len(self.inputs)

    def row_kind(self, region: Region) -> object:
        return region.rows

    def column_kind(self, region: Region) -> object:
        return region.width

    def least_cycles(self, config: Config, need: Need) -> int:
        return -(-need.elements // config.requantizers)


@dataclass(frozen=True, eq=False)
class AddTask(_ElementByElement):
    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand
    op: Add
    lookup: Lookup | None = None

    @property
    def alike(self) -> object:
        return (
            AddTask,
            self.table > 0,
            self.inputs[0] == self.inputs[1],
            *(x.layout for x in (*self.inputs, self.output)),
        )

    def reads(self, region: Region) -> tuple[Region, ...]:
        return region, region

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        return [self._command(job, run) for run in self.runs(job)]

    def _command(self, job: Job, run: Runs) -> isa.Command:
        a, b = job.inputs
        a_step, b_step, out_step = run.steps
        how_a, how_b = self.op.operand_requantize
        fields = {
            "tag": self.tag,
            "a_base": a.address(run.row, run.x),
            "a_row_stride": a_step,
            "b_base": b.address(run.row, run.x),
            "b_row_stride": b_step,
            "row_bytes": run.length,
            "rows": run.count,
            "mult_a": int(how_a.multiplier[0]),
            "mult_b": int(how_b.multiplier[0]),
            "shift_a": int(how_a.shift[0]),
            "shift_b": int(how_b.shift[0]),
            "zero_a": self.op.input_zero_points[0],
            "zero_b": self.op.input_zero_points[1],
            "mult_out": int(self.op.requantize.multiplier[0]),
            "shift_out": int(self.op.requantize.shift[0]),
            "bias": self.op.bias,
        }
        out = job.output.address(run.row, run.x)
        return isa.Command(isa.Opcode.ADD, fields | result_fields(self.op, out, out_step, self.table))


@dataclass(frozen=True, eq=False)
class RescaleTask(_ElementByElement):
    """A POOL of 1 x 1 windows, each run of elements one pixel."""

    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand
    op: Rescale
    lookup: Lookup | None = None

    def reads(self, region: Region) -> tuple[Region, ...]:
        return (region,)

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        return [self._command(job, run) for run in self.runs(job)]

    def _command(self, job: Job, run: Runs) -> isa.Command:
        in_step, out_step = run.steps
        fields = run_fields(job.inputs[0].address(run.row, run.x), in_step, run.count, run.length, self.tag)
        fields |= {
            "mult_out": int(self.op.requantize.multiplier[0]),
            "shift_out": int(self.op.requantize.shift[0]),
            "bias": -self.op.input_zero_point,
        }
        out = job.output.address(run.row, run.x)
        return isa.Command(isa.Opcode.POOL, fields | result_fields(self.op, out, out_step, self.table))


def result_fields(op: Add | Rescale, base: int, row_stride: int, table: int) -> dict[str, int]:
    return output_fields(base, row_stride, 0, op.output_zero_point, op.clamp, op.requantize.rounding, table)


def run_fields(base: int, row_step: int, rows: int, row_bytes: int, tag: int) -> dict[str, int]:
    """The input side of a POOL that takes `rows` runs of `row_bytes` bytes as they are."""
    return {
        "tag": tag,
        "in_base": base,
        "row_step": row_step,
        "kernel_rows": 1,
        "kernel_cols": 1,
        "region_rows": rows,
        "region_cols": 1,
        "channels": row_bytes,
    }


@dataclass(frozen=True)
class Segments:
    """`count` runs of `length` bytes: from in_at + i * in_step to out_at + i * out_step."""

    in_at: int
    out_at: int
    length: int
    count: int
    in_step: int
    out_step: int


def copy(s: Segments, tag: int, rounding: Rounding) -> isa.Command:
    fields = run_fields(s.in_at, s.in_step, s.count, s.length, tag)
    fields |= {"mult_out": IDENTITY[0], "shift_out": IDENTITY[1]}
    fields |= output_fields(s.out_at, s.out_step, 0, 0, (-128, 127), rounding)
    return isa.Command(isa.Opcode.POOL, fields)


def segments(in_view: View, in_row: int, out_view: View, out_row: int, elements: range) -> list[Segments]:
    """Moves a range of elements from rows of in_row elements to rows of out_row elements, element order kept.

    Neighbouring runs of equal length and equal steps are one entry, as far as a command counts.
    """
    if not elements:
        return []
    runs = [row if view.packed else view.pixel for view, row in ((in_view, in_row), (out_view, out_row))]
    ends = [np.arange(align_up(elements.start + 1, run), elements.stop, run) for run in runs]
    starts = np.unique(np.concatenate([[elements.start], *ends]))
    lengths = np.diff(starts, append=elements.stop)
    in_at, out_at = (view.address(*np.divmod(starts, row)) for view, row in ((in_view, in_row), (out_view, out_row)))
    in_steps, out_steps, alike = np.diff(in_at), np.diff(out_at), np.diff(lengths) == 0
    turns = ~alike  # the runs that are the last of their entry: with the next one the length changes, or a step
    turns[1:] |= (np.diff(in_steps) != 0) | (np.diff(out_steps) != 0)
    lasts = [*np.flatnonzero(turns).tolist(), len(starts) - 1]
    out, at = [], 0
    while at < len(starts):
        last = at if at == len(starts) - 1 or not alike[at] else lasts[bisect_right(lasts, at)]
        count = min(last - at + 1, FIELD_LIMIT)
        steps = (int(in_steps[at]), int(out_steps[at])) if count > 1 else (0, 0)
        out.append(Segments(int(in_at[at]), int(out_at[at]), int(lengths[at]), count, *steps))
        at += count
    return out


@dataclass(frozen=True, eq=False)
class CopyTask(Task):
    """A Reshape between layouts whose rows do not match. rounding: any mode built in, the scale is 1."""

    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand
    rounding: Rounding
    rectangular: ClassVar[bool] = False

    @property
    def cut(self) -> Cut:
        return Cut(self.output.layout.rows, 1, period=self.inputs[0].layout.row_elements)

    def reads(self, region: Region) -> tuple[Region, ...]:
        """The elements themselves where they lie in one row, else the rows around them."""
        row = self.inputs[0].layout.row_elements
        ranges = self._elements(region)
        first, last = ranges[0].start, ranges[-1].stop - 1
        if first // row == last // row:
            return (Region(first // row, first // row + 1, first % row, last % row + 1),)
        return (Region(first // row, last // row + 1, 0, row),)

    def _elements(self, region: Region) -> list[range]:
        row = self.output.layout.row_elements
        if region.width == row:
            return [range(region.row0 * row, region.row1 * row)]
        return [range(y * row + region.x0, y * row + region.x1) for y in range(region.row0, region.row1)]

    def needs(self, need: Need) -> tuple[Need, ...]:
        return (Need.whole(self.inputs[0].layout),)

    def row_kind(self, region: Region) -> object:
        """The rows, and the place in a row of the input where the first begins."""
        return region.rows, region.row0 * self.output.layout.row_elements % self.inputs[0].layout.row_elements

    def column_kind(self, region: Region) -> object:
        return region.x0, region.x1

    def least_cycles(self, config: Config, need: Need) -> int:
        return -(-need.elements // config.requantizers)

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        row, out_row = self.inputs[0].layout.row_elements, self.output.layout.row_elements
        found = [
            s for part in self._elements(job.region) for s in segments(job.inputs[0], row, job.output, out_row, part)
        ]
        return [copy(s, self.tag, self.rounding) for s in found]
