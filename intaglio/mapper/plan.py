"""How one layer runs, given which of its tensors stay on chip: the cheapest of all ways that fit.

A layer is cut into pieces, regions of its output. A tensor that stays on chip is used in place; of the others
the piece's region is loaded into, or stored from, one of one or two buffers. Convolutions further take their
channel tiles in groups, or, where even one tile's weights do not fit, the reduction in parts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from intaglio.machine.config import Config
from intaglio.machine.timing import compute_cycles
from intaglio.mapper.buffers import Buffers, Setting, Wanted, placements
from intaglio.mapper.convolution import ConvTask
from intaglio.mapper.cuts import Cuts, Pieces, sizes
from intaglio.mapper.estimate import ANY_SPARE, NO_SPARE, Cycles, Spare, Work, pipelined
from intaglio.mapper.geometry import Part
from intaglio.mapper.parts import is_needed, loads_of_parts, partial_pixels, steps_of
from intaglio.mapper.pooling import PoolTask
from intaglio.mapper.task import Task
from intaglio.mapper.window_plan import choose_blocks
from intaglio.mapper.windows import Blocks
from intaglio.program.layout import Region, View, align_up

ENOUGH = 8
"""Cuts into columns that fit, coarsest first, after which no finer ones are tried."""


@dataclass(frozen=True)
class Groups:
    """Order of a convolution's weights. tiles: channel tiles in a command. kept: all stay on chip during the
    layer. outer: each group runs over all pieces before the next. parts: of the reduction, more than one
    where a tile's weights come in parts; by_part: so does its input, for one array tile at a time. apart: each group's records
    come with its weights, though those of all might take less than half the memory."""

    tiles: int
    kept: bool
    outer: bool
    parts: tuple[Part, ...]
    by_part: bool = False
    apart: bool = False

    @property
    def in_parts(self) -> bool:
        return self.by_part or len(self.parts) > 1


@dataclass(frozen=True)
class _Weights:
    """What loading weights in groups takes. runs: groups. In cycles, run: of one group, records and latencies included; first:
    until the first group is there. first_bytes: of that group; last_bytes: in use at the end. least: bytes of all weights alone. wait: there is no room for the next block beside the one
    in use."""

    runs: int
    run: float
    first: float
    first_bytes: int
    last_bytes: int
    least: int
    wait: bool

    @staticmethod
    def of(task: ConvTask, config: Config, groups: Groups) -> _Weights:
        rate, latency = config.memory.cost.bytes_per_cycle, config.memory.cost.latency
        tiles = task.channel_tiles(config)
        blocks = [weight_bytes(config, part, groups.tiles) for part in groups.parts]
        size = sum(blocks) + record_bytes(config, groups.tiles)
        needed = [part for part in groups.parts if not groups.in_parts or is_needed(task.geometry, part)]
        # Blocks of different sizes leave gaps where the ring of weights begins anew.
        room = 2 * max(blocks) if len(set(blocks)) == 1 else 2 * max(blocks) + min(blocks)
        return _Weights(
            -(-tiles // groups.tiles),
            size / rate + (len(blocks) + 1) * latency,
            size / rate + latency,  # of parts all, for the first comes beside the layer before
            sum(blocks),
            weight_bytes(config, groups.parts[0], tiles) if groups.kept else blocks[-1],
            tiles * sum(part.steps for part in needed) * config.weight_word_bytes,
            not groups.kept and room > config.weight_bytes,
        )


_NO_WEIGHTS = _Weights(0, 0.0, 0.0, 0, 0, 0, False)


@dataclass(frozen=True)
class LayerPlan:
    """pieces: in order. groups: for convolutions. cycles: what it was chosen by. blocks: of windows that do not fit."""

    pieces: Sequence[Region]
    buffers: Buffers
    groups: Groups | None
    cycles: Cycles
    blocks: Blocks | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Once, and without the pieces, which may be many."""
        return hash((self.buffers, self.groups, self.cycles))


