"""The bytes that each command reads and writes: bounding intervals of bytes in each memory."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.config import Config
from intaglio.machine.isa import Command, LocalMemory
from intaglio.machine.opcodes import ENGINE_OF, ByOpcode, Engine, Opcode
from intaglio.program.table import Table, table_of

WORD = 1 << 32
MOST = 7
"""Accesses of one command."""


class Space(enum.IntEnum):
    """Memories; the local ones as in LocalMemory."""

    ACTIVATION = LocalMemory.ACTIVATION
    WEIGHT = LocalMemory.WEIGHT
    CHANNEL = LocalMemory.CHANNEL
    TABLE = LocalMemory.TABLE
    EXTERNAL = 4


_ACTIVATION, _WEIGHT, _CHANNEL, _TABLE, _EXTERNAL = (int(space) for space in Space)
_LOAD = int(Opcode.LOAD)
_Sizes = tuple[int, int, int, int, int]


class Access(NamedTuple):
    """Bytes [low, high) of a memory, all that lie between the first and the last byte touched."""

    space: Space
    low: int
    high: int
    write: bool


def accesses(config: Config, command: Command) -> list[Access]:
    """Every access of a legal command."""
    found, count = accesses_of(config, table_of([command]))
    return [Access(Space(space), low, high, bool(write)) for space, low, high, write in found[0, : count[0]].tolist()]


def accesses_of(config: Config, table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Accesses of legal commands: int64 [commands, MOST, 4], as in Access; and how many each has, int64 [commands]."""
    found, count = np.zeros((len(table), MOST, len(Access._fields)), np.int64), np.zeros(len(table), np.int64)
    sizes = (
        config.cols,
        config.channel_groups,
        config.weight_word_bytes,
        config.channel_word_bytes,
        config.one_table_bytes,
    )
    for opcode, at in table.at.items():
        _FILL[opcode](table.records[opcode], at, sizes, found, count)
        if ENGINE_OF[opcode] is Engine.COMPUTE:
            _looked_up(table.records[opcode]["table"], at, sizes, found, count)
    return found, count


# Each of the following takes the commands of one opcode, and their indices in the program. sizes: as in accesses_of.


@compiled()
def _add(found: np.ndarray, count: np.ndarray, index: int, space: int, low: int, high: int, write: int) -> None:
    found[index, count[index], 0], found[index, count[index], 1] = space, low
    found[index, count[index], 2], found[index, count[index], 3] = high, write
    count[index] += 1


@compiled()
def _looked_up(tables: np.ndarray, at: np.ndarray, sizes: _Sizes, found: np.ndarray, count: np.ndarray) -> None:
    size = sizes[4]
    for i in range(len(at)):
        if tables[i]:
            _add(found, count, at[i], _TABLE, (tables[i] - 1) * size, tables[i] * size, 0)


@compiled()
def _transfers(commands: np.ndarray, at: np.ndarray, _sizes: _Sizes, found: np.ndarray, count: np.ndarray) -> None:
    for i in range(len(at)):
        c, load = commands[i], commands[i].opcode == _LOAD
        high = c.external + (c.rows - 1) * c.external_stride + c.row_bytes
        _add(found, count, at[i], _EXTERNAL, c.external, high, not load)
        high = c.local + (c.rows - 1) * c.local_stride + c.row_bytes
        _add(found, count, at[i], c.memory, c.local, high, load)


@compiled()
def _adds(commands: np.ndarray, at: np.ndarray, _sizes: _Sizes, found: np.ndarray, count: np.ndarray) -> None:
    for i in range(len(at)):
        c = commands[i]
        sides = ((c.a_base, c.a_row_stride, 0), (c.b_base, c.b_row_stride, 0), (c.out_base, c.out_row_stride, 1))
        for base, stride, write in sides:
            _add(found, count, at[i], _ACTIVATION, base, base + (c.rows - 1) * stride + c.row_bytes, write)


