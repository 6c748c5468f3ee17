"""Every counter and address of a command beyond half of its range: the RTL equals the host in memory, cycles and counters.

A register that is too narrow by one bit or more shows only in commands as long, wide or deep as these.
"""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine.config import KIB, Config
from intaglio.machine.isa import Command, Opcode, RoundingCode, conv_pixels
from intaglio.machine.timing import least_idle_cycles, least_tile_cycles
from intaglio.sim.engines import run_program
from intaglio.sim.rtl import simulate
from tests.sim.programs import program_of, random_image

LARGE = Config(
    name="large",
    rows=3,
    cols=2,
    requantizers=1,
    activation_bytes=128 * KIB,
    weight_bytes=128 * KIB,
    channel_bytes=64 * KIB,
    partial_bytes=8 * KIB,
    bus_bytes=16,
    depthwise_delay=256,
)
"""Memories large beside an array that is quickly built."""
MANY = 40_000
"""More than half of what 16 bits hold."""
OUT = 83 * KIB
"""Inputs lie below, outputs from here on."""
_OUTPUT = {
    "out_base": OUT + 3,
    "out_zero_point": -7,
    "clamp_min": -128,
    "clamp_max": 127,
    "rounding": RoundingCode.SINGLE,
}


def conv(**fields: int) -> Command:
    """One pixel of one channel by a 1x1 kernel over one byte, but for `fields`; idle_cycles are the fewest if not given."""
    f = {
        "origin": 5,
        "in_row_bytes": 1,
        "in_rows": 1,
        "stride_rows": 1,
        "x_step": 1,
        "row_step": 1,
        "kernel_rows": 1,
        "dilation_rows": 1,
        "kernel_row_step": 1,
        "kernel_cols": 1,
        "chunks": 1,
        "kernel_x_step": 1,
        "chunk_bytes": 1,
        "last_chunk_bytes": 1,
        "weight_base": 3,
        "channel_base": 1,
        "region_width": 1,
        "pixel_tiles": 1,
        "rows_per_tile": 1,
        "last_pixels": 1,
        "channel_tiles": 1,
        "last_channels": 1,
        "in_zero_point": 11,
        "weight_zero_point": -3,
        "start": 1,
        "out_row_stride": 1,
        "out_pixel_stride": 1,
        "wrap_iy": (1 << 17) - 1,
        **_OUTPUT,
        **fields,
    }
    f["origin"] %= 1 << 32
    f.setdefault("slot_cycles", max(f["rows_per_tile"], f["chunk_bytes"]))
    f.setdefault("last_slot_cycles", max(f["rows_per_tile"], f["last_chunk_bytes"]))
    slots = f["kernel_rows"] * f["kernel_cols"] * ((f["chunks"] - 1) * f["slot_cycles"] + f["last_slot_cycles"])
    f.setdefault("idle_cycles", max(0, least_tile_cycles(LARGE, Command(Opcode.CONV, f)) - slots))
    return Command(Opcode.CONV, f)


