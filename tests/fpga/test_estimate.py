"""Static timing, against sums by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from netlists import Design

from intaglio.fpga.estimate import Path as SlowPath
from intaglio.fpga.estimate import slowest_paths
from intaglio.fpga.families import CellDelay, Delays

DELAYS = Delays(
    {
        "TRELLIS_FF": CellDelay(launch=1.0, ends="DI|CE"),
        "LUT4": CellDelay(arcs={".*": 10.0}),
        "CCU2C": CellDelay(arcs={"CIN COUT": 0.5, ".* COUT": 2.0, ".*": 3.0}, free="CIN"),
        "DP16KD": CellDelay(launch=5.0, ends="(?!CLK).*"),
        "TRELLIS_DPR16X4": CellDelay(arcs={"RAD.*": 7.0}, ends="DI.*"),
    },
    net=100.0,
    net_per_doubling=1000.0,
)


def paths(design: Design, folder: Path, count: int = 9) -> list[SlowPath]:
    return slowest_paths(design.read(folder), DELAYS, count)


def register(design: Design, name: str, given: str, block: str = "core", **ports: str) -> None:
    design.cell("TRELLIS_FF", f"ff {name}", f"shim.intaglio.{block}", DI=given, Q=f"intaglio.{block}.{name}", **ports)


def test_the_slower_of_two_ways_with_its_ends(tmp_path: Path) -> None:
    design = Design()
    register(design, "a", "0")
    register(design, "b", "long")
    design.cell("LUT4", "first", A="intaglio.core.a", B="1", Z="short")
    design.cell("LUT4", "second", A="short", B="intaglio.core.a", Z="long")
    # a drives two inputs: 1 + (100 + 1000) + 10, then 100 + 10, then 100.
    (path,) = paths(design, tmp_path)
    assert path == SlowPath("core.a", "core.b", pytest.approx(1321.0), 2)


def test_carries_take_no_net(tmp_path: Path) -> None:
    design = Design()
    register(design, "a", "0")
    register(design, "b", "sum")
    design.cell("CCU2C", "low", A0="intaglio.core.a", COUT="carry")
    design.cell("CCU2C", "high", CIN="carry", S0="sum")
    (path,) = paths(design, tmp_path)
    assert path.delay_ns == pytest.approx(1 + 100 + 2 + 3 + 100) and path.levels == 2


def test_memories_begin_and_end_paths_and_asynchronous_ones_pass_them_on(tmp_path: Path) -> None:
    design = Design()
    design.cell(
        "DP16KD", "intaglio.core.memory.0", "shim.intaglio.core", ADA0="out", CLKA="clk", DOA0="intaglio.core.read"
    )
    design.cell(
        "TRELLIS_DPR16X4", "intaglio.queue.0", "shim.intaglio.queue", RAD0="intaglio.core.read", DI0="out", DO0="out"
    )
    found = {(path.source, path.target): path.delay_ns for path in paths(design, tmp_path)}
    assert found == {
        ("core.read", "core.read"): pytest.approx(5 + 100 + 7 + 1100),
        ("core.read", "queue.0"): pytest.approx(5 + 100 + 7 + 1100),
    }


def test_paths_that_end_at_an_enable_count_and_constants_begin_none(tmp_path: Path) -> None:
    design = Design()
    register(design, "a", "0")
    register(design, "b", "1", CE="intaglio.core.a")
    (path,) = paths(design, tmp_path)
    assert path == SlowPath("core.a", "core.b", pytest.approx(101.0), 0)


def test_one_path_a_vector_and_block_the_slowest_first(tmp_path: Path) -> None:
    design = Design()
    register(design, "v[0]", "0")
    register(design, "v[1]", "0")
    design.cell("LUT4", "table", A="intaglio.core.v[1]", Z="late")
    register(design, "w", "intaglio.core.v[0]")
    register(design, "x", "late")
    register(design, "y", "intaglio.core.v[0]", block="other")
    found = paths(design, tmp_path)
    assert [(path.source, path.target) for path in found] == [("core.v[0]", "core.w"), ("core.v[0]", "other.y")]
    assert len(paths(design, tmp_path, 1)) == 1


def test_a_chain_longer_than_python_recurses(tmp_path: Path) -> None:
    design = Design()
    register(design, "a", "0")
    last = "intaglio.core.a"
    for i in range(3000):
        design.cell("LUT4", f"table {i}", A=last, Z=f"n{i}")
        last = f"n{i}"
    register(design, "b", last)
    (path,) = paths(design, tmp_path)
    assert path.levels == 3000 and path.delay_ns == pytest.approx(1 + 3000 * 110 + 100)
