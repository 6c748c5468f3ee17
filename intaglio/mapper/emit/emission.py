"""The common part of a program's commands: its data outside, the rings of weights and records on chip, transfers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from intaglio.machine import isa
from intaglio.machine.config import TABLE_ENTRIES, Config
from intaglio.mapper.lower.lowered import Lowered
from intaglio.mapper.schedule.schedule import Schedule
from intaglio.mapper.tasks.convolution import ConvTask
from intaglio.mapper.tasks.geometry import Part
from intaglio.mapper.tasks.groups import record_bytes, record_groups, tile_groups, weight_bytes
from intaglio.mapper.tasks.parts import variants
from intaglio.mapper.tasks.task import FIELD_LIMIT, Lookup, Operand, Task
from intaglio.mapper.tiling.allocate import Ring
from intaglio.program.layout import ByteRegion, Region, View, align_up
from intaglio.program.program import BASE_ALIGNMENT
from intaglio.program.table import Table


class Emission:
    """Commands so far, each as if it ran alone, one after another: their external addresses count from the start of the
    data that follows the program. bases: of values outside, the first of which is at values_at, behind constant_bytes of weights and records.
    size: bytes of data in all. table: of the commands, once they are in
    the order, and have the tokens, with which the engines overlap (overlap.py)."""

    def __init__(self, network: Lowered, config: Config, schedule: Schedule, rings: tuple[int, int] = (0, 0)):
        """rings: where those of weights and of records stand."""
        self.network, self.config, self.schedule = network, config, schedule
        self.commands: list[isa.Command] = []
        self.table: Table | None = None
        self.bases: dict[str, int] = {}
        self._blocks: dict[tuple[object, ...], int] = {}
        self._weight_sizes: dict[tuple[Part, int], tuple[int, int]] = {}
        self._makers: list[tuple[int, int, Callable[[], bytes]]] = []
        self._weights = Ring(config.weight_bytes, rings[0])
        self._records = Ring(config.channel_bytes, rings[1])
        self.constant_bytes = self.values_at = 0
        self.size = self._lay_out()

    @property
    def rings(self) -> tuple[int, int]:
        """The places at which those of weights and of records stand."""
        return self._weights.at, self._records.at

    def _lay_out(self) -> int:
        """Packs every constant block and gives each value outside its base; returns the end."""
        end = 0
        for layer in self.schedule.layers:
            for task, groups in layer.convolutions:
                for tiles in tile_groups(task.channel_tiles(self.config), groups.tiles):
                    for part in groups.parts:
                        size = len(tiles) * part.steps * self.config.weight_word_bytes
                        key = ("weights", task.tag, tiles.start, task.geometry.first_step(part))
                        end = self._add_block(end, key, size, partial(task.weight_block, self.config, tiles, part))
                for tiles in record_groups(task, self.config, groups):
                    end = self._add_records(end, task, tiles, ())
                lacks = variants(self.config, task, layer.plan.pieces, groups.parts) if groups.in_parts else {()}
                if lacks != {()}:
                    for tile in range(task.channel_tiles(self.config)):
                        for without in sorted(lacks):
                            end = self._add_records(end, task, range(tile, tile + 1), without)
            for any_task in layer.chain.tasks:
                if any_task.lookup is not None:
                    size, make = self.config.one_table_bytes, partial(self._table, any_task.lookup)
                    end = self._add_block(end, ("table", any_task.tag), size, make)
        self.constant_bytes = end
        end = self.values_at = align_up(end, BASE_ALIGNMENT)
        for name in self.network.values:
            if name in self.schedule.outside:
                self.bases[name] = end
                end = align_up(end + self.network.values[name].size, BASE_ALIGNMENT)
        return end

    def _add_block(self, at: int, key: tuple[object, ...], size: int, make: Callable[[], bytes]) -> int:
        self._blocks[key] = at
        self._makers.append((at, size, make))
        return at + align_up(size, max(self.config.bus_bytes, 16))

    def _add_records(self, at: int, task: ConvTask, tiles: range, without: tuple[int, ...]) -> int:
        key = ("records", task.tag, tiles, without)
        if key in self._blocks:
            return at
        size = len(tiles) * self.config.channel_groups * self.config.channel_word_bytes
        return self._add_block(at, key, size, partial(task.record_block, self.config, tiles, without))

    def _table(self, lookup: Lookup) -> bytes:
        """A table as LOAD takes it: so many entries at the beginning of each bus word."""
        words = np.zeros((self.config.table_words, self.config.bus_bytes), np.int8)
        words[:, :TABLE_ENTRIES] = lookup.values.reshape(-1, TABLE_ENTRIES)
        return words.tobytes()

    def tables(self, tasks: Sequence[Task]) -> None:
        """Loads the tables of a layer or of a chain's."""
        size = self.config.one_table_bytes
        for task in tasks:
            if task.lookup is not None:
                source, at = self._blocks["table", task.tag], (task.lookup.slot - 1) * size
                self.transfer(isa.Opcode.LOAD, task.tag, isa.LocalMemory.TABLE, (source, size), (at, size), 1, size)

    def constants(self) -> bytes:
        """Weights and channel records, the first bytes of the data outside."""
        out = bytearray(self.values_at)
        for at, size, make in self._makers:
            data = make()
            assert len(data) == size
            out[at : at + size] = data
        return bytes(out)

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
            "wait": 0,
            "signal": 0,
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

    def move(self, opcode: isa.Opcode, tag: int, operand: Operand, bus: ByteRegion, local: int, stride: int) -> None:
        """LOADs or STOREs a region of whole bus words of a tensor, a command for each image that images part; local, stride: where
        its first byte lies on chip."""
        layout, memory = operand.layout, isa.LocalMemory.ACTIVATION
        assert opcode is isa.Opcode.LOAD or layout.adjacent, "a STORE of whole words would write between the pixels"
        for row, rows in layout.runs(bus.row0, bus.row1):
            external = self.bases[operand.value] + layout.row_at(row) + bus.byte0
            at = local + (row - bus.row0) * stride
            self.transfer(opcode, tag, memory, (external, layout.stride), (at, stride), rows, bus.width)

    def store_slab(self, tag: int, operand: Operand, region: Region, pixel: int, channels: range, view: View) -> None:
        """STOREs some channels, whole bus words, of a region's pixels, of `pixel` elements each."""
        outside, pitch = operand.layout.view(self.bases[operand.value]), view.step(pixel)
        pixels = region.width // pixel
        together = 1  # rows whose pixels are equally far apart on both sides, as far as a command counts
        if outside.stride == pixels * outside.step(pixel) and view.stride == pixels * pitch and not outside.image_gap:
            together = max(1, FIELD_LIMIT // pixels)
        for row in range(region.row0, region.row1, together):
            external = outside.address(row, region.x0 + channels.start)
            local = view.address(row, region.x0 + channels.start)
            rows = (min(row + together, region.row1) - row) * pixels
            self.transfer(
                isa.Opcode.STORE,
                tag,
                isa.LocalMemory.ACTIVATION,
                (external, outside.step(pixel)),
                (local, pitch),
                rows,
                operand.layout.format.bytes_of(len(channels)),
            )

    def fetch(self, tag: int, fetched: tuple[tuple[str, int], ...], opcode: isa.Opcode = isa.Opcode.LOAD) -> None:
        """LOADs whole values to their places: (name, address); or STOREs them from there."""
        for name, at in fetched:
            size = self.network.values[name].size
            self.transfer(opcode, tag, isa.LocalMemory.ACTIVATION, (self.bases[name], size), (at, size), 1, size)

    def weights(self, task: ConvTask, tiles: range, part: Part, at: int | None = None) -> int:
        """Loads a block of weights to byte address `at` or the ring's next place; returns its first word."""
        shape = part, len(tiles)
        if shape not in self._weight_sizes:
            loaded = align_up(len(tiles) * part.steps * self.config.weight_word_bytes, self.config.bus_bytes)
            self._weight_sizes[shape] = weight_bytes(self.config, part, len(tiles)), loaded
        room, size = self._weight_sizes[shape]
        at = self._weights.take(room) if at is None else at
        source = self._blocks["weights", task.tag, tiles.start, task.geometry.first_step(part)]
        memory = isa.LocalMemory.WEIGHT
        self.transfer(isa.Opcode.LOAD, task.tag, memory, (source, size), (at, size), 1, size)
        return at // self.config.weight_word_bytes

    def weight_space(self, size: int) -> int:
        return self._weights.take(size)

    def align_weights(self, size: int) -> None:
        """Before blocks of one size that follow one another."""
        self._weights.align(size)

    def record_space(self, size: int) -> int:
        return self._records.take(size)

    def records(self, task: ConvTask, tiles: range, at: int | None = None, without: tuple[int, ...] = ()) -> int:
        """Loads the records of channel tiles to byte address `at` or the ring's next place; returns their first word. without:
        kernel rows that the sums lack."""
        size = record_bytes(self.config, len(tiles))
        at = self._records.take(size) if at is None else at
        source = self._blocks["records", task.tag, tiles, without]
        memory = isa.LocalMemory.CHANNEL
        self.transfer(isa.Opcode.LOAD, task.tag, memory, (source, size), (at, size), 1, size)
        return at // self.config.channel_word_bytes