class LayerPlanner:
    """Plans of one layer on one configuration."""

    def __init__(self, task: Task, config: Config, like: LayerPlanner | None = None):
        """like: of an equal task, on a configuration that differs in `activation_bytes`, `weight_bytes` and `memory` alone, on which
        neither the cuts nor COMPUTE's cycles depend; what it knows of them is shared."""
        self.task, self.config = task, config
        self._conv = task.weighted
        self._cycles: dict[object, int] = {} if like is None else like._cycles
        self._kinds: dict[tuple[Pieces, bool], list[tuple[Region, int]]] = {} if like is None else like._kinds
        self._plans: dict[Setting, list[LayerPlan]] = {}
        self._cuts: Cuts = Cuts(task, config) if like is None else like._cuts

    def plan(self, setting: Setting, spare: Spare = NO_SPARE) -> LayerPlan | None:
        """The plan with the fewest estimated cycles behind a layer that leaves so much; None where nothing fits."""
        return min(self.options(setting), key=lambda plan: plan.cycles.after(spare), default=None)

    def options(self, setting: Setting) -> list[LayerPlan]:
        """The plans that `plan` chooses from."""
        if setting not in self._plans:
            self._plans[setting] = self._space(setting, True)
        return self._plans[setting]

    def candidates(self, setting: Setting) -> list[LayerPlan]:
        """Every plan of the space: bands of rows, of convolutions also blocks of whole array tiles; other narrower pieces only
        where none of these fits, and reductions or windows whose input comes in parts only where nothing else
        does; each with every way to place its buffers and order its weights."""
        return self._space(setting, False)

    def _space(self, setting: Setting, best: bool) -> list[LayerPlan]:
        """best: without some plans that are no better than one before them, whatever the layer before leaves."""
        plans: list[LayerPlan] = []
        least = math.inf
        for cut in [*self._cuts.bands, *(self._cuts.blocks if self._conv is not None else [])]:
            found = self._plans_of(setting, cut, least if best else math.inf, best)
            least = min([least, *(plan.cycles.estimate for plan in found)])
            plans += found
        for cuts in (self._cuts.columns(), self._cuts.ragged()):
            if not plans:
                plans = self._coarsest_plans(setting, cuts)
        if plans or not self._needs_parts:
            return plans
        return self._in_parts(setting) if self._conv is not None else self._in_blocks(setting)

    def _coarsest_plans(self, setting: Setting, cuts: Iterator[Pieces]) -> list[LayerPlan]:
        plans: list[LayerPlan] = []
        fitting = 0
        for cut in cuts:
            found = self._plans_of(setting, cut)
            plans += found
            fitting += bool(found)
            if fitting == ENOUGH:
                break
        return plans

    @cached_property
    def _needs_parts(self) -> bool:
        """True for a convolution of which one channel tile's weights, and for windows of which the smallest
        piece's input and output, do not even fit into empty memories."""
        conv, config = self._conv, self.config
        if not self.task.windowed or (conv is not None and conv.channelwise):  # a depthwise reduction is never in parts
            return False
        if conv is not None and weight_bytes(config, conv.geometry.whole_part, 1) > config.weight_bytes:
            return True
        too_large: bool = sum(self._cuts.finest.largest) > config.activation_bytes
        return too_large

    # Plans of one cut.

    def _plans_of(self, setting: Setting, cut: Pieces, most: float = math.inf, best: bool = False) -> list[LayerPlan]:
        """Without some of those whose estimate is `most` or more, even where the first weights come before. best: and without some
        buffers that are no better than others."""
        options = []
        for groups, weights in self._groups(setting, cut):
            work = self._work(setting, cut, groups, weights)
            if pipelined(work, (), False, weights.wait).after(ANY_SPARE) < most:
                compute = float(self._compute_cycles(cut, groups))
                work = work._replace(
                    compute=compute, steps=_steps(work, compute, weights) if groups and groups.outer else 0.0
                )
                if pipelined(work, (), False, weights.wait).after(ANY_SPARE) < most:
                    options.append((groups, work, weights.wait))
        if not options:
            return []
        return [
            LayerPlan(cut.pieces, buffers, groups, pipelined(work, buffers.waiting, buffers.store_waits, weights_wait))
            for buffers in self._placements(setting, cut.largest, len(cut.pieces), best)
            for groups, work, weights_wait in options
        ]

    def _placements(self, setting: Setting, largest: list[int], pieces: int, best: bool = False) -> Iterator[Buffers]:
        wanted = [0 if at is not None else size for size, at in zip(largest, setting.resident, strict=True)]
        whole = [operand.layout.size for operand in (*self.task.inputs, self.task.output)]
        yield from placements(
            self.config, setting, whole, Wanted(tuple(wanted[:-1]), (), wanted[-1]), pieces, best=best
        )

    def _groups(self, setting: Setting, cut: Pieces) -> list[tuple[Groups | None, _Weights]]:
        if self._conv is None:
            return [(None, _NO_WEIGHTS)]
        outer = len(cut.pieces) > 1 and setting.resident[-1] is not None and not setting.stored
        return [(groups, weights) for groups, weights in self._every_groups if outer or not groups.outer]

    @cached_property
    def _every_groups(self) -> list[tuple[Groups, _Weights]]:
        task, config = self._conv, self.config
        assert task is not None
        tiles = task.channel_tiles(config)
        part = task.geometry.whole_part
        out = []
        for each in sizes(tiles):
            block, records = weight_bytes(config, part, each), record_bytes(config, each)
            if block > config.weight_bytes or records > config.channel_bytes:
                continue
            count = -(-tiles // each)
            if count * block <= config.weight_bytes:
                out.append(Groups(each, True, False, (part,)))
                continue
            out += [Groups(each, False, outer, (part,)) for outer in (False, True)]
        return [(groups, _Weights.of(task, config, groups)) for groups in (*out, *self._part_groups)]

    @cached_property
    def _part_groups(self) -> list[Groups]:
        """Reductions in parts: by kernel rows, and in as few as leave room to load the next part, or the next two."""
        task, config = self._conv, self.config
        assert task is not None
        g = task.geometry
        if g.depthwise:
            return []
        words = config.weight_bytes // config.weight_word_bytes
        row = g.whole_part.cols * g.whole_part.bytes
        if 2 * weight_bytes(config, g.whole_part, 1) <= config.weight_bytes and not self._padding_matters:
            return []
        options = {tuple(g.parts(most)) for most in (row, words // 2, words // 3) if 1 <= most <= words}
        return [Groups(1, False, False, parts) for parts in options if len(parts) > 1]

    @cached_property
    def _padding_matters(self) -> bool:
        """True where leaving kernel rows in the padding out may save array tiles: in images of few pixels."""
        task = self._conv
        assert task is not None
        g = task.geometry
        padded = (
            g.top > 0 or (g.out_rows - 1) * g.stride_rows - g.top + (g.kernel_rows - 1) * g.dilation_rows >= g.in_rows
        )
        return padded and g.out_rows * g.out_cols <= partial_pixels(self.config, task)

    # Estimates.

    def _work(self, setting: Setting, cut: Pieces, groups: Groups | None, weights: _Weights) -> Work:
        """Without the cycles of COMPUTE."""
        cost = self.config.memory.cost
        rate, latency, count = cost.bytes_per_cycle, cost.latency, len(cut.pieces)
        outer = repeats = steps = 1
        if groups is not None and (conv := self._conv) is not None:
            outer = weights.runs if groups.outer else 1
            repeats = steps = 1 if groups.kept or groups.outer else count
            if groups.in_parts:
                most = partial_pixels(self.config, conv)
                repeats = sum(n * len(conv.tile_regions(p, most)) for p, n in self._shapes(cut, False))
                steps = 1
        least = steps * weights.least + (cut.total[-1] if setting.stored else 0)
        loads = []
        for total, at in zip(cut.total[:-1], setting.resident, strict=False):
            loads.append(0.0 if at is not None else outer * (total / rate + count * latency))
            least += total if at is None else 0
        stores = cut.total[-1] / rate + count * latency if setting.stored else 0.0
        moved = weights.runs * repeats * weights.run
        room = self.config.weight_bytes - weights.last_bytes
        return Work(
            count * outer,
            count * outer,
            0.0,
            0.0,
            loads,
            stores,
            moved,
            weights.first,
            least / rate,
            weights.first_bytes,
            room,
        )

    def _compute_cycles(self, cut: Pieces, groups: Groups | None) -> int:
        key = (cut, groups and (groups.tiles, groups.parts))
        if key not in self._cycles:
            shapes = self._shapes(cut, groups is not None and groups.in_parts)
            self._cycles[key] = sum(n * self._piece_cycles(piece, groups) for piece, n in shapes)
        return self._cycles[key]

    def _shapes(self, cut: Pieces, in_parts: bool) -> list[tuple[Region, int]]:
        """A piece of each kind that takes as many cycles as others, and how many there are."""
        if (cut, in_parts) not in self._kinds:
            task, conv = self.task, self._conv
            rows = task.row_kind
            if in_parts and conv is not None:
                padding = conv.padding_kind

                def rows(region: Region) -> object:
                    return task.row_kind(region), padding(region)

            self._kinds[cut, in_parts] = cut.kinds(rows, task.column_kind)
        return self._kinds[cut, in_parts]

    def _piece_cycles(self, piece: Region, groups: Groups | None) -> int:
        task, config = self._conv, self.config
        if task is None:
            key: object = (self.task.row_kind(piece), self.task.column_kind(piece))
            if key not in self._cycles and (pool := self.task.pooled) is not None:
                self._cycles[key] = pool.cycles(config, piece, pool.channels)
            elif key not in self._cycles:
                views = [View(0, operand.layout.stride) for operand in (*self.task.inputs, self.task.output)]
                commands = self.task.run(config, piece, tuple(views[:-1]), views[-1])
                self._cycles[key] = sum(compute_cycles(config, command) for command in commands)
            return self._cycles[key]
        assert groups is not None
        every = tile_groups(task.channel_tiles(config), groups.tiles)
        if groups.in_parts:
            works = [
                (n, (step.region, step.part, step.drains(task)))
                for region, n in task.tile_kinds(piece, partial_pixels(config, task))
                for step in steps_of(config, task, region, groups.parts)
            ]
        else:
            works = [(1, (piece, groups.parts[0], True))]
        return sum(
            n * ((len(every) - 1) * self._command_cycles(*work, every[0]) + self._command_cycles(*work, every[-1]))
            for n, work in works
        )

    def _command_cycles(self, region: Region, part: Part, drains: bool, tiles: range) -> int:
        """Of the commands of a part of a region, which do not depend on where either lies."""
        task, config = self._conv, self.config
        assert task is not None
        last = tiles.stop == task.channel_tiles(config)
        key = (region.rows, region.width, part.rows, part.cols, part.bytes, drains, len(tiles), last)
        if key not in self._cycles:
            self._cycles[key] = task.cycles(
                config, region.rows, region.width // task.geometry.out_channels, tiles, part, drains
            )
        return self._cycles[key]

    # Reductions in parts.

    def _in_parts(self, setting: Setting) -> list[LayerPlan]:
        """One array tile at a time, its reduction in parts of weights, and of input where that does not fit."""
        task, config = self._conv, self.config
        assert task is not None
        most = min(config.weight_bytes // 2 // config.weight_word_bytes, task.geometry.steps)
        while most >= 1:
            parts = tuple(task.geometry.parts(most))
            for by_part in (False, True):
                for cut in self._cuts.all:
                    plan = self._plan_in_parts(setting, cut, parts, by_part)
                    if plan is not None:
                        return [plan]
            most //= 2
        return []

    def _plan_in_parts(self, setting: Setting, cut: Pieces, parts: tuple[Part, ...], by_part: bool) -> LayerPlan | None:
        task, config = self._conv, self.config
        assert task is not None
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
            each = range(1) if task.geometry.slices is None else range(task.channel_tiles(config))
            sizes[0] = max(
                task.reads_part(region, part, tile).transfer_bytes(config.bus_bytes)
                for region in tiles
                for part in parts
                for tile in each
            )
        for buffers in self._placements(setting, sizes, max(2, len(cut.pieces))):
            block = sum(weight_bytes(config, part, 1) for part in parts)
            passes = len(tiles) * task.channel_tiles(config)
            cycles = passes * (block + (sizes[0] if by_part else 0)) / config.memory.cost.bytes_per_cycle
            return LayerPlan(cut.pieces, buffers, Groups(1, False, False, parts, by_part), Cycles(cycles, 0.0))
        return None

    def holding_cycles(self, plan: LayerPlan) -> float:
        """What the plan takes at least for its blocks of weights have to take turns: each holds its bytes of the weight memory from its
        LOAD on, for the memory's latency and its transfer, and all of that together is no more than the memory's bytes for as long
        as the layer takes."""
        task, config, groups = self._conv, self.config, plan.groups
        if task is None or groups is None or groups.kept:
            return 0.0
        runs = task.channel_tiles(config) // groups.tiles  # whole ones
        if groups.in_parts:
            loads = loads_of_parts(config, task, plan.pieces, groups.parts)
        else:
            loads = Counter({groups.parts[0]: 1 if groups.outer or runs == 1 else len(plan.pieces)})
        sizes = ((weight_bytes(config, part, groups.tiles), n * runs) for part, n in loads.items())
        cost = config.memory.cost
        return sum(n * size * cost.cycles(size) for size, n in sizes) / config.weight_bytes

    # Windows in blocks.

    def _block_cycles(self, task: PoolTask, blocks: Blocks) -> int:
        if blocks not in self._cycles:
            self._cycles[blocks] = task.cycles_in_blocks(self.config, blocks)
        return self._cycles[blocks]

    def _in_blocks(self, setting: Setting) -> list[LayerPlan]:
        """One output pixel at a time, its window in slabs of channels or in parts."""
        task, config = self.task.pooled, self.config
        assert task is not None
        if setting.resident[0] is not None:
            return []
        plans: list[LayerPlan] = []
        fitting = 0
        for cut in self._cuts.all:
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
            plans.append(LayerPlan(cut.pieces, buffers, None, Cycles(cycles, self._block_cycles(task, blocks)), blocks))
        return plans

    def alone(self) -> LayerPlan | None:
        """The plan with the whole activation memory free and every tensor outside; None where not even that fits,
        and then no schedule of a network has this layer."""
        nowhere = (None,) * (len(self.task.inputs) + 1)
        return self.plan(Setting(nowhere, True, ((0, self.config.activation_bytes),)))

    def shortage(self) -> tuple[str, str]:
        """What the smallest piece needs and does not get, for the message: the reason and the remedy."""
        config = self.config
        need = self._cuts.finest.largest[-1] + 2 * config.bus_bytes
        return (
            f"configuration field activation_bytes = {config.activation_bytes} is too small: an output pixel and what "
            f"it is computed from need {max(need, config.activation_bytes + 1)} bytes",
            "raise activation_bytes, or reduce the layer",
        )


def _steps(work: Work, compute: float, weights: _Weights) -> float:
    """Cycles where every block of weights takes all pieces in turn: a piece is loaded while the one before is computed, and the
    block with its first piece."""
    each, loads = compute / work.pieces, sum(work.loads) / work.pieces
    return work.pieces * max(each, loads) + weights.runs * (max(each, loads + weights.run) - max(each, loads))


def tile_groups(tiles: int, each: int) -> list[range]:
    """Channel tiles in groups of at most `each`."""
    return [range(i, min(i + each, tiles)) for i in range(0, tiles, each)]


def weight_bytes(config: Config, part: Part, tiles: int) -> int:
    """Bytes of the weight memory that the block of `tiles` channel tiles takes, whole bus words and words of every lane."""
    return align_up(
        tiles * part.steps * config.weight_word_bytes, max(config.bus_bytes, config.lanes * config.weight_word_bytes)
    )


def record_bytes(config: Config, tiles: int) -> int:
    """Bytes of the channel memory that the records of `tiles` channel tiles take, whole bus words."""
    size = tiles * config.channel_groups * config.channel_word_bytes
    return align_up(size, max(config.bus_bytes, config.channel_word_bytes))


def record_groups(task: ConvTask, config: Config, groups: Groups) -> list[range]:
    """Channel tiles whose records are loaded together: all of them where they take half the memory at most."""
    tiles = task.channel_tiles(config)
    if not groups.apart and record_bytes(config, tiles) <= config.channel_bytes // 2:
        return [range(tiles)]
    return tile_groups(tiles, groups.tiles)
