"""Each part of the hardware alone, in Verilator under cocotb, with random data, gaps and back-pressure."""

from __future__ import annotations

from pathlib import Path

import pytest
from rtl_bench import run_bench

from intaglio.hw.array import Array

SHAPES = [(3, 5), (4, 4), (8, 2)]


@pytest.mark.parametrize(("rows", "cols"), SHAPES, ids=lambda n: str(n))
def test_array(rows: int, cols: int, tmp_path: Path) -> None:
    run_bench(Array(rows, cols), "bench_array", tmp_path, rows=rows, cols=cols)
