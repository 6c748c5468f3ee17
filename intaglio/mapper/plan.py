"""How one layer runs, given which of its tensors stay on chip: the cheapest of all ways that fit.

A layer is cut into pieces, regions of its output. A tensor that stays on chip is used in place; of the others
the piece's region is loaded into, or stored from, one of one or two buffers. Convolutions further take their
channel tiles in groups, or, where even one tile's weights do not fit, the reduction in parts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from intaglio.hw.config import Config
from intaglio.mapper.allocate import FreeSpace, Interval
from intaglio.mapper.convolution import ConvTask, Part
from intaglio.mapper.layout import Region, View, align_up, regions, whole
from intaglio.mapper.lower import AnyTask
from intaglio.mapper.task import compute_cycles

MOST_PIECES = 1 << 14
"""Cuts into more pieces are not considered."""
ENOUGH = 8
"""Cuts into columns that fit, coarsest first, after which no finer ones are tried."""
COLUMN_BANDS = (1, 2, 4, 8)
"""Heights of pieces that are narrower than the output."""


@dataclass(frozen=True)
class Setting:
    """What surrounds a layer. resident: on-chip address of each input, then of the output, None where it is
    outside. stored: the output goes outside (too). free: intervals for buffers."""

    resident: tuple[int | None, ...]
    stored: bool
    free: tuple[Interval, ...]


@dataclass(frozen=True)
class Groups:
    """Order of a convolution's weights. tiles: channel tiles in a command. kept: all stay on chip during the
    layer. outer: each group runs over all pieces before the next. parts: of the reduction, more than one
    where a tile's weights come in parts; by_part: so does its input."""

    tiles: int
    kept: bool
    outer: bool
    parts: tuple[Part, ...]
    by_part: bool = False


@dataclass(frozen=True)
class LayerPlan:
    """pieces: in order. buffers: addresses for each input, then for the output; empty where it is resident.
    groups: for convolutions. cycles: the estimate that it was chosen by."""

    pieces: tuple[Region, ...]
    buffers: tuple[tuple[int, ...], ...]
    groups: Groups | None
    cycles: float


class Pieces:
    """One way to cut a layer, and the bytes that its pieces transfer: for each input, then for the output, in
    all (total), of the largest piece and of the first; last_output: of the last piece's output."""

    def __init__(self, task: AnyTask, bus_bytes: int, pieces: list[Region]):
        self.pieces = tuple(pieces)
        sizes = [
            [*(r.transfer_bytes(bus_bytes) for r in task.reads(piece)), piece.transfer_bytes(bus_bytes)]
            for piece in pieces
        ]
        self.first, self.last_output = sizes[0], sizes[-1][-1]
        self.total = [sum(column) for column in zip(*sizes, strict=True)]
        self.largest = [max(column) for column in zip(*sizes, strict=True)]


