"""Conv2D and FullyConnected as CONV commands, their weights and channel records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intaglio.machine import isa
from intaglio.machine.config import CHANNEL_RECORD_BYTES, Config
from intaglio.machine.timing import conv_timing_of, head_cycles, least_tile_cycles
from intaglio.mapper.tasks.geometry import Geometry, Part, chunks_of
from intaglio.mapper.tasks.groups import Groups, tile_groups
from intaglio.mapper.tasks.job import Job
from intaglio.mapper.tasks.needed import Need, touched
from intaglio.mapper.tasks.task import FIELD_LIMIT, Cut, Lookup, Operand, Task, output_fields, unrolled_input
from intaglio.network.graph import Requantize
from intaglio.program.layout import Region, split

WORD = 1 << 32


_ALL_ZERO = {f.name: 0 for f in isa.built_fields(isa.Opcode.CONV) if f.name != "opcode"}
_Known = tuple[dict[tuple[object, ...], dict[str, int]], dict[tuple[object, ...], int]]


def _size(part: Part) -> tuple[int, int, int]:
    """All of a part that a command's cycles depend on."""
    return part.rows, part.cols, part.elements


@dataclass(frozen=True)
class Sums:
    """Beginning and end of a command's sums. start: at 0, or with what the partial-sum memory holds. drain_from: the first
    pixel of its region whose sums are complete. first_pixel: of the pixels of one channel tile that have places in the
    partial-sum memory, that of the region's first. early_pixels: the region's first ones, whose records are from word
    early_base on."""

    start: bool = True
    drain_from: int = 0
    first_pixel: int = 0
    early_pixels: int = 0
    early_base: int = 0


WHOLE = Sums()
"""Sums from 0 to every pixel's end."""


