"""Random networks and large layers on accelerators whose memories hold next to nothing of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.machine.config_files import load_config
from intaglio.network.graph import Padding
from intaglio.network.tflite.importer import load_tflite
from tests.networks import random_network

SETTINGS = [
    ["activation_bytes=512", "activation_banks=1", "weight_bytes=256", "channel_bytes=64"],
    ["activation_bytes=1024", "activation_banks=4", "weight_bytes=512", "channel_bytes=64", "bus_bytes=16"],
    ["rows=3", "cols=5", "activation_bytes=512", "weight_bytes=256", "channel_bytes=128", "bus_bytes=32"],
    [
        "rows=3",
        "cols=5",
        "activation_bytes=2048",
        "weight_bytes=1024",
        "channel_bytes=256",
        "bus_bytes=4",
        "memory.bytes_per_cycle=4",
        "feed_bytes=32",
    ],
]


@pytest.mark.parametrize("setting", range(len(SETTINGS)))
@pytest.mark.parametrize("seed", [307, 301, 302, 303, 304, 305])
def test_random_networks(seed: int, setting: int, tmp_path: Path) -> None:
    """Seed 307 in the first setting needs its input by part and its weights whole."""
    network = random_network(seed, tmp_path / "net.tflite")
    print(f"seed {seed}, setting {setting}:\n{network.description}")
    check(load_tflite(network.path), load_config("tiny16", SETTINGS[setting]), seed=seed)


@pytest.mark.parametrize("name", ["tiny16", "edge64"])
def test_long_reductions(name: str) -> None:
    b = Builder(1)
    x = b.conv(b.input(1, 7, 7, 512), 16, (3, 3), padding=Padding(1, 1, 1, 1))
    y = b.dense(b.input(1, 4096), 1000)
    check(b.graph(x, y), load_config(name))


def test_wide_pixels() -> None:
    b = Builder(2)
    x = b.conv(b.input(1, 3, 3, 4096), 8, (3, 3), padding=Padding(1, 1, 1, 1))
    y = b.conv(b.input(1, 3, 5, 8), 4093, (1, 1))
    check(b.graph(x, y), load_config("tiny16"))
