"""The whole accelerator in Verilator under cocotb, at three shapes of the array, one of them not square."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl_bench import run_bench

from intaglio.hw.accelerator import Accelerator
from intaglio.machine.config import Config, MemoryConfig

SHAPES = {
    "4x4": dict(rows=4, cols=4, requantizers=2, bus_bytes=8),
    "2x5": dict(rows=2, cols=5, requantizers=3, bus_bytes=4, axi_cache=3, write_after_address=True, tables=2),
    "8x8": dict(rows=8, cols=8, requantizers=4, bus_bytes=16),
}
HEAVY = {"8x8"}


@pytest.mark.parametrize(
    "shape", [pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in SHAPES]
)
def test_accelerator(shape: str, tmp_path: Path) -> None:
    config = Config(
        activation_bytes=8192,
        weight_bytes=8192,
        channel_bytes=1024,
        memory=MemoryConfig(bytes_per_cycle=4),
        **SHAPES[shape],
    )
    run_bench(Accelerator(config), "bench_accelerator", tmp_path, config=config.to_dict(), networks=3)
