"""Cycles of a compute command: the one place where they are counted for mapper and simulator.

Exact, not modelled: the core's schedule is fixed by the command, and tests hold these formulas against the RTL. What a stage takes
is latency.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter

from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.isa import Command, conv_pixels
from intaglio.machine.opcodes import ByOpcode, Engine, Opcode

_ADD_SUMS = latency.ACTIVATION_READ + 1 + latency.OPERAND_SCALE + latency.ADD_SUM
"""Cycles from the read of a chunk of b to its lower sums: the choice of the half, the scale."""
Fields = Command | Mapping[str, int]
"""A command, or as many of its fields as its cycles depend on."""


@dataclass(frozen=True)
class ConvTiming:
    """Cycles within a CONV command. steps: useful steps of a tile. slots: its slots' cycles. tile: slots and idle
    cycles. total: the command's."""

    steps: int
    slots: int
    tile: int
    total: int


def write_end(config: Config, c: Fields) -> int:
    """Cycles from a command's last written pass at the requantizers to its end; only table is read."""
    return latency.write_end(config.rounding, c["table"] > 0)


def least_tile_cycles(config: Config, c: Fields) -> int:
    """The fewest cycles (slots and idle) of a tile of a CONV; only split, pixel_tiles, rows_per_tile, last_pixels,
    channel_tiles and last_channels are read.

    (1) A tile's passes must fit. (2) Its sums wait cols + 1 cycles for the last column, in one of the drain memory's two
    halves, which the tile after the next one overwrites. (3) From the last sum of a tile to that of the next one
    (hw.drain_writer counts by them) are latency.LEAST_TILE cycles: a channel tile's last tile of pixels, whose rows in use
    are fewer, has its last sum so many cycles sooner. Behind the command's own last one nothing follows.
    """
    rows = c["rows_per_tile"] if c["pixel_tiles"] > 1 else c["last_pixels"]
    pixels = 1 if c["split"] else rows
    several = c["channel_tiles"] > 1
    groups = -(-(config.cols if several else c["last_channels"]) // config.requantizers)
    wait = config.cols + 1 + (pixels - 1) * (groups - 1)
    sooner = rows - c["last_pixels"] if several else 0
    return max(pixels * groups, -(-wait // 2), latency.LEAST_TILE + sooner)


_CONV_FIELDS = (
    "kernel_rows",
    "kernel_cols",
    "chunks",
    "chunk_bytes",
    "last_chunk_bytes",
    "slot_cycles",
    "last_slot_cycles",
    "idle_cycles",
    "pixel_tiles",
    "channel_tiles",
    "last_pixels",
    "last_channels",
    "split",
    "table",
)
_conv_fields = itemgetter(*_CONV_FIELDS)


def conv_timing(config: Config, c: Command) -> ConvTiming:
    return conv_timing_of(config, c, c["drain_from"] < conv_pixels(c))


def conv_timing_of(config: Config, c: Fields, drains: bool) -> ConvTiming:
    """drains: whether any sum leaves, in place of drain_from. Of a mapping the fields before that one."""
    (
        kernel_rows,
        kernel_cols,
        chunks,
        chunk_bytes,
        last_chunk_bytes,
        slot_cycles,
        last_slot_cycles,
        idle_cycles,
        pixel_tiles,
        channel_tiles,
        last_pixels,
        last_channels,
        split,
        table,
    ) = _conv_fields(c)
    runs = kernel_rows * kernel_cols
    steps = runs * ((chunks - 1) * chunk_bytes + last_chunk_bytes)
    slots = runs * ((chunks - 1) * slot_cycles + last_slot_cycles)
    tile = slots + idle_cycles
    # From the first slot's first cycle to the last step of the last tile, which does not wait for its slot.
    before = (pixel_tiles * channel_tiles - 1) * tile + slots - last_slot_cycles
    # With `split` one pixel leaves, whose sum row 1 completes, a cycle after row 0.
    passes = (1 if split else last_pixels) * -(-last_channels // config.requantizers)
    write = latency.write_end(config.rounding, table > 0) if drains else latency.PARTIAL_WRITE
    total = latency.COMMAND_START + before + last_chunk_bytes + split + _last_passes(config, passes) + write - 1
    return ConvTiming(steps, slots, tile, total)


def _last_passes(config: Config, passes: int) -> int:
    """Cycles from the step that completes the sum with which a tile's passes begin, to the last pass's sums."""
    to_array = latency.SEQUENCER_REQUEST + latency.ACTIVATION_READ + latency.FEED_ROWS
    return to_array + latency.array(config.packed) + config.cols + 1 + passes + latency.DRAIN_PASS


@dataclass(frozen=True)
class DepthwiseTiming:
    """Cycles within a DEPTHWISE command. tile, last_tile: of a tile and of one in the last row of patches, idle cycles
    included. total: the command's."""

    tile: int
    last_tile: int
    total: int


def depthwise_timing(config: Config, c: Fields) -> DepthwiseTiming:
    tile = c["raster_rows"] * c["raster_cols"] + c["idle_cycles"]
    last_tile = c["last_raster_rows"] * c["raster_cols"] + c["idle_cycles"]
    tiles = c["channel_tiles"] * c["patches_across"] * ((c["patches_down"] - 1) * tile + last_tile)
    # The last row of the array in use takes its last tap with the last pixel of the raster.
    passes = c["last_patch_rows"] * c["last_patch_cols"] * -(-c["last_channels"] // config.requantizers)
    write = write_end(config, c)
    total = latency.COMMAND_START + tiles - c["idle_cycles"] + _last_passes(config, passes) + write - 1
    return DepthwiseTiming(tile, last_tile, total)


def pool_pixel_cycles(config: Config, window: int, channels: int) -> int:
    """Cycles from one pixel of a POOL with windows of `window` elements to the next.

    A slab, up to config.slab_channels channels, is read an element of the window a cycle, while the slab before leaves by
    passes of the requantizers: it takes as long as the longer of the two, and latency.LEAST_SLAB at least.
    """
    return sum(_slab_cycles(config, window, channels))


def _slab_cycles(config: Config, window: int, channels: int) -> tuple[int, int]:
    """Cycles of all of a pixel's slabs but the last one, and of that one."""
    slabs, last = divmod(channels - 1, config.slab_channels)
    most, passes = config.slab_channels // config.requantizers, last // config.requantizers + 1
    return slabs * max(window, most, latency.LEAST_SLAB), max(window, passes, latency.LEAST_SLAB)


def pool_cycles(config: Config, c: Fields) -> int:
    """As compute_cycles, of a POOL; only kernel_rows, kernel_cols, region_rows, region_cols, channels, hold and
    table are read."""
    window = c["kernel_rows"] * c["kernel_cols"]
    passes = (c["channels"] - 1) % config.slab_channels // config.requantizers + 1
    before, last = _slab_cycles(config, window, c["channels"])
    reads = (
        c["region_rows"] * c["region_cols"] * (before + last) - last + window
    )  # to the last; its slab's passes follow
    tail = 0 if c["hold"] else passes - 1 + write_end(config, c)
    return latency.COMMAND_START + reads + latency.ACTIVATION_READ + latency.POOL_SUM + tail


_IDLE_FIELDS = (
    "raster_rows",
    "last_raster_rows",
    "raster_cols",
    "kernel_rows",
    "kernel_cols",
    "patches_down",
    "patches_across",
    "channel_tiles",
    "patch_rows",
    "last_patch_rows",
    "patch_cols",
    "last_patch_cols",
    "tile_channels",
    "last_channels",
)
_idle_fields = itemgetter(*_IDLE_FIELDS)


def least_idle_cycles(config: Config, c: Fields) -> int:
    """The fewest idle_cycles with which the drain keeps up with a DEPTHWISE command.

    The passes of a tile begin cols + 1 cycles after its last row's sum leaves the array (all others left before), and
    (1) they end before those of the next tile begin: from last sum to last sum are the next tile's raster and the idle
    cycles; (2) they are in one half of the drain memory, which the tile after the next one fills from its first row's sum
    on; (3) tiles are latency.LEAST_TILE cycles apart. The first row's sum leaves kernel_rows - 1 raster rows and kernel_cols
    cycles after its tile began. Exact for one pass a patch; for more (2) asks for some cycles too many, since later rows and
    columns are overwritten later.
    """
    return _least_idle(config.cols, config.requantizers, *_idle_fields(c))


@lru_cache(maxsize=1 << 16)
def _least_idle(
    cols: int,
    requantizers: int,
    raster_rows: int,
    last_raster_rows: int,
    raster_cols: int,
    kernel_rows: int,
    kernel_cols: int,
    patches_down: int,
    patches_across: int,
    channel_tiles: int,
    patch_rows: int,
    last_patch_rows: int,
    patch_cols: int,
    last_patch_cols: int,
    tile_channels: int,
    last_channels: int,
) -> int:
    def tiles() -> Iterator[tuple[int, int]]:
        """(raster cycles, passes) of the tiles in order, of repetitions three: every pair of neighbours is there."""
        for tile_c in range(count := min(channel_tiles, 3)):
            groups = -(-(last_channels if tile_c == count - 1 else tile_channels) // requantizers)
            for down in range(rows := min(patches_down, 3)):
                high, outputs = (last_raster_rows, last_patch_rows) if down == rows - 1 else (raster_rows, patch_rows)
                for across in range(columns := min(patches_across, 3)):
                    wide = last_patch_cols if across == columns - 1 else patch_cols
                    yield high * raster_cols, outputs * wide * groups

    first_sum = (kernel_rows - 1) * raster_cols + kernel_cols
    most, shortest = patch_rows * patch_cols * -(-tile_channels // requantizers), last_raster_rows * raster_cols
    order = list(tiles())
    idle = max(0, latency.LEAST_TILE - shortest) if len(order) > 1 else 0
    if most <= shortest and cols + most <= shortest + first_sum:
        return idle  # whichever tile follows on whichever
    for at, (_, passes) in enumerate(order[:-1]):
        following = order[at + 1][0]
        idle = max(idle, passes - following)
        if at + 2 < len(order):
            # A pass that reads in the cycle of a write still reads what was there.
            idle = max(idle, -(-(cols + passes - following - first_sum) // 2))
    return idle


def add_cycles(config: Config, c: Fields) -> int:
    """As compute_cycles, of an ADD; only rows, row_bytes and table are read."""
    chunk = 2 * config.requantizers
    chunks = -(-c["row_bytes"] // chunk)
    wide = c["row_bytes"] - (chunks - 1) * chunk > config.requantizers
    results = write_end(config, c)
    start = latency.COMMAND_START + (0 if config.add_multipliers else latency.OPERAND_WAIT)
    return start + 2 * c["rows"] * chunks + _ADD_SUMS + wide + results


_CYCLES: ByOpcode[Callable[[Config, Command], int]] = ByOpcode(
    "timing",
    {
        Opcode.CONV: lambda config, c: conv_timing(config, c).total,
        Opcode.ADD: add_cycles,
        Opcode.POOL: pool_cycles,
        Opcode.DEPTHWISE: lambda config, c: depthwise_timing(config, c).total,
    },
    Engine.COMPUTE,
)


def compute_cycles(config: Config, c: Command) -> int:
    """Cycles from the handshake that starts the command to its retirement, both counted.

    Raises LookupError for a command that COMPUTE does not execute.
    """
    return _CYCLES[c.opcode](config, c)


_ON_ARRAY: ByOpcode[bool] = ByOpcode(
    "on the array",
    {Opcode.CONV: True, Opcode.DEPTHWISE: True, Opcode.ADD: False, Opcode.POOL: False},
    Engine.COMPUTE,
)


def head_cycles(opcode: Opcode) -> int:
    """Cycles of a command from its handshake to its first read of the activation memory: what may lie beside the end of the
    command before.

    Raises LookupError for an opcode that COMPUTE does not execute.
    """
    return latency.COMMAND_START + (latency.SEQUENCER_REQUEST if _ON_ARRAY[opcode] else 0)


_END_KNOWN: ByOpcode[Callable[[Config, Command], int]] = ByOpcode(
    "end known",
    {
        Opcode.CONV: lambda config, c: write_end(config, c) if c["drain_from"] < conv_pixels(c) else latency.KEEP_END,
        Opcode.ADD: write_end,
        Opcode.POOL: lambda config, c: latency.HOLD_END if c["hold"] else write_end(config, c),
        Opcode.DEPTHWISE: write_end,
    },
    Engine.COMPUTE,
)


def end_known(config: Config, c: Command) -> int:
    """Cycles up to the command's end, its last one counted, from which on COMPUTE knows when that will be.

    Raises LookupError for a command that COMPUTE does not execute.
    """
    return _END_KNOWN[c.opcode](config, c)


def lead_cycles(config: Config, before: Command, c: Command) -> int:
    """Cycles by which a command may begin before the one `before` it has ended (hw.turnover): its head's, or as many as
    that end is known ahead. Its first read comes behind that end all the same."""
    return min(head_cycles(c.opcode), end_known(config, before))


def added_cycles(config: Config, c: Command) -> int:
    """The fewest cycles that a command takes behind another: those that do not lie beside that one's end."""
    return compute_cycles(config, c) - head_cycles(c.opcode)
