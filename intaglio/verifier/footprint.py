"""Bytes that commands touch, row by row: the validator's own account, apart from accesses.py.

What a command touches in one role, such as a CONV's input or its weights, is a footprint: a set of intervals, one for each
row that is read or written; gaps between rows do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from intaglio.compiled import compiled
from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.isa import Command, LocalMemory
from intaglio.machine.opcodes import ByOpcode, Opcode
from intaglio.program.table import Table, table_of

WORD = 1 << 32
MOST_ROWS = 1 << 20
"""Rows of one command beyond this are refused: no memory on chip holds them."""
MOST_IN_ALL = 1 << 26
"""Rows of a program's commands beyond this are refused: they would take a gigabyte."""
ROLES = 6
"""Footprints of one command at most."""
EXTERNAL = len(LocalMemory)
"""Number of external memory, beside LocalMemory's."""
_ACTIVATION, _WEIGHT, _CHANNEL, _TABLE = (int(memory) for memory in LocalMemory)
_ROLES: ByOpcode[tuple[tuple[int, ...], int]] = ByOpcode(
    "footprint's roles",
    {
        Opcode.LOAD: ((EXTERNAL, _ACTIVATION), 1),  # its target is a field
        Opcode.STORE: ((EXTERNAL, _ACTIVATION), 0),
        Opcode.CONV: ((_ACTIVATION, _WEIGHT, _CHANNEL, _CHANNEL, _ACTIVATION, _TABLE), 4),
        Opcode.DEPTHWISE: ((_ACTIVATION, _WEIGHT, _CHANNEL, _ACTIVATION, _TABLE), 3),
        Opcode.ADD: ((_ACTIVATION, _ACTIVATION, _ACTIVATION, _TABLE), 2),
        Opcode.POOL: ((_ACTIVATION, _ACTIVATION, _TABLE), 1),
    },
)
"""The memory of each role, and the role that is written."""
_MOST_BYTES = 1 << 62
"""Blocks of weights that would be larger count as this large."""


class Footprints(NamedTuple):
    """Footprints of each command and role, int64 [commands, ROLES]: the memory, a LocalMemory or EXTERNAL; 1 where it
    is written, else 0; and rows [first, end) of starts and ends (int64), bytes [start, end) of the memory."""

    memory: np.ndarray
    write: np.ndarray
    first: np.ndarray
    end: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Footprint:
    """starts, ends: int64 [rows], bytes [start, end) of a memory (None is external memory), in no order."""

    memory: LocalMemory | None
    write: bool
    starts: np.ndarray
    ends: np.ndarray

    @property
    def low(self) -> int:
        return int(self.starts.min())

    @property
    def high(self) -> int:
        return int(self.ends.max())


def footprints(config: Config, command: Command) -> list[Footprint]:
    """The footprints of one command that `legality.rules` finds nothing wrong with."""
    f = footprints_of(config, table_of([command]))
    rows = [slice(f.first[0, role], f.end[0, role]) for role in range(ROLES)]
    return [
        Footprint(None if memory == EXTERNAL else LocalMemory(memory), bool(write), f.starts[own], f.ends[own])
        for memory, write, own in zip(f.memory[0], f.write[0], rows, strict=True)
        if own.stop > own.start
    ]


def footprints_of(config: Config, table: Table) -> Footprints:
    """The footprints of commands that `legality.rules` finds nothing wrong with."""
    shape = len(table), ROLES
    memory, write, edges = (
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.zeros((len(table), ROLES + 1), np.int64),
    )
    for opcode, at in table.at.items():
        memories, written = _ROLES[opcode]
        memory[at, : len(memories)] = memories
        write[at, written] = 1
        if opcode is Opcode.LOAD:
            memory[at, 1] = table.records[opcode]["memory"]
    starts = ends = np.zeros(0, np.int64)
    for _ in range(2):  # first they are only counted
        count = 0
        for opcode, at in table.at.items():
            count = _FILL[opcode](table.records[opcode], at, _Sizes.of(config), edges, starts, ends, count)
        if count > MOST_IN_ALL:
            raise InputError(
                f"program: its commands touch {count} rows, more than {MOST_IN_ALL}; use a smaller network"
            )
        starts, ends = (starts, ends) if len(starts) else np.zeros((2, count), np.int64)
    return Footprints(memory, write, edges[:, :-1], edges[:, 1:], starts, ends)


class _Sizes(NamedTuple):
    """Sizes of a configuration on which footprints depend."""

    cols: int
    requantizers: int
    channel_groups: int
    weight_word_bytes: int
    channel_word_bytes: int
    one_table_bytes: int

    @staticmethod
    def of(config: Config) -> _Sizes:
        return _Sizes(*(getattr(config, name) for name in _Sizes._fields))


# Each of the following takes the commands of one opcode, and their indices in the program: fills in where each role's rows begin
# and end in starts and ends, and the rows as far as there is room, from row `n` on; returns how many there are then.


