"""What reports say of single DEPTHWISE commands."""

from __future__ import annotations

import numpy as np

from intaglio.analysis.bounds import inside
from intaglio.analysis.locate import _element
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Command
from intaglio.machine.timing import compute_cycles
from tests.hw.depthwise_commands import random_depthwise

CONFIG = load_config("tiny16", ["rows=6", "cols=3", "requantizers=1", "activation_bytes=4096"])


def outputs(c: Command) -> dict[int, tuple[int, int]]:
    """(pixel, channel) by address, as isa.py writes the loops."""
    out = {}
    for tile in range(c["channel_tiles"]):
        channels = c["last_channels"] if tile == c["channel_tiles"] - 1 else c["tile_channels"]
        for down in range(c["patches_down"]):
            for across in range(c["patches_across"]):
                for i in range(c["last_patch_rows"] if down == c["patches_down"] - 1 else c["patch_rows"]):
                    for j in range(c["last_patch_cols"] if across == c["patches_across"] - 1 else c["patch_cols"]):
                        at = c["out_base"] + down * c["out_patch_row_step"] + across * c["out_patch_step"]
                        at += i * c["out_row_stride"] + j * c["out_pixel_stride"] + tile * c["tile_channels"]
                        patch = down * c["patches_across"] + across
                        for n in range(channels):
                            place = patch * c["tile_pixels"] + i * c["patch_cols"] + j, tile * c["tile_channels"] + n
                            out[at + n] = place
    return out


def test_elements_are_found() -> None:
    rng = np.random.default_rng(3)
    for _ in range(30):
        command = random_depthwise(CONFIG, rng)
        written = outputs(command)
        for address in rng.choice(sorted(written), 5).tolist():
            assert _element(CONFIG, command, address) == written[address]
        assert _element(CONFIG, command, min(written) - 1) is None
        assert _element(CONFIG, command, max(written) + 1) is None


def test_causes_add_up() -> None:
    rng = np.random.default_rng(4)
    for _ in range(100):
        command = random_depthwise(CONFIG, rng)
        causes = inside(CONFIG, command)
        assert sum(causes.values()) == compute_cycles(CONFIG, command) and min(causes.values()) >= 0
        assert causes["array"] > 0
