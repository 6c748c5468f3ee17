"""What each command reads and writes: bounding intervals of bytes in each memory."""

from __future__ import annotations

import enum
from typing import NamedTuple

from intaglio.hw.config import Config
from intaglio.hw.isa import Command, LocalMemory, Opcode, conv_pixels, conv_rows

WORD = 1 << 32


class Space(enum.IntEnum):
    """Memories; the local ones as in LocalMemory."""

    ACTIVATION = LocalMemory.ACTIVATION
    WEIGHT = LocalMemory.WEIGHT
    CHANNEL = LocalMemory.CHANNEL
    EXTERNAL = 3


class Access(NamedTuple):
    """Bytes [low, high) of a memory, all that lie between the first and the last byte touched."""

    space: Space
    low: int
    high: int
    write: bool


def accesses(config: Config, command: Command) -> list[Access]:
    """Every access of a legal command."""
    match command.opcode:
        case Opcode.LOAD | Opcode.STORE:
            return _transfer(command)
        case Opcode.CONV:
            return _conv(config, command)
        case Opcode.DEPTHWISE:
            return _depthwise(config, command)
        case Opcode.ADD:
            extra = command["row_bytes"]
            sides = [(command[f"{x}_base"], command[f"{x}_row_stride"], x == "out") for x in ("a", "b", "out")]
            return [
                Access(Space.ACTIVATION, base, base + (command["rows"] - 1) * stride + extra, write)
                for base, stride, write in sides
            ]
        case _:
            return _pool(command)


def _transfer(c: Command) -> list[Access]:
    out = []
    load = c.opcode is Opcode.LOAD
    sides = (
        (Space.EXTERNAL, c["external"], c["external_stride"], not load),
        (Space(c["memory"]), c["local"], c["local_stride"], load),
    )
    for space, base, stride, write in sides:
        out.append(Access(space, base, base + (c["rows"] - 1) * stride + c["row_bytes"], write))
    return out


def _pool(c: Command) -> list[Access]:
    wide = (c["region_cols"] - 1) * c["x_step"] + (c["kernel_cols"] - 1) * c["kernel_x_step"] + c["channels"]
    down = (c["region_rows"] - 1) * c["row_step"] + (c["kernel_rows"] - 1) * c["in_row_stride"]
    rows = [(0, down, 0)]  # from the first row: offsets of those read, and what they are less
    if c["wrap_bytes"]:
        lines = [
            y * c["row_step"] + kh * c["in_row_stride"] for y in range(c["region_rows"]) for kh in range(c["kernel_rows"])
        ]
        before = [line for line in lines if line % WORD < c["wrap_from"]]
        beyond = [line for line in lines if line % WORD >= c["wrap_from"]]
        rows = [(min(part), max(part), less) for part, less in ((before, 0), (beyond, c["wrap_bytes"])) if part]
    out = []
    for first, last, less in rows:
        low = c["in_base"] + first - less
        low = low % WORD if less else low
        out.append(Access(Space.ACTIVATION, low, low + last - first + wide, False))
    if c["hold"]:
        return out
    written = (c["region_rows"] - 1) * c["out_row_stride"] + (c["region_cols"] - 1) * c["out_pixel_stride"]
    return [*out, Access(Space.ACTIVATION, c["out_base"], c["out_base"] + written + c["channels"], True)]


def conv_steps(c: Command) -> int:
    """Weight words of one channel tile of a CONV."""
    run = (c["chunks"] - 1) * c["chunk_bytes"] + c["last_chunk_bytes"]
    return c["kernel_rows"] * c["kernel_cols"] * run * (2 if c["split"] else 1)


def _conv(config: Config, c: Command) -> list[Access]:
    pixels, fed = conv_pixels(c), conv_rows(c)
    last_row, width = (fed - 1) // c["region_width"], min(fed, c["region_width"])
    out = []
    iy0 = max(c["iy_start"], 0)
    iy1 = c["iy_start"] + last_row * c["stride_rows"] + (c["kernel_rows"] - 1) * c["dilation_rows"]
    iy1 = min(iy1 + 1, c["in_rows"])
    x0 = max(c["x_start"], 0)
    run = (c["chunks"] - 1) * c["chunk_bytes"] + c["last_chunk_bytes"]
    x1 = c["x_start"] + (width - 1) * c["x_step"] + (c["kernel_cols"] - 1) * c["kernel_x_step"] + run
    x1 = min(x1, c["in_row_bytes"])
    if iy0 < iy1 and x0 < x1:
        stride = c["kernel_row_step"] // c["dilation_rows"]
        for first, last, less in _conv_rows(c, last_row, iy0, iy1):
            low = (c["origin"] + (first - c["iy_start"]) * stride - less + x0 - c["x_start"]) % WORD
            out.append(Access(Space.ACTIVATION, low, low + (last - first) * stride + x1 - x0, False))
    word = config.weight_word_bytes
    low = c["weight_base"] * word
    out.append(Access(Space.WEIGHT, low, low + c["channel_tiles"] * conv_steps(c) * word, False))
    if c["drain_from"] < pixels:
        word = config.channel_word_bytes
        bases = [c["channel_base"]] if c["early_pixels"] < pixels else []
        bases += [c["early_base"]] if c["early_pixels"] > c["drain_from"] else []
        for base in bases:
            low = base * word
            out.append(Access(Space.CHANNEL, low, low + c["channel_tiles"] * config.channel_groups * word, False))
        channels = (c["channel_tiles"] - 1) * config.cols + c["last_channels"]
        last_row, width = (pixels - 1) // c["region_width"], min(pixels, c["region_width"])
        high = c["out_base"] + last_row * c["out_row_stride"] + (width - 1) * c["out_pixel_stride"] + channels
        first = c["out_base"] + c["drain_from"] // c["region_width"] * c["out_row_stride"]
        out.append(Access(Space.ACTIVATION, first, high, True))
    return out


