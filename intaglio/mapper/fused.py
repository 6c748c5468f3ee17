"""How a chain of layers runs, given which of its tensors stay on chip: pieces of the last output, one after another.

Inputs and output are double-buffered where there is room; what lies between two layers has one buffer, which COMPUTE alone
writes and reads. Weights of all layers stay on chip while the chain runs, or come again for each piece.
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
from intaglio.mapper.estimate import Cycles, Work, pipelined
from intaglio.mapper.layout import Region, View, regions
from intaglio.mapper.plan import Groups, record_bytes, tile_groups, weight_bytes
from intaglio.mapper.pooling import PoolTask
from intaglio.mapper.task import compute_cycles

MOST_PIECES = 256
"""Finer cuts are not considered: what lies outside costs less then."""
FITTING = 4
"""Heights of pieces that fit, tallest first, that are considered for each width."""
MOST_WIDTHS = 6


@dataclass(frozen=True)
class ChainPlan:
    """pieces: of the last task's output, in order. groups: for each task, None where it has no weights. cycles: what it was
    chosen by."""

    pieces: tuple[Region, ...]
    buffers: Buffers
    groups: tuple[Groups | None, ...]
    cycles: Cycles


@dataclass(frozen=True)
class _Cut:
    """A grid of pieces. pieces: band by band. made: for each task, a region of each shape that its parts have, and how
    many have it. Bytes of the largest piece for each input and each output; of all pieces for each input and for
    the last output."""

    pieces: tuple[Region, ...]
    made: tuple[tuple[tuple[Region, int], ...], ...]
    largest_inputs: tuple[int, ...]
    largest_made: tuple[int, ...]
    loaded: tuple[int, ...]
    stored: int


class ChainPlanner:
    """Plans of one chain of at least two layers on one configuration."""

    def __init__(self, chain: Chain, config: Config):
        self.chain, self.config = chain, config
        self._plans: dict[Setting, ChainPlan | None] = {}
        self._cuts: dict[tuple[int, int], _Cut] = {}
        self._cycles: dict[object, int] = {}

    def plan(self, setting: Setting) -> ChainPlan | None:
        """The plan with the fewest estimated cycles; None where nothing fits."""
        if setting not in self._plans:
            self._plans[setting] = min(self.candidates(setting), key=lambda plan: plan.cycles.estimate, default=None)
        return self._plans[setting]

    def candidates(self, setting: Setting) -> list[ChainPlan]:
        """Every plan of the space: of each of a few widths the tallest pieces that fit, with every way to place buffers."""
        return [plan for cut in self._fitting(setting) for plan in self._plans_of(setting, cut)]

    # Cuts.

    def _fitting(self, setting: Setting) -> Iterator[_Cut]:
        layout, cut = self.chain.output.layout, self.chain.cut
        room = sum(high - low for low, high in setting.free)
        unit = math.lcm(cut.pixel_bytes, self.config.bus_bytes)
        widths = [min(n * unit, layout.row_bytes) for n in sizes(-(-layout.row_bytes // unit))]
        for width in widths[:MOST_WIDTHS]:
            found = 0
            for band in sizes(cut.image_rows):
                count = -(-layout.rows // band) * -(-layout.row_bytes // width)
                if band > cut.most_rows or count > MOST_PIECES:
                    continue
                measured = self._measured(band, width)
                needed = sum(measured.largest_made[:-1])
                ends = zip((*measured.largest_inputs, measured.largest_made[-1]), setting.resident, strict=True)
                if needed + sum(size for size, at in ends if at is None) > room:
                    continue
                yield measured
                found += 1
                if found == FITTING:
                    break

    def _measured(self, band: int, width: int) -> _Cut:
        if (band, width) not in self._cuts:
            self._cuts[band, width] = self._measure(band, width)
        return self._cuts[band, width]

    def _measure(self, band: int, width: int) -> _Cut:
        """What a piece needs of rows its rows alone decide, and likewise for columns."""
        chain, layout, bus = self.chain, self.chain.output.layout, self.config.bus_bytes
        image = chain.cut.image_rows
        bands = [chain.needs(piece) for piece in regions(layout, image, band, layout.row_bytes)]
        columns = [chain.needs(Region(0, image, x, min(x + width, layout.row_bytes))) for x in range(0, layout.row_bytes, width)]

        def bytes_of(kind: Callable[[Needs], Sequence[Region]], i: int) -> tuple[int, int]:
            """Of the largest piece, and of all."""
            rows = [kind(needs)[i].rows for needs in bands]
            widths = [kind(needs)[i].on_bus(bus).width for needs in columns]
            return max(rows) * max(widths), sum(rows) * sum(widths)

        inputs = [bytes_of(lambda needs: needs.inputs, i) for i in range(len(chain.inputs))]
        made = [bytes_of(lambda needs: needs.made, i) for i in range(len(chain.tasks))]
        return _Cut(
            tuple(regions(layout, image, band, width)),
            tuple(self._shapes(i, bands, columns) for i in range(len(chain.tasks))),
            tuple(most for most, _ in inputs),
            tuple(most for most, _ in made),
            tuple(total for _, total in inputs),
            made[-1][1],
        )

    def _shapes(self, i: int, bands: Sequence[Needs], columns: Sequence[Needs]) -> tuple[tuple[Region, int], ...]:
        """For each shape that task i's parts have, a region of it and how many have it. Windows at the edges of pools are
        smaller, so for them places count too."""
        task = self.chain.tasks[i]
        rows: dict[object, list[Region]] = {}
        widths: dict[object, list[Region]] = {}
        for needs in bands:
            r = needs.made[i]
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

    def _plans_of(self, setting: Setting, cut: _Cut) -> Iterator[ChainPlan]:
        weights = self._groups(cut)
        if weights is None:
            return
        resident = setting.resident
        largest = zip((*cut.largest_inputs, cut.largest_made[-1]), resident, strict=True)
        sizes = [0 if at is not None else size for size, at in largest]
        wanted = Wanted(tuple(sizes[:-1]), cut.largest_made[:-1], sizes[-1])
        whole = [operand.layout.size for operand in (*self.chain.inputs, self.chain.output)]
        for buffers in placements(self.config, setting, whole, wanted, len(cut.pieces)):
            yield ChainPlan(cut.pieces, buffers, weights, self._estimate(setting, cut, weights, buffers))

    def _groups(self, cut: _Cut) -> tuple[Groups | None, ...] | None:
        """Weights of all layers kept on chip; else as many channel tiles at a time as leave room for the next."""
        config = self.config
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

    # Estimates.

    def _estimate(self, setting: Setting, cut: _Cut, groups: tuple[Groups | None, ...], buffers: Buffers) -> Cycles:
        config = self.config
        rate, latency, count = config.memory.bytes_per_cycle, config.memory.latency, len(cut.pieces)
        each = [
            sum(n * self._task_cycles(i, region, groups[i]) for region, n in shapes) for i, shapes in enumerate(cut.made)
        ]
        loads = [
            0.0 if at is not None else total / rate + count * latency
            for total, at in zip(cut.loaded, setting.resident[:-1], strict=True)
        ]
        stores = cut.stored / rate + count * latency if setting.stored else 0.0
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
        work = Work(count, sum(each), each[0], loads, stores, weights, blocks[0] if blocks else 0.0, least / rate)
        return pipelined(work, buffers.waiting, buffers.store_waits, False)

    def _task_cycles(self, index: int, region: Region, groups: Groups | None) -> int:
        task, config = self.chain.tasks[index], self.config
        place = region if isinstance(task, PoolTask) else (region.rows, region.width)
        key = (index, place, groups and groups.tiles)
        if key not in self._cycles:
            views = [View(0, operand.layout.stride) for operand in (*task.inputs, task.output)]
            if isinstance(task, ConvTask):
                assert groups is not None
                commands = [
                    command
                    for tiles in tile_groups(task.channel_tiles(config), groups.tiles)
                    for command in task.commands(config, region, views[0], views[1], tiles, groups.parts[0], 0, 0)
                ]
            else:
                commands = task.commands(region, tuple(views[:-1]), views[-1])
            self._cycles[key] = sum(compute_cycles(config, command) for command in commands)
        return self._cycles[key]
