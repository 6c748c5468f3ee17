"""Conv2D and FullyConnected as CONV commands, their weights and channel records.

A run is what one pixel reads without a gap: a whole kernel row (kernel_cols * channels bytes) where columns
are not dilated, else one kernel column (channels bytes). Steps count bytes in the order kernel row, kernel
column, channel; they name weight words too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from intaglio.hw import isa
from intaglio.hw.config import CHANNEL_RECORD_BYTES, Config
from intaglio.hw.timing import least_tile_cycles
from intaglio.mapper.layout import Region, View, split
from intaglio.mapper.task import FIELD_LIMIT, Cut, Operand, output_fields
from intaglio.network.graph import Requantize

WORD = 1 << 32


@dataclass(frozen=True)
class Part:
    """A contiguous range of the reduction: kernel rows and columns from (row0, col0), bytes from byte0 of each
    run. Either several rows with whole runs, or several columns of one row, or a part of one run."""

    row0: int
    rows: int
    col0: int
    cols: int
    byte0: int
    bytes: int

    @property
    def steps(self) -> int:
        return self.rows * self.cols * self.bytes


@dataclass(frozen=True)
class Chunks:
    """A run cut into `count` reads of `each` bytes, the last of `last`; cycles of the run's slots in all."""

    count: int
    each: int
    last: int
    slot: int
    last_slot: int

    @property
    def cycles(self) -> int:
        return (self.count - 1) * self.slot + self.last_slot


