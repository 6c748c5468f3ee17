"""Grouped convolutions: as DEPTHWISE commands where that is possible and takes fewer cycles, else as CONV commands.

For these: which input channels a channel tile reads, and its weights there.
The array multiplies every input channel that a tile reads with a weight of every output channel of the tile, so outside
a channel's group stand weights that count as 0. A tile reads as few channels as its groups span; where that makes runs
so short that the feed limits them, all channels in merged runs may take fewer cycles (`sliced` compares).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from intaglio.machine.config import Config
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.depthwise import suits
from intaglio.mapper.tasks.depthwise_task import DepthwiseTask, fits
from intaglio.mapper.tasks.geometry import Geometry, Slices


def sliced(task: ConvTask, groups: int, config: Config) -> ConvTask:
    """The task with its channel tiles and its weights for `groups` > 1 groups; task.weights are those of the file,
    int8 [out_channels, kernel_rows * kernel_cols * channels / groups]."""
    g = task.geometry
    widths = range(1, min(config.cols, g.out_channels) + 1)
    options = [None, *(s for s in (slices_of(g, groups, width) for width in widths) if s.span < g.channels)]
    geometries = [replace(g, slices=slices) for slices in options]
    found = [(cost(replace(task, geometry=geometry), config), geometry) for geometry in geometries]
    cycles, best = min(found, key=lambda option: option[0])
    if suits(config, g, groups):
        by_channel = DepthwiseTask.of(task)
        if fits(by_channel, config) and cost(by_channel, config) <= cycles:
            return by_channel
    return replace(task, geometry=best, weights=_spread(task, groups, best))


def slices_of(g: Geometry, groups: int, width: int) -> Slices:
    """Channel tiles of `width` output channels."""
    inputs, outputs = g.channels // groups, g.out_channels // groups
    bounds = [
        (first // outputs * inputs, ((min(first + width, g.out_channels) - 1) // outputs + 1) * inputs)
        for first in range(0, g.out_channels, width)
    ]
    span = max(high - low for low, high in bounds)
    return Slices(width, span, tuple(min(low, g.channels - span) for low, _ in bounds))


def cost(task: ConvTask, config: Config) -> tuple[float, float]:
    """Sort key of a choice: cycles of computing or of loading weights, whichever are more, then both together. Weights
    of which not even one tile's fit are loaded for each tile of pixels."""
    g, tiles = task.geometry, task.channel_tiles(config)

    def computing(of: range) -> int:
        return task.tile_cycles(config, task.image, of, g.whole_part)

    if g.slices is None:
        compute = computing(range(tiles))
    else:  # all but the last are alike
        compute = (tiles - 1) * computing(range(1)) + computing(range(tiles - 1, tiles))
    block = g.whole_part.steps * config.weight_word_bytes
    loads = 1 if block <= config.weight_bytes else g.images * -(-g.out_rows * g.out_cols // config.rows)
    weights = tiles * block * loads / config.memory.cost.bytes_per_cycle
    return max(g.images * compute, weights), g.images * compute + weights


def _spread(task: ConvTask, groups: int, g: Geometry) -> np.ndarray:
    """Weights int8 [out_channels, steps]: each channel's at its group's place among those that its tile reads."""
    inputs, outputs = g.channels // groups, g.out_channels // groups
    runs = g.kernel_rows * g.kernel_cols
    own = task.weights.reshape(g.out_channels, runs, inputs)
    out = np.full((g.out_channels, runs, g.depth), task.weight_zero_point, np.int8)
    for channel in range(g.out_channels):
        first = channel // outputs * inputs
        if g.slices is not None:
            first -= g.slices.starts[channel // g.slices.width]
        out[channel, :, first : first + inputs] = own[channel]
    return out.reshape(g.out_channels, g.steps)
