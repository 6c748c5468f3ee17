"""Cycles of a compute command: the one place where they are counted for mapper and simulator.

Exact, not modelled: the core's schedule is fixed by the command, and tests hold these formulas against the RTL.
"""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.hw.config import Config
from intaglio.hw.isa import Command, Opcode

_MEMORY_READ = 3  # ActivationMemory.READ_LATENCY
_START = 2  # the handshake, and the pulse that starts the sequencers
FIRST_SLOT = _START
"""Cycles from the handshake that starts a CONV to its first slot."""
_FEED = 3 + _MEMORY_READ + 2  # from a slot's cycle to the array's edge
_ARRAY = 4  # Array.LATENCY
_PASS = 2  # Drain.PASS_LATENCY
_WRITE = 2  # to the cycle in which the write is in the memory, counted
_ADD = _MEMORY_READ + 1 + 5 + 1  # AddPath.OUTPUT_LATENCY
_POOL = _MEMORY_READ + 1  # PoolPath.OUTPUT_LATENCY


def requantizer_latency(rounding: tuple[str, ...]) -> int:
    """Cycles from an element's entry into a requantizer with these modes built in to its result: FLOAT takes one more
    before the product, to round the sum, and one more after the shift, to round the result."""
    return 10 if "float" in rounding else 8


@dataclass(frozen=True)
class ConvTiming:
    """Cycles within a CONV command. steps: useful steps of a tile. slots: its slots' cycles. tile: slots and idle cycles.
    total: the command's."""

    steps: int
    slots: int
    tile: int
    total: int


def least_tile_cycles(config: Config, pixels: int, groups: int) -> int:
    """The fewest cycles (slots and idle) of a tile of `pixels` rows in use and `groups` requantizer passes a row.

    Its passes must fit; and its sums wait cols + 1 cycles for the last column, in one of the drain memory's two
    halves, which the tile after the next one overwrites.
    """
    wait = config.cols + 1 + (pixels - 1) * (groups - 1)
    return max(pixels * groups, -(-wait // 2))


def conv_timing(config: Config, c: Command) -> ConvTiming:
    runs = c["kernel_rows"] * c["kernel_cols"]
    steps = runs * ((c["chunks"] - 1) * c["chunk_bytes"] + c["last_chunk_bytes"])
    slots = runs * ((c["chunks"] - 1) * c["slot_cycles"] + c["last_slot_cycles"])
    tile = slots + c["idle_cycles"]
    tiles = c["pixel_tiles"] * c["channel_tiles"]
    # From the first slot's first cycle to the last step of the last tile, which does not wait for its slot.
    before = (tiles - 1) * tile + slots - c["last_slot_cycles"]
    if c["drain"]:
        groups = -(-c["last_channels"] // config.requantizers)
        passes = c["last_pixels"] * groups
        tail = _FEED + _ARRAY + config.cols + 1 + passes + _PASS + requantizer_latency(config.rounding) + _WRITE - 1
        total = _START + before + c["last_chunk_bytes"] + tail - 1
    else:
        tail = _FEED + config.rows + config.cols
        total = _START + before + max(c["last_chunk_bytes"], c["last_pixels"]) + tail
    return ConvTiming(steps, slots, tile, total)


def compute_cycles(config: Config, c: Command) -> int:
    """Cycles from the handshake that starts the command to its retirement, both counted.

    Raises ValueError for a command that COMPUTE does not execute.
    """
    if c.opcode == Opcode.CONV:
        return conv_timing(config, c).total
    if c.opcode == Opcode.ADD:
        chunk = 2 * config.requantizers
        chunks = -(-c["row_bytes"] // chunk)
        wide = c["row_bytes"] - (chunks - 1) * chunk > config.requantizers
        return _START + 2 * c["rows"] * chunks + _ADD + wide + requantizer_latency(config.rounding) + _WRITE - 1
    if c.opcode == Opcode.POOL:
        groups = -(-c["channels"] // config.requantizers)
        reads = c["region_rows"] * c["region_cols"] * groups * c["kernel_rows"] * c["kernel_cols"]
        return _START + reads + _POOL + (0 if c["hold"] else requantizer_latency(config.rounding) + _WRITE - 1)
    raise ValueError(f"{c.opcode.name} is not a compute command")