@lru_cache(maxsize=4096)
def chunks_of(run: int, pixels: int, feed_bytes: int) -> Chunks:
    """The cut of a run of `run` bytes with the fewest cycles, then the fewest reads, for tiles of `pixels`."""
    best: Chunks | None = None
    for each in range(min(feed_bytes, run), 0, -1):
        count = -(-run // each)
        last = run - (count - 1) * each
        option = Chunks(count, each, last, max(pixels, each), max(pixels, last))
        if best is None or (option.cycles, option.count) < (best.cycles, best.count):
            best = option
        if count > 1 and each <= pixels:
            break  # shorter reads only add slots of `pixels` cycles
    assert best is not None
    return best


@dataclass(frozen=True)
class Geometry:
    """A convolution over images of in_rows rows of in_cols pixels of `channels` bytes.

    A fully connected layer has one image whose rows are the batch: kernel_rows rows of the layout for each
    output row, each one kernel column of row_bytes channels.
    """

    images: int
    in_rows: int
    in_cols: int
    channels: int
    kernel_rows: int
    kernel_cols: int
    stride_rows: int
    stride_cols: int
    dilation_rows: int
    dilation_cols: int
    top: int
    left: int
    out_rows: int
    out_cols: int
    out_channels: int

    @property
    def steps(self) -> int:
        return self.kernel_rows * self.kernel_cols * self.channels

    @property
    def runs_merge(self) -> bool:
        """True where a kernel row is one run."""
        return self.dilation_cols == 1 or self.kernel_cols == 1

    @property
    def whole_part(self) -> Part:
        if self.runs_merge:
            return Part(0, self.kernel_rows, 0, 1, 0, self.kernel_cols * self.channels)
        return Part(0, self.kernel_rows, 0, self.kernel_cols, 0, self.channels)

    def parts(self, most: int) -> list[Part]:
        """The reduction in as few nearly equal parts of at most `most` >= 1 steps as its structure allows."""
        full = self.whole_part
        row = full.cols * full.bytes
        if row <= most:
            return [Part(i, n, 0, full.cols, 0, full.bytes) for i, n in split(self.kernel_rows, most // row)]
        out = []
        for kh in range(self.kernel_rows):
            if full.bytes <= most:
                out += [Part(kh, 1, i, n, 0, full.bytes) for i, n in split(full.cols, most // full.bytes)]
                continue
            for kw in range(full.cols):
                out += [Part(kh, 1, kw, 1, i, n) for i, n in split(full.bytes, most)]
        return out

    def first_step(self, part: Part) -> int:
        return (part.row0 * self.kernel_cols + part.col0) * self.channels + part.byte0


@dataclass(frozen=True, eq=False)
class ConvTask:
    """weights: int8 [out_channels, steps], as stored. bias: int32 [out_channels], not yet folded."""

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

    @property
    def cut(self) -> Cut:
        g = self.geometry
        return Cut(g.out_rows, g.out_channels, most_rows=max(1, FIELD_LIMIT // g.out_cols))

    def channel_tiles(self, config: Config) -> int:
        return -(-self.geometry.out_channels // config.cols)

    def reads(self, region: Region) -> tuple[Region, ...]:
        return (self.reads_part(region, self.geometry.whole_part),)

    def reads_part(self, region: Region, part: Part) -> Region:
        """The region of the input that a part of the reduction needs for a region of the output."""
        g = self.geometry
        image = region.row0 // g.out_rows
        iy, x = self._start(region, part)
        last_y = iy + (region.rows - 1) * g.stride_rows + (part.rows - 1) * g.dilation_rows
        pixels = region.width // g.out_channels
        last_x = x + ((pixels - 1) * g.stride_cols + (part.cols - 1) * g.dilation_cols) * g.channels
        row0, row1 = max(iy, 0), min(last_y + 1, g.in_rows)
        x0, x1 = max(x, 0), min(last_x + part.bytes, g.in_cols * g.channels)
        if row1 <= row0 or x1 <= x0:
            return Region(0, 0, 0, 0)
        return Region(image * g.in_rows + row0, image * g.in_rows + row1, x0, x1)

    def _start(self, region: Region, part: Part) -> tuple[int, int]:
        """Row (in its image) and byte of the first pixel's first step; both may lie in the padding."""
        g = self.geometry
        iy = (region.row0 % g.out_rows) * g.stride_rows - g.top + part.row0 * g.dilation_rows
        ox = region.x0 // g.out_channels
        return iy, (ox * g.stride_cols - g.left + part.col0 * g.dilation_cols) * g.channels + part.byte0

    def command(
        self,
        config: Config,
        region: Region,
        view: View,
        out: View,
        tiles: range,
        part: Part,
        weight_base: int,
        channel_base: int,
        start: bool = True,
        drain: bool = True,
    ) -> isa.Command:
        """One CONV: `region` of the output, channel tiles `tiles`, one part of the reduction.

        weight_base, channel_base: in words of their memories. region: whole pixels within one image.
        """
        g = self.geometry
        image = region.row0 // g.out_rows
        iy, x = self._start(region, part)
        origin = view.address(image * g.in_rows + iy, x)
        width = region.width // g.out_channels
        pixels = region.rows * width
        pixel_tiles = -(-pixels // config.rows)
        rows = -(-pixels // pixel_tiles)
        chunks = chunks_of(part.bytes, rows, config.feed_bytes)
        channels = min(tiles.stop * config.cols, g.out_channels) - (tiles.stop - 1) * config.cols
        groups = -(-(channels if len(tiles) == 1 else config.cols) // config.requantizers)
        slots = part.rows * part.cols * chunks.cycles
        fields = {
            "tag": self.tag,
            "origin": origin % WORD,
            "in_row_bytes": g.in_cols * g.channels,
            "iy_start": iy,
            "x_start": x,
            "in_rows": g.in_rows,
            "stride_rows": g.stride_rows,
            "x_step": g.stride_cols * g.channels,
            "row_step": g.stride_rows * view.stride,
            "kernel_rows": part.rows,
            "dilation_rows": g.dilation_rows,
            "kernel_row_step": g.dilation_rows * view.stride,
            "kernel_cols": part.cols,
            "chunks": chunks.count,
            "kernel_x_step": g.dilation_cols * g.channels,
            "chunk_bytes": chunks.each,
            "last_chunk_bytes": chunks.last,
            "slot_cycles": chunks.slot,
            "last_slot_cycles": chunks.last_slot,
            "idle_cycles": max(0, least_tile_cycles(config, rows, groups) - slots),
            "weight_base": weight_base,
            "channel_base": channel_base,
            "region_width": width,
            "pixel_tiles": pixel_tiles,
            "rows_per_tile": rows,
            "last_pixels": pixels - (pixel_tiles - 1) * rows,
            "channel_tiles": len(tiles),
            "last_channels": channels,
            "in_zero_point": self.input_zero_point,
            "weight_zero_point": self.weight_zero_point,
            "start": int(start),
            "drain": int(drain),
        }
        base = out.address(region.row0, region.x0) + tiles.start * config.cols
        fields |= output_fields(
            base, out.stride, g.out_channels, self.output_zero_point, self.clamp, self.requantize.rounding
        )
        return isa.Command(isa.Opcode.CONV, fields)

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
    def folded_bias(self) -> np.ndarray:
        """int32 [out_channels]: bias - input_zero_point * (sum of the channel's weight - weight_zero_point), wrapping."""
        sums = (self.weights.astype(np.int64) - self.weight_zero_point).sum(axis=1)
        return (self.bias.astype(np.int64) - self.input_zero_point * sums).astype(np.int32)

    def weight_block(self, config: Config, tiles: range, part: Part) -> bytes:
        """Weight words of each tile of `tiles` in turn, for the steps of one part."""
        first = self.geometry.first_step(part)
        out = np.zeros((len(tiles), part.steps, config.weight_word_bytes), np.int8)
        for i, tile in enumerate(tiles):
            channels = self.weights[tile * config.cols : (tile + 1) * config.cols]
            out[i, :, : len(channels)] = channels[:, first : first + part.steps].T
        return out.tobytes()

    def record_block(self, config: Config, tiles: range) -> bytes:
        """Channel words of each tile of `tiles`: one for each group of `requantizers` columns."""
        multiplier = np.broadcast_to(self.requantize.multiplier, self.bias.shape)
        shift = np.broadcast_to(self.requantize.shift, self.bias.shape)
        out = np.zeros((len(tiles), config.channel_groups, config.channel_word_bytes // CHANNEL_RECORD_BYTES, 4), "<u4")
        for i, tile in enumerate(tiles):
            for column in range(min(config.cols, self.geometry.out_channels - tile * config.cols)):
                channel = tile * config.cols + column
                record = {
                    "bias": int(self.folded_bias[channel]),
                    "multiplier": int(multiplier[channel]),
                    "shift": int(shift[channel]),
                }
                group, place = divmod(column, config.requantizers)
                out[i, group, place] = isa.pack(isa.CHANNEL_FIELDS_BY_NAME, record, 4)
        return out.tobytes()
