"""How a chain of layers runs, given which of its tensors stay on chip: pieces of the last output, one after another.

Inputs and output are double-buffered where there is room; what lies between two layers has one buffer, which COMPUTE alone
writes and reads. Weights of all layers stay on chip while the chain runs, or come again for each piece. Slabs of channels
run one after another in each piece; each loads its own weights. What only layers with windows read can be a ring of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from intaglio.hw.config import Config
from intaglio.mapper.buffers import Buffers, Setting, Wanted, placements
from intaglio.mapper.chain import Chain, Needs
from intaglio.mapper.convolution import ConvTask
from intaglio.mapper.cuts import sizes
from intaglio.mapper.estimate import Cycles, Work, pipelined, transfer_cycles
from intaglio.mapper.layout import Grid, Region, View, slab_stride
from intaglio.mapper.plan import Groups, record_bytes, tile_groups, weight_bytes
from intaglio.mapper.pooling import PoolTask
from intaglio.mapper.rings import passages, ring_rows, segments
from intaglio.mapper.task import compute_cycles

_Bands = tuple[list[Needs], list[list[Region]]]

MOST_PIECES = 256
"""Finer cuts are not considered: what lies outside costs less then."""
MOST_SLABS = 64
"""Parts of a piece by channels."""
FITTING = 4
"""Heights of pieces that fit, tallest first, that are considered for each width."""
MOST_WIDTHS = 4


@dataclass(frozen=True)
class ChainPlan:
    """pieces: of the last task's output, in order. groups: for each task, None where it has no weights. cycles: what it was
    chosen by. slabs: channels that run one after another in each piece, one of the tasks' groups of channel tiles each; empty
    where all run together. rings: rows of each task's ring; empty where there is none."""

    pieces: Sequence[Region]
    buffers: Buffers
    groups: tuple[Groups | None, ...]
    cycles: Cycles
    slabs: tuple[range, ...] = ()
    rings: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Cut:
    """A grid of pieces. pieces: in order. slab: channels of a slab, 0 for all. rings: as in ChainPlan. made: for each task, a region
    of each shape that its parts have, and how many have it. Bytes of the largest piece, or slab of one, for each input and each output;
    of all pieces for each input and for the last output."""

    pieces: Sequence[Region]
    slab: int
    rings: tuple[int, ...]
    made: tuple[tuple[tuple[Region, int], ...], ...]
    largest_inputs: tuple[int, ...]
    largest_made: tuple[int, ...]
    loaded: tuple[int, ...]
    stored: int


