"""Each part of the hardware alone, in Verilator under cocotb, with random data, gaps and back-pressure."""

from __future__ import annotations

from pathlib import Path

import pytest
from assemblies import CommandPath, Feed, Operand
from rtl_bench import run_bench

from intaglio.hw.array import Array
from intaglio.hw.load import Load
from intaglio.hw.scale import Requantizer
from intaglio.hw.store import Store
from intaglio.hw.tables import Tables
from intaglio.machine import latency
from intaglio.machine.config import Config, MemoryConfig
from intaglio.machine.row_product import row_products
from tests.hw.units import small_config

SHAPES = [(3, 5), (4, 4), (8, 2)]


@pytest.mark.parametrize("multipliers", ["dsp", "packed"])
@pytest.mark.parametrize(("rows", "cols"), SHAPES, ids=lambda n: str(n))
def test_array(rows: int, cols: int, multipliers: str, tmp_path: Path) -> None:
    zero_points = rows < 8
    array = Array(rows, cols, zero_points, products=row_products(multipliers, rows, 1))
    shape = {"rows": rows, "cols": cols, "zero_points": zero_points, "packed": multipliers == "packed"}
    run_bench(array, "bench_array", tmp_path, **shape)


def test_requantizer(tmp_path: Path) -> None:
    run_bench(Requantizer(), "bench_requantizer", tmp_path)


@pytest.mark.parametrize("multipliers", [True, False])
def test_operand_scale(multipliers: bool, tmp_path: Path) -> None:
    run_bench(Operand(multipliers), "bench_operand_scale", tmp_path)


@pytest.mark.parametrize(("tables", "requantizers", "bus_bytes"), [(1, 1, 4), (2, 3, 8), (8, 4, 16)])
def test_tables(tables: int, requantizers: int, bus_bytes: int, tmp_path: Path) -> None:
    memory = MemoryConfig(bytes_per_cycle=4)
    config = Config(rows=4, cols=4, tables=tables, requantizers=requantizers, bus_bytes=bus_bytes, memory=memory)
    run_bench(Tables(config), "bench_tables", tmp_path, config=config.to_dict())


@pytest.mark.parametrize(("bus", "outstanding"), [(8, 4), (16, 1)])
def test_load(bus: int, outstanding: int, tmp_path: Path) -> None:
    run_bench(Load(small_config(bus, outstanding)), "bench_load", tmp_path, bus=bus, outstanding=outstanding)


@pytest.mark.parametrize(("bus", "outstanding"), [(8, 4), (16, 1)])
def test_store(bus: int, outstanding: int, tmp_path: Path) -> None:
    store = Store(small_config(bus, outstanding))
    run_bench(store, "bench_store", tmp_path, bus=bus, outstanding=outstanding, latency=latency.ACTIVATION_READ)


@pytest.mark.parametrize("bus", [8, 32])
def test_fetch_and_dispatch(bus: int, tmp_path: Path) -> None:
    run_bench(CommandPath(small_config(bus)), "bench_commands", tmp_path, bus=bus)


@pytest.mark.parametrize(("rows", "cols", "bus"), [(3, 5, 8), (4, 4, 16), (8, 2, 4)], ids=lambda n: str(n))
def test_addressing(rows: int, cols: int, bus: int, tmp_path: Path) -> None:
    config = Config(
        rows=rows,
        cols=cols,
        requantizers=2,
        activation_bytes=4096,
        weight_bytes=8192,
        channel_bytes=1024,
        bus_bytes=bus,
        memory=MemoryConfig(bytes_per_cycle=4),
    )
    run_bench(Feed(config), "bench_feed", tmp_path, config=config.to_dict())
