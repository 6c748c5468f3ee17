"""The commands of layers that run together, as their ChainPlan says: piece by piece through all of them."""

from __future__ import annotations

from itertools import accumulate

from intaglio.machine import isa
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.fusion.chain import Needs
from intaglio.mapper.fusion.chain_plan import ChainPlan
from intaglio.mapper.fusion.chain_planner import ChainPlanner
from intaglio.mapper.fusion.rings import segments
from intaglio.mapper.schedule.schedule import Placed
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.groups import Groups, record_bytes, record_groups, tile_groups, weight_bytes
from intaglio.mapper.tasks.job import Job
from intaglio.program.layout import Region, View


class ChainEmitter:
    """The commands of one chain. program: takes them."""

    def __init__(self, program: Emission, layer: Placed, before: Placed | None):
        """before: the layer or chain whose commands precede."""
        assert isinstance(layer.plan, ChainPlan) and isinstance(layer.planner, ChainPlanner)
        self.planner = layer.planner
        self.program, self.layer, self.plan, self.before = program, layer, layer.plan, before
        self.chain, self.config = layer.chain, program.config
        self._turns: tuple[int, ...] = ()
        self._loaded: dict[int, Region] = {}
        self._weights: dict[tuple[int, int], int] = {}
        self._records: dict[tuple[int, int], int] = {}
        self._weights_at: dict[tuple[int, int], int] = {}
        self._records_at: dict[tuple[int, int], int] = {}

    def run(self) -> None:
        self.program.fetch(self.chain.tasks[0].tag, self.layer.fetched)
        self._place_constants()
        slabs = len(self.plan.slabs) or 1
        found = self.planner.passages(self.plan)
        for index, (piece, (needs, turns)) in enumerate(zip(self.plan.pieces, found, strict=True)):
            self._turns = turns
            inputs = [self._input(i, index, region) for i, region in enumerate(needs.inputs)]
            for turn in range(index * slabs, (index + 1) * slabs):
                for i, region in enumerate(needs.made):
                    if not region.empty:
                        self._compute(i, turn, needs, inputs)
                self._store(turn, piece)

    def _compute(self, i: int, turn: int, needs: Needs, inputs: list[View]) -> None:
        """Task i's part of a piece, or of a slab of it."""
        task, groups = self.chain.tasks[i], self.plan.groups[i]
        views = tuple(inputs[s] if s >= 0 else self._made(~s, turn, needs.read[~s]) for s in self.chain.sources[i])
        region, out = needs.made[i], self._made(i, turn, needs.read[i])
        parts = segments(region, self.plan.rings[i], self._turns[i]) if self.plan.rings else [region]
        conv = task.weighted
        if conv is None:
            channels = self._channels(turn) if self.plan.slabs else None
            for part in parts:
                self.program.commands += task.commands(self.config, Job(part, views, out, channels))
            return
        assert groups is not None
        every = self._tiles(conv, groups)
        for tiles in [every[turn % len(every)]] if self.plan.slabs else every:
            weights, records = self._constants(i, conv, groups, tiles)
            for rows in parts:
                job = Job(rows, views, out, None, tiles, groups.parts[0], weights, records)
                self.program.commands += conv.commands(self.config, job)

    # Weights and records.

    def _place_constants(self) -> None:
        """Gives those that stay on chip while the chain runs their places. All are loaded here where they can come while the layer
        before runs. Else the first block is, and each other where it is first used: so that the first piece's input does not wait for
        the last layer's weights."""
        kept = [
            (i, conv, groups)
            for i, (task, groups) in enumerate(zip(self.chain.tasks, self.plan.groups, strict=True))
            if (conv := task.weighted) is not None and groups is not None and groups.kept
        ]
        if not kept:
            return
        weights = {
            (i, t.start): weight_bytes(self.config, g.parts[0], len(t))
            for i, task, g in kept
            for t in self._tiles(task, g)
        }
        records = {
            (i, t.start): record_bytes(self.config, len(t))
            for i, task, g in kept
            for t in record_groups(task, self.config, g)
        }
        self._weights_at = _stacked(weights, self.program.weight_space(sum(weights.values())))
        self._records_at = _stacked(records, self.program.record_space(sum(records.values())))
        every = [(i, task, groups, tiles) for i, task, groups in kept for tiles in self._tiles(task, groups)]
        ahead = self._fit_beside(sum(weights.values()), sum(records.values()))
        for i, task, groups, tiles in every if ahead else every[:1]:
            self._constants(i, task, groups, tiles)

    def _fit_beside(self, weights: int, records: int) -> bool:
        """True where so many bytes can be loaded while the layer before runs: in the time that it leaves the memory idle, and beside
        what it uses last."""
        if self.before is None:
            return False
        config, spare = self.config, self.before.plan.cycles.spare
        used = sum(
            record_bytes(config, max(map(len, record_groups(t, config, g)))) for t, g in self.before.convolutions
        )
        fit = weights <= spare.room and used + records <= config.channel_bytes
        return fit and (weights + records) / config.memory.cost.bytes_per_cycle <= spare.cycles

    def _tiles(self, task: ConvTask, groups: Groups) -> list[range]:
        return tile_groups(task.channel_tiles(self.config), groups.tiles)

    def _hold_records(self, i: int, tiles: range, word: int) -> None:
        """Notes the first words of the records of tiles that lie from `word` on."""
        self._records.update(((i, tile), word + n * self.config.channel_groups) for n, tile in enumerate(tiles))

    def _constants(self, i: int, task: ConvTask, groups: Groups, tiles: range) -> tuple[int, int]:
        """The first words of a group's weights and records, after loading what does not stay."""
        block = i, tiles.start
        if groups.kept and block in self._weights:
            return self._weights[block], self._records[block]
        for together in record_groups(task, self.config, groups):
            if tiles.start == together.start:
                self._hold_records(i, together, self.program.records(task, together, self._records_at.get(block)))
        self._weights[block] = self.program.weights(task, tiles, groups.parts[0], self._weights_at.get(block))
        return self._weights[block], self._records[block]

    # Activations.

    def _input(self, i: int, index: int, region: Region) -> View:
        """The view of input i for piece `index`, after loading what is not on chip."""
        operand, at = self.chain.inputs[i], self.layer.setting.resident[i]
        if at is not None or region.empty:
            return operand.layout.view(at or 0)
        buffers = self.plan.buffers.inputs[i]
        buffer = buffers[index % len(buffers)]
        if self._loaded.get(buffer) != region:
            bus = operand.layout.bytes_of(region).on_bus(self.config.bus_bytes)
            self.program.move(isa.Opcode.LOAD, self.chain.tasks[0].tag, operand, bus, buffer, bus.width)
            self._loaded[buffer] = region
        return operand.layout.view_of_buffer(buffer, region, self.config.bus_bytes)

    def _made(self, i: int, turn: int, region: Region) -> View:
        """The view of what task i makes of a piece, or of a slab of it. region: what is on chip of it then."""
        at = self.layer.setting.resident[-1]
        if i < len(self.chain.tasks) - 1:
            buffer = self.plan.buffers.between[i]
        elif at is not None:
            return self.chain.output.layout.view(at)
        else:
            buffer = self.plan.buffers.output[turn % len(self.plan.buffers.output)]
        layout, bus = self.chain.tasks[i].output.layout, self.config.bus_bytes
        if self.plan.rings and self.plan.rings[i]:
            return layout.view_of_buffer(buffer, region, bus, self.plan.rings[i], self._turns[i])
        if not self.plan.slabs:
            return layout.view_of_buffer(buffer, region, bus)
        return layout.view_of_slab(buffer, region, self.chain.cut.pixel, self._channels(turn), bus)

    def _channels(self, turn: int) -> range:
        return self.plan.slabs[turn % len(self.plan.slabs)]

    def _store(self, turn: int, piece: Region) -> None:
        if not self.layer.setting.stored:
            return
        view = self._made(len(self.chain.tasks) - 1, turn, piece)
        tag, output = self.chain.tasks[-1].tag, self.chain.output
        if self.plan.slabs:
            self.program.store_slab(tag, output, piece, self.chain.cut.pixel, self._channels(turn), view)
            return
        exact = output.layout.bytes_of(piece)
        bus = exact.on_bus(self.config.bus_bytes)
        local = view.address(piece.row0, piece.x0) - exact.byte0 + bus.byte0
        self.program.move(isa.Opcode.STORE, tag, output, bus, local, view.stride)


def _stacked(sizes: dict[tuple[int, int], int], start: int) -> dict[tuple[int, int], int]:
    """The address of each block, one after another from `start` on."""
    ends = accumulate(sizes.values(), initial=start)
    return dict(zip(sizes, ends, strict=False))