@compiled()
def _transfers(
    commands: np.ndarray,
    at: np.ndarray,
    _sizes: _Sizes,
    edges: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    n: int,
) -> int:
    for i in range(len(at)):
        c, edge = commands[i], at[i]
        _mark(edges, edge, 0, n)
        n = _rows(starts, ends, n, c.external, c.rows, c.external_stride, c.row_bytes)
        _mark(edges, edge, 1, n)
        n = _rows(starts, ends, n, c.local, c.rows, c.local_stride, c.row_bytes)
        _mark(edges, edge, 2, n)
    return n


@compiled()
def _adds(
    commands: np.ndarray,
    at: np.ndarray,
    sizes: _Sizes,
    edges: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    n: int,
) -> int:
    for i in range(len(at)):
        c, edge = commands[i], at[i]
        _mark(edges, edge, 0, n)
        n = _rows(starts, ends, n, c.a_base, c.rows, c.a_row_stride, c.row_bytes)
        _mark(edges, edge, 1, n)
        n = _rows(starts, ends, n, c.b_base, c.rows, c.b_row_stride, c.row_bytes)
        _mark(edges, edge, 2, n)
        n = _rows(starts, ends, n, c.out_base, c.rows, c.out_row_stride, c.row_bytes)
        _mark(edges, edge, 3, n)
        n = _table(starts, ends, n, c.table, sizes)
        _mark(edges, edge, 4, n)
    return n


@compiled()
def _pools(
    commands: np.ndarray,
    at: np.ndarray,
    sizes: _Sizes,
    edges: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    n: int,
) -> int:
    """Windows read: one interval for each region row and kernel row."""
    for i in range(len(at)):
        c, edge = commands[i], at[i]
        _mark(edges, edge, 0, n)
        across = (c.region_cols - 1) * c.x_step + (c.kernel_cols - 1) * c.kernel_x_step
        for y in range(c.region_rows):
            for kh in range(c.kernel_rows):
                line = y * c.row_step + kh * c.in_row_stride
                row = c.in_base + line
                if c.wrap_bytes:
                    row = (row - (c.wrap_bytes if line % WORD >= c.wrap_from else 0)) % WORD
                n = _row(starts, ends, n, row, across + c.channels)
        _mark(edges, edge, 1, n)
        if not c.hold:
            wide = (c.region_cols - 1) * c.out_pixel_stride + c.channels
            n = _rows(starts, ends, n, c.out_base, c.region_rows, c.out_row_stride, wide)
        _mark(edges, edge, 2, n)
        n = _table(starts, ends, n, c.table, sizes)
        _mark(edges, edge, 3, n)
    return n


