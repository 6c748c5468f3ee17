"""Plans of a chain of layers, given which of its tensors stay on chip: pieces of the last output, one after another.

Inputs and output are double-buffered where there is room; what lies between two layers has one buffer, which COMPUTE alone
writes and reads. Weights of all layers stay on chip while the chain runs, or come again for each piece. Slabs of channels
run one after another in each piece; each loads its own weights. What only layers with windows read can be a ring of rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from intaglio.machine.config import Config
from intaglio.mapper.fusion.chain import Chain, Needs
from intaglio.mapper.fusion.chain_cuts import ChainCut, ChainCuts
from intaglio.mapper.fusion.chain_plan import ChainPlan
from intaglio.mapper.fusion.rings import passages
from intaglio.mapper.tasks.groups import Groups, record_bytes, tile_groups, weight_bytes
from intaglio.mapper.tiling.buffers import Setting, Wanted, placements
from intaglio.mapper.tiling.cuts import sizes
from intaglio.mapper.tiling.estimate import ANY_SPARE, NO_SPARE, Spare, Work, pipelined, transfer_cycles
from intaglio.program.layout import Region

MOST_PIECES = 256
"""Finer cuts are not considered: what lies outside costs less then."""
MOST_SLABS = 64
"""Parts of a piece by channels."""
FITTING = 4
"""Heights of pieces that fit, tallest first, that are considered for each width."""
MOST_WIDTHS = 4


class ChainPlanner:
    """Plans of one chain of at least two layers on one configuration."""

    def __init__(self, chain: Chain, config: Config, like: ChainPlanner | None = None):
        """like: as of LayerPlanner."""
        self.chain, self.config = chain, config
        self._cuts: ChainCuts = ChainCuts(chain, config.bus_bytes) if like is None else like._cuts
        self._passages: dict[tuple[Sequence[Region], tuple[int, ...]], list[tuple[Needs, tuple[int, ...]]]] = (
            {} if like is None else like._passages
        )
        self._cycles: dict[object, int] = {} if like is None else like._cycles
        self._plans: dict[Setting, list[ChainPlan]] = {}
        self._each: dict[ChainCut, list[int]] = {}
        self._grouped: dict[tuple[int, bool], tuple[Groups | None, ...] | None] = {}
        self._works: dict[tuple[ChainCut, tuple[bool, ...], bool], Work] = {}

    def plan(self, setting: Setting, spare: Spare = NO_SPARE) -> ChainPlan | None:
        """The plan with the fewest estimated cycles behind a layer that leaves so much; None where nothing fits."""
        return min(self.options(setting), key=lambda plan: plan.cycles.after(spare), default=None)

    def options(self, setting: Setting) -> list[ChainPlan]:
        """The plans that `plan` chooses from."""
        if setting not in self._plans:
            self._plans[setting] = self._space(setting, True)
        return self._plans[setting]

    def candidates(self, setting: Setting) -> list[ChainPlan]:
        """Every plan of the space: of each of a few widths the tallest pieces that fit, with rings and without, and of each size
        of slabs the tallest of full width, with every way to place buffers."""
        return self._space(setting, False)

    def _space(self, setting: Setting, best: bool) -> list[ChainPlan]:
        """best: without some plans that are no better than one before them, whatever the layer before leaves."""
        cuts = [*self._fitting(setting), *self._fitting_slabs(setting)]
        if self.chain.ringable:
            cuts += self._fitting(setting, False) + self._fitting(setting, True)
        cuts = list(dict.fromkeys(cuts))  # rings may be aligned as they are, or hold nothing
        options = [(cut, self._groups(cut)) for cut in cuts]
        works = [(cut, groups, self._work(setting, cut, groups)) for cut, groups in options if groups is not None]
        if not best:
            return [plan for option in works for plan in self._plans_of(setting, *option)]
        # The most promising first, since most of the others cannot be better then, even where their first weights come before.
        bounds = [pipelined(work, (), False, False).after(ANY_SPARE) for _, _, work in works]
        found: dict[int, list[ChainPlan]] = {}
        least = math.inf, 0
        for i in sorted(range(len(works)), key=lambda i: bounds[i]):
            if (bounds[i], i) < least:
                found[i] = self._plans_of(setting, *works[i], best=True)
                least = min([least, *((plan.cycles.estimate, i) for plan in found[i])])
        return [plan for i in sorted(found) for plan in found[i]]

    def passages(self, plan: ChainPlan) -> list[tuple[Needs, tuple[int, ...]]]:
        """Needs of the plan's pieces, and the rows at which their rings begin anew."""
        key = plan.pieces, plan.rings
        if key not in self._passages:
            self._passages[key] = list(passages(self.chain, *key))
        return self._passages[key]

    # Cuts.

    def _fitting(self, setting: Setting, aligned: bool | None = None) -> list[ChainCut]:
        """aligned: of rings, None where there are none."""
        layout, cut = self.chain.output.layout, self.chain.cut
        unit = math.lcm(cut.pixel, layout.bus_elements(self.config.bus_bytes))
        widths = [min(n * unit, layout.row_elements) for n in sizes(-(-layout.row_elements // unit))[:MOST_WIDTHS]]
        out = []
        for width in widths:
            found = 0
            for band in sizes(cut.image_rows):
                count = -(-layout.rows // band) * -(-layout.row_elements // width)
                if band > cut.most_rows or count > MOST_PIECES:
                    continue
                measured = self._cuts.measured(band, width, aligned=aligned)
                if not self._fits(setting, measured):
                    continue
                out.append(measured)
                found += 1
                if found == FITTING:
                    break
        return out

    def _fitting_slabs(self, setting: Setting) -> Iterator[ChainCut]:
        layout, cut = self.chain.output.layout, self.chain.cut
        word = layout.bus_elements(self.config.bus_bytes)
        if not self.chain.by_channels or (setting.stored and cut.pixel % word):
            return
        widths = [conv.tile_width(self.config) for conv in self.chain.convolutions]
        unit = math.lcm(*widths, word if setting.stored else 1)
        for slab in sizes(-(-cut.pixel // unit))[1:MOST_SLABS]:
            for band in sizes(cut.image_rows):
                if band > cut.most_rows or layout.rows // band > MOST_PIECES:
                    continue
                measured = self._cuts.measured(band, layout.row_elements, slab * unit)
                if self._fits(setting, measured):
                    yield measured
                    break

    def _fits(self, setting: Setting, cut: ChainCut) -> bool:
        room = sum(high - low for low, high in setting.free)
        ends = zip((*cut.largest_inputs, cut.largest_made[-1]), setting.resident, strict=True)
        return sum(cut.largest_made[:-1]) + sum(size for size, at in ends if at is None) <= room

    # Plans of one cut.

    def _plans_of(
        self, setting: Setting, cut: ChainCut, groups: tuple[Groups | None, ...], work: Work, best: bool = False
    ) -> list[ChainPlan]:
        """best: without some buffers that are no better than others."""
        slabs = self._slabs(cut)
        resident = setting.resident
        largest = zip((*cut.largest_inputs, cut.largest_made[-1]), resident, strict=True)
        sizes = [0 if at is not None else size for size, at in largest]
        wanted = Wanted(tuple(sizes[:-1]), cut.largest_made[:-1], sizes[-1])
        whole = [operand.layout.size for operand in (*self.chain.inputs, self.chain.output)]
        out = []
        for buffers in placements(self.config, setting, whole, wanted, len(cut.pieces), len(slabs) or 1, best):
            mine = work if buffers.store_beside_first else work._replace(first_layer=0.0)
            cycles = pipelined(mine, buffers.waiting, buffers.store_waits, False)
            out.append(ChainPlan(cut.pieces, buffers, groups, cycles, slabs, cut.rings))
        return out

    def _slabs(self, cut: ChainCut) -> tuple[range, ...]:
        return tuple(tile_groups(self.chain.cut.pixel, cut.slab)) if cut.slab else ()

    def _groups(self, cut: ChainCut) -> tuple[Groups | None, ...] | None:
        key = cut.slab, len(cut.pieces) > 1 if cut.slab else False
        if key not in self._grouped:
            self._grouped[key] = self._slab_groups(cut) if cut.slab else self._whole_groups()
        return self._grouped[key]

    def _whole_groups(self) -> tuple[Groups | None, ...] | None:
        """Weights of all layers kept on chip; else as many channel tiles at a time as leave room for the next."""
        config = self.config
        convs = [task.weighted for task in self.chain.tasks]
        parts = [None if conv is None else conv.geometry.whole_part for conv in convs]
        every = [0 if conv is None else conv.channel_tiles(config) for conv in convs]
        weights = sum(weight_bytes(config, part, n) for part, n in zip(parts, every, strict=True) if part is not None)
        records = sum(record_bytes(config, n) for n in every if n)
        out: list[Groups | None] = []
        if weights <= config.weight_bytes and records <= config.channel_bytes:
            for part, count in zip(parts, every, strict=True):
                out.append(None if part is None else Groups(count, True, False, (part,)))
            return tuple(out)
        for part, count in zip(parts, every, strict=True):
            if part is None:
                out.append(None)
                continue
            fit = [
                n
                for n in sizes(count)
                if 3 * weight_bytes(config, part, n) <= config.weight_bytes
                and 3 * record_bytes(config, n) <= config.channel_bytes
            ]
            if not fit:
                return None
            out.append(Groups(fit[0], False, False, (part,)))
        return tuple(out)

    def _slab_groups(self, cut: ChainCut) -> tuple[Groups | None, ...] | None:
        """Weights of one slab at a time, where there is one piece or not room for all."""
        config = self.config
        tasks = self.chain.convolutions
        each = {task.tag: -(-cut.slab // task.tile_width(config)) for task in tasks}
        weights = sum(weight_bytes(config, task.geometry.whole_part, each[task.tag]) for task in tasks)
        records = sum(record_bytes(config, n) for n in each.values())
        slabs = -(-self.chain.cut.pixel // cut.slab)

        def room_for(count: int) -> bool:
            return count * weights <= config.weight_bytes and count * records <= config.channel_bytes

        kept = len(cut.pieces) > 1 and room_for(slabs)
        if not kept and not room_for(2):
            return None
        return tuple(
            None
            if (conv := task.weighted) is None
            else Groups(each[task.tag], kept, False, (conv.geometry.whole_part,), apart=True)
            for task in self.chain.tasks
        )

    # Estimates.

    def _work(self, setting: Setting, cut: ChainCut, groups: tuple[Groups | None, ...]) -> Work:
        key = cut, tuple(at is None for at in setting.resident[:-1]), setting.stored
        if key not in self._works:
            self._works[key] = self._worked(*key, groups)
        return self._works[key]

    def _worked(
        self, cut: ChainCut, outside: tuple[bool, ...], stored: bool, groups: tuple[Groups | None, ...]
    ) -> Work:
        """outside: of each input, whether it is loaded."""
        config = self.config
        rate, latency, count = config.memory.cost.bytes_per_cycle, config.memory.cost.latency, len(cut.pieces)
        slabs = len(self._slabs(cut)) or 1
        each = self._layer_cycles(cut, groups)
        loads = [total / rate + count * latency if out else 0.0 for total, out in zip(cut.loaded, outside, strict=True)]
        leaving = transfer_cycles(config, cut.stored, cut.slab) if cut.slab else cut.stored / rate
        stores = leaving + count * slabs * latency if stored else 0.0
        least = sum(total for total, out in zip(cut.loaded, outside, strict=True) if out)
        least += cut.stored if stored else 0
        weights = 0.0
        first_bytes = held = 0
        blocks = []
        for task, group in zip(self.chain.tasks, groups, strict=True):
            if group is not None and (conv := task.weighted) is not None:
                tiles = conv.channel_tiles(config)
                size = weight_bytes(config, group.parts[0], tiles) + record_bytes(config, tiles)
                runs = -(-tiles // group.tiles)
                weights += (1 if group.kept else count) * (size / rate + 2 * runs * latency)
                blocks.append(size / runs / rate + latency)
                block = weight_bytes(config, group.parts[0], group.tiles)
                first_bytes = first_bytes or block
                held += weight_bytes(config, group.parts[0], tiles) if group.kept else block
                least += (1 if group.kept else count) * tiles * group.parts[0].steps * config.weight_word_bytes
        first = blocks[0] if blocks else 0.0
        return Work(
            count,
            count * slabs,
            sum(each),
            each[0],
            loads,
            stores,
            weights,
            first,
            least / rate,
            first_bytes,
            config.weight_bytes - held,
        )

    def _layer_cycles(self, cut: ChainCut, groups: tuple[Groups | None, ...]) -> list[int]:
        """Cycles of COMPUTE for each task. groups: the cut's."""
        if cut not in self._each:
            self._each[cut] = [
                sum(n * self._task_cycles(i, region, groups[i], cut.slab) for region, n in cut.shapes(i))
                for i in range(len(self.chain.tasks))
            ]
        return self._each[cut]

    def _task_cycles(self, i: int, region: Region, groups: Groups | None, slab: int) -> int:
        task = self.chain.tasks[i]
        key = i, task.row_kind(region), task.column_kind(region), groups and groups.tiles, slab
        if key not in self._cycles:
            self._cycles[key] = task.cycles(self.config, region, groups, slab)
        return self._cycles[key]
