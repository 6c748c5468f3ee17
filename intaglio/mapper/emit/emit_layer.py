"""The commands of a layer that runs by itself, as its LayerPlan says."""

from __future__ import annotations

from intaglio.machine import isa
from intaglio.mapper.emit.emission import Emission
from intaglio.mapper.schedule.schedule import Placed
from intaglio.mapper.tasks.convolution import ConvTask, Sums
from intaglio.mapper.tasks.elementwise import Segments, copy
from intaglio.mapper.tasks.groups import record_groups, tile_groups, weight_bytes
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.parts import Step, partial_pixels, steps_of, tile_record_bytes
from intaglio.mapper.tasks.windows import Blocks
from intaglio.mapper.tiling.layer_plan import LayerPlan
from intaglio.network.graph import Rounding
from intaglio.program.grid import pixels
from intaglio.program.layout import Region, View


class LayerEmitter:
    """The commands of one layer. program: takes them."""

    def __init__(self, program: Emission, layer: Placed):
        assert isinstance(layer.plan, LayerPlan)
        self.program, self.layer, self.plan = program, layer, layer.plan
        (self.task,) = layer.chain.tasks
        self.config = program.config
        self._loaded: dict[int, Region] = {}
        self._bases: dict[int, int] = {}
        self._record_group: dict[int, range] = {}
        self._turn = 0

    def run(self) -> None:
        self.program.fetch(self.task.tag, self.layer.fetched)
        conv = self.task.weighted
        if conv is None:
            for index, piece in enumerate(self.plan.pieces):
                if self.plan.blocks is not None:
                    self._in_blocks(index, piece, self.plan.blocks)
                    continue
                inputs = self._inputs(index, self.task.reads(piece))
                self.program.commands += self.task.commands(self.config, Job(piece, inputs, self._output(index, piece)))
                self._store(index, piece)
            return
        groups = self.plan.groups
        assert groups is not None
        if groups.in_parts:
            self._in_parts(conv)
        else:
            self._in_groups(conv)

    # Convolutions.

    def _in_groups(self, task: ConvTask) -> None:
        config, groups = self.config, self.plan.groups
        assert groups is not None
        part = groups.parts[0]
        tiles = tile_groups(task.channel_tiles(config), groups.tiles)
        place: dict[int, int] = {}
        if groups.kept:
            at = self.program.weight_space(sum(weight_bytes(config, part, len(t)) for t in tiles))
            for t in tiles:
                place[t.start] = at
                at += weight_bytes(config, part, len(t))
        else:
            self.program.align_weights(weight_bytes(config, part, groups.tiles))
        held: dict[int, int] = {}
        pieces = list(enumerate(self.plan.pieces))
        if groups.outer:
            order = [(index, piece, t) for t in tiles for index, piece in pieces]
        else:
            order = [(index, piece, t) for index, piece in pieces for t in tiles]
        last: range | None = None
        for index, piece, t in order:
            records = self._records(task, t, last)
            if t.start not in held or not (groups.kept or t is last):
                held[t.start] = self.program.weights(task, t, part, place.get(t.start))
            last = t
            inputs = self._inputs(index, task.reads(piece))
            job = Job(piece, inputs, self._output(index, piece), None, t, part, held[t.start], records)
            self.program.commands += task.commands(config, job)
            if t is tiles[-1] or groups.outer:
                self._store(index, piece)

    def _records(self, task: ConvTask, tiles: range, last: range | None) -> int:
        """The first channel word of a group, after loading it where it may not be there."""
        assert self.plan.groups is not None
        if not self._record_group:
            groups = record_groups(task, self.config, self.plan.groups)
            self._record_group = {tile: group for group in groups for tile in group}
        group = self._record_group[tiles.start]
        everything = len(group) == task.channel_tiles(self.config)
        if group.start not in self._bases or not (everything or tiles is last):
            self._bases[group.start] = self.program.records(task, group)
        return self._bases[group.start] + (tiles.start - group.start) * self.config.channel_groups

    def _in_parts(self, task: ConvTask) -> None:
        config, groups = self.config, self.plan.groups
        assert groups is not None
        works = [
            [steps_of(config, task, r, groups.parts) for r in task.tile_regions(piece, partial_pixels(config, task))]
            for piece in self.plan.pieces
        ]
        own_records = any(step.without or step.early_pixels for work in works for steps in work for step in steps)
        last: range | None = None
        full = task.geometry.out_channels // task.tile_width(config) if task.geometry.slices is None else 0
        for index, piece in enumerate(self.plan.pieces):
            out = self._output(index, piece)
            (reads,) = task.reads(piece)
            inputs: tuple[View, ...] = ()
            before: dict[int, isa.Command] = {}  # of the tile before, by their places among a tile's
            for tile in range(task.channel_tiles(config)):
                tiles = range(tile, tile + 1)
                records = 0 if own_records else self._records(task, tiles, last)
                last = tiles
                for at, step in enumerate(step for steps in works[index] for step in steps):
                    weights = self.program.weights(task, tiles, step.part)
                    early = 0
                    if own_records and step.drains(task):
                        records, early = self._two_records(task, tiles, step)
                    if groups.by_part:
                        inputs = self._inputs(self._turn, (task.reads_part(step.region, step.part, tile),))
                        self._turn += 1
                    elif not inputs:
                        inputs = self._inputs(index, (reads,))
                    if 0 < tile < full and not (groups.by_part or own_records):
                        command = task.moved(config, before[at], 1, weights, records)
                    else:
                        sums = Sums(step.start, step.drain_from, step.first_pixel, step.early_pixels, early)
                        job = Job(step.region, inputs, out, None, tiles, step.part, weights, records)
                        command = task.command(config, job, sums)
                    before[at] = command
                    self.program.commands.append(command)
            self._store(index, piece)

    def _two_records(self, task: ConvTask, tiles: range, step: Step) -> tuple[int, int]:
        """The first channel words of the records of a step's pixels, and of its early ones (0 where there are none), in one block
        so that neither takes the other's place."""
        each = tile_record_bytes(self.config)
        at = self.program.record_space(2 * each if step.early_pixels else each)
        records = self.program.records(task, tiles, at, step.without)
        return records, self.program.records(task, tiles, at + each, step.early_without) if step.early_pixels else 0

    # Windows.

    def _in_blocks(self, index: int, piece: Region, blocks: Blocks) -> None:
        """One output pixel after another; its window in blocks, whose sums continue."""
        task, buffers = self.task.pooled, self.plan.buffers.inputs[0]
        assert task is not None
        layout = task.inputs[0].layout
        out = self._output(index, piece)
        for pixel in pixels(piece, task.channels):
            (window,) = task.reads(pixel)
            for everything in blocks.of_window(window):
                parts = [(part, inside) for part in everything if (inside := task.inside(pixel, part))]
                for turn, (part, inside) in enumerate(parts):
                    buffer = buffers[self._turn % len(buffers)]
                    self._turn += 1
                    for load in blocks.loads(part, layout):
                        outside = self.program.bases[task.inputs[0].value] + load.outside
                        self.program.transfer(
                            isa.Opcode.LOAD,
                            task.tag,
                            isa.LocalMemory.ACTIVATION,
                            (outside, load.outside_stride),
                            (buffer + load.inside, load.inside_stride),
                            load.rows,
                            load.row_bytes,
                        )
                    at = buffer + blocks.first_byte(part)
                    strides = blocks.stride(part.cols), blocks.step
                    target = out.address(pixel.row0, pixel.x0 + part.channel)
                    resume, hold = turn > 0, turn < len(parts) - 1
                    self.program.commands.append(task.part(pixel, inside, part, at, strides, target, resume, hold))
        self._store(index, piece)

    # Activations.

    def _inputs(self, index: int, needed: tuple[Region, ...]) -> tuple[View, ...]:
        """Views of the inputs for piece `index`, after loading what is not on chip."""
        out = []
        for i, region in enumerate(needed):
            operand, at = self.task.inputs[i], self.layer.setting.resident[i]
            if at is not None:
                out.append(operand.layout.view(at))
                continue
            buffers = self.plan.buffers.inputs[i]
            if region.empty or not buffers:
                out.append(operand.layout.view(0))
                continue
            buffer = buffers[index % len(buffers)]
            if self._loaded.get(buffer) != region:
                bus = operand.layout.bytes_of(region).on_bus(self.config.bus_bytes)
                self.program.move(isa.Opcode.LOAD, self.task.tag, operand, bus, buffer, bus.width)
                self._loaded[buffer] = region
            out.append(operand.layout.view_of_buffer(buffer, region, self.config.bus_bytes))
        return tuple(out)

    def _output(self, index: int, piece: Region) -> View:
        at = self.layer.setting.resident[-1]
        if at is not None:
            return self.task.output.layout.view(at)
        buffers = self.plan.buffers.output
        return self.task.output.layout.view_of_buffer(buffers[index % len(buffers)], piece, self.config.bus_bytes)

    def _store(self, index: int, piece: Region) -> None:
        if not self.layer.setting.stored:
            return
        view, layout = self._output(index, piece), self.task.output.layout
        exact = layout.bytes_of(piece)
        bus = exact.on_bus(self.config.bus_bytes)
        rest = exact.byte1 % self.config.bus_bytes
        carried = bool(rest) and self.layer.setting.resident[-1] is None and piece.x1 < layout.row_elements
        if carried:
            bus = bus._replace(byte1=exact.byte1 - rest)
        if not bus.empty:
            local = view.address(bus.row0, piece.x0) - exact.byte0 + bus.byte0
            self.program.move(isa.Opcode.STORE, self.task.tag, self.task.output, bus, local, view.stride)
        if carried:
            self._carry(index, piece, rest)

    def _carry(self, index: int, piece: Region, rest: int) -> None:
        """Moves the last `rest` bytes of a piece to the next one's buffer, which stores the word they share."""
        following = self.plan.pieces[index + 1]
        source, target = (
            self._output(i, of).address(piece.row0, piece.x1) - rest
            for i, of in ((index, piece), (index + 1, following))
        )
        if source != target:
            rounding = Rounding(self.config.rounding[0])
            self.program.commands.append(copy(Segments(source, target, rest, 1, 0, 0), self.task.tag, rounding))
