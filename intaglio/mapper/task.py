"""What the scheduler needs to know of a layer, whatever its operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.mapper.needed import Need
from intaglio.network.graph import Rounding
from intaglio.program.layout import Layout, Region, View

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


FIELD_LIMIT = (1 << 16) - 1
"""Greatest row count, width or window that a command's 16-bit fields hold."""


@dataclass(frozen=True)
class Cut:
    """How a task's output may be divided.

    image_rows: bands stay within images of this many rows. pixel_bytes: columns are whole pixels of this many
    bytes. most_rows: of a band, as far as commands count. period: where pieces are narrow, they end after every
    so many elements too, since there an input row ends; 0 for never.
    """

    image_rows: int
    pixel_bytes: int
    most_rows: int = FIELD_LIMIT
    period: int = 0


class Task(Protocol):
    """A layer on the accelerator. tag: its layer's index."""

    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand

    @property
    def cut(self) -> Cut: ...

    def reads(self, region: Region) -> tuple[Region, ...]:
        """The region of each input that a region of the output needs."""
        ...

    def needs(self, need: Need) -> Need:
        """What is needed of each input for what is needed of the output."""
        ...


class VectorTask(Task, Protocol):
    """A task of ADD and POOL commands, which need no weights."""

    @property
    def in_place(self) -> bool:
        """True where the output may take the place of an input of the same layout."""
        ...

    def commands(self, region: Region, inputs: tuple[View, ...], output: View) -> list[isa.Command]:
        """The commands that compute a region of the output (tokens not set)."""
        ...

    def row_kind(self, region: Region) -> object:
        """What tells, beside `column_kind`, how many cycles a region of the output takes, wherever it lies: from its rows."""
        ...

    def column_kind(self, region: Region) -> object:
        """From its columns."""
        ...

    def least_cycles(self, config: Config, need: Need) -> int:
        """The fewest cycles of the vector path in which any schedule computes what is needed of it."""
        ...


def output_fields(
    base: int, row_stride: int, pixel_stride: int, zero_point: int, clamp: tuple[int, int], rounding: Rounding
) -> dict[str, int]:
    """The fields that CONV, ADD and POOL share."""
    return {
        "out_base": base,
        "out_row_stride": row_stride,
        "out_pixel_stride": pixel_stride,
        "out_zero_point": zero_point,
        "clamp_min": int(clamp[0]),
        "clamp_max": int(clamp[1]),
        "rounding": int(ROUNDING_CODE[rounding]),
    }


def unrolled_input(view: View, top: int, in_rows: int, first: int, last: int) -> tuple[View, dict[str, int]]:
    """How a CONV or DEPTHWISE reads rows `first` to `last` of an image, padding included: a view without a ring, and the fields
    of rows that wrap.

    top: the tensor's row that is row 0 of the image, which has in_rows. A ring has room for all of those rows that are no padding.
    """
    if not view.ring:
        return view, {}
    first, last = max(first, 0), min(last, in_rows - 1)
    assert last - first < view.ring, f"rows {first} to {last} in a ring of {view.ring}"
    plain, wrap = view.unrolled(top + first)
    return plain, {"wrap_iy": wrap - top, "wrap_bytes": view.ring * view.stride} if wrap <= top + last else {}