class LayerPlanner:
    """Plans of one layer on one configuration."""

    def __init__(self, task: AnyTask, config: Config):
        self.task, self.config = task, config
        self._cycles: dict[tuple[object, ...], int] = {}
        self._plans: dict[Setting, LayerPlan | None] = {}
        self._column_cuts: dict[int, Pieces] = {}

    def plan(self, setting: Setting) -> LayerPlan | None:
        """The plan with the fewest estimated cycles; None where nothing fits."""
        if setting not in self._plans:
            self._plans[setting] = self._best(setting)
        return self._plans[setting]

    def _best(self, setting: Setting) -> LayerPlan | None:
        plans = [plan for cut in self._bands for plan in self._plans_of(setting, cut)]
        fitting = 0
        for index in range(0 if plans else len(self._column_sizes)):
            found = list(self._plans_of(setting, self._columns(index)))
            plans += found
            fitting += bool(found)
            if fitting == ENOUGH:
                break
        if plans:
            return min(plans, key=lambda plan: plan.cycles)
        return self._best_in_parts(setting) if self._needs_parts else None

    @cached_property
    def _needs_parts(self) -> bool:
        """True for a convolution of which one channel tile's weights, or the smallest piece's input and output,
        do not even fit into empty memories."""
        task, config = self.task, self.config
        if not isinstance(task, ConvTask):
            return False
        finest = self._columns(len(self._column_sizes) - 1) if self._column_sizes else self._bands[-1]
        smallest = sum(finest.largest)
        block = weight_bytes(config, task.geometry.whole_part, 1)
        return block > config.weight_bytes or smallest > config.activation_bytes

    # Cuts.

    @cached_property
    def _bands(self) -> list[Pieces]:
        layout, cut = self.task.output.layout, self.task.cut
        if cut.whole:
            return [Pieces(self.task, self.config.bus_bytes, [whole(layout)])]
        return [
            Pieces(self.task, self.config.bus_bytes, regions(layout, cut.image_rows, band, layout.row_bytes))
            for band in _sizes(cut.image_rows)
            if layout.rows // band <= MOST_PIECES
        ]

    @cached_property
    def _column_sizes(self) -> list[tuple[int, int]]:
        """(rows, bytes) of pieces narrower than the output, coarsest first."""
        layout, cut = self.task.output.layout, self.task.cut
        unit = math.lcm(cut.pixel_bytes, self.config.bus_bytes)
        count = -(-layout.row_bytes // unit)
        sizes = [
            (band, width * unit)
            for width in _sizes(count)[1:]
            for band in sorted({min(b, cut.image_rows) for b in COLUMN_BANDS}, reverse=True)
            if -(-layout.rows // band) * -(-count // width) <= MOST_PIECES
        ]
        return [] if cut.whole else sorted(sizes, key=lambda size: -size[0] * size[1])

    def _columns(self, index: int) -> Pieces:
        if index not in self._column_cuts:
            band, width = self._column_sizes[index]
            layout = self.task.output.layout
            pieces = regions(layout, self.task.cut.image_rows, band, width)
            self._column_cuts[index] = Pieces(self.task, self.config.bus_bytes, pieces)
        return self._column_cuts[index]

    # Plans of one cut.

    def _plans_of(self, setting: Setting, cut: Pieces) -> Iterator[LayerPlan]:
        outside = [at is None for at in setting.resident]
        sizes = [size if out else 0 for size, out in zip(cut.largest, outside, strict=True)]
        depths = (1,) if len(cut.pieces) == 1 or not any(sizes) else (2, 1)
        for depth in depths:
            placed = self._place(setting, sizes, depth)
            if placed is None:
                continue
            buffers, conflict = placed
            overlapped = depth > 1 or len(cut.pieces) == 1 or not any(sizes)
            for groups in self._groups(setting, cut):
                cycles = self._estimate(setting, cut, groups, overlapped and not conflict)
                yield LayerPlan(cut.pieces, buffers, groups, cycles)
            return

    def _place(self, setting: Setting, sizes: list[int], depth: int) -> tuple[tuple[tuple[int, ...], ...], bool] | None:
        """Buffers, and whether transfers and computing share a port of a bank and so cannot overlap."""
        config = self.config
        taken = _complement(setting.free, config.activation_bytes)
        space = FreeSpace(config.activation_bytes, config.bank_bytes, taken)
        layouts = [operand.layout for operand in (*self.task.inputs, self.task.output)]
        banks: list[set[int]] = [
            set() if at is None else space.banks(at, layout.size)
            for at, layout in zip(setting.resident, layouts, strict=True)
        ]
        out: list[tuple[int, ...]] = [() for _ in sizes]
        last = len(sizes) - 1
        for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
            if not sizes[i]:
                continue
            avoid = set().union(*banks[:last]) if i == last else banks[last]
            addresses = []
            for _ in range(depth):
                at = space.take(align_up(sizes[i], config.bus_bytes), avoid)
                if at is None:
                    return None
                addresses.append(at)
                banks[i] |= space.banks(at, sizes[i])
            out[i] = tuple(addresses)
        loaded: set[int] = set().union(*(b for b, size in zip(banks[:last], sizes, strict=False) if size))
        read: set[int] = set().union(*banks[:last])
        conflict = bool(loaded & banks[last]) or bool(setting.stored and read & banks[last])
        return tuple(out), conflict

    def _groups(self, setting: Setting, cut: Pieces) -> Iterator[Groups | None]:
        task, config = self.task, self.config
        if not isinstance(task, ConvTask):
            yield None
            return
        tiles = task.channel_tiles(config)
        part = task.geometry.whole_part
        for each in _sizes(tiles):
            block, records = weight_bytes(config, part, each), record_bytes(config, each)
            if block > config.weight_bytes or records > config.channel_bytes:
                continue
            count = -(-tiles // each)
            if count * block <= config.weight_bytes:
                yield Groups(each, True, False, (part,))
                continue
            yield Groups(each, False, False, (part,))
            if len(cut.pieces) > 1 and setting.resident[-1] is not None and not setting.stored:
                yield Groups(each, False, True, (part,))

    # Estimates.

    def _estimate(self, setting: Setting, cut: Pieces, groups: Groups | None, overlapped: bool) -> float:
        config = self.config
        compute = float(self._compute_cycles(cut, groups))
        rate = config.memory.bytes_per_cycle
        latency = config.memory.latency
        count = len(cut.pieces)
        streamed = [i for i, at in enumerate(setting.resident[:-1]) if at is None]
        inputs = sum(cut.total[i] for i in streamed)
        stored = cut.total[-1] if setting.stored else 0
        transfers = count * len(streamed)
        first = sum(cut.first[i] for i in streamed) / rate + latency
        weights = 0
        if groups is not None and isinstance(self.task, ConvTask):
            runs = -(-self.task.channel_tiles(config) // groups.tiles)
            block = weight_bytes(config, groups.parts[0], groups.tiles) + record_bytes(config, groups.tiles)
            repeats = 1 if groups.kept or groups.outer else count
            if groups.outer:
                inputs, transfers = inputs * runs, transfers * runs
            weights = runs * block * repeats
            transfers += 2 * runs * repeats
            first += block / rate + latency
            if not groups.kept and 2 * block > config.weight_bytes:
                compute += weights / rate  # nothing overlaps
        moved = (inputs + stored + weights) / rate + transfers * latency
        final = cut.last_output / rate + latency if setting.stored else 0
        if overlapped:
            return max(compute, moved) + first + final
        return compute + (inputs + stored) / rate + transfers * latency + first + final

    def _compute_cycles(self, cut: Pieces, groups: Groups | None) -> int:
        key = (id(cut), groups.tiles if groups else 0)
        if key not in self._cycles:
            shapes = Counter((p.rows, p.width, self._class(p)) for p in cut.pieces)
            self._cycles[key] = sum(n * self._piece_cycles(shape, groups) for shape, n in shapes.items())
        return self._cycles[key]

    def _class(self, piece: Region) -> object:
        """What else than its size tells a piece's cycles: windows at the edges of pools are smaller."""
        if isinstance(self.task, ConvTask):
            return ()
        rows = self.task.cut.image_rows
        return piece.row0 % rows == 0, piece.row1 % rows == 0, piece.x0 == 0

    def _piece_cycles(self, shape: tuple[int, int, object], groups: Groups | None) -> int:
        key = (shape, groups and (groups.tiles, len(groups.parts)))
        if key not in self._cycles:
            self._cycles[key] = self._count_cycles(Region(0, shape[0], 0, shape[1]), groups)
        return self._cycles[key]

    def _count_cycles(self, piece: Region, groups: Groups | None) -> int:
        task, config = self.task, self.config
        views = [View(0, operand.layout.stride) for operand in (*task.inputs, task.output)]
        if not isinstance(task, ConvTask):
            commands = task.commands(piece, tuple(views[:-1]), views[-1])
            return sum(compute_cycles(config, command) for command in commands)
        assert groups is not None
        total = 0
        for tiles in tile_groups(task.channel_tiles(config), groups.tiles):
            command = task.command(config, piece, views[0], views[1], tiles, groups.parts[0], 0, 0)
            total += compute_cycles(config, command)
        return total

    # Reductions in parts.

    def _best_in_parts(self, setting: Setting) -> LayerPlan | None:
        """One array tile at a time, its reduction in parts of weights, and of input where that does not fit."""
        task, config = self.task, self.config
        assert isinstance(task, ConvTask)
        most = min(config.weight_bytes // 2 // config.weight_word_bytes, task.geometry.steps)
        while most >= 1:
            parts = tuple(task.geometry.parts(most))
            for by_part in (False, True):
                for cut in (*self._bands, *map(self._columns, range(len(self._column_sizes)))):
                    plan = self._plan_in_parts(setting, cut, parts, by_part)
                    if plan is not None:
                        return plan
            most //= 2
        return None

    def _plan_in_parts(self, setting: Setting, cut: Pieces, parts: tuple[Part, ...], by_part: bool) -> LayerPlan | None:
        task, config = self.task, self.config
        assert isinstance(task, ConvTask)
        if by_part and setting.resident[0] is not None:
            return None
        if max(weight_bytes(config, part, 1) for part in parts) > config.weight_bytes:
            return None
        room = sum(high - low for low, high in setting.free)
        sizes = [size if at is None else 0 for size, at in zip(cut.largest, setting.resident, strict=True)]
        if sum(sizes[by_part:]) > room:
            return None
        tiles = [tile for piece in cut.pieces for tile in task.tile_regions(piece, config.rows)]
        if by_part:
            sizes[0] = max(
                task.reads_part(tile, part).transfer_bytes(config.bus_bytes) for tile in tiles for part in parts
            )
        for depth in (2, 1):
            placed = self._place(setting, sizes, depth)
            if placed is not None:
                block = sum(weight_bytes(config, part, 1) for part in parts)
                passes = len(tiles) * task.channel_tiles(config)
                cycles = passes * (block + (sizes[0] if by_part else 0)) / config.memory.bytes_per_cycle
                return LayerPlan(cut.pieces, placed[0], Groups(1, False, False, parts, by_part), cycles)
        return None

    def shortage(self, free: int) -> str:
        """What the smallest piece needs and does not get, for the message."""
        task, config = self.task, self.config
        layout, cut = task.output.layout, task.cut
        unit = math.lcm(cut.pixel_bytes, config.bus_bytes)
        piece = whole(layout)
        if not cut.whole:
            piece = Region(0, 1, 0, min(unit, layout.row_bytes))
        reads = sum(r.transfer_bytes(config.bus_bytes) for r in task.reads(piece))
        need = reads + piece.transfer_bytes(config.bus_bytes)
        return (
            f"configuration field activation_bytes = {config.activation_bytes} is too small: its smallest piece "
            f"needs {max(need, free + 1)} bytes; raise activation_bytes, or reduce the layer"
        )


def tile_groups(tiles: int, each: int) -> list[range]:
    """Channel tiles in groups of at most `each`."""
    return [range(i, min(i + each, tiles)) for i in range(0, tiles, each)]


def weight_bytes(config: Config, part: Part, tiles: int) -> int:
    """Bytes of the weight memory that the block of `tiles` channel tiles takes, whole bus words."""
    return align_up(tiles * part.steps * config.weight_word_bytes, max(config.bus_bytes, config.weight_word_bytes))


def record_bytes(config: Config, tiles: int) -> int:
    """Bytes of the channel memory that the records of `tiles` channel tiles take, whole bus words."""
    size = tiles * config.channel_groups * config.channel_word_bytes
    return align_up(size, max(config.bus_bytes, config.channel_word_bytes))


def _sizes(total: int) -> list[int]:
    """The distinct sizes of nearly equal pieces of `total`, largest first."""
    return sorted({-(-total // count) for count in range(1, total + 1)}, reverse=True)


def _complement(free: tuple[Interval, ...], size: int) -> list[Interval]:
    out = []
    at = 0
    for low, high in free:
        out.append((at, low))
        at = high
    out.append((at, size))
    return [(low, high) for low, high in out if low < high]