def _conv_rows(c: Command, last_row: int, iy0: int, iy1: int) -> list[tuple[int, int, int]]:
    """(first, last, what their addresses are less) of the image rows of [iy0, iy1) that a CONV reads."""
    if not c["wrap_bytes"]:
        return [(iy0, iy1 - 1, 0)]
    starts = range(c["iy_start"], c["iy_start"] + last_row * c["stride_rows"] + 1, c["stride_rows"])
    rows = {y + kh * c["dilation_rows"] for y in starts for kh in range(c["kernel_rows"])}
    rows &= set(range(iy0, iy1))
    before, beyond = ([y for y in rows if (y >= c["wrap_iy"]) == wraps] for wraps in (False, True))
    return [(min(part), max(part), less) for part, less in ((before, 0), (beyond, c["wrap_bytes"])) if part]


def _depthwise(config: Config, c: Command) -> list[Access]:
    channels = (c["channel_tiles"] - 1) * c["tile_channels"] + c["last_channels"]
    out = []
    y_steps, x_steps = (c["patch_iy_step"], c["dilation_rows"]), (c["patch_x_step"], c["x_step"])
    heights, widths = (c["raster_rows"], c["last_raster_rows"]), (c["raster_cols"], c["raster_cols"])
    xs = _inside(c["x_start"], x_steps, c["patches_across"], widths, c["in_row_bytes"])
    across = [patch * c["patch_x_step"] + x * c["x_step"] for patch, x in xs]
    rings = [(0, c["in_rows"], 0)]  # image rows [first, end), and what their addresses are less
    if c["wrap_bytes"]:
        wrap = min(max(c["wrap_iy"], 0), c["in_rows"])
        rings = [(0, wrap, 0), (wrap, c["in_rows"], c["wrap_bytes"])]
    for first, end, less in rings:
        ys = _inside(c["iy_start"] - first, y_steps, c["patches_down"], heights, end - first)
        if ys and xs:
            rows = [down * c["patch_row_step"] + y * c["row_step"] - less for down, y in ys]
            low = (c["origin"] + min(rows) + min(across)) % WORD
            high = low + max(rows) - min(rows) + max(across) - min(across) + channels
            out.append(Access(Space.ACTIVATION, low, high, False))
    word = config.weight_word_bytes
    low = c["weight_base"] * word
    steps = c["channel_tiles"] * c["kernel_rows"] * c["kernel_cols"]
    out.append(Access(Space.WEIGHT, low, low + steps * word, False))
    word = config.channel_word_bytes
    low = c["channel_base"] * word
    out.append(Access(Space.CHANNEL, low, low + c["channel_tiles"] * config.channel_groups * word, False))
    written = max(
        down * c["out_patch_row_step"] + (rows - 1) * c["out_row_stride"]
        for down, rows in _patch_ends(c["patches_down"], c["patch_rows"], c["last_patch_rows"])
    ) + max(
        across * c["out_patch_step"] + (cols - 1) * c["out_pixel_stride"]
        for across, cols in _patch_ends(c["patches_across"], c["patch_cols"], c["last_patch_cols"])
    )
    return [*out, Access(Space.ACTIVATION, c["out_base"], c["out_base"] + written + channels, True)]


def _inside(
    start: int, steps: tuple[int, int], patches: int, lengths: tuple[int, int], limit: int
) -> list[tuple[int, int]]:
    """(i, j) with 0 <= start + i * steps[0] + j * steps[1] < limit: for each of the patches i the first and the last j of
    lengths[0], in the last patch lengths[1]. steps[1] >= 1."""
    out = []
    for i in range(patches):
        at = start + i * steps[0]
        first = max(0, -(at // steps[1]))
        last = min(lengths[i == patches - 1] - 1, (limit - 1 - at) // steps[1])
        if first <= last:
            out += [(i, first), (i, last)]
    return out


def _patch_ends(patches: int, full: int, last: int) -> list[tuple[int, int]]:
    """(patch, outputs of it) of the last patch and, where there is one, of the last that is full."""
    return [(patches - 1, last), *([(patches - 2, full)] if patches > 1 else [])]
