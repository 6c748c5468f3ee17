"""Tables alone: loads while nothing is looked up, then passes through them and beside them."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from bench_side import TIMEOUT_MS, Odds, generator, started
from cocotb.triggers import ReadOnly, RisingEdge
from rtl_bench import parameters

from intaglio.hw.output_pass import OutputPass
from intaglio.machine import latency
from intaglio.machine.config import TABLE_ENTRIES
from intaglio.machine.config_files import config_from_dict

TURNS = 40


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def passes(dut) -> None:
    """Each turn some tables are loaded, with pauses, and then passes come, with pauses, all of one table or of none."""
    rng = generator()
    await started(dut)
    config = config_from_dict(parameters()["config"])
    lanes, odds = config.requantizers, Odds()
    dut.leaving.value = dut.write_en.value = dut.table.value = 0
    tables = np.zeros((config.tables, 256), np.uint8)
    for _ in range(TURNS):
        for number in range(config.tables):
            if random.random() < 0.5:
                tables[number] = rng.integers(0, 256, 256)
                await load(dut, config, number, tables[number], odds)
        table = random.randrange(config.tables + 1)
        dut.table.value = table
        await RisingEdge(dut.clk)
        await RisingEdge(dut.clk)
        await check(dut, config, rng, None if table == 0 else tables[table - 1], lanes, odds)


async def load(dut, config, number: int, table: np.ndarray, odds: Odds) -> None:
    """Bytes behind the entries of a bus word mean nothing."""
    for word, entries in enumerate(table.reshape(-1, TABLE_ENTRIES)):
        while odds():
            await RisingEdge(dut.clk)
        others = random.getrandbits(8 * (config.bus_bytes - TABLE_ENTRIES)) if config.bus_bytes > TABLE_ENTRIES else 0
        dut.write_en.value = 1
        dut.write_address.value = (number * config.table_words + word) * config.bus_bytes
        dut.write_data.value = int.from_bytes(entries.tobytes(), "little") | others << 8 * TABLE_ENTRIES
        await RisingEdge(dut.clk)
        dut.write_en.value = 0


async def check(dut, config, rng: np.random.Generator, table: np.ndarray | None, lanes: int, odds: Odds) -> None:
    """table: None for passes beside the tables."""
    after = 0 if table is None else latency.TABLE
    shape = OutputPass(config)
    sent: list[tuple[int, bytes]] = []
    for now in range(60 + after):
        leaving, data = 0, rng.integers(0, 256, lanes, np.uint8)
        if now < 60 and not odds():
            count, address = random.randint(1, lanes), random.randrange(config.activation_bytes)
            leaving = shape.const({"count": count, "address": address, "final": random.getrandbits(1)}).as_bits()
        dut.leaving.value, dut.results.value = leaving, int.from_bytes(data.tobytes(), "little")
        sent.append((leaving, (data if table is None else table[data]).tobytes()))
        await ReadOnly()
        if now >= after:
            expected, right = sent[now - after]
            assert int(dut.output.value) == expected, now
            if expected:
                assert int(dut.data.value).to_bytes(lanes, "little") == right, now
        await RisingEdge(dut.clk)
    dut.leaving.value = 0
