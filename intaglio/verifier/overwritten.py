"""Commands whose input and output lie in each other's gaps, byte by byte: a layer that reads some channels of a tensor and writes
others of the same pixels. Footprints count what lies between pixels as touched; here nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, conv_pixels, conv_rows
from intaglio.machine.opcodes import ByOpcode, Engine, Opcode

_Bytes = Iterator[np.ndarray]
_WORD = 1 << 32


def overwrites_input(config: Config, command: Command) -> bool:
    """True if a COMPUTE command, legal and within the memory, writes a byte that it also reads."""
    if command.opcode is Opcode.ADD:
        return True  # its footprints have no gaps
    read = np.zeros(config.activation_bytes, bool)
    reads, writes = _TOUCHED[command.opcode]
    for at in reads(command):
        read[at] = True
    return any(bool(read[at].any()) for at in writes(config, command))


def _conv_reads(c: Command) -> _Bytes:
    """The bytes of each row of pixels for each kernel row."""
    fed, width = conv_rows(c), c["region_width"]
    run = (c["chunks"] - 1) * c["chunk_bytes"] + c["last_chunk_bytes"]
    stride = c["kernel_row_step"] // c["dilation_rows"]
    for oy in range(-(-fed // width)):
        pixels = np.arange(min(width, fed - oy * width)) * c["x_step"]
        taps = np.arange(c["kernel_cols"]) * c["kernel_x_step"]
        x = c["x_start"] + np.add.outer(np.add.outer(pixels, taps), np.arange(run)).ravel()
        x = x[(x >= 0) & (x < c["in_row_bytes"])]
        for kh in range(c["kernel_rows"]):
            y = oy * c["stride_rows"] + kh * c["dilation_rows"]
            if 0 <= c["iy_start"] + y < c["in_rows"]:
                back = c["wrap_bytes"] if c["iy_start"] + y >= c["wrap_iy"] else 0
                yield (c["origin"] + y * stride - back + x - c["x_start"]) % _WORD


def _conv_writes(config: Config, c: Command) -> _Bytes:
    channels = np.arange((c["channel_tiles"] - 1) * config.cols + c["last_channels"])
    pixel = np.arange(c["drain_from"], conv_pixels(c))
    row, column = np.divmod(pixel, c["region_width"])
    begins = c["out_base"] + row * c["out_row_stride"] + column * c["out_pixel_stride"]
    yield np.add.outer(begins, channels).ravel()


def _depthwise_reads(c: Command) -> _Bytes:
    channels = np.arange((c["channel_tiles"] - 1) * c["tile_channels"] + c["last_channels"])
    patches = np.arange(c["patches_across"]) * c["patch_x_step"]
    along = np.add.outer(patches, np.arange(c["raster_cols"]) * c["x_step"]).ravel()
    along = along[(c["x_start"] + along >= 0) & (c["x_start"] + along < c["in_row_bytes"])]
    at = np.add.outer(along, channels).ravel()
    for down in range(c["patches_down"]):
        rows = c["raster_rows"]
        if down == c["patches_down"] - 1:
            rows = min(rows, c["last_raster_rows"])
        for y in range(rows):
            iy = c["iy_start"] + down * c["patch_iy_step"] + y * c["dilation_rows"]
            if 0 <= iy < c["in_rows"]:
                back = c["wrap_bytes"] if iy >= c["wrap_iy"] else 0
                yield (c["origin"] + down * c["patch_row_step"] + y * c["row_step"] - back + at) % _WORD


def _depthwise_writes(_: Config, c: Command) -> _Bytes:
    channels = np.arange((c["channel_tiles"] - 1) * c["tile_channels"] + c["last_channels"])
    for across in range(c["patches_across"]):
        last = across == c["patches_across"] - 1
        columns = np.arange(c["last_patch_cols"] if last else c["patch_cols"]) * c["out_pixel_stride"]
        for down in range(c["patches_down"]):
            last = down == c["patches_down"] - 1
            rows = np.arange(c["last_patch_rows"] if last else c["patch_rows"]) * c["out_row_stride"]
            begin = c["out_base"] + down * c["out_patch_row_step"] + across * c["out_patch_step"]
            yield begin + np.add.outer(np.add.outer(rows, columns), channels).ravel()


def _pool_reads(c: Command) -> _Bytes:
    columns = np.arange(c["region_cols"]) * c["x_step"]
    taps = np.arange(c["kernel_cols"]) * c["kernel_x_step"]
    x = np.add.outer(np.add.outer(columns, taps), np.arange(c["channels"])).ravel()
    for y in range(c["region_rows"]):
        for kh in range(c["kernel_rows"]):
            line = (y * c["row_step"] + kh * c["in_row_stride"]) % _WORD
            back = c["wrap_bytes"] if c["wrap_bytes"] and line >= c["wrap_from"] else 0
            yield (c["in_base"] + line - back + x) % _WORD


def _pool_writes(_: Config, c: Command) -> _Bytes:
    if not c["hold"]:
        columns = np.arange(c["region_cols"]) * c["out_pixel_stride"]
        x = np.add.outer(columns, np.arange(c["channels"])).ravel()
        for y in range(c["region_rows"]):
            yield c["out_base"] + y * c["out_row_stride"] + x


def _none(c: Command) -> _Bytes:
    yield from ()


def _nothing(_: Config, c: Command) -> _Bytes:
    yield from ()


_TOUCHED: ByOpcode[tuple[Callable[[Command], _Bytes], Callable[[Config, Command], _Bytes]]] = ByOpcode(
    "bytes touched",
    {
        Opcode.CONV: (_conv_reads, _conv_writes),
        Opcode.DEPTHWISE: (_depthwise_reads, _depthwise_writes),
        Opcode.POOL: (_pool_reads, _pool_writes),
        Opcode.ADD: (_none, _nothing),
    },
    Engine.COMPUTE,
)
"""Addresses in the activation memory that a command reads, and that it writes; ADD's are its footprints."""