class ChainPlanner:
    """Plans of one chain of at least two layers on one configuration."""

    def __init__(self, chain: Chain, config: Config):
        self.chain, self.config = chain, config
        self._plans: dict[Setting, list[ChainPlan]] = {}
        self._cuts: dict[tuple[int, int, int, tuple[int, ...]], _Cut] = {}
        self._inners: dict[tuple[int, int, bool], tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self._rows: dict[tuple[int, tuple[int, ...]], _Bands] = {}
        self._ringed: dict[tuple[int, bool], tuple[int, ...]] = {}
        self._widths: dict[int, list[Needs]] = {}
        self._each: dict[int, list[int]] = {}
        self._cycles: dict[object, int] = {}

    def plan(self, setting: Setting, idle: float = 0.0) -> ChainPlan | None:
        """The plan with the fewest estimated cycles behind a layer that leaves the memory idle for so long; None where nothing
        fits."""
        if setting not in self._plans:
            self._plans[setting] = self._space(setting, True)
        return min(self._plans[setting], key=lambda plan: plan.cycles.after(idle), default=None)

    def candidates(self, setting: Setting) -> list[ChainPlan]:
        """Every plan of the space: of each of a few widths the tallest pieces that fit, with rings and without, and of each size
        of slabs the tallest of full width, with every way to place buffers."""
        return self._space(setting, False)

    def _space(self, setting: Setting, best: bool) -> list[ChainPlan]:
        """best: without some plans that are no better than one before them, whatever the layer before leaves."""
        cuts = [*self._fitting(setting), *self._fitting_slabs(setting)]
        if self.chain.ringable:
            cuts += self._fitting(setting, False) + self._fitting(setting, True)
        plans: list[ChainPlan] = []
        least = math.inf
        for cut in {id(cut): cut for cut in cuts}.values():  # rings may be aligned as they are, or hold nothing
            found = self._plans_of(setting, cut, least if best else math.inf)
            least = min([least, *(plan.cycles.estimate for plan in found)])
            plans += found
        return plans

    # Cuts.

    def _fitting(self, setting: Setting, aligned: bool | None = None) -> list[_Cut]:
        """aligned: of rings, None where there are none."""
        layout, cut = self.chain.output.layout, self.chain.cut
        unit = math.lcm(cut.pixel_bytes, self.config.bus_bytes)
        widths = [min(n * unit, layout.row_bytes) for n in sizes(-(-layout.row_bytes // unit))]
        out = []
        for width in widths[:MOST_WIDTHS]:
            found = 0
            for band in sizes(cut.image_rows):
                count = -(-layout.rows // band) * -(-layout.row_bytes // width)
                if band > cut.most_rows or count > MOST_PIECES:
                    continue
                if not self._fits(setting, *self._inner(band, width, aligned is not None)):
                    continue
                measured = self._measured(band, width, aligned=aligned)
                if not self._fits(setting, measured.largest_inputs, measured.largest_made):
                    continue
                out.append(measured)
                found += 1
                if found == FITTING:
                    break
        return out

    def _fitting_slabs(self, setting: Setting) -> Iterator[_Cut]:
        layout, cut, bus = self.chain.output.layout, self.chain.cut, self.config.bus_bytes
        if not self.chain.by_channels or (setting.stored and cut.pixel_bytes % bus):
            return
        widths = [task.tile_width(self.config) for task in self.chain.tasks if isinstance(task, ConvTask)]
        unit = math.lcm(*widths, bus if setting.stored else 1)
        for slab in sizes(-(-cut.pixel_bytes // unit))[1:MOST_SLABS]:
            for band in sizes(cut.image_rows):
                if band > cut.most_rows or layout.rows // band > MOST_PIECES:
                    continue
                measured = self._measured(band, layout.row_bytes, slab * unit)
                if self._fits(setting, measured.largest_inputs, measured.largest_made):
                    yield measured
                    break

    def _fits(self, setting: Setting, inputs: Sequence[int], made: Sequence[int]) -> bool:
        """inputs, made: bytes of a piece's largest regions."""
        room = sum(high - low for low, high in setting.free)
        ends = zip((*inputs, made[-1]), setting.resident, strict=True)
        return sum(made[:-1]) + sum(size for size, at in ends if at is None) <= room

    def _inner(self, band: int, width: int, ringed: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Bytes that a piece in the middle of the output needs of each input and of each task's output: the largest ones are not
        smaller, so a cut need not be measured where these do not fit."""
        key = band, width, ringed
        if key not in self._inners:
            layout, bus = self.chain.output.layout, self.config.bus_bytes
            rows, x = self.chain.cut.image_rows, layout.row_bytes // width // 2 * width
            y = rows // band // 2 * band
            piece = Region(y, min(y + band, rows), x, min(x + width, layout.row_bytes))
            before = None
            if ringed and y >= band:
                before = self.chain.needs(piece._replace(row0=y - band, row1=y), self.chain.ringable)
            needs = self.chain.needs(piece, self.chain.ringable if ringed else (), before)
            sizes = [tuple(r.transfer_bytes(bus) for r in regions) for regions in (needs.inputs, needs.read)]
            self._inners[key] = sizes[0], sizes[1]
        return self._inners[key]

    def _measured(self, band: int, width: int, slab: int = 0, aligned: bool | None = None) -> _Cut:
        key = band, width, slab, self._rings(band, aligned)
        if key not in self._cuts:
            self._cuts[key] = self._measure(*key)
        return self._cuts[key]

    def _measure(self, band: int, width: int, slab: int, rings: tuple[int, ...]) -> _Cut:
        """What a piece needs of rows its rows alone decide, and likewise for columns."""
        chain, layout, bus = self.chain, self.chain.output.layout, self.config.bus_bytes
        image = chain.cut.image_rows
        bands, made_rows = self._bands(band, rings)
        columns = self._columns(width)

        def bytes_of(kind: Callable[[Needs], Sequence[Region]], i: int) -> tuple[int, int]:
            """Of the largest piece, and of all."""
            rows = [kind(needs)[i].rows for needs in bands]
            widths = [kind(needs)[i].on_bus(bus).width for needs in columns]
            return max(rows) * max(widths), sum(rows) * sum(widths)

        inputs = [bytes_of(lambda needs: needs.inputs, i) for i in range(len(chain.inputs))]
        made = [bytes_of(lambda needs: needs.made, i) for i in range(len(chain.tasks))]
        stored = made[-1][1]
        if slab:
            pixel = chain.cut.pixel_bytes
            tallest = [max(needs.made[i].rows for needs in bands) for i in range(len(chain.tasks))]
            widest = [max((needs.made[i] for needs in columns), key=lambda r: r.width) for i in range(len(chain.tasks))]
            made = [(n * slab_stride(r, pixel, slab, bus), 0) for n, r in zip(tallest, widest, strict=True)]
        for i, ring in enumerate(rings):
            if ring:
                made[i] = ring * max(needs.made[i].on_bus(bus).width for needs in columns), 0
        return _Cut(
            Grid(layout, image, band, width, downwards=bool(rings)),
            slab,
            rings,
            tuple(self._shapes(i, made_rows[i], columns) for i in range(len(chain.tasks))),
            tuple(most for most, _ in inputs),
            tuple(most for most, _ in made),
            tuple(total for _, total in inputs),
            stored,
        )

    def _rings(self, band: int, aligned: bool | None) -> tuple[int, ...]:
        if aligned is None:
            return ()
        if (band, aligned) not in self._ringed:
            layout, image = self.chain.output.layout, self.chain.cut.image_rows
            rows = Grid(layout, image, band, layout.row_bytes)
            self._ringed[band, aligned] = ring_rows(self.chain, rows, aligned)
        return self._ringed[band, aligned]

    def _bands(self, band: int, rings: tuple[int, ...]) -> _Bands:
        """What each band of rows needs, and for each task the rows that its parts have."""
        if (band, rings) not in self._rows:
            chain, layout = self.chain, self.chain.output.layout
            parts = list(passages(chain, Grid(layout, chain.cut.image_rows, band, layout.row_bytes), rings))
            made = [
                [part for needs, turns in parts for part in segments(needs.made[i], rings[i] if rings else 0, turns[i])]
                for i in range(len(chain.tasks))
            ]
            self._rows[band, rings] = [needs for needs, _ in parts], made
        return self._rows[band, rings]

    def _columns(self, width: int) -> list[Needs]:
        if width not in self._widths:
            image, end = self.chain.cut.image_rows, self.chain.output.layout.row_bytes
            self._widths[width] = [self.chain.needs(Region(0, image, x, min(x + width, end))) for x in range(0, end, width)]
        return self._widths[width]

    def _shapes(self, i: int, bands: Sequence[Region], columns: Sequence[Needs]) -> tuple[tuple[Region, int], ...]:
        """For each shape that task i's parts have, a region of it and how many have it. bands: the parts' rows. Windows at the
        edges of pools are smaller, so for them places count too."""
        task = self.chain.tasks[i]
        rows: dict[object, list[Region]] = {}
        widths: dict[object, list[Region]] = {}
        for r in bands:
            edges = (r.row0 % task.out_rows, r.row1 % task.out_rows) if isinstance(task, PoolTask) else ()
            rows.setdefault((r.rows, *edges), []).append(r)
        for needs in columns:
            r = needs.made[i]
            widths.setdefault((r.width, *((r.x0, r.x1) if isinstance(task, PoolTask) else ())), []).append(r)
        return tuple(
            (Region(a[0].row0, a[0].row1, b[0].x0, b[0].x1), len(a) * len(b))
            for a in rows.values()
            for b in widths.values()
            if not a[0].empty and not b[0].empty
        )

    # Plans of one cut.

    def _plans_of(self, setting: Setting, cut: _Cut, most: float) -> list[ChainPlan]:
        """None where the estimate is `most` or more, even where the first weights come before."""
        groups = self._groups(cut)
        if groups is None:
            return []
        slabs = tuple(tile_groups(self.chain.cut.pixel_bytes, cut.slab)) if cut.slab else ()
        work = self._work(setting, cut, groups, len(slabs) or 1)
        if pipelined(work, (), False, False).after(math.inf) >= most:
            return []
        resident = setting.resident
        largest = zip((*cut.largest_inputs, cut.largest_made[-1]), resident, strict=True)
        sizes = [0 if at is not None else size for size, at in largest]
        wanted = Wanted(tuple(sizes[:-1]), cut.largest_made[:-1], sizes[-1])
        whole = [operand.layout.size for operand in (*self.chain.inputs, self.chain.output)]
        out = []
        for buffers in placements(self.config, setting, whole, wanted, len(cut.pieces), len(slabs) or 1):
            cycles = pipelined(work, buffers.waiting, buffers.store_waits, False)
            out.append(ChainPlan(cut.pieces, buffers, groups, cycles, slabs, cut.rings))
        return out

    def _groups(self, cut: _Cut) -> tuple[Groups | None, ...] | None:
        """Weights of all layers kept on chip; else as many channel tiles at a time as leave room for the next. With slabs
        those of one at a time, where there is one piece or not room for all."""
        config = self.config
        if cut.slab:
            return self._slab_groups(cut)
        parts = [task.geometry.whole_part if isinstance(task, ConvTask) else None for task in self.chain.tasks]
        every = [task.channel_tiles(config) if isinstance(task, ConvTask) else 0 for task in self.chain.tasks]
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
                n for n in sizes(count)
                if 3 * weight_bytes(config, part, n) <= config.weight_bytes
                and 3 * record_bytes(config, n) <= config.channel_bytes
            ]  # fmt: skip
            if not fit:
                return None
            out.append(Groups(fit[0], False, False, (part,)))
        return tuple(out)

    def _slab_groups(self, cut: _Cut) -> tuple[Groups | None, ...] | None:
        config = self.config
        tasks = [task for task in self.chain.tasks if isinstance(task, ConvTask)]
        each = {task.tag: -(-cut.slab // task.tile_width(config)) for task in tasks}
        weights = sum(weight_bytes(config, task.geometry.whole_part, each[task.tag]) for task in tasks)
        records = sum(record_bytes(config, n) for n in each.values())
        slabs = -(-self.chain.cut.pixel_bytes // cut.slab)

        def room_for(count: int) -> bool:
            return count * weights <= config.weight_bytes and count * records <= config.channel_bytes

        kept = len(cut.pieces) > 1 and room_for(slabs)
        if not kept and not room_for(2):
            return None
        return tuple(
            Groups(each[task.tag], kept, False, (task.geometry.whole_part,), apart=True) if isinstance(task, ConvTask) else None
            for task in self.chain.tasks
        )

    # Estimates.

    def _work(self, setting: Setting, cut: _Cut, groups: tuple[Groups | None, ...], slabs: int) -> Work:
        config = self.config
        rate, latency, count = config.memory.bytes_per_cycle, config.memory.latency, len(cut.pieces)
        each = self._layer_cycles(cut, groups)
        loads = [
            0.0 if at is not None else total / rate + count * latency
            for total, at in zip(cut.loaded, setting.resident[:-1], strict=True)
        ]
        stored = transfer_cycles(config, cut.stored, cut.slab) if cut.slab else cut.stored / rate
        stores = stored + count * slabs * latency if setting.stored else 0.0
        least = sum(total for total, at in zip(cut.loaded, setting.resident[:-1], strict=True) if at is None)
        least += cut.stored if setting.stored else 0
        weights = 0.0
        blocks = []
        for task, group in zip(self.chain.tasks, groups, strict=True):
            if group is not None and isinstance(task, ConvTask):
                tiles = task.channel_tiles(config)
                size = weight_bytes(config, group.parts[0], tiles) + record_bytes(config, tiles)
                runs = -(-tiles // group.tiles)
                weights += (1 if group.kept else count) * (size / rate + 2 * runs * latency)
                blocks.append(size / runs / rate + latency)
                least += (1 if group.kept else count) * tiles * group.parts[0].steps * config.weight_word_bytes
        first = blocks[0] if blocks else 0.0
        return Work(count, count * slabs, sum(each), each[0], loads, stores, weights, first, least / rate)

    def _layer_cycles(self, cut: _Cut, groups: tuple[Groups | None, ...]) -> list[int]:
        """Of COMPUTE, for each task. groups: the cut's."""
        if id(cut) not in self._each:
            self._each[id(cut)] = [
                sum(n * self._task_cycles(i, region, groups[i], cut.slab) for region, n in shapes)
                for i, shapes in enumerate(cut.made)
            ]
        return self._each[id(cut)]

    def _task_cycles(self, index: int, region: Region, groups: Groups | None, slab: int) -> int:
        task, config = self.chain.tasks[index], self.config
        place = (region, slab) if isinstance(task, PoolTask) else (region.rows, region.width)
        key = (index, place, groups and groups.tiles)
        if key not in self._cycles:
            views = [View(0, operand.layout.stride) for operand in (*task.inputs, task.output)]
            if isinstance(task, ConvTask):
                assert groups is not None
                every, width = tile_groups(task.channel_tiles(config), groups.tiles), region.width // task.geometry.out_channels
                cycles = [task.cycles(config, region.rows, width, tiles, groups.parts[0]) for tiles in (every[0], every[-1])]
                self._cycles[key] = (len(every) - 1) * cycles[0] + cycles[1]
                return self._cycles[key]
            if isinstance(task, PoolTask) and slab:
                slabs = tile_groups(task.channels, slab)
                commands = [c for some in slabs for c in task.commands(region, tuple(views[:-1]), views[-1], some)]
            else:
                commands = task.commands(region, tuple(views[:-1]), views[-1])
            self._cycles[key] = sum(compute_cycles(config, command) for command in commands)
        return self._cycles[key]
