"""Depthwise convolutions as DEPTHWISE commands: one filter for each channel, one output channel for each input channel.

A command's raster has equal steps, so outputs are taken in phases: with stride s and dilation d along an axis and g their
greatest common divisor, outputs d / g apart read pixels d apart and move on by s / g of those. A phase's outputs are cut
into patches, which the array computes one after the other; the patch is the one with the fewest cycles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from intaglio.machine import isa
from intaglio.machine.config import Config
from intaglio.machine.timing import depthwise_timing, head_cycles, least_idle_cycles
from intaglio.mapper.tasks.geometry import Geometry
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.task import output_fields, unrolled_input
from intaglio.network.graph import Rounding

WORD = 1 << 32
_OUTSIDE = -(1 << 30)
"""An x_start from which no raster reaches the image."""


def tile_width(config: Config) -> int:
    """Channels of a channel tile: as many as the array has columns and one read brings."""
    return min(config.cols, config.feed_bytes)


def suits(config: Config, geometry: Geometry, groups: int) -> bool:
    """True where a convolution of so many groups can run as DEPTHWISE commands: each group one channel in and one out, and the
    configuration has the command."""
    return config.depthwise_delay > 0 and groups == geometry.channels == geometry.out_channels


@dataclass(frozen=True)
class Depthwise:
    """The common part of a depthwise layer's commands. geometry: channels == out_channels; slices do not count.
    clamp: least and greatest output, int8. table: the field."""

    tag: int
    geometry: Geometry
    input_zero_point: int
    weight_zero_point: int
    output_zero_point: int
    clamp: tuple[int, int]
    rounding: Rounding
    table: int = 0

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        """The commands for the job's region, whole pixels within one image, and its channel tiles, which it names, in any order.

        They read no byte of the input outside the rectangle that the region's windows span. Each tile has kernel_rows *
        kernel_cols words of weights (weight_block) and config.channel_groups of records.
        """
        g, region, tiles = self.geometry, job.region, job.tiles
        assert tiles is not None
        first_row, first_col = region.row0 % g.out_rows, region.x0 // g.channels
        rows = _phases(first_row, region.rows, g.kernel_rows, g.stride_rows, g.dilation_rows)
        cols = list(_phases(first_col, region.width // g.channels, g.kernel_cols, g.stride_cols, g.dilation_cols))
        width, last = self._channels(config, tiles)
        out_commands = []
        for down in rows:
            for across in cols:
                work = _Work(down.axis, across.axis, len(tiles), width, last, self.table > 0)
                for block in best_blocks(config, work):
                    out_commands.append(self._command(config, job, tiles.start, work, block, down, across))
        return out_commands

    def cycles(self, config: Config, rows: int, width: int, tiles: range) -> int:
        """Cycles of COMPUTE for the commands of `rows` rows of `width` pixels."""
        g, (each, last) = self.geometry, self._channels(config, tiles)
        return sum(
            block_cycles(config, work, block)
            for down in _phases(0, rows, g.kernel_rows, g.stride_rows, g.dilation_rows)
            for across in _phases(0, width, g.kernel_cols, g.stride_cols, g.dilation_cols)
            for work in (_Work(down.axis, across.axis, len(tiles), each, last, self.table > 0),)
            for block in best_blocks(config, work)
        )

    def _channels(self, config: Config, tiles: range) -> tuple[int, int]:
        """Channels of each tile, and of the last."""
        width = tile_width(config)
        return width, min(tiles.stop * width, self.geometry.channels) - (tiles.stop - 1) * width

    def _command(
        self, config: Config, job: Job, first_tile: int, work: _Work, block: Block, down: _Phase, across: _Phase
    ) -> isa.Command:
        g, region, out = self.geometry, job.region, job.output
        (view,) = job.inputs
        image = region.row0 // g.out_rows
        y, x = down.first + block.row0 * down.step, across.first + block.col0 * across.step
        iy = y * g.stride_rows - g.top
        pixel = view.step(g.channels)
        first_x = x * g.stride_cols - g.left
        # Beyond the windows of the last outputs in use nothing is read, though rows of the array go on.
        span = (block.cols - 1) * across.axis.stride + across.axis.kernel - 1
        end = min(g.in_cols, first_x + span * across.dilation + 1)
        first_channel = first_tile * work.width
        out_row, out_pixel = down.step * out.stride, across.step * out.step(g.channels)
        steps = down.axis.stride * down.dilation, across.axis.stride * across.dilation * pixel
        last_y = iy + (block.rows - 1) * steps[0] + (down.axis.kernel - 1) * down.dilation
        view, wraps = unrolled_input(view, image * g.in_rows, g.in_rows, iy, last_y)
        fields = (
            _counts(work, block)
            | wraps
            | {
                "tag": self.tag,
                "origin": (view.address(image * g.in_rows, first_channel) + iy * view.stride + first_x * pixel) % WORD,
                "in_row_bytes": max(end * pixel, 1),
                "iy_start": iy,
                "x_start": first_x * pixel if end > 0 else _OUTSIDE,
                "in_rows": g.in_rows,
                "dilation_rows": down.dilation,
                "x_step": across.dilation * pixel,
                "row_step": down.dilation * view.stride,
                "weight_base": job.weight_base,
                "channel_base": job.channel_base,
                "in_zero_point": self.input_zero_point,
                "weight_zero_point": self.weight_zero_point,
            }
        )
        if fields["patches_down"] > 1:
            fields["patch_iy_step"] = block.patch_rows * steps[0]
            fields["patch_row_step"] = block.patch_rows * steps[0] * view.stride
            fields["out_patch_row_step"] = block.patch_rows * out_row
        if fields["patches_across"] > 1:
            fields["patch_x_step"] = block.patch_cols * steps[1]
            fields["out_patch_step"] = block.patch_cols * out_pixel
        base = out.address(image * g.out_rows + y, x * g.channels + first_channel)
        fields |= output_fields(base, out_row, out_pixel, self.output_zero_point, self.clamp, self.rounding, self.table)
        command = isa.Command(isa.Opcode.DEPTHWISE, fields)
        fields["idle_cycles"] = least_idle_cycles(config, command)
        return command


def weight_block(config: Config, weights: np.ndarray, tiles: range) -> bytes:
    """Weight words of each channel tile of `tiles` in turn: one for each tap, kernel row by kernel row.

    weights: int8 [channels, kernel_rows * kernel_cols], as stored.
    """
    width = tile_width(config)
    words = np.zeros((len(tiles), weights.shape[1], config.weight_word_bytes), np.int8)
    for i, tile in enumerate(tiles):
        channels = weights[tile * width : (tile + 1) * width]
        words[i, :, : len(channels)] = channels.T
    return words.tobytes()


# Phases.


@dataclass(frozen=True)
class _Axis:
    """One axis of a phase: outputs, and kernel and stride in pixels of the raster."""

    outputs: int
    kernel: int
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.kernel, self.stride


@dataclass(frozen=True)
class _Phase:
    """Outputs first, first + step ... of one axis; the raster takes every dilation-th pixel."""

    axis: _Axis
    first: int
    step: int
    dilation: int


def _phases(first: int, count: int, kernel: int, stride: int, dilation: int) -> Iterator[_Phase]:
    """Phases of the outputs [first, first + count)."""
    if kernel == 1:
        dilation = stride  # it means nothing, and so the raster has no pixel between outputs
    common = math.gcd(stride, dilation)
    step = dilation // common
    for phase in range(min(step, count)):
        outputs = -(-(count - phase) // step)
        yield _Phase(_Axis(outputs, kernel, stride // common), first + phase, step, dilation)


# Patches.


@dataclass(frozen=True)
class _Work:
    """A phase as far as cycles depend on it. tiles: channel tiles, of `width` channels, the last of `last`. table: results go through one."""

    down: _Axis
    across: _Axis
    tiles: int
    width: int
    last: int
    table: bool = False


@dataclass(frozen=True)
class Block:
    """One command's outputs in a phase, rows x cols of them from (row0, col0), and its patches' size."""

    row0: int
    rows: int
    col0: int
    cols: int
    patch_rows: int
    patch_cols: int


def _counts(work: _Work, block: Block) -> dict[str, int]:
    """The fields of a block's command that its timing depends on, idle_cycles left out."""
    ph, pw = block.patch_rows, block.patch_cols
    patches_down, patches_across = -(-block.rows // ph), -(-block.cols // pw)
    lines = block.rows - (patches_down - 1) * ph
    stride_rows, stride_cols = work.down.stride, work.across.stride
    raster_cols = (pw - 1) * stride_cols + work.across.kernel
    return {
        "kernel_rows": work.down.kernel,
        "kernel_cols": work.across.kernel,
        "raster_rows": (ph - 1) * stride_rows + work.down.kernel,
        "last_raster_rows": (lines - 1) * stride_rows + work.down.kernel,
        "raster_cols": raster_cols,
        "tap_delay": stride_cols if pw > 1 else 1,
        "patch_delay": stride_rows * raster_cols - (pw - 1) * stride_cols if ph > 1 else 1,
        "patches_down": patches_down,
        "patches_across": patches_across,
        "patch_rows": ph,
        "last_patch_rows": lines,
        "patch_cols": pw,
        "last_patch_cols": block.cols - (patches_across - 1) * pw,
        "tile_pixels": ph * pw,
        "last_tile_pixels": lines * pw,
        "channel_tiles": work.tiles,
        "tile_channels": work.width,
        "last_channels": work.last,
        "table": int(work.table),
    }


def block_cycles(config: Config, work: _Work, block: Block) -> int:
    """Cycles of a block's command."""
    fields = _counts(work, block)
    fields["idle_cycles"] = least_idle_cycles(config, fields)
    return depthwise_timing(config, fields).total - head_cycles(isa.Opcode.DEPTHWISE)


@lru_cache(maxsize=1 << 12)
def best_blocks(config: Config, work: _Work) -> tuple[Block, ...]:
    """The phase as one command, or as two where one with smaller patches for the last rows or columns is faster."""
    rows, cols = work.down.outputs, work.across.outputs
    whole, least = _best(config, work, rows, cols)
    best: tuple[Block, ...] = (whole,)
    for cut in {rows - rows % ph for ph in range(2, config.rows + 1)} - {0, rows}:
        if _floor(config, work, cut, cols) + _floor(config, work, rows - cut, cols) < least:
            one, two = _best(config, work, cut, cols), _best(config, work, rows - cut, cols)
            if one[1] + two[1] < least:
                best, least = (one[0], _moved(two[0], cut, 0)), one[1] + two[1]
    for cut in {cols - cols % pw for pw in range(2, config.rows + 1)} - {0, cols}:
        if _floor(config, work, rows, cut) + _floor(config, work, rows, cols - cut) < least:
            one, two = _best(config, work, rows, cut), _best(config, work, rows, cols - cut)
            if one[1] + two[1] < least:
                best, least = (one[0], _moved(two[0], 0, cut)), one[1] + two[1]
    return best


def _moved(block: Block, row0: int, col0: int) -> Block:
    return Block(row0, block.rows, col0, block.cols, block.patch_rows, block.patch_cols)


def _floor(config: Config, work: _Work, rows: int, cols: int) -> int:
    """A lower bound of the cycles of so many outputs: the fewest cycles of their rasters."""
    return (
        _patches(config.rows, config.depthwise_delay + 1, work.down.shape, work.across.shape, rows, cols)[0][0]
        * work.tiles
    )


@lru_cache(maxsize=1 << 14)
def _best(config: Config, work: _Work, rows: int, cols: int) -> tuple[Block, int]:
    """The block of so many outputs whose patches take the fewest cycles, and those: all sizes in the order of what their
    rasters alone take."""
    best: Block | None = None
    least = 0
    for raster, _, ph, pw in _patches(
        config.rows, config.depthwise_delay + 1, work.down.shape, work.across.shape, rows, cols
    ):
        if best is not None and raster * work.tiles >= least:
            break
        block = Block(0, rows, 0, cols, ph, pw)
        cycles = block_cycles(config, work, block)
        if best is None or cycles < least:
            best, least = block, cycles
    assert best is not None
    return best, least


@lru_cache(maxsize=1 << 14)
def _patches(
    array_rows: int, most_delay: int, down: tuple[int, int], across: tuple[int, int], rows: int, cols: int
) -> list[tuple[int, int, int, int]]:
    """(cycles of all rasters of a channel tile, columns computed, rows, columns) of each patch that so many outputs may be cut
    into, ascending. down, across: kernel and stride. Patches of one output need no delay, so there always is one."""
    (kernel_rows, stride_rows), (kernel_cols, stride_cols) = down, across
    options = []
    for ph in range(1, min(array_rows, rows) + 1):
        patches = -(-rows // ph)
        height = patches * kernel_rows + (rows - patches) * stride_rows  # of all rasters of a column of patches
        for pw in range(1, min(array_rows // ph, cols) + 1):
            width = (pw - 1) * stride_cols + kernel_cols
            if (pw > 1 and stride_cols > most_delay) or (
                ph > 1 and stride_rows * width - (pw - 1) * stride_cols > most_delay
            ):
                continue
            options.append((height * width * -(-cols // pw), -(-cols // pw) * pw, ph, pw))
    return sorted(options)