@dataclass(frozen=True, eq=False)
class ConvTask(Task):
    """weights: int8 [out_channels, steps], as stored; useful_weights: those of the file, for with slices some are only fill. bias: int32
    [out_channels], not yet folded.

    With geometry.slices each channel tile is a command of its own, since each reads other bytes.
    """

    tag: int
    name: str
    inputs: tuple[Operand, ...]
    output: Operand
    geometry: Geometry
    weights: np.ndarray
    bias: np.ndarray
    weight_zero_point: int
    input_zero_point: int
    output_zero_point: int
    requantize: Requantize
    clamp: tuple[int, int]
    useful_weights: int
    lookup: Lookup | None = None

    @property
    def cut(self) -> Cut:
        g = self.geometry
        return Cut(g.out_rows, g.out_channels, most_rows=max(1, FIELD_LIMIT // g.out_cols))

    @property
    def weighted(self) -> ConvTask:
        return self

    @property
    def image_rows(self) -> tuple[int, int]:
        return self.geometry.out_rows, self.geometry.in_rows

    @property
    def alike(self) -> object:
        return type(self), self.geometry, self.table > 0, *(x.layout for x in (*self.inputs, self.output))

    def row_kind(self, region: Region) -> object:
        return region.rows

    def column_kind(self, region: Region) -> object:
        return region.width

    @property
    def image(self) -> Region:
        """All outputs of the first image."""
        g = self.geometry
        return Region(0, g.out_rows, 0, g.out_cols * g.out_channels)

    def rows_read(self) -> np.ndarray:
        g = self.geometry
        first = np.arange(g.out_rows) * g.stride_rows - g.top
        last = first + (g.kernel_rows - 1) * g.dilation_rows
        return np.stack([np.maximum(first, 0), np.minimum(last + 1, g.in_rows)])

    def least_cycles(self, config: Config, need: Need) -> int:
        row = self.useful_weights // self.geometry.kernel_rows
        return -(-row * self.kernel_rows_needed(need) // config.macs_per_cycle)

    def tile_width(self, config: Config) -> int:
        """Output channels of a channel tile."""
        slices = self.geometry.slices
        return config.cols if slices is None else slices.width

    def channel_tiles(self, config: Config) -> int:
        return -(-self.geometry.out_channels // self.tile_width(config))

    def reads(self, region: Region) -> tuple[Region, ...]:
        return (self.reads_part(region, self.geometry.whole_part),)

    def needs(self, need: Need) -> tuple[Need, ...]:
        g = self.geometry
        rows, pixels = need.of_images(g.out_rows, g.out_channels)
        down = touched(rows, g.stride_rows, g.kernel_rows, g.dilation_rows, g.top, g.in_rows)
        across = touched(pixels, g.stride_cols, g.kernel_cols, g.dilation_cols, g.left, g.in_cols)
        return (Need(g.images, down, across, g.channels),)

    def kernel_rows_needed(self, need: Need) -> int:
        """Over all needed pixels, the kernel rows that do not lie in the padding."""
        g = self.geometry
        rows, pixels = need.of_images(g.out_rows, g.out_channels)
        return g.images * int(np.array(g.rows_inside)[rows].sum()) * int(pixels.sum())

    def reads_part(self, region: Region, part: Part, tile: int | None = None) -> Region:
        """The region of the input that a part of the reduction needs for a region of the output: for one channel
        tile, or for all."""
        g = self.geometry
        image = region.row0 // g.out_rows
        iy, column, first = self._start(region, part, tile or 0)
        x = column * g.channels + first
        last_y = iy + (region.rows - 1) * g.stride_rows + (part.rows - 1) * g.dilation_rows
        pixels = region.width // g.out_channels
        last_x = x + ((pixels - 1) * g.stride_cols + (part.cols - 1) * g.dilation_cols) * g.channels
        row0, row1 = max(iy, 0), min(last_y + 1, g.in_rows)
        end = last_x + part.elements
        if g.slices is not None and tile is None:
            end += g.slices.starts[-1] - g.slices.starts[0]
        x0, x1 = max(x, 0), min(end, g.in_cols * g.channels)
        if row1 <= row0 or x1 <= x0:
            return Region(0, 0, 0, 0)
        return Region(image * g.in_rows + row0, image * g.in_rows + row1, x0, x1)

    def _start(self, region: Region, part: Part, tile: int) -> tuple[int, int, int]:
        """Row (in its image), column and channel of the first pixel's first step; row and column may lie in the padding."""
        g = self.geometry
        first = part.element0 + (g.slices.starts[tile] if g.slices is not None else 0)
        iy = (region.row0 % g.out_rows) * g.stride_rows - g.top + part.row0 * g.dilation_rows
        ox = region.x0 // g.out_channels
        return iy, ox * g.stride_cols - g.left + part.col0 * g.dilation_cols, first

    def commands(self, config: Config, job: Job) -> list[isa.Command]:
        """One CONV, or with slices one for each channel tile."""
        tiles, part = self._tiles(config, job), self._part(job)
        each = len(tiles) if self.geometry.slices is None else 1
        return [
            self.command(
                config,
                job._replace(
                    tiles=tiles[i : i + each],
                    weight_base=job.weight_base + i * part.steps,
                    channel_base=job.channel_base + i * config.channel_groups,
                ),
            )
            for i in range(0, len(tiles), each)
        ]

    def _tiles(self, config: Config, job: Job) -> range:
        return range(self.channel_tiles(config)) if job.tiles is None else job.tiles

    def _part(self, job: Job) -> Part:
        return self.geometry.whole_part if job.part is None else job.part

    def command(self, config: Config, job: Job, sums: Sums = WHOLE) -> isa.Command:
        """One CONV, with slices of one channel tile. The region is whole pixels within one image. sums: how they begin and end."""
        g = self.geometry
        region, out, tiles, part = job.region, job.output, self._tiles(config, job), self._part(job)
        image = region.row0 // g.out_rows
        iy, column, first = self._start(region, part, tiles.start)
        last_y = iy + (region.rows - 1) * g.stride_rows + (part.rows - 1) * g.dilation_rows
        view, wraps = unrolled_input(job.inputs[0], image * g.in_rows, g.in_rows, iy, last_y)
        pixel = view.step(g.channels)
        x = column * pixel + first * view.bits // 8
        width = region.width // g.out_channels
        fields = self._shape(config, region.rows, width, tiles, part).copy()
        fields |= wraps
        fields["origin"] = (view.address(image * g.in_rows, 0) + iy * view.stride + x) % WORD
        fields["iy_start"] = iy
        fields["x_start"] = x
        fields["row_step"] = g.stride_rows * view.stride
        fields["kernel_row_step"] = g.dilation_rows * view.stride
        fields["weight_base"] = job.weight_base
        fields["channel_base"] = job.channel_base
        fields["out_base"] = out.address(region.row0, region.x0 + tiles.start * self.tile_width(config))
        fields["out_row_stride"] = out.stride
        fields["out_pixel_stride"] = out.step(g.out_channels)
        if pixel != g.channels:
            fields["in_row_bytes"] = (g.in_cols - 1) * pixel + g.channels * view.bits // 8
            fields["kernel_x_step"] = g.dilation_cols * pixel
            if not fields["split"]:
                fields["x_step"] = g.stride_cols * pixel
        if sums is not WHOLE:
            fields["start"] = int(sums.start)
            fields["drain_from"] = sums.drain_from
            fields["partial_base"] = sums.first_pixel * -(-self._most_channels(config, tiles) // config.requantizers)
            fields["early_pixels"] = sums.early_pixels
            fields["early_base"] = sums.early_base
        return isa.Command(isa.Opcode.CONV, fields)

    def moved(
        self, config: Config, command: isa.Command, tiles: int, weight_base: int, channel_base: int
    ) -> isa.Command:
        """A command of one whole channel tile for the one that is `tiles` further, as whole as that; there are no slices."""
        fields = command.fields.copy()
        fields["weight_base"] = weight_base
        fields["channel_base"] = channel_base
        fields["out_base"] += self.output.layout.format.bytes_of(tiles * self.tile_width(config))
        return isa.Command(isa.Opcode.CONV, fields)

    def cycles(self, config: Config, region: Region, groups: Groups | None = None, channels: int = 0) -> int:
        tiles = range(self.channel_tiles(config))
        if groups is None:
            return self.tile_cycles(config, region, tiles, self.geometry.whole_part)
        every = tile_groups(len(tiles), groups.tiles)
        first, last = (self.tile_cycles(config, region, some, groups.parts[0]) for some in (every[0], every[-1]))
        return (len(every) - 1) * first + last

    def tile_cycles(self, config: Config, region: Region, tiles: range, part: Part, drains: bool = True) -> int:
        """Cycles of COMPUTE for the commands of channel tiles `tiles` and one part of the reduction. drains: whether sums leave, or all
        wait for the next part."""
        rows, width = region.rows, region.width // self.geometry.out_channels
        known = self._known(config)[1]
        key = rows, width, len(tiles), tiles.stop == self.channel_tiles(config), *_size(part), drains
        if key not in known:
            known[key] = self._cycles(config, rows, width, tiles, part, drains)
        return known[key]

    def _cycles(self, config: Config, rows: int, width: int, tiles: range, part: Part, drains: bool) -> int:
        each = len(tiles) if self.geometry.slices is None else 1
        shapes = [self._shape(config, rows, width, tiles[i : i + each], part) for i in range(0, len(tiles), each)]
        return sum(conv_timing_of(config, shape, drains).total - head_cycles(isa.Opcode.CONV) for shape in shapes)

    def _shape(self, config: Config, rows: int, width: int, tiles: range, part: Part) -> dict[str, int]:
        """The fields of a command that do not depend on where anything lies, among them those that its cycles depend on."""
        known = self._known(config)[0]
        key = rows, width, len(tiles), tiles.stop == self.channel_tiles(config), *_size(part)
        if key not in known:
            known[key] = self._shape_fields(config, rows, width, tiles, part)
        return known[key]

    def _known(self, config: Config) -> _Known:
        """Known results of `_shape` and `tile_cycles` for a configuration."""
        if config not in self._known_of:
            self._known_of[config] = ({}, {})
        return self._known_of[config]

    @cached_property
    def _known_of(self) -> dict[Config, _Known]:
        return {}

    def _last_channels(self, config: Config, tiles: range) -> int:
        columns = self.tile_width(config)
        return min(tiles.stop * columns, self.geometry.out_channels) - (tiles.stop - 1) * columns

    def _most_channels(self, config: Config, tiles: range) -> int:
        """The most channels of one of these tiles."""
        return self._last_channels(config, tiles) if len(tiles) == 1 else self.tile_width(config)

    def _shape_fields(self, config: Config, rows: int, width: int, tiles: range, part: Part) -> dict[str, int]:
        g = self.geometry
        pixels = rows * width
        pixel_tiles = -(-pixels // config.rows)
        each = -(-pixels // pixel_tiles)
        chunks = chunks_of(part.elements, each, config.feed_bytes)
        fields = _ALL_ZERO | {
            "tag": self.tag,
            "in_row_bytes": g.in_cols * g.channels,
            "in_rows": g.in_rows,
            "stride_rows": g.stride_rows,
            "x_step": g.stride_cols * g.channels,
            "kernel_rows": part.rows,
            "dilation_rows": g.dilation_rows,
            "kernel_cols": part.cols,
            "chunks": chunks.count,
            "kernel_x_step": g.dilation_cols * g.channels,
            "chunk_bytes": chunks.each,
            "last_chunk_bytes": chunks.last,
            "slot_cycles": chunks.slot,
            "last_slot_cycles": chunks.last_slot,
            "region_width": width,
            "pixel_tiles": pixel_tiles,
            "rows_per_tile": each,
            "last_pixels": pixels - (pixel_tiles - 1) * each,
            "channel_tiles": len(tiles),
            "last_channels": self._last_channels(config, tiles),
            "in_zero_point": self.input_zero_point,
            "weight_zero_point": self.weight_zero_point,
            "start": 1,
            **output_fields(0, 0, 0, self.output_zero_point, self.clamp, self.requantize.rounding, self.table),
        }
        fields["idle_cycles"] = max(0, least_tile_cycles(config, fields) - part.rows * part.cols * chunks.cycles)
        return fields

    def padding_kind(self, region: Region) -> int | None:
        """A key that tells which kernel rows lie in the padding for the rows of a region of one image, beside how many these are: None where
        none do, else its first row there."""
        g = self.geometry
        first = region.row0 % g.out_rows
        above = first * g.stride_rows - g.top
        below = above + (region.rows - 1) * g.stride_rows + (g.kernel_rows - 1) * g.dilation_rows
        return None if above >= 0 and below < g.in_rows else first

    def tile_kinds(self, region: Region, rows: int) -> list[tuple[Region, int]]:
        """One of `tile_regions` of each kind that has its own size or rows in the padding, and how many there are."""
        kinds: dict[object, tuple[Region, int]] = {}
        for tile in self.tile_regions(region, rows):
            of = tile.rows, tile.width, self.padding_kind(tile)
            first, n = kinds.get(of, (tile, 0))
            kinds[of] = first, n + 1
        return list(kinds.values())

    def tile_regions(self, region: Region, rows: int) -> list[Region]:
        """Cuts a region into rectangles of at most `rows` pixels: one array tile each."""
        pixel = self.geometry.out_channels
        width = region.width // pixel
        if width <= rows:
            starts = range(region.row0, region.row1, rows // width)
            return [Region(y, min(y + rows // width, region.row1), region.x0, region.x1) for y in starts]
        pieces = split(width, rows)
        return [
            Region(y, y + 1, region.x0 + i * pixel, region.x0 + (i + n) * pixel)
            for y in range(region.row0, region.row1)
            for i, n in pieces
        ]

    # Constants.

    @cached_property
    def _row_sums(self) -> np.ndarray:
        """int64 [out_channels, kernel_rows]: of each channel's weights less their zero point, by kernel row."""
        rows = self.weights.reshape(len(self.weights), self.geometry.kernel_rows, -1)
        sums: np.ndarray = rows.sum(axis=2, dtype=np.int64) - rows.shape[2] * self.weight_zero_point
        return sums

    def folded_bias(self, without: tuple[int, ...] = ()) -> np.ndarray:
        """int32 [out_channels]: bias - input_zero_point * (sum of the channel's weight - weight_zero_point), wrapping.
        without: kernel rows that are not in the sums."""
        sums = np.delete(self._row_sums, without, axis=1).sum(axis=1)
        folded: np.ndarray = self.bias.astype(np.int64) - self.input_zero_point * sums
        return folded.astype(np.int32)

    def weight_block(self, config: Config, tiles: range, part: Part) -> bytes:
        """Weight words of each tile of `tiles` in turn, for the steps of one part."""
        first, columns = self.geometry.first_step(part), self.tile_width(config)
        out = np.zeros((len(tiles), part.steps, config.weight_word_bytes), np.int8)
        for i, tile in enumerate(tiles):
            channels = self.weights[tile * columns : (tile + 1) * columns]
            out[i, :, : len(channels)] = channels[:, first : first + part.steps].T
        return out.tobytes()

    def record_block(self, config: Config, tiles: range, without: tuple[int, ...] = ()) -> bytes:
        """Channel words of each tile of `tiles`: one for each group of `requantizers` columns. without: kernel rows that are
        not in the sums."""
        if (config, without) not in self._records:
            self._records[config, without] = self._record_words(config, without)
        return self._records[config, without][tiles.start : tiles.stop].tobytes()

    @cached_property
    def _records(self) -> dict[tuple[Config, tuple[int, ...]], np.ndarray]:
        return {}

    def _record_words(self, config: Config, without: tuple[int, ...]) -> np.ndarray:
        """uint32 [channel_tiles, channel_groups, records in a channel word, 4]."""
        columns, channels = self.tile_width(config), self.geometry.out_channels
        values = {
            "bias": self.folded_bias(without),
            "multiplier": np.broadcast_to(self.requantize.multiplier, channels),
            "shift": np.broadcast_to(self.requantize.shift, channels),
        }
        shape = self.channel_tiles(config), config.channel_groups, config.channel_word_bytes // CHANNEL_RECORD_BYTES, 4
        out = np.zeros(shape, "<u4")
        tile, column = np.divmod(np.arange(channels), columns)
        group, place = np.divmod(column, config.requantizers)
        for f in isa.CHANNEL_FIELDS:
            value = values[f.name].astype(np.int64)
            assert f.low <= value.min() and value.max() <= f.high
            out[tile, group, place, f.word] |= ((value & f.mask) << f.lsb).astype("<u4")
        return out
