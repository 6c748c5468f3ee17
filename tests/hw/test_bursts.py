"""The splitter's bursts are those that the command's loop and AXI4's limits say."""

from __future__ import annotations

import random

import pytest
from units import BUSES, expected_bursts, payload_of, simulate, small_config

from intaglio.hw.bursts import Splitter
from intaglio.machine.isa import Command, Opcode
from intaglio.machine.latency import TRANSFER_REQUEST, TRANSFER_STEP


def _commands(rng: random.Random, bus: int) -> list[Command]:
    edges = [
        {"external": 4096 - bus, "row_bytes": 2 * bus, "rows": 1},
        {"external": 0, "row_bytes": 9000 // bus * bus, "rows": 2, "external_stride": 12288},
        {"external": 0xFFFFF000, "row_bytes": bus, "rows": 3, "external_stride": 4096 - bus},
        {"external": 8192, "row_bytes": 4096, "rows": 2, "external_stride": 4096},
        {"external": 8192, "row_bytes": bus, "rows": 1},
    ]
    for _ in range(12):
        edges.append(
            {
                "external": bus * rng.randrange((1 << 32) // bus),
                "external_stride": bus * rng.randrange((1 << 32) // bus),
                "row_bytes": bus * rng.choice([1, 2, 300, rng.randint(1, 600)]),
                "rows": rng.randint(1, 6),
                "local": bus * rng.randrange((1 << 30) // bus),
                "local_stride": bus * rng.randrange((1 << 30) // bus),
                "memory": rng.randrange(3),
                "signal": rng.randrange(4),
                "tag": rng.randrange(1 << 16),
            }
        )
    return [Command(Opcode.LOAD, fields) for fields in edges]


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("base", [0, 0x4000_0000, 0xC000_0000])
def test_bursts(bus: int, base: int) -> None:
    rng = random.Random(bus)
    dut = Splitter(small_config(bus))
    commands = _commands(rng, bus)

    async def start(ctx):
        ctx.set(dut.base, base)
        for command in commands:
            for _ in range(rng.choice([0, 0, 3])):
                await ctx.tick()
            ctx.set(dut.start.valid, 1)
            ctx.set(dut.start.payload, payload_of(command))
            await ctx.tick().until(dut.start.ready)
            ctx.set(dut.start.valid, 0)

    async def check(ctx):
        for command in commands:
            for expected in expected_bursts(command, bus, base):
                while True:
                    ctx.set(dut.bursts.ready, rng.random() < 0.7)
                    valid, ready = ctx.get(dut.bursts.valid), ctx.get(dut.bursts.ready)
                    burst = ctx.get(dut.bursts.payload)
                    await ctx.tick()
                    if valid and ready:
                        break
                assert (burst.request.address, burst.request.length + 1, burst.local, bool(burst.last)) == expected
                assert (burst.memory, burst.signal, burst.tag) == (command["memory"], command["signal"], command["tag"])

    simulate(dut, start, check)


def test_a_burst_as_often_as_its_latency_lets() -> None:
    dut = Splitter(small_config(8))
    command = Command(Opcode.LOAD, {"external": 64, "row_bytes": 32, "rows": 5, "external_stride": 64})

    async def check(ctx):
        ctx.set(dut.bursts.ready, 1)
        ctx.set(dut.start.valid, 1)
        ctx.set(dut.start.payload, payload_of(command))
        assert ctx.get(dut.start.ready)
        await ctx.tick()
        ctx.set(dut.start.valid, 0)
        for row in range(5):
            takes = TRANSFER_STEP if row else TRANSFER_REQUEST
            for since in range(1, takes + 1):
                assert ctx.get(dut.bursts.valid) == (since == takes) and not ctx.get(dut.start.ready)
                await ctx.tick()
        assert not ctx.get(dut.bursts.valid) and ctx.get(dut.start.ready)

    simulate(dut, check)


@pytest.mark.parametrize("field", ["row_bytes", "rows"])
def test_the_longest_commands(field: str) -> None:
    """Their first bursts: no count of words or rows ends early."""
    dut = Splitter(small_config(8))
    fields = {"external": 4096 - 64, "row_bytes": 8, "rows": 1, "external_stride": 8, field: 1 << 31}

    async def check(ctx):
        ctx.set(dut.bursts.ready, 1)
        ctx.set(dut.start.valid, 1)
        ctx.set(dut.start.payload, payload_of(Command(Opcode.LOAD, fields)))
        await ctx.tick()
        ctx.set(dut.start.valid, 0)
        address = fields["external"]
        for _ in range(12):
            while not ctx.get(dut.bursts.valid):
                await ctx.tick()
            burst = ctx.get(dut.bursts.payload)
            assert ctx.get(dut.bursts.valid) and not burst.last and burst.request.address == address
            beats = 1 if field == "rows" else min(256, (4096 - address % 4096) // 8)
            assert burst.request.length == beats - 1
            address += 8 * beats
            await ctx.tick()

    simulate(dut, check)
