"""Plans of windows that do not fit whole: the blocks in which they are loaded (windows.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from intaglio.machine.config import Config
from intaglio.machine.timing import pool_pixel_cycles
from intaglio.mapper.tasks.pooling import PoolTask
from intaglio.mapper.tasks.windows import Block, Blocks, Load
from intaglio.mapper.tiling.buffers import Buffers, Setting
from intaglio.mapper.tiling.cuts import ENOUGH, Cuts
from intaglio.mapper.tiling.estimate import Cycles
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.program.layout import Region, align_down, align_up

COMMAND_CYCLES = 20
"""Cycles of a short POOL beside its reads, about."""


def choose_blocks(task: PoolTask, config: Config, room: int) -> tuple[Blocks, int, float] | None:
    """The best blocks for buffers within `room` bytes, their number of buffers and the estimated cycles."""
    found = []
    for depth in (2, 1):
        each = align_down(room // depth, config.bus_bytes)
        for blocks in (*_whole(task, config, each), *_parts(task, config, each)):
            found.append((blocks, depth, _cycles(task, config, blocks, depth)))
    return min(found, key=lambda option: option[2], default=None)


def _whole(task: PoolTask, config: Config, room: int) -> Iterator[Blocks]:
    """Whole windows of as many channels as fit, most first: even shares of the bus words, whole slabs, or few passes."""
    rows, cols = task.extent
    words = -(-task.channels // config.bus_bytes)
    sizes = {-(-words // count) * config.bus_bytes for count in range(1, words + 1)}
    sizes |= set(range(config.slab_channels, task.channels, config.slab_channels))
    sizes |= set(range(config.requantizers, config.bus_bytes, config.requantizers))
    for channels in sorted({min(n, task.channels) for n in sizes if n >= config.requantizers}, reverse=True):
        blocks = replace(_strips(task, config, channels), rows=rows, cols=cols)
        if blocks.buffer_bytes <= room:
            yield blocks


def _parts(task: PoolTask, config: Config, room: int) -> Iterator[Blocks]:
    """The largest pieces of a window, bands of rows or parts of one row, of one slab or fewer passes of the requantizers."""
    rows, cols = task.extent
    bus = config.bus_bytes
    most = min(config.slab_channels, task.channels)
    passes = -(-most // config.requantizers)
    for halvings in range(passes.bit_length()):
        channels = min(most, (passes >> halvings) * config.requantizers)
        blocks = _strips(task, config, channels)
        if task.inputs[0].layout.packed and blocks.pixel_bytes <= blocks.step:
            lead = bus - math.gcd(blocks.pixel_bytes, blocks.first, bus)
            blocks = replace(blocks, dense=True, step=blocks.pixel_bytes, lead=lead)
        fitting = min(cols, (room - blocks.stride(1)) // blocks.step + 1)
        while fitting > 0 and blocks.stride(fitting) > room:
            fitting -= 1
        if fitting > 0:
            band = min(rows, room // blocks.stride(cols)) if fitting == cols else 1
            yield replace(blocks, rows=band, cols=fitting)


def _strips(task: PoolTask, config: Config, channels: int) -> Blocks:
    """Blocks of `channels` channels and the words around them; of one pixel."""
    bus, layout = config.bus_bytes, task.inputs[0].layout
    pixel = layout.view(0).step(task.channels)
    lead = bus - math.gcd(pixel, channels, layout.first, bus)
    step = align_up(lead + channels, bus) + pixel % bus
    return Blocks(task.channels, pixel, layout.first, bus, channels, False, step, lead, 1, 1)


def _cycles(task: PoolTask, config: Config, blocks: Blocks, depth: int) -> float:
    rows, cols = task.extent
    first, loads = _largest_window(task, blocks)
    compute = pool_pixel_cycles(config, rows * cols, blocks.channels) + COMMAND_CYCLES * len(first)
    moved = sum(config.memory.cost.cycles(load.rows * load.row_bytes) for load in loads)
    return _passes(task, blocks) * (max(compute, moved) if depth > 1 else compute + moved)


def expected_commands(task: PoolTask, blocks: Blocks) -> int:
    """LOADs and POOLs, were all windows as large as the largest."""
    first, loads = _largest_window(task, blocks)
    return _passes(task, blocks) * (len(first) + len(loads))


def _largest_window(task: PoolTask, blocks: Blocks) -> tuple[list[Block], list[Load]]:
    """The blocks of its first channels, and their LOADs."""
    rows, cols = task.extent
    first, *_ = blocks.of_window(Region(0, rows, 0, cols * task.channels))
    return first, [load for block in first for load in blocks.loads(block, task.inputs[0].layout)]


def _passes(task: PoolTask, blocks: Blocks) -> int:
    """Ranges of channels of all output pixels."""
    return task.output.layout.elements // task.channels * -(-task.channels // blocks.channels)


def plans_in_blocks(
    task: PoolTask, config: Config, setting: Setting, cuts: Cuts, cycles_of: Callable[[Blocks], int]
) -> list[LayerPlan]:
    """Plans for windows of which nothing else fits: one output pixel at a time, its window in slabs of channels or in parts. cycles_of:
    cycles of COMPUTE with such blocks. Empty where none fit."""
    if setting.resident[0] is not None:
        return []
    plans: list[LayerPlan] = []
    fitting = 0
    for cut in cuts.all:
        space = setting.space(config)
        size = 0 if setting.resident[-1] is not None else align_up(cut.largest[-1], config.bus_bytes)
        outputs = [space.take(size, 0)] if size else []
        room = max((high - low for low, high in space.free), default=0)
        chosen = None if None in outputs else choose_blocks(task, config, room)
        if chosen is None:
            continue
        fitting += 1
        if fitting > ENOUGH:
            break
        blocks, depth, cycles = chosen
        if plans and cycles >= plans[-1].cycles.estimate:
            continue  # more pieces, and no better blocks for it
        inputs = [space.take(blocks.buffer_bytes, 0) for _ in range(depth)]
        taken = [tuple(at for at in side if at is not None) for side in (inputs, outputs)]
        buffers = Buffers((taken[0],), (), taken[1], (), False)
        plans.append(LayerPlan(cut.pieces, buffers, None, Cycles(cycles, cycles_of(blocks)), blocks))
    return plans
