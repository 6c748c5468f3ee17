"""The command that wrote one element of a tensor: from external memory back to a tile of the array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, conv_pixels
from intaglio.machine.opcodes import ByOpcode, Engine, Opcode
from intaglio.program.program import Program


@dataclass(frozen=True)
class Origin:
    """The compute command that wrote an element. For CONV, pixel_tile and channel_tile count the command's tiles, pixel
    and channel are the row and the column of the array; for DEPTHWISE likewise, with patches as pixel tiles; for ADD
    and POOL the tiles are 0, pixel counts the command's pixels (ADD: rows) and channel is the byte in it."""

    command: int
    opcode: str
    pixel_tile: int
    channel_tile: int
    pixel: int
    channel: int


def origin_of(config: Config, program: Program, tensor: str, index: int) -> Origin | None:
    """The origin of element `index` (counted in the tensor's order) of a tensor that has a place outside.

    None for a tensor without a place and for the program's inputs.
    """
    place = program.places.get(tensor)
    if place is None or tensor in program.inputs:
        return None
    row, x = divmod(index, place.layout.row_elements)
    found = _stored(program, place.layout.view(place.offset).address(row, x))
    if found is None:
        return None
    at, address = found
    for i in range(at - 1, -1, -1):
        command = program.commands[i]
        if command.engine == Engine.COMPUTE:
            written = _element(config, command, address)
            if written is not None:
                return _origin(config, i, command, *written)
    return None


def _stored(program: Program, external: int) -> tuple[int, int] | None:
    """The last STORE that writes an external byte, and the address on chip that it came from."""
    for i in range(len(program.commands) - 1, -1, -1):
        c = program.commands[i]
        if c.opcode != Opcode.STORE:
            continue
        row = _row_of(external - c["external"], c["rows"], c["external_stride"], c["row_bytes"])
        if row is not None:
            x = external - c["external"] - row * c["external_stride"]
            return i, c["local"] + row * c["local_stride"] + x
    return None


def _row_of(distance: int, rows: int, stride: int, row_bytes: int) -> int | None:
    """The row that holds byte `distance` after the first row's start."""
    starts = np.arange(rows, dtype=np.int64) * stride
    hits = np.nonzero((starts <= distance) & (distance < starts + row_bytes))[0]
    return int(hits[0]) if hits.size else None


def _element(config: Config, c: Command, address: int) -> tuple[int, int] | None:
    """(pixel, channel) of the result that a compute command writes to an address on chip: of DEPTHWISE, pixels counted
    by patches of tile_pixels each."""
    return _ELEMENT[c.opcode](config, c, address)


def _conv_element(config: Config, c: Command, address: int) -> tuple[int, int] | None:
    channels = (c["channel_tiles"] - 1) * config.cols + c["last_channels"]
    pixels = conv_pixels(c)
    return _region_element(c, address, c["region_width"], range(min(c["drain_from"], pixels), pixels), channels)


def _add_element(_config: Config, c: Command, address: int) -> tuple[int, int] | None:
    return _region_element(c, address, 1, range(c["rows"]), c["row_bytes"])


def _pool_element(_config: Config, c: Command, address: int) -> tuple[int, int] | None:
    pixels = c["region_rows"] * c["region_cols"]
    return _region_element(c, address, c["region_cols"], range(pixels), c["channels"])


def _region_element(c: Command, address: int, width: int, pixels: range, channels: int) -> tuple[int, int] | None:
    """Pixel and channel at an address, in a region of `width` pixels a row, of which `pixels` are written."""
    pixel = np.arange(pixels.start, pixels.stop, dtype=np.int64)
    starts = c["out_base"] + pixel // width * c["out_row_stride"] + pixel % width * c["out_pixel_stride"]
    hit = _hit(address, starts, channels)
    return None if hit is None else (pixels.start + hit[0], hit[1])


def _patch_element(_config: Config, c: Command, address: int) -> tuple[int, int] | None:
    outputs = np.arange(c["patches_down"] * c["patches_across"] * c["tile_pixels"], dtype=np.int64)
    patch, row = np.divmod(outputs, c["tile_pixels"])
    down, across = np.divmod(patch, c["patches_across"])
    i, j = np.divmod(row, c["patch_cols"])
    starts = c["out_base"] + down * c["out_patch_row_step"] + across * c["out_patch_step"]
    starts += i * c["out_row_stride"] + j * c["out_pixel_stride"]
    lines = np.where(down == c["patches_down"] - 1, c["last_patch_rows"], c["patch_rows"])
    columns = np.where(across == c["patches_across"] - 1, c["last_patch_cols"], c["patch_cols"])
    written = np.flatnonzero((i < lines) & (j < columns))
    hit = _hit(address, starts[written], (c["channel_tiles"] - 1) * c["tile_channels"] + c["last_channels"])
    return None if hit is None else (int(written[hit[0]]), hit[1])


def _hit(address: int, starts: np.ndarray, size: int) -> tuple[int, int] | None:
    """The first of the intervals of `size` bytes that holds an address, and how far it lies in it."""
    distance = (address - starts) % (1 << 32)  # the hardware's sums wrap
    hits = np.nonzero(distance < size)[0]
    return (int(hits[0]), int(distance[hits[0]])) if hits.size else None


_ELEMENT: ByOpcode[Callable[[Config, Command, int], tuple[int, int] | None]] = ByOpcode(
    "written element",
    {
        Opcode.CONV: _conv_element,
        Opcode.ADD: _add_element,
        Opcode.POOL: _pool_element,
        Opcode.DEPTHWISE: _patch_element,
    },
    Engine.COMPUTE,
)


def _no_tiles(_config: Config, c: Command) -> tuple[int, int]:
    return 0, 0


def _conv_tiles(config: Config, c: Command) -> tuple[int, int]:
    return c["rows_per_tile"] if c["pixel_tiles"] > 1 else 0, config.cols


def _patch_tiles(_config: Config, c: Command) -> tuple[int, int]:
    return c["tile_pixels"], c["tile_channels"]


_TILES: ByOpcode[Callable[[Config, Command], tuple[int, int]]] = ByOpcode(
    "tiles of a command",
    {
        Opcode.CONV: _conv_tiles,
        Opcode.ADD: _no_tiles,
        Opcode.POOL: _no_tiles,
        Opcode.DEPTHWISE: _patch_tiles,
    },
    Engine.COMPUTE,
)
"""Pixels and channels of a tile; 0 where there is one."""


def _origin(config: Config, index: int, c: Command, pixel: int, channel: int) -> Origin:
    of_tile = _TILES[c.opcode](config, c)
    (pixel_tile, pixel), (channel_tile, channel) = (
        divmod(at, size) if size else (0, at) for at, size in zip((pixel, channel), of_tile, strict=True)
    )
    return Origin(index, c.opcode.name, pixel_tile, channel_tile, pixel, channel)