@compiled()
def _pools(commands: np.ndarray, at: np.ndarray, _sizes: _Sizes, found: np.ndarray, count: np.ndarray) -> None:
    for i in range(len(at)):
        c = commands[i]
        wide = (c.region_cols - 1) * c.x_step + (c.kernel_cols - 1) * c.kernel_x_step + c.channels
        if not c.wrap_bytes:
            down = (c.region_rows - 1) * c.row_step + (c.kernel_rows - 1) * c.in_row_stride
            _add(found, count, at[i], _ACTIVATION, c.in_base, c.in_base + down + wide, 0)
        else:
            for beyond in range(2):  # offsets from the first row, before the ring begins anew and from there on
                first = last = -1
                for y in range(c.region_rows):
                    for kh in range(c.kernel_rows):
                        line = y * c.row_step + kh * c.in_row_stride
                        if (line % WORD >= c.wrap_from) == (beyond == 1):
                            first, last = line if first < 0 else min(first, line), max(last, line)
                if first >= 0:
                    low = (c.in_base + first - c.wrap_bytes) % WORD if beyond else c.in_base + first
                    _add(found, count, at[i], _ACTIVATION, low, low + last - first + wide, 0)
        if not c.hold:
            written = (c.region_rows - 1) * c.out_row_stride + (c.region_cols - 1) * c.out_pixel_stride
            _add(found, count, at[i], _ACTIVATION, c.out_base, c.out_base + written + c.channels, 1)


@compiled()
def _convs(commands: np.ndarray, at: np.ndarray, sizes: _Sizes, found: np.ndarray, count: np.ndarray) -> None:
    cols, channel_groups, weight_word, channel_word, _ = sizes
    for i in range(len(at)):
        c, index = commands[i], at[i]
        fed = (c.pixel_tiles - 1) * c.rows_per_tile + c.last_pixels
        pixels = 1 if c.split else fed
        last_row, width = (fed - 1) // c.region_width, min(fed, c.region_width)
        run = (c.chunks - 1) * c.chunk_bytes + c.last_chunk_bytes
        x0 = max(c.x_start, 0)
        x1 = c.x_start + (width - 1) * c.x_step + (c.kernel_cols - 1) * c.kernel_x_step + run
        x1 = min(x1, c.in_row_bytes)
        stride = c.kernel_row_step // c.dilation_rows
        iy0 = max(c.iy_start, 0)
        iy1 = c.iy_start + last_row * c.stride_rows + (c.kernel_rows - 1) * c.dilation_rows
        iy1 = min(iy1 + 1, c.in_rows)
        if iy0 < iy1 and x0 < x1:
            for beyond in range(2 if c.wrap_bytes else 1):  # image rows before the ring begins anew, and from there on
                first, last = iy0, iy1 - 1
                if c.wrap_bytes:
                    first, last = iy1, iy0 - 1
                    for row in range(last_row + 1):
                        for kh in range(c.kernel_rows):
                            y = c.iy_start + row * c.stride_rows + kh * c.dilation_rows
                            if iy0 <= y < iy1 and (y >= c.wrap_iy) == (beyond == 1):
                                first, last = min(first, y), max(last, y)
                if first <= last:
                    less = c.wrap_bytes if beyond else 0
                    low = (c.origin + (first - c.iy_start) * stride - less + x0 - c.x_start) % WORD
                    _add(found, count, index, _ACTIVATION, low, low + (last - first) * stride + x1 - x0, 0)
        steps = c.kernel_rows * c.kernel_cols * run * (2 if c.split else 1)
        low = c.weight_base * weight_word
        _add(found, count, index, _WEIGHT, low, low + c.channel_tiles * steps * weight_word, 0)
        if c.drain_from >= pixels:
            continue
        records = c.channel_tiles * channel_groups * channel_word
        if c.early_pixels < pixels:
            low = c.channel_base * channel_word
            _add(found, count, index, _CHANNEL, low, low + records, 0)
        if c.early_pixels > c.drain_from:
            low = c.early_base * channel_word
            _add(found, count, index, _CHANNEL, low, low + records, 0)
        channels = (c.channel_tiles - 1) * cols + c.last_channels
        last_row, width = (pixels - 1) // c.region_width, min(pixels, c.region_width)
        high = c.out_base + last_row * c.out_row_stride + (width - 1) * c.out_pixel_stride + channels
        first = c.out_base + c.drain_from // c.region_width * c.out_row_stride
        _add(found, count, index, _ACTIVATION, first, high, 1)


