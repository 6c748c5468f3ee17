"""Moves: concatenations, slices, paddings, transpositions, as copies of boxes of elements by POOL."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.mapper.tasks.elementwise import IDENTITY
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.needed import Need
from intaglio.mapper.tasks.task import FIELD_LIMIT, Cut, Operand, Task, output_fields
from intaglio.network.graph import Box, Rounding
from intaglio.program.layout import Layout, Region, View


class Axis(NamedTuple):
    """One axis of a box: so many indices, each so many rows and elements of a row behind the one before, on both sides."""

    length: int
    in_row: int
    in_x: int
    out_row: int
    out_x: int


@dataclass(frozen=True)
class Piece:
    """A box, or a part of one, by rows of the layouts: where its first element is read and written, and its axes.

    source: number of the input, None for elements that are `value`.
    """

    source: int | None
    value: int
    in_row: int
    in_x: int
    out_row: int
    out_x: int
    axes: tuple[Axis, ...]

    def within(self, region: Region) -> Iterator[Piece]:
        """The parts of it that lie in a region of the output."""
        for piece in self._clipped("out_row", region.row0, region.row1):
            yield from piece._clipped("out_x", region.x0, region.x1)

    def _clipped(self, side: str, low: int, high: int) -> Iterator[Piece]:
        """The parts of which rows, or elements of a row, are low to high - 1 of the output: whole indices of an axis together,
        and of an index that goes beyond an end the parts of its inner axes."""
        moving = [
            (getattr(axis, side), i) for i, axis in enumerate(self.axes) if getattr(axis, side) and axis.length > 1
        ]
        begin = getattr(self, side)
        if not moving:
            if low <= begin < high:
                yield self
            return
        step, outer = max(moving)
        span = sum(s * (self.axes[i].length - 1) for s, i in moving if i != outer)
        count = self.axes[outer].length
        first, last = max(-((begin + span - low) // step), 0), min((high - 1 - begin) // step, count - 1)
        whole = max(-((begin - low) // step), 0), min((high - 1 - begin - span) // step, count - 1)
        if whole[0] > whole[1]:
            whole = last + 1, last
        for i in range(first, min(whole[0], last + 1)):
            yield from self._only(outer, i, 1)._clipped(side, low, high)
        if whole[0] <= whole[1]:
            yield self._only(outer, whole[0], whole[1] - whole[0] + 1)
        for i in range(whole[1] + 1, last + 1):
            yield from self._only(outer, i, 1)._clipped(side, low, high)

    def _only(self, number: int, first: int, count: int) -> Piece:
        """Some neighbouring indices of an axis."""
        axis = self.axes[number]
        return replace(
            self,
            in_row=self.in_row + first * axis.in_row,
            in_x=self.in_x + first * axis.in_x,
            out_row=self.out_row + first * axis.out_row,
            out_x=self.out_x + first * axis.out_x,
            axes=(*self.axes[:number], axis._replace(length=count), *self.axes[number + 1 :]),
        )

    def read(self) -> Region:
        """The rows and elements that it reads, as a rectangle."""
        down, across = ([axis[i] * (axis.length - 1) for axis in self.axes] for i in (1, 2))
        return Region(
            self.in_row + sum(min(n, 0) for n in down),
            self.in_row + sum(max(n, 0) for n in down) + 1,
            self.in_x + sum(min(n, 0) for n in across),
            self.in_x + sum(max(n, 0) for n in across) + 1,
        )


def piece_of(box: Box, source: Layout | None, target: Layout) -> Piece:
    """A box by rows of the layouts, the tensors' own. source: None for a constant."""
    axes = []
    for count, step, to_step in zip(box.sizes, box.steps, box.to_steps, strict=True):
        if count > 1:
            in_row, in_x = (0, 0) if source is None else _by_rows(step, source)
            axes.append(Axis(count, in_row, in_x, *_by_rows(to_step, target)))
    in_row, in_x = (0, 0) if source is None else divmod(box.at, source.row_elements)
    return Piece(box.source, box.value, in_row, in_x, *divmod(box.to, target.row_elements), tuple(axes))


def _by_rows(step: int, layout: Layout) -> tuple[int, int]:
    """A step of an axis as rows or as elements of a row: each axis goes along one of the two."""
    if abs(step) < layout.row_elements:
        return 0, step
    assert step % layout.row_elements == 0, f"a step of {step} in rows of {layout.row_elements}"
    return step // layout.row_elements, 0


class Step(NamedTuple):
    """`length` places, so many bytes apart where it is read and where it is written."""

    length: int
    read: int
    write: int


def nest_of(piece: Piece, source: View | None, target: View) -> list[Step]:
    """The axes in bytes, the outermost first, those that go on where the next one ends as one."""
    steps = []
    for axis in piece.axes:
        write = _bytes(axis.out_row, axis.out_x, target)
        steps.append(Step(axis.length, write if source is None else _bytes(axis.in_row, axis.in_x, source), write))
    steps.sort(key=lambda s: (abs(s.write), abs(s.read)))
    out: list[Step] = []
    for step in steps:  # the innermost first
        inner = out[-1] if out else None
        if inner and (step.read, step.write) == (inner.length * inner.read, inner.length * inner.write):
            out[-1] = inner._replace(length=inner.length * step.length)
        else:
            out.append(step)
    return out[::-1]


def _bytes(rows: int, elements: int, view: View) -> int:
    """Bytes of a step along an axis."""
    if rows:
        gap = rows // view.image_rows * view.image_gap if view.image_gap and rows % view.image_rows == 0 else 0
        return rows * view.stride + gap
    if elements % view.pixel == 0:
        return elements // view.pixel * view.pitch
    return elements * view.bits // 8


