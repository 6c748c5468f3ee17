"""Plans of one layer, given which of its tensors stay on chip: the cheapest of all that fit.

A layer is cut into pieces, regions of its output. A tensor that stays on chip is used in place; of the others
the piece's region is loaded into, or stored from, one of one or two buffers. Convolutions further take their
channel tiles in groups, or, where even one tile's weights do not fit, the reduction in parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property, partial

from intaglio.machine.config import Config
from intaglio.mapper.tasks.groups import Groups, record_bytes, weight_bytes
from intaglio.mapper.tasks.parts import partial_pixels
from intaglio.mapper.tasks.pooling import PoolTask
from intaglio.mapper.tasks.task import Task
from intaglio.mapper.tasks.windows import Blocks
from intaglio.mapper.tiling.buffers import Buffers, Setting, Wanted, placements
from intaglio.mapper.tiling.cuts import ENOUGH, Cuts, Pieces, sizes
from intaglio.mapper.tiling.estimate import ANY_SPARE, NO_SPARE, Spare, Work, pipelined
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.mapper.tiling.part_plan import cycles_in_parts, holding_cycles, part_groups, plans_in_parts
from intaglio.mapper.tiling.weight_loads import NO_WEIGHTS, WeightLoads
from intaglio.mapper.tiling.window_plan import plans_in_blocks
from intaglio.program.layout import Region


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
        if self._conv is not None:
            return plans_in_parts(self._conv, self.config, setting, self._cuts)
        pool = self.task.pooled
        assert pool is not None
        return plans_in_blocks(pool, self.config, setting, self._cuts, partial(self._block_cycles, pool))

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
        count = len(cut.pieces)
        if not self.task.rectangular and not any(self._placements(setting, cut.first, count)):
            return []  # before the others are measured, one by one
        placed = list(self._placements(setting, cut.largest, count, best))
        if not placed:
            return []  # before COMPUTE is counted
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
        return [
            LayerPlan(cut.pieces, buffers, groups, pipelined(work, buffers.waiting, buffers.store_waits, weights_wait))
            for buffers in placed
            for groups, work, weights_wait in options
        ]

    def _placements(self, setting: Setting, largest: list[int], pieces: int, best: bool = False) -> Iterator[Buffers]:
        wanted = [0 if at is not None else size for size, at in zip(largest, setting.resident, strict=True)]
        whole = [operand.layout.size for operand in (*self.task.inputs, self.task.output)]
        yield from placements(
            self.config, setting, whole, Wanted(tuple(wanted[:-1]), (), wanted[-1]), pieces, best=best
        )

    def _groups(self, setting: Setting, cut: Pieces) -> list[tuple[Groups | None, WeightLoads]]:
        if self._conv is None:
            return [(None, NO_WEIGHTS)]
        outer = len(cut.pieces) > 1 and setting.resident[-1] is not None and not setting.stored
        return [(groups, weights) for groups, weights in self._every_groups if outer or not groups.outer]

    @cached_property
    def _every_groups(self) -> list[tuple[Groups, WeightLoads]]:
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
        return [(groups, WeightLoads.of(task, config, groups)) for groups in (*out, *part_groups(task, config))]

    # Estimates.

    def _work(self, setting: Setting, cut: Pieces, groups: Groups | None, weights: WeightLoads) -> Work:
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

    def _piece_cycles(self, piece: Region, groups: Groups | None) -> int:
        task, config = self.task, self.config
        if groups is not None and groups.in_parts:
            assert self._conv is not None
            return cycles_in_parts(self._conv, config, piece, groups)
        key = task.row_kind(piece), task.column_kind(piece), groups and (groups.tiles, groups.parts)
        if key not in self._cycles:
            self._cycles[key] = task.cycles(config, piece, groups)
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

    def _block_cycles(self, task: PoolTask, blocks: Blocks) -> int:
        if blocks not in self._cycles:
            self._cycles[blocks] = task.cycles_in_blocks(self.config, blocks)
        return self._cycles[blocks]

    def holding_cycles(self, plan: LayerPlan) -> float:
        """Least cycles of a plan for which its blocks of weights hold their places in the weight memory; 0 without such blocks."""
        if self._conv is None or plan.groups is None:
            return 0.0
        return holding_cycles(self._conv, self.config, plan.pieces, plan.groups)

    def alone(self) -> LayerPlan | None:
        """The plan with the whole activation memory free and every tensor outside; None where not even that fits,
        and then no schedule of a network has this layer."""
        nowhere = (None,) * (len(self.task.inputs) + 1)
        return self.plan(Setting(nowhere, True, ((0, self.config.activation_bytes),)))

    def shortage(self) -> tuple[str, str]:
        """Reason and remedy for the message that the smallest piece does not fit: the reason and the remedy."""
        config = self.config
        need = self._cuts.finest.largest[-1] + 2 * config.bus_bytes
        return (
            f"configuration field activation_bytes = {config.activation_bytes} is too small: an output pixel and what "
            f"it is computed from need {max(need, config.activation_bytes + 1)} bytes",
            "raise activation_bytes, or reduce the layer",
        )


def _steps(work: Work, compute: float, weights: WeightLoads) -> float:
    """Cycles where every block of weights takes all pieces in turn: a piece is loaded while the one before is computed, and the
    block with its first piece."""
    each, loads = compute / work.pieces, sum(work.loads) / work.pieces
    return work.pieces * max(each, loads) + weights.runs * (max(each, loads + weights.run) - max(each, loads))