def row_of_pixels(**fields: int) -> Command:
    """MANY output pixels of a row longer than half of the memory, by two taps far apart, with padding at both of its ends."""
    return conv(
        **{
            "origin": 5 - 100,
            "x_start": -100,
            "in_row_bytes": 84_000,
            "x_step": 2,
            "kernel_cols": 2,
            "kernel_x_step": 4_050,
            "region_width": MANY,
            "pixel_tiles": -(-MANY // 3),
            "rows_per_tile": 3,
            "last_pixels": (MANY - 1) % 3 + 1,
            **fields,
        }
    )


def depthwise(**fields: int) -> Command:
    """One output by a 1x1 kernel, but for `fields`."""
    f = {
        "origin": 5,
        "in_row_bytes": 1,
        "in_rows": 1,
        "dilation_rows": 1,
        "x_step": 1,
        "row_step": 1,
        "patch_iy_step": 1,
        "patch_row_step": 1,
        "patch_x_step": 1,
        "kernel_rows": 1,
        "kernel_cols": 1,
        "raster_rows": 1,
        "last_raster_rows": 1,
        "raster_cols": 1,
        "tap_delay": 1,
        "patch_delay": 1,
        "weight_base": 3,
        "channel_base": 1,
        "patches_down": 1,
        "patches_across": 1,
        "patch_rows": 1,
        "last_patch_rows": 1,
        "patch_cols": 1,
        "last_patch_cols": 1,
        "tile_pixels": 1,
        "last_tile_pixels": 1,
        "channel_tiles": 1,
        "tile_channels": 1,
        "last_channels": 1,
        "in_zero_point": 9,
        "out_row_stride": 1,
        "out_pixel_stride": 1,
        "out_patch_row_step": 1,
        "out_patch_step": 1,
        "wrap_iy": (1 << 17) - 1,
        **_OUTPUT,
        **fields,
    }
    f["origin"] %= 1 << 32
    f.setdefault("idle_cycles", least_idle_cycles(LARGE, Command(Opcode.DEPTHWISE, f)))
    return Command(Opcode.DEPTHWISE, f)


def add(**fields: int) -> Command:
    return Command(
        Opcode.ADD,
        {
            "a_base": 5,
            "a_row_stride": 1,
            "b_base": 40_001,
            "b_row_stride": 1,
            "row_bytes": 1,
            "rows": 1,
            "mult_a": 1 << 30,
            "mult_b": 3 << 29,
            "shift_a": -1,
            "shift_b": -2,
            "zero_a": 3,
            "zero_b": -4,
            "mult_out": 1 << 30,
            "shift_out": -18,
            "out_row_stride": 1,
            **_OUTPUT,
            **fields,
        },
    )


def pool(**fields: int) -> Command:
    """One window of one element, but for `fields`."""
    return Command(
        Opcode.POOL,
        {
            "in_base": 5,
            "in_row_stride": 1,
            "row_step": 1,
            "x_step": 1,
            "kernel_rows": 1,
            "kernel_cols": 1,
            "kernel_x_step": 1,
            "region_rows": 1,
            "region_cols": 1,
            "channels": 1,
            "mult_out": 1 << 30,
            "shift_out": 1,
            "bias": 50,
            "out_row_stride": 1,
            "out_pixel_stride": 1,
            "wrap_from": (1 << 32) - 1,
            **_OUTPUT,
            **fields,
        },
    )


AVERAGE = {"mult_out": 1 << 30, "shift_out": -12}
KEPT = {
    "start": 1,
    "drain_from": 1_900,
    "partial_base": 140,
    "region_width": 1_900,
    "pixel_tiles": 634,
    "last_pixels": 1,
}

CASES: dict[str, list[Command]] = {
    "conv-wide": [row_of_pixels()],
    "conv-tiles": [row_of_pixels(pixel_tiles=MANY, rows_per_tile=1, last_pixels=1)],
    "conv-tall": [
        conv(
            origin=5 - 30_000,
            iy_start=-30_000,
            in_rows=65_000,
            region_width=1,
            kernel_rows=3,
            dilation_rows=29_000,
            kernel_row_step=29_000,
            pixel_tiles=-(-MANY // 3),
            rows_per_tile=3,
            last_pixels=(MANY - 1) % 3 + 1,
        ),
    ],
    "conv-strides": [
        conv(
            origin=5 - 2 * 32_768,
            iy_start=-2 * 32_768,
            in_rows=65_535,
            stride_rows=65_535,
            row_step=65_535,
            region_width=1,
            kernel_rows=2,
            dilation_rows=65_535,
            kernel_row_step=65_535,
            rows_per_tile=2,
            last_pixels=2,
            wrap_iy=65_000,
            wrap_bytes=1_000,
        ),
    ],
    "conv-deep": [
        conv(in_row_bytes=MANY, chunks=MANY),
        conv(in_row_bytes=MANY, kernel_cols=MANY),
        conv(in_rows=MANY, kernel_rows=MANY),
        conv(in_row_bytes=8 * 8_000, chunks=8_000, chunk_bytes=8, last_chunk_bytes=8),
    ],
    "conv-channels": [conv(channel_tiles=1_900, last_channels=2)],
    "conv-waits": [
        conv(region_width=2, pixel_tiles=2, idle_cycles=70_000),
        conv(in_row_bytes=2, kernel_cols=2, slot_cycles=MANY, last_slot_cycles=65_535),
        conv(in_row_bytes=4, chunks=2, chunk_bytes=2, last_chunk_bytes=2, slot_cycles=65_535, last_slot_cycles=MANY),
    ],
    "conv-records": [row_of_pixels(early_pixels=MANY - 5, early_base=2_100, channel_base=4_000, weight_base=65_500)],
    "conv-sums": [
        row_of_pixels(**KEPT | {"drain_from": 1_000}),
        row_of_pixels(**KEPT),
        row_of_pixels(**KEPT | {"start": 0}),
        row_of_pixels(**KEPT | {"start": 0, "drain_from": 0}),
    ],
    "depthwise-deep": [
        depthwise(in_row_bytes=MANY, kernel_cols=MANY, raster_cols=MANY, patch_delay=200),
        depthwise(in_rows=MANY, kernel_rows=MANY, raster_rows=MANY, last_raster_rows=MANY, tap_delay=200),
    ],
    "depthwise-many": [
        depthwise(origin=5 - 100, x_start=-100, in_row_bytes=79_000, patches_across=MANY, patch_x_step=2),
        depthwise(
            origin=5 - 2_000, iy_start=-2_000, in_rows=65_000, patches_down=MANY, patch_iy_step=2, patch_row_step=2
        ),
        depthwise(channel_tiles=1_900, tile_channels=2, last_channels=2, in_row_bytes=3_800),
        depthwise(patches_across=2, in_row_bytes=2, idle_cycles=70_000),
    ],
    "add": [add(row_bytes=44_000), add(rows=MANY, a_row_stride=2)],
    "pool-windows": [
        pool(kernel_rows=MANY, **AVERAGE),
        pool(kernel_cols=MANY, **AVERAGE),
        pool(kernel_cols=MANY, kernel_x_step=2, maximum=1, shift_out=1, bias=0),
    ],
    "pool-regions": [
        pool(region_rows=MANY, row_step=2),
        pool(region_cols=MANY, x_step=2),
        pool(channels=44_000),
        pool(region_rows=MANY, row_step=2, wrap_from=70_000, wrap_bytes=68_000),
    ],
}


def fits(command: Command) -> bool:
    """Whether all that it writes lies behind what it reads, in the memory."""
    f = command.fields
    if command.opcode == Opcode.CONV:
        written = conv_pixels(command) * f["channel_tiles"] * f["last_channels"]
    elif command.opcode == Opcode.DEPTHWISE:
        written = f["patches_down"] * f["patches_across"] * f["channel_tiles"] * f["tile_channels"]
    else:
        written = MANY if command.opcode == Opcode.POOL else 44_000
    return f["out_base"] + written <= LARGE.activation_bytes


@pytest.mark.parametrize("name", CASES)
def test_host_equals_rtl(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(sum(name.encode()))
    hold(CASES[name], random_image(LARGE, rng), monkeypatch)


def test_sums_that_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of 255 * 255, more than 32 bits hold in all, and as many as 31 bits just do not."""
    activations, weights, channels = random_image(LARGE, np.random.default_rng(7))
    activations[:] = weights[:] = 0x80
    points = {"in_zero_point": 127, "weight_zero_point": 127}
    deep = [conv(in_row_bytes=n, chunks=n, **points) for n in (16_511, 16_520, 33_020, MANY)]
    hold(deep, [activations, weights, channels], monkeypatch)


def hold(cases: list[Command], images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [Command(c.opcode, {**c.fields, "tag": tag}) for tag, c in enumerate(cases)]
    assert all(fits(c) for c in commands)
    program = program_of(LARGE, commands, images)
    host = run_program(LARGE, program, {}, "host")
    monkeypatch.setattr(simulate, "CYCLE_LIMIT", 2 * host.cycles)  # a counter that is too narrow may never end
    rtl = run_program(LARGE, program, {}, "rtl")
    assert host.retire_cycles.tolist() == rtl.retire_cycles.tolist()
    assert np.array_equal(host.memory, rtl.memory)
    assert host.counters == rtl.counters
