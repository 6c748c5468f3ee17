"""A schedule as commands in sequential order, and the image of constants that they load.

Each command's effect is as if it ran alone, one after another; `tokens` then lets the engines overlap.
"""

from __future__ import annotations

from dataclasses import replace

from intaglio.hw import isa
from intaglio.hw.config import Config
from intaglio.mapper.allocate import Ring
from intaglio.mapper.convolution import ConvTask
from intaglio.mapper.elementwise import Segments, copy
from intaglio.mapper.geometry import Part
from intaglio.mapper.layout import Region, View, align_up, pixels, view_of_buffer
from intaglio.mapper.lower import AnyTask, Lowered
from intaglio.mapper.plan import record_bytes, tile_groups, weight_bytes
from intaglio.mapper.pooling import PoolTask
from intaglio.mapper.program import BASE_ALIGNMENT
from intaglio.mapper.residency import PlacedLayer, Schedule
from intaglio.mapper.task import Operand
from intaglio.mapper.windows import Blocks
from intaglio.network.graph import Rounding


class Emitter:
    """commands: external addresses count from the start of the data that follows the program.
    constants: weights and channel records, the first bytes of that data. bases: of values outside.
    size: bytes of data in all."""

    def __init__(self, network: Lowered, config: Config, schedule: Schedule):
        self.network, self.config, self.schedule = network, config, schedule
        self.commands: list[isa.Command] = []
        self.constants = bytearray()
        self.bases: dict[str, int] = {}
        self._blocks: dict[tuple[object, ...], int] = {}
        self._weights = Ring(config.weight_bytes)
        self._records = Ring(config.channel_bytes)
        self.size = self._lay_out()
        for task, layer in zip(network.tasks, schedule.layers, strict=True):
            _LayerEmitter(self, task, layer).run()

    def _lay_out(self) -> int:
        """Packs every constant block and gives each value outside its base; returns the end."""
        for task, layer in zip(self.network.tasks, self.schedule.layers, strict=True):
            if isinstance(task, ConvTask):
                groups = layer.plan.groups
                assert groups is not None
                for tiles in tile_groups(task.channel_tiles(self.config), groups.tiles):
                    for part in groups.parts:
                        key = ("weights", task.tag, tiles.start, task.geometry.first_step(part))
                        self._add_block(key, task.weight_block(self.config, tiles, part))
                for tiles in record_groups(task, self.config, groups.tiles):
                    self._add_block(("records", task.tag, tiles.start), task.record_block(self.config, tiles))
        end = align_up(len(self.constants), BASE_ALIGNMENT)
        for name in self.network.values:
            if name in self.schedule.outside:
                self.bases[name] = end
                end = align_up(end + self.network.values[name].size, BASE_ALIGNMENT)
        return end

    def _add_block(self, key: tuple[object, ...], data: bytes) -> None:
        unit = max(self.config.bus_bytes, 16)
        self._blocks[key] = len(self.constants)
        self.constants += data + bytes(-len(data) % unit)

    # Commands.

    def transfer(
        self,
        opcode: isa.Opcode,
        tag: int,
        memory: isa.LocalMemory,
        external: tuple[int, int],
        local: tuple[int, int],
        rows: int,
        row_bytes: int,
    ) -> None:
        """external, local: (address, stride). Rows that are one run on both sides become one row."""
        if external[1] == local[1] == row_bytes:
            rows, row_bytes = 1, rows * row_bytes
        strides = (external[1], local[1]) if rows > 1 else (0, 0)
        fields = {
            "tag": tag,
            "external": external[0],
            "external_stride": strides[0],
            "local": local[0],
            "memory": int(memory),
            "local_stride": strides[1],
            "row_bytes": row_bytes,
            "rows": rows,
        }
        self.commands.append(isa.Command(opcode, fields))

    def weights(self, task: ConvTask, tiles: range, part: Part, at: int | None = None) -> int:
        """Loads a block of weights to byte address `at` or the ring's next place; returns its first word."""
        size = weight_bytes(self.config, part, len(tiles))
        at = self._weights.take(size) if at is None else at
        source = self._blocks["weights", task.tag, tiles.start, task.geometry.first_step(part)]
        size = align_up(len(tiles) * part.steps * self.config.weight_word_bytes, self.config.bus_bytes)
        memory = isa.LocalMemory.WEIGHT
        self.transfer(isa.Opcode.LOAD, task.tag, memory, (source, size), (at, size), 1, size)
        return at // self.config.weight_word_bytes

    def weight_space(self, size: int) -> int:
        return self._weights.take(size)

    def records(self, task: ConvTask, tiles: range) -> int:
        """Loads the records of channel tiles; returns their first word."""
        size = record_bytes(self.config, len(tiles))
        at = self._records.take(size)
        source = self._blocks["records", task.tag, tiles.start]
        memory = isa.LocalMemory.CHANNEL
        self.transfer(isa.Opcode.LOAD, task.tag, memory, (source, size), (at, size), 1, size)
        return at // self.config.channel_word_bytes


