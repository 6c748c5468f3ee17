"""Which DEPTHWISE commands a configuration does not execute as isa.py says, and the words for it."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine.config_files import load_config
from intaglio.machine.isa import FIELDS, Command, Opcode
from intaglio.verifier.legality import faults

CONFIG = load_config(
    "tiny16",
    ["activation_bytes=4096", "weight_bytes=2048", "rounding=[double, single, away]", "weight_zero_points=false"],
)
GOOD = {  # 3 x 3, stride 1, patches of 2 x 2 outputs of an image of 6 x 6 with 8 channels
    "origin": 0,
    "in_row_bytes": 48,
    "in_rows": 6,
    "dilation_rows": 1,
    "x_step": 8,
    "row_step": 48,
    "patch_iy_step": 2,
    "patch_row_step": 96,
    "patch_x_step": 16,
    "kernel_rows": 3,
    "kernel_cols": 3,
    "raster_rows": 4,
    "last_raster_rows": 4,
    "raster_cols": 4,
    "tap_delay": 1,
    "patch_delay": 3,
    "patches_down": 2,
    "patches_across": 2,
    "patch_rows": 2,
    "last_patch_rows": 2,
    "patch_cols": 2,
    "last_patch_cols": 2,
    "tile_pixels": 4,
    "last_tile_pixels": 4,
    "channel_tiles": 2,
    "tile_channels": 4,
    "last_channels": 4,
    "out_base": 2048,
    "out_row_stride": 32,
    "out_pixel_stride": 8,
    "out_patch_row_step": 64,
    "out_patch_step": 16,
    "clamp_min": -128,
    "clamp_max": 127,
}


def reasons(config=CONFIG, **fields: int) -> list[str]:
    return list(faults(config, Command(Opcode.DEPTHWISE, {**GOOD, **fields}), 0))


def test_the_good_one() -> None:
    assert not reasons()
    assert not reasons(last_patch_rows=1, last_tile_pixels=2, last_raster_rows=3, last_patch_cols=1, last_channels=1)
    one_row = {"patch_rows": 1, "last_patch_rows": 1, "tile_pixels": 2, "last_tile_pixels": 2}
    assert not reasons(origin=100, wrap_iy=4, wrap_bytes=292) and not reasons(origin=3900, wrap_iy=-1, wrap_bytes=3900)
    assert not reasons(**one_row, raster_rows=3, last_raster_rows=3, patch_delay=17)  # no row in use needs it


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        *(
            ({name: 0}, f"{name} is 0")
            for name in (
                "in_rows",
                "in_row_bytes",
                "x_step",
                "dilation_rows",
                "kernel_rows",
                "kernel_cols",
                "raster_rows",
                "last_raster_rows",
                "raster_cols",
                "tap_delay",
                "patch_delay",
                "patches_down",
                "patches_across",
                "patch_rows",
                "last_patch_rows",
                "patch_cols",
                "last_patch_cols",
                "channel_tiles",
                "tile_channels",
                "last_channels",
            )
        ),
        ({"weight_zero_point": 1}, "weight_zero_points is not built in"),
        ({"clamp_min": 5, "clamp_max": 4}, "clamp_min"),
        ({"rounding": 3}, "rounding 'float' is not built in"),
        ({"tile_channels": 5}, "tile_channels = 5 is above cols and feed_bytes (4)"),
        ({"tile_channels": 3}, "last_channels = 4 is above tile_channels (3)"),
        ({"patch_rows": 3, "tile_pixels": 6, "raster_rows": 5}, "tile_pixels = 6 is above rows (4)"),
        ({"last_patch_rows": 3}, "last_patch_rows = 3 is above patch_rows (2)"),
        ({"last_patch_cols": 3}, "last_patch_cols = 3 is above patch_cols (2)"),
        ({"tap_delay": 18, "raster_cols": 21, "patch_delay": 3}, "tap_delay = 18 is above depthwise_delay + 1 (17)"),
        ({"patch_delay": 19}, "patch_delay = 19 is above depthwise_delay + 1 (17)"),
        ({"tile_pixels": 3}, "tile_pixels = 3 is not patch_rows * patch_cols (4)"),
        ({"last_tile_pixels": 3}, "last_tile_pixels = 3 is not last_patch_rows * patch_cols (4)"),
        ({"raster_cols": 5}, "raster_cols = 5 is not (patch_cols - 1) * tap_delay + kernel_cols"),
        ({"patch_delay": 4}, "patch_delay = 4 is not a multiple of raster_cols less"),
        ({"patch_delay": 7}, "raster_rows = 4 is not 5"),
        ({"raster_rows": 5}, "raster_rows = 5 is not 4"),
        ({"last_raster_rows": 3}, "last_raster_rows = 3 is not 4"),
        ({"patches_down": 65535, "patch_rows": 1, "kernel_rows": 60}, "tile_pixels"),
        (
            {"patches_down": 60000, "kernel_rows": 20, "raster_rows": 21, "last_raster_rows": 21},
            "reads more than 1048576 rows",
        ),
        ({"iy_start": -(1 << 17) - 1}, "looks for rows -131073 to"),
        ({"iy_start": (1 << 17) - 5}, "beyond -2**17 to 2**17 - 1"),
        ({"x_start": (1 << 31) - 20}, "beyond 2**31 - 1"),
        ({"last_channels": 4, "weight_base": 4000}, "weight memory, which has"),
        ({"channel_base": 4000}, "channel memory, which has"),
        ({"origin": 3900}, "reads bytes 3900 to 4187 of the activation memory, which has 4096"),
        ({"wrap_iy": 4, "wrap_bytes": 193}, "reads bytes 0 to 4294967342 of the activation memory"),
        (
            {"origin": 3900, "wrap_iy": 5, "wrap_bytes": 3900},
            "reads bytes 240 to 4139 of the activation memory, which has 4096",
        ),
        ({"wrap_iy": 3, "wrap_bytes": (1 << 32) - 2000}, "which it also reads"),
        ({"wrap_iy": 1 << 17}, "cannot be encoded"),
        ({"out_base": 4090}, "activation memory, which has"),
        ({"out_base": 64}, "which it also reads"),
        ({"nothing": 1}, "nothing"),
        ({"patch_rows": 256}, "cannot be encoded"),
    ],
)
def test_illegal_ones(fields: dict[str, int], message: str) -> None:
    assert any(message in reason for reason in reasons(**fields)), reasons(**fields)


def test_results_take_their_time() -> None:
    short = {
        "kernel_rows": 1,
        "kernel_cols": 1,
        "raster_rows": 2,
        "last_raster_rows": 2,
        "raster_cols": 2,
        "patch_delay": 1,
    }
    assert reasons(**short) == ["idle_cycles = 0, its results need 4"]  # 4 outputs, 2 passes each, in 4 cycles
    assert not reasons(**short, idle_cycles=4)


def test_a_narrow_feed_bounds_the_channels() -> None:
    config = load_config("tiny16", ["rows=2", "cols=16", "requantizers=2", "feed_bytes=4"])
    assert "tile_channels = 5 is above cols and feed_bytes (4)" in reasons(config, tile_channels=5)


def test_without_delay_lines() -> None:
    config = load_config("tiny16", ["depthwise_delay=0"])
    assert reasons(config) == ["is not built in (configuration field depthwise_delay is 0)"]


def test_any_value_of_any_field_gets_an_answer() -> None:
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(1500):
        field = FIELDS[Opcode.DEPTHWISE][int(rng.integers(1, len(FIELDS[Opcode.DEPTHWISE])))]
        top = 1 << (field.width - field.signed)
        value = int(rng.choice([0, 1, top - 1, top // 2, int(rng.integers(top)), -top * field.signed]))
        refused += bool(reasons(**{field.name: value}))
    assert refused > 700