@dataclass(frozen=True, eq=False)
class MoveTask(Task):
    """Copies of boxes of the inputs' elements, and constants. rounding: any mode built in, the scale is 1."""

    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand
    moved: tuple[Box, ...]
    rounding: Rounding
    rectangular: ClassVar[bool] = False

    @cached_property
    def boxes(self) -> tuple[Piece, ...]:
        """The operator's, by rows."""
        layouts = [operand.layout for operand in self.inputs]
        target = self.output.layout
        return tuple(piece_of(box, None if box.source is None else layouts[box.source], target) for box in self.moved)

    @property
    def cut(self) -> Cut:
        return Cut(self.output.layout.rows, 1)

    def _pieces(self, region: Region) -> Iterator[Piece]:
        for box in self.boxes:
            yield from box.within(region)

    def reads(self, region: Region) -> tuple[Region, ...]:
        """The rectangles around what is read of each input; an empty one where nothing is."""
        out = [Region(0, 0, 0, 0)] * len(self.inputs)
        for piece in self._pieces(region):
            if piece.source is not None:
                out[piece.source] = _around(out[piece.source], piece.read())
        return tuple(out)

    def needs(self, need: Need) -> tuple[Need, ...]:
        """All that its boxes read: a move is done as a whole."""
        out = []
        for number, operand in enumerate(self.inputs):
            rows = np.zeros(operand.layout.rows, bool)
            columns = np.zeros(operand.layout.row_elements, bool)
            for piece in self.boxes:
                if piece.source == number:
                    rows[_indices(piece.in_row, [(a.length, a.in_row) for a in piece.axes])] = True
                    columns[_indices(piece.in_x, [(a.length, a.in_x) for a in piece.axes])] = True
            out.append(Need(1, rows, columns, 1))
        return tuple(out)

    def row_kind(self, region: Region) -> object:
        """The parts of boxes, without the rows that they begin in."""
        whole = Region(region.row0, region.row1, 0, self.output.layout.row_elements)
        return tuple((p.source, p.in_x, p.out_x, p.out_row - region.row0, p.axes) for p in self._pieces(whole))

    def column_kind(self, region: Region) -> object:
        return region.x0, region.x1

    @property
    def written(self) -> int:
        return sum(math.prod(box.sizes) for box in self.moved)

    def least_cycles(self, config: Config, need: Need) -> int:
        return -(-self.written // config.requantizers)

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        out = []
        for piece in self._pieces(job.region):
            source = None if piece.source is None else job.inputs[piece.source]
            write = job.output.address(piece.out_row, piece.out_x)
            read = write if source is None else source.address(piece.in_row, piece.in_x)
            for at, nest in _counted(nest_of(piece, source, job.output)):
                out.append(self._command(read + at.read, write + at.write, nest, piece))
        return out

    def _command(self, read: int, write: int, nest: Sequence[Step], piece: Piece) -> isa.Command:
        rows, columns, run = nest
        fields = {
            "tag": self.tag,
            "in_base": read,
            "row_step": rows.read if rows.length > 1 else 0,
            "x_step": columns.read if columns.length > 1 else 0,
            "kernel_rows": 1,
            "kernel_cols": 1,
            "region_rows": rows.length,
            "region_cols": columns.length,
            "channels": run.length,
            "mult_out": IDENTITY[0],
            "shift_out": IDENTITY[1],
        }
        clamp = (-128, 127) if piece.source is not None else (piece.value, piece.value)
        steps = (rows.write if rows.length > 1 else 0, columns.write if columns.length > 1 else 0)
        return isa.Command(isa.Opcode.POOL, fields | output_fields(write, *steps, 0, clamp, self.rounding))


_ONE = Step(1, 0, 0)


def _counted(nest: list[Step]) -> Iterator[tuple[Step, tuple[Step, Step, Step]]]:
    """A nest as commands: where each begins, and its rows, columns and run of bytes that follow one another, no more than a
    command counts. Steps back are taken one by one."""
    run = next((step for step in nest if step.read == step.write == 1), _ONE)
    others = [step for step in nest if step is not run]
    forward = sorted((step for step in others if step.read >= 0 < step.write), key=lambda s: -s.length)[:2]
    apart = [step for step in others if step not in forward]
    rows, columns = (*(step for step in others if step in forward), _ONE, _ONE)[:2]
    if len(forward) == 1:
        rows, columns = _ONE, rows
    for index in itertools.product(*(range(step.length) for step in apart)):
        read = sum(i * step.read for i, step in zip(index, apart, strict=True))
        write = sum(i * step.write for i, step in zip(index, apart, strict=True))
        for r in range(0, rows.length, FIELD_LIMIT):
            for c in range(0, columns.length, FIELD_LIMIT):
                at = Step(1, read + r * rows.read + c * columns.read, write + r * rows.write + c * columns.write)
                counts = (min(rows.length - r, FIELD_LIMIT), min(columns.length - c, FIELD_LIMIT))
                yield at, (rows._replace(length=counts[0]), columns._replace(length=counts[1]), run)


def _around(a: Region, b: Region) -> Region:
    """The smallest rectangle around both; an empty one adds nothing."""
    if a.empty:
        return b
    return Region(min(a.row0, b.row0), max(a.row1, b.row1), min(a.x0, b.x0), max(a.x1, b.x1))


def _indices(first: int, axes: Sequence[tuple[int, int]]) -> np.ndarray:
    """All sums of `first` and a multiple of each axis' step below its count."""
    out = np.array([first])
    for count, step in axes:
        if step:
            out = np.add.outer(out, np.arange(count) * step).ravel()
    return out