def record_groups(task: ConvTask, config: Config, each: int) -> list[range]:
    """Channel tiles whose records are loaded together: all of them where they take half the memory at most."""
    tiles = task.channel_tiles(config)
    if record_bytes(config, tiles) <= config.channel_bytes // 2:
        return [range(tiles)]
    return tile_groups(tiles, each)


class _LayerEmitter:
    """The commands of one layer."""

    def __init__(self, program: Emitter, task: AnyTask, layer: PlacedLayer):
        self.program, self.task, self.layer = program, task, layer
        self.config = program.config
        self._loaded: dict[int, Region] = {}
        self._bases: dict[int, int] = {}
        self._turn = 0

    def run(self) -> None:
        for name, at in self.layer.fetched:
            size = self.program.network.values[name].size
            source = self.program.bases[name]
            memory = isa.LocalMemory.ACTIVATION
            self.program.transfer(isa.Opcode.LOAD, self.task.tag, memory, (source, size), (at, size), 1, size)
        if not isinstance(self.task, ConvTask):
            for index, piece in enumerate(self.layer.plan.pieces):
                if self.layer.plan.blocks is not None:
                    self._in_blocks(index, piece, self.layer.plan.blocks)
                    continue
                inputs = self._inputs(index, self.task.reads(piece))
                self.program.commands += self.task.commands(piece, inputs, self._output(index, piece))
                self._store(index, piece)
            return
        groups = self.layer.plan.groups
        assert groups is not None
        if groups.in_parts:
            self._in_parts(self.task)
        else:
            self._in_groups(self.task)

    # Convolutions.

    def _in_groups(self, task: ConvTask) -> None:
        config, groups = self.config, self.layer.plan.groups
        assert groups is not None
        part = groups.parts[0]
        tiles = tile_groups(task.channel_tiles(config), groups.tiles)
        place: dict[int, int] = {}
        if groups.kept:
            at = self.program.weight_space(sum(weight_bytes(config, part, len(t)) for t in tiles))
            for t in tiles:
                place[t.start] = at
                at += weight_bytes(config, part, len(t))
        held: dict[int, int] = {}
        pieces = list(enumerate(self.layer.plan.pieces))
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
            (view,) = self._inputs(index, task.reads(piece))
            out = self._output(index, piece)
            weights = held[t.start]
            self.program.commands += task.commands(config, piece, view, out, t, part, weights, records)
            if t is tiles[-1] or groups.outer:
                self._store(index, piece)

    def _records(self, task: ConvTask, tiles: range, last: range | None) -> int:
        """The first channel word of a group, after loading it where it may not be there."""
        assert self.layer.plan.groups is not None
        for group in record_groups(task, self.config, self.layer.plan.groups.tiles):
            if tiles.start in group:
                everything = len(group) == task.channel_tiles(self.config)
                if group.start not in self._bases or not (everything or tiles is last):
                    self._bases[group.start] = self.program.records(task, group)
                return self._bases[group.start] + (tiles.start - group.start) * self.config.channel_groups
        raise AssertionError("a channel tile without records")

    def _in_parts(self, task: ConvTask) -> None:
        config, groups = self.config, self.layer.plan.groups
        assert groups is not None
        last: range | None = None
        for index, piece in enumerate(self.layer.plan.pieces):
            out = self._output(index, piece)
            for tile in range(task.channel_tiles(config)):
                tiles = range(tile, tile + 1)
                records = self._records(task, tiles, last)
                last = tiles
                for region in task.tile_regions(piece, config.rows):
                    for part in groups.parts:
                        weights = self.program.weights(task, tiles, part)
                        needed = task.reads_part(region, part, tile) if groups.by_part else task.reads(piece)[0]
                        (view,) = self._inputs(self._turn if groups.by_part else index, (needed,))
                        self._turn += 1
                        start, drain = part is groups.parts[0], part is groups.parts[-1]
                        self.program.commands.append(
                            task.command(config, region, view, out, tiles, part, weights, records, start, drain)
                        )
            self._store(index, piece)

    # Windows.

    def _in_blocks(self, index: int, piece: Region, blocks: Blocks) -> None:
        """One output pixel after another; its window in blocks, whose sums continue."""
        task, buffers = self.task, self.layer.plan.buffers[0]
        assert isinstance(task, PoolTask)
        layout = task.inputs[0].layout
        out = self._output(index, piece)
        for pixel in pixels(piece, task.channels):
            (window,) = task.reads(pixel)
            for everything in blocks.of_window(window):
                parts = [part for part in everything if task.meets(pixel, part)]
                for part in parts:
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
                    first, last = part is parts[0], part is parts[-1]
                    self.program.commands.append(task.part(pixel, part, at, strides, target, not first, not last))
        self._store(index, piece)

    # Activations.

    def _inputs(self, index: int, needed: tuple[Region, ...]) -> tuple[View, ...]:
        """Views of the inputs for piece `index`, after loading what is not on chip."""
        out = []
        for i, region in enumerate(needed):
            operand, at = self.task.inputs[i], self.layer.setting.resident[i]
            if at is not None:
                out.append(View(at, operand.layout.stride))
                continue
            buffers = self.layer.plan.buffers[i]
            if region.empty or not buffers:
                out.append(View(0, operand.layout.stride))
                continue
            buffer = buffers[index % len(buffers)]
            if self._loaded.get(buffer) != region:
                self._move(isa.Opcode.LOAD, operand, region, buffer)
                self._loaded[buffer] = region
            out.append(view_of_buffer(buffer, region, self.config.bus_bytes))
        return tuple(out)

    def _output(self, index: int, piece: Region) -> View:
        at = self.layer.setting.resident[-1]
        if at is not None:
            return View(at, self.task.output.layout.stride)
        buffers = self.layer.plan.buffers[-1]
        return view_of_buffer(buffers[index % len(buffers)], piece, self.config.bus_bytes)

    def _store(self, index: int, piece: Region) -> None:
        if not self.layer.setting.stored:
            return
        view = self._output(index, piece)
        bus = piece.on_bus(self.config.bus_bytes)
        rest = piece.x1 % self.config.bus_bytes
        carried = (
            bool(rest) and self.layer.setting.resident[-1] is None and piece.x1 < self.task.output.layout.row_bytes
        )
        if carried:
            bus = replace(bus, x1=piece.x1 - rest)
        if not bus.empty:
            self._transfer(isa.Opcode.STORE, self.task.output, bus, view.address(bus.row0, bus.x0), view.stride)
        if carried:
            self._carry(index, piece, rest)

    def _carry(self, index: int, piece: Region, rest: int) -> None:
        """Moves the last `rest` bytes of a piece to the next one's buffer, which stores the word they share."""
        following = self.layer.plan.pieces[index + 1]
        source = self._output(index, piece).address(piece.row0, piece.x1 - rest)
        target = self._output(index + 1, following).address(piece.row0, piece.x1 - rest)
        if source != target:
            rounding = Rounding(self.config.rounding[0])
            self.program.commands.append(copy(Segments(source, target, rest, 1, 0, 0), self.task.tag, rounding))

    def _move(self, opcode: isa.Opcode, operand: Operand, region: Region, buffer: int) -> None:
        bus = region.on_bus(self.config.bus_bytes)
        self._transfer(opcode, operand, bus, buffer, bus.width)

    def _transfer(self, opcode: isa.Opcode, operand: Operand, bus: Region, local: int, stride: int) -> None:
        layout = operand.layout
        external = self.program.bases[operand.value] + bus.row0 * layout.stride + bus.x0
        self.program.transfer(
            opcode,
            self.task.tag,
            isa.LocalMemory.ACTIVATION,
            (external, layout.stride),
            (local, stride),
            bus.rows,
            bus.width,
        )