@compiled()
def _convs(
    commands: np.ndarray, at: np.ndarray, sizes: _Sizes, edges: np.ndarray, starts: np.ndarray, ends: np.ndarray, n: int
) -> int:
    for i in range(len(at)):
        c, edge = commands[i], at[i]
        _mark(edges, edge, 0, n)
        fed = (c.pixel_tiles - 1) * c.rows_per_tile + c.last_pixels  # of the array's rows, in all
        run = (c.chunks - 1) * c.chunk_bytes + c.last_chunk_bytes
        # Input: the valid bytes of each row that an output row needs.
        stride, x0 = c.kernel_row_step // c.dilation_rows, max(c.x_start, 0)
        for oy in range(-(-fed // c.region_width)):
            width = min(c.region_width, fed - oy * c.region_width)
            x1 = c.x_start + (width - 1) * c.x_step + (c.kernel_cols - 1) * c.kernel_x_step + run
            x1 = min(x1, c.in_row_bytes)
            for kh in range(c.kernel_rows):
                y = oy * c.stride_rows + kh * c.dilation_rows
                if 0 <= c.iy_start + y < c.in_rows and x0 < x1:
                    row = c.origin + y * stride - (c.wrap_bytes if c.iy_start + y >= c.wrap_iy else 0)
                    n = _row(starts, ends, n, (row + x0 - c.x_start) % WORD, x1 - x0)
        _mark(edges, edge, 1, n)
        pixels, lanes = (1, 2) if c.split else (fed, 1)
        n = _words(
            starts,
            ends,
            n,
            c.weight_base,
            c.channel_tiles,
            c.kernel_rows * c.kernel_cols * run * lanes,
            sizes.weight_word_bytes,
        )
        _mark(edges, edge, 2, n)
        records = (c.channel_tiles - 1) * sizes.channel_groups - -c.last_channels // sizes.requantizers
        if c.drain_from < pixels and c.early_pixels < pixels:
            n = _words(starts, ends, n, c.channel_base, 1, records, sizes.channel_word_bytes)
        _mark(edges, edge, 3, n)
        if c.drain_from < pixels and c.early_pixels > c.drain_from:
            n = _words(starts, ends, n, c.early_base, 1, records, sizes.channel_word_bytes)
        _mark(edges, edge, 4, n)
        channels = (c.channel_tiles - 1) * sizes.cols + c.last_channels
        for oy in range(c.drain_from // c.region_width, -(-pixels // c.region_width)):
            first = max(c.drain_from - oy * c.region_width, 0)
            last = min(c.region_width, pixels - oy * c.region_width) - 1
            row = c.out_base + oy * c.out_row_stride + first * c.out_pixel_stride
            n = _row(starts, ends, n, row, (last - first) * c.out_pixel_stride + channels)
        _mark(edges, edge, 5, n)
        n = _table(starts, ends, n, c.table, sizes)
        _mark(edges, edge, 6, n)
    return n


@compiled()
def _depthwises(
    commands: np.ndarray, at: np.ndarray, sizes: _Sizes, edges: np.ndarray, starts: np.ndarray, ends: np.ndarray, n: int
) -> int:
    for i in range(len(at)):
        c, edge = commands[i], at[i]
        _mark(edges, edge, 0, n)
        channels = (c.channel_tiles - 1) * c.tile_channels + c.last_channels
        # Input: of each raster row of each row of patches, from its first pixel in the image to its last.
        first = last = -1
        for patch in range(c.patches_across):
            for x in range(c.raster_cols):
                along = patch * c.patch_x_step + x * c.x_step
                if 0 <= c.x_start + along < c.in_row_bytes:
                    first, last = along if first < 0 else min(first, along), max(last, along)
        for down in range(c.patches_down if first >= 0 else 0):
            whole = down < c.patches_down - 1
            for y in range(c.raster_rows if whole else min(c.raster_rows, c.last_raster_rows)):
                iy = c.iy_start + down * c.patch_iy_step + y * c.dilation_rows
                if 0 <= iy < c.in_rows:
                    row = c.origin + down * c.patch_row_step + y * c.row_step - (c.wrap_bytes if iy >= c.wrap_iy else 0)
                    n = _row(starts, ends, n, (row + first) % WORD, last - first + channels)
        _mark(edges, edge, 1, n)
        n = _words(
            starts, ends, n, c.weight_base, c.channel_tiles, c.kernel_rows * c.kernel_cols, sizes.weight_word_bytes
        )
        _mark(edges, edge, 2, n)
        records = (c.channel_tiles - 1) * sizes.channel_groups - -c.last_channels // sizes.requantizers
        n = _words(starts, ends, n, c.channel_base, 1, records, sizes.channel_word_bytes)
        _mark(edges, edge, 3, n)
        wide = (c.patches_across - 1) * c.out_patch_step + (c.last_patch_cols - 1) * c.out_pixel_stride
        if c.patches_across > 1:
            wide = max(wide, (c.patches_across - 2) * c.out_patch_step + (c.patch_cols - 1) * c.out_pixel_stride)
        for down in range(c.patches_down):
            for y in range(c.patch_rows if down < c.patches_down - 1 else c.last_patch_rows):
                row = c.out_base + down * c.out_patch_row_step + y * c.out_row_stride
                n = _row(starts, ends, n, row, wide + channels)
        _mark(edges, edge, 4, n)
        n = _table(starts, ends, n, c.table, sizes)
        _mark(edges, edge, 5, n)
    return n


_FILL: ByOpcode[Callable[..., Any]] = ByOpcode(
    "footprint",
    {
        Opcode.LOAD: _transfers,
        Opcode.STORE: _transfers,
        Opcode.CONV: _convs,
        Opcode.ADD: _adds,
        Opcode.POOL: _pools,
        Opcode.DEPTHWISE: _depthwises,
    },
)


@compiled()
def _mark(edges: np.ndarray, edge: int, role: int, n: int) -> None:
    """Row n is where this role begins; the later ones have no rows yet."""
    for later in range(role, edges.shape[1]):
        edges[edge, later] = n


@compiled()
def _row(starts: np.ndarray, ends: np.ndarray, n: int, start: int, length: int) -> int:
    """Puts a row in place n where there is room; returns the next place."""
    if n < len(starts):
        starts[n], ends[n] = start, start + length
    return n + 1


@compiled()
def _rows(starts: np.ndarray, ends: np.ndarray, n: int, base: int, rows: int, stride: int, row_bytes: int) -> int:
    for i in range(rows):
        n = _row(starts, ends, n, base + i * stride, row_bytes)
    return n


@compiled()
def _table(starts: np.ndarray, ends: np.ndarray, n: int, table: int, sizes: _Sizes) -> int:
    """The table that a command's results go through, if there is one."""
    size = sizes.one_table_bytes
    return _row(starts, ends, n, (table - 1) * size, size) if table else n


@compiled()
def _words(starts: np.ndarray, ends: np.ndarray, n: int, base: int, blocks: int, words: int, word_bytes: int) -> int:
    """blocks * words > 0 words from word `base` on."""
    size = blocks * words * word_bytes if words <= _MOST_BYTES // word_bytes // blocks else _MOST_BYTES
    return _row(starts, ends, n, base * word_bytes, size)
