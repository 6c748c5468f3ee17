"""Plans of a convolution whose reduction comes in parts (parts.py): which parts there may be, their cycles, and their buffers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from intaglio.machine.config import Config
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.geometry import Part
from intaglio.mapper.tasks.groups import Groups, tile_groups, weight_bytes
from intaglio.mapper.tasks.parts import loads_of_parts, partial_pixels, steps_of
from intaglio.mapper.tiling.buffers import Setting, Wanted, placements
from intaglio.mapper.tiling.cuts import Cuts, Pieces
from intaglio.mapper.tiling.estimate import Cycles
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.program.layout import Region


def part_groups(task: ConvTask, config: Config) -> list[Groups]:
    """Reductions in parts where a plan may gain from them: by kernel rows, and in as few as leave room to load the next part, or the
    next two."""
    g = task.geometry
    if g.depthwise:
        return []
    words = config.weight_bytes // config.weight_word_bytes
    row = g.whole_part.cols * g.whole_part.elements
    if 2 * weight_bytes(config, g.whole_part, 1) <= config.weight_bytes and not _padding_matters(task, config):
        return []
    options = {tuple(g.parts(most)) for most in (row, words // 2, words // 3) if 1 <= most <= words}
    return [Groups(1, False, False, parts) for parts in options if len(parts) > 1]


def _padding_matters(task: ConvTask, config: Config) -> bool:
    """True where leaving kernel rows in the padding out may save array tiles: in images of few pixels."""
    g = task.geometry
    padded = g.top > 0 or (g.out_rows - 1) * g.stride_rows - g.top + (g.kernel_rows - 1) * g.dilation_rows >= g.in_rows
    return padded and g.out_rows * g.out_cols <= partial_pixels(config, task)


def cycles_in_parts(task: ConvTask, config: Config, piece: Region, groups: Groups) -> int:
    """Cycles of COMPUTE for a piece of the output, part after part."""
    tiles = tile_groups(task.channel_tiles(config), groups.tiles)
    cycles = 0
    for region, n in task.tile_kinds(piece, partial_pixels(config, task)):
        for step in steps_of(config, task, region, groups.parts):
            first, last = (
                task.tile_cycles(config, step.region, some, step.part, step.drains(task))
                for some in (tiles[0], tiles[-1])
            )
            cycles += n * ((len(tiles) - 1) * first + last)
    return cycles


def plans_in_parts(task: ConvTask, config: Config, setting: Setting, cuts: Cuts) -> list[LayerPlan]:
    """The plan with the largest parts that fits, for a task of which nothing else does: one array tile at a time, its reduction in parts
    of weights, and of input where that does not fit. Empty where even that does not fit."""
    most = min(config.weight_bytes // 2 // config.weight_word_bytes, task.geometry.steps)
    while most >= 1:
        parts = tuple(task.geometry.parts(most))
        for by_part in (False, True):
            for cut in cuts.all:
                plan = _plan_in_parts(task, config, setting, cut, parts, by_part)
                if plan is not None:
                    return [plan]
        most //= 2
    return []


def _plan_in_parts(
    task: ConvTask, config: Config, setting: Setting, cut: Pieces, parts: tuple[Part, ...], by_part: bool
) -> LayerPlan | None:
    if by_part and setting.resident[0] is not None:
        return None
    if max(weight_bytes(config, part, 1) for part in parts) > config.weight_bytes:
        return None
    room = sum(high - low for low, high in setting.free)
    sizes = [size if at is None else 0 for size, at in zip(cut.largest, setting.resident, strict=True)]
    if sum(sizes[by_part:]) > room:
        return None
    tiles = [tile for piece in cut.pieces for tile in task.tile_regions(piece, partial_pixels(config, task))]
    if by_part:
        layout = task.inputs[0].layout
        each = range(1) if task.geometry.slices is None else range(task.channel_tiles(config))
        sizes[0] = max(
            layout.transfer_bytes(task.reads_part(region, part, tile), config.bus_bytes)
            for region in tiles
            for part in parts
            for tile in each
        )
    whole = [operand.layout.size for operand in (*task.inputs, task.output)]
    wanted = Wanted(tuple(sizes[:-1]), (), sizes[-1])
    for buffers in placements(config, setting, whole, wanted, max(2, len(cut.pieces))):
        block = sum(weight_bytes(config, part, 1) for part in parts)
        passes = len(tiles) * task.channel_tiles(config)
        cycles = passes * (block + (sizes[0] if by_part else 0)) / config.memory.cost.bytes_per_cycle
        return LayerPlan(cut.pieces, buffers, Groups(1, False, False, parts, by_part), Cycles(cycles, 0.0))
    return None


def holding_cycles(task: ConvTask, config: Config, pieces: Sequence[Region], groups: Groups) -> float:
    """Least cycles of a layer for its blocks of weights that take turns, 0 where they all stay: each holds its bytes of the weight
    memory from its LOAD on, for the memory's latency and its transfer, and all of that together is no more than the memory's bytes
    for as long as the layer takes."""
    if groups.kept:
        return 0.0
    runs = task.channel_tiles(config) // groups.tiles  # whole ones
    if groups.in_parts:
        loads = loads_of_parts(config, task, pieces, groups.parts)
    else:
        loads = Counter({groups.parts[0]: 1 if groups.outer or runs == 1 else len(pieces)})
    sizes = ((weight_bytes(config, part, groups.tiles), n * runs) for part, n in loads.items())
    cost = config.memory.cost
    return sum(n * size * cost.cycles(size) for size, n in sizes) / config.weight_bytes