@compiled()
def _depthwises(commands: np.ndarray, at: np.ndarray, sizes: _Sizes, found: np.ndarray, count: np.ndarray) -> None:
    _, channel_groups, weight_word, channel_word, _ = sizes
    for i in range(len(at)):
        c, index = commands[i], at[i]
        channels = (c.channel_tiles - 1) * c.tile_channels + c.last_channels
        left, right, inside = _reach(
            c.x_start,
            c.patch_x_step,
            c.x_step,
            c.patches_across,
            c.raster_cols,
            c.raster_cols,
            c.in_row_bytes,
            c.patch_x_step,
            c.x_step,
        )
        for beyond in range(2 if c.wrap_bytes else 1):  # image rows before the ring begins anew, and from there on
            first, end, less = 0, c.in_rows, 0
            if c.wrap_bytes:
                wrap = min(max(c.wrap_iy, 0), c.in_rows)
                first, end, less = (wrap, c.in_rows, c.wrap_bytes) if beyond else (0, wrap, 0)
            top, bottom, any_row = _reach(
                c.iy_start - first,
                c.patch_iy_step,
                c.dilation_rows,
                c.patches_down,
                c.raster_rows,
                c.last_raster_rows,
                end - first,
                c.patch_row_step,
                c.row_step,
            )
            if inside and any_row:
                low = (c.origin + top - less + left) % WORD
                _add(found, count, index, _ACTIVATION, low, low + bottom - top + right - left + channels, 0)
        low = c.weight_base * weight_word
        steps = c.channel_tiles * c.kernel_rows * c.kernel_cols
        _add(found, count, index, _WEIGHT, low, low + steps * weight_word, 0)
        low = c.channel_base * channel_word
        _add(found, count, index, _CHANNEL, low, low + c.channel_tiles * channel_groups * channel_word, 0)
        down = (c.patches_down - 1) * c.out_patch_row_step + (c.last_patch_rows - 1) * c.out_row_stride
        if c.patches_down > 1:
            down = max(down, (c.patches_down - 2) * c.out_patch_row_step + (c.patch_rows - 1) * c.out_row_stride)
        across = (c.patches_across - 1) * c.out_patch_step + (c.last_patch_cols - 1) * c.out_pixel_stride
        if c.patches_across > 1:
            across = max(across, (c.patches_across - 2) * c.out_patch_step + (c.patch_cols - 1) * c.out_pixel_stride)
        _add(found, count, index, _ACTIVATION, c.out_base, c.out_base + down + across + channels, 1)


@compiled()
def _reach(
    start: int,
    patch_step: int,
    step: int,
    patches: int,
    length: int,
    last_length: int,
    limit: int,
    patch_bytes: int,
    step_bytes: int,
) -> tuple[int, int, bool]:
    """(least and greatest offset in bytes, whether there is one) of steps j of patches i with 0 <= start + i * patch_step + j *
    step < limit: j below `length`, in the last patch below last_length. step >= 1."""
    least = greatest = 0
    there = False
    for i in range(patches):
        at = start + i * patch_step
        first = max(0, -(at // step))
        last = min((last_length if i == patches - 1 else length) - 1, (limit - 1 - at) // step)
        if first <= last:
            low, high = i * patch_bytes + first * step_bytes, i * patch_bytes + last * step_bytes
            least = min(least, low, high) if there else min(low, high)
            greatest = max(greatest, low, high) if there else max(low, high)
            there = True
    return least, greatest, there


_FILL: ByOpcode[Callable[..., Any]] = ByOpcode(
    "accesses",
    {
        Opcode.LOAD: _transfers,
        Opcode.STORE: _transfers,
        Opcode.CONV: _convs,
        Opcode.ADD: _adds,
        Opcode.POOL: _pools,
        Opcode.DEPTHWISE: _depthwises,
    },
)
