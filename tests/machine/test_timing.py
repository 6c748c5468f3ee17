"""Cycles that the configuration and the command decide, against a plain walk over the tiles."""

from __future__ import annotations

import random

from intaglio.machine.config import Config
from intaglio.machine.isa import Command, Opcode
from intaglio.machine.latency import LEAST_SLAB, LEAST_TILE
from intaglio.machine.timing import compute_cycles, least_idle_cycles, pool_pixel_cycles


def tiles_of(config: Config, f: dict[str, int]) -> list[tuple[int, int]]:
    """(cycles of the raster, passes) of every tile of a DEPTHWISE, in order."""
    out = []
    for c in range(f["channel_tiles"]):
        channels = f["last_channels"] if c == f["channel_tiles"] - 1 else f["tile_channels"]
        for down in range(f["patches_down"]):
            lower = down == f["patches_down"] - 1
            for across in range(f["patches_across"]):
                cols = f["last_patch_cols"] if across == f["patches_across"] - 1 else f["patch_cols"]
                rows = f["last_patch_rows"] if lower else f["patch_rows"]
                raster = (f["last_raster_rows"] if lower else f["raster_rows"]) * f["raster_cols"]
                out.append((raster, rows * cols * -(-channels // config.requantizers)))
    return out


def keeps_up(config: Config, f: dict[str, int], idle: int) -> bool:
    """Whether every tile's passes end before the next one's begin, and before the tile after that writes where they read;
    and tiles are as far apart as they must be."""
    begin, begins, lasts = 0, [], []
    tiles = tiles_of(config, f)
    for raster, _ in tiles:
        begins.append(begin)
        lasts.append(begin + raster)
        begin += raster + idle
    for at, (raster, passes) in enumerate(tiles):
        if at + 1 < len(tiles) and raster + idle < LEAST_TILE:
            return False
        end = lasts[at] + config.cols + passes
        if at + 1 < len(tiles) and end > lasts[at + 1] + config.cols:
            return False
        if at + 2 < len(tiles) and end > begins[at + 2] + (f["kernel_rows"] - 1) * f["raster_cols"] + f["kernel_cols"]:
            return False
    return True


def random_patches(rng: random.Random, config: Config) -> dict[str, int]:
    """The fields that count; often of rasters so short that passes do not keep up."""
    down, across = rng.randint(1, 3), rng.randint(1, 3)
    kh, kw = rng.choice([(1, 1), (1, 1), (1, 3), (2, 2), (3, 1), (3, 3)])
    ph = rng.randint(1, config.rows)
    pw = rng.randint(1, config.rows // ph)
    last_rows, last_cols = rng.randint(1, ph), rng.randint(1, pw)
    channels = rng.randint(1, config.cols)
    return {
        "kernel_rows": kh,
        "kernel_cols": kw,
        "raster_cols": (pw - 1) * across + kw,
        "raster_rows": (ph - 1) * down + kh,
        "last_raster_rows": (last_rows - 1) * down + kh,
        "patches_down": rng.randint(1, 5),
        "patches_across": rng.randint(1, 5),
        "channel_tiles": rng.randint(1, 4),
        "patch_rows": ph,
        "last_patch_rows": last_rows,
        "patch_cols": pw,
        "last_patch_cols": last_cols,
        "tile_channels": channels,
        "last_channels": rng.randint(1, channels),
    }


def test_least_idle_cycles() -> None:
    """They are enough, and one less is not, for the longest commands as for those that the function looks at."""
    rng = random.Random(3)
    some = 0
    for _ in range(6000):
        rows, cols = rng.randint(1, 12), rng.randint(1, 12)
        config = Config(rows=rows, cols=cols, requantizers=rng.randint(1, cols))
        f = random_patches(rng, config)
        idle = least_idle_cycles(config, Command(Opcode.DEPTHWISE, f))
        assert keeps_up(config, f, idle) and (idle == 0 or not keeps_up(config, f, idle - 1)), (
            rows,
            cols,
            config.requantizers,
            f,
            idle,
        )
        some += idle > 0
    assert some > 500


def test_windows_of_a_pool() -> None:
    """By slabs: a slab takes its window's elements or its passes, whichever are more; the last one's passes follow its window."""
    rng = random.Random(4)
    for _ in range(500):
        cols = rng.randint(1, 16)
        config = Config(rows=rng.randint(1, 16), cols=cols, requantizers=rng.randint(1, cols))
        f = {
            "kernel_rows": rng.randint(1, 4),
            "kernel_cols": rng.randint(1, 4),
            "region_rows": rng.randint(1, 4),
            "region_cols": rng.randint(1, 4),
            "channels": rng.randint(1, 5 * config.slab_channels),
        }
        window, left, pixel = f["kernel_rows"] * f["kernel_cols"], f["channels"], 0
        while left > 0:
            passes = -(-min(left, config.slab_channels) // config.requantizers)
            pixel += max(window, passes, LEAST_SLAB)
            left -= config.slab_channels
        assert pool_pixel_cycles(config, window, f["channels"]) == pixel
        one = compute_cycles(config, Command(Opcode.POOL, {**f, "region_rows": 1, "region_cols": 1}))
        whole = compute_cycles(config, Command(Opcode.POOL, f))
        assert whole - one == (f["region_rows"] * f["region_cols"] - 1) * pixel
        # With `hold` a window's sums stay: its passes, and what follows them, are left out.
        held = compute_cycles(config, Command(Opcode.POOL, {**f, "hold": 1}))
        latest = compute_cycles(config, Command(Opcode.POOL, {**f, "hold": 1, "channels": 1})) - compute_cycles(
            config, Command(Opcode.POOL, {**f, "channels": 1})
        )
        assert held - whole == latest - (passes - 1)
