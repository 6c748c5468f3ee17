"""The interface of a layer to the mapper, whatever its operator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.machine.timing import added_cycles
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.needed import Need
from intaglio.network.graph import Rounding
from intaglio.program.layout import Layout, Region, View

if TYPE_CHECKING:
    from intaglio.mapper.tasks.convolution import ConvTask
    from intaglio.mapper.tasks.groups import Groups
    from intaglio.mapper.tasks.pooling import PoolTask

ROUNDING_CODE = {
    Rounding.DOUBLE: isa.RoundingCode.DOUBLE,
    Rounding.SINGLE: isa.RoundingCode.SINGLE,
    Rounding.AWAY: isa.RoundingCode.AWAY,
    Rounding.FLOAT: isa.RoundingCode.FLOAT,
}


@dataclass(frozen=True)
class Operand:
    """A tensor that a task reads or writes: its name, the value (storage) behind it and its layout there."""

    tensor: str
    value: str
    layout: Layout


@dataclass(frozen=True, eq=False)
class Lookup:
    """A function that results go through. slot: number of the table on chip, from 1; values: int8 [256], by the result's byte
    from 0 to 255, so that those of negative results come last."""

    slot: int
    values: np.ndarray


FIELD_LIMIT = (1 << 16) - 1
"""Greatest row count, width or window that a command's 16-bit fields hold."""


@dataclass(frozen=True)
class Cut:
    """The ways in which a task's output may be divided.

    image_rows: bands stay within images of this many rows. pixel: columns are whole pixels of this many elements. most_rows: of a band, as far as commands count. period: where pieces are narrow, they end after every
    so many elements too, since there an input row ends; 0 for never.
    """

    image_rows: int
    pixel: int
    most_rows: int = FIELD_LIMIT
    period: int = 0


class Task(ABC):
    """A layer on the accelerator, whatever its operator: all that the mapper asks of one. tag: its layer's index.

    What a task can do it states: `weighted` and `pooled` give it with what only such a task has. channelwise: output channels
    need the same channels of the input alone. elementwise: an output element depends on the elements in its place alone.
    rectangular: what a rectangle of the output needs is one of each input, its rows by its rows, its columns by its columns.
    in_place: the output may take the place of an input of the same layout. lookup: of a task whose results go through a table.
    """

    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand
    channelwise: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False
    rectangular: ClassVar[bool] = True
    in_place: ClassVar[bool] = False
    lookup: Lookup | None = None

    @property
    def table(self) -> int:
        """The field of its commands: the slot of its table, 0 for none."""
        return 0 if self.lookup is None else self.lookup.slot

    @property
    def weighted(self) -> ConvTask | None:
        """Itself, if it has weights."""
        return None

    @property
    def pooled(self) -> PoolTask | None:
        """Itself, if it has windows without weights, which may come in blocks or in slabs of channels."""
        return None

    @property
    def image_rows(self) -> tuple[int, int]:
        """Rows of an image of the output and of the input, for a task that reads windows: such a task can read a ring of
        rows. (0, 0) for one that does not."""
        return 0, 0

    @property
    def written(self) -> int:
        """Elements of the output that it writes."""
        return self.output.layout.elements

    @property
    def windowed(self) -> bool:
        return self.image_rows[0] > 0

    @property
    def goes_down(self) -> bool:
        """True where no output row needs rows of the input that lie above all that those above it need, or ends above them."""
        return True

    @property
    def alike(self) -> object:
        """All that its plans depend on: tasks that agree share a planner."""
        return self.tag

    @property
    @abstractmethod
    def cut(self) -> Cut: ...

    @abstractmethod
    def reads(self, region: Region) -> tuple[Region, ...]:
        """The region of each input that a region of the output needs."""

    @abstractmethod
    def needs(self, need: Need) -> tuple[Need, ...]:
        """The need of each input for a need of the output."""

    @abstractmethod
    def row_kind(self, region: Region) -> object:
        """A key of a region's rows: with `column_kind` it tells how many cycles a region of the output takes, wherever it lies."""

    @abstractmethod
    def column_kind(self, region: Region) -> object:
        """A key of a region's columns."""

    @abstractmethod
    def least_cycles(self, config: Config, need: Need) -> int:
        """The fewest cycles of COMPUTE in which any schedule computes what is needed of it."""

    @abstractmethod
    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        """The commands that do a job, tokens not set."""

    def cycles(self, config: Config, region: Region, groups: Groups | None = None, channels: int = 0) -> int:
        """Cycles of COMPUTE for a region of the output, wherever everything lies. groups: of a task with weights, how it takes its
        channel tiles; its whole reduction at once. channels: of windows without weights, how many at a time; 0 for all."""
        *inputs, output = (operand.layout.view(0) for operand in (*self.inputs, self.output))
        commands = self.commands(config, Job(region, tuple(inputs), output))
        return sum(added_cycles(config, command) for command in commands)

    def rows_read(self) -> np.ndarray:
        """int64 [2, rows of an output image]: first and end of the rows of an input image; (0, 0) for none."""
        end = self.output.layout.row_elements
        found = [self.reads(Region(y, y + 1, 0, end))[0] for y in range(self.image_rows[0])]
        return np.array([(0, 0) if r.empty else (r.row0, r.row1) for r in found], np.int64).reshape(-1, 2).T.copy()


def output_fields(
    base: int,
    row_stride: int,
    pixel_stride: int,
    zero_point: int,
    clamp: tuple[int, int],
    rounding: Rounding,
    table: int = 0,
) -> dict[str, int]:
    """The fields that the compute commands share."""
    return {
        "out_base": base,
        "out_row_stride": row_stride,
        "out_pixel_stride": pixel_stride,
        "out_zero_point": zero_point,
        "clamp_min": int(clamp[0]),
        "clamp_max": int(clamp[1]),
        "rounding": int(ROUNDING_CODE[rounding]),
        "table": table,
    }


def unrolled_input(view: View, top: int, in_rows: int, first: int, last: int) -> tuple[View, dict[str, int]]:
    """The way a CONV or DEPTHWISE reads rows `first` to `last` of an image, padding included: a view without a ring, and the fields
    of rows that wrap.

    top: the tensor's row that is row 0 of the image, which has in_rows. A ring has room for all of those rows that are no padding.
    """
    if not view.ring:
        return view, {}
    first, last = max(first, 0), min(last, in_rows - 1)
    assert last - first < view.ring, f"rows {first} to {last} in a ring of {view.ring}"
    plain, wrap = view.unrolled(top + first)
    return plain, {"wrap_iy": wrap - top, "wrap_bytes": view.ring * view.stride} if wrap <= top + last else {}
