"""LOAD alone: every word goes to its place on chip, with any spacing of beats; retirements; running ahead."""

from __future__ import annotations

import random

import pytest
from units import BUSES, expected_bursts, payload_of, simulate, small_config

from intaglio.hw.load import Load
from intaglio.machine.isa import Command, Opcode


def _commands(rng: random.Random, bus: int, count: int) -> list[Command]:
    return [
        Command(
            Opcode.LOAD,
            {
                "external": bus * rng.randrange((1 << 32) // bus),
                "external_stride": bus * rng.randrange(512),
                "row_bytes": bus * rng.choice([1, 2, rng.randint(1, 60)]),
                "rows": rng.randint(1, 4),
                "local": bus * rng.randrange((1 << 30) // bus),
                "local_stride": bus * rng.randrange(1 << 8),
                "memory": rng.randrange(3),
                "signal": rng.randrange(4),
                "tag": number << 12 | rng.randrange(1 << 12),
            },
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("outstanding", [1, 4])
def test_words(bus: int, outstanding: int) -> None:
    rng = random.Random(f"{bus} {outstanding}")
    dut = Load(small_config(bus, outstanding))
    commands = _commands(rng, bus, 12)
    in_flight: list[tuple[int, int]] = []
    ahead = 0
    started = retired = 0

    async def start(ctx):
        nonlocal started
        for command in commands:
            ctx.set(dut.start.valid, 1)
            ctx.set(dut.start.payload, payload_of(command))
            await ctx.tick().until(dut.start.ready)
            started += 1
            ctx.set(dut.start.valid, 0)

    async def memory(ctx):
        """Data is the word's external address."""
        at = 0
        while retired < len(commands):
            before = len(in_flight)
            beat = bool(in_flight) and rng.random() < 0.7
            ctx.set(dut.beat, beat)
            if beat:
                address, beats = in_flight[0]
                ctx.set(dut.beat_data, address + at * bus)
                at += 1
                ctx.set(dut.beat_last, at == beats)
                if at == beats:
                    at = 0
                    in_flight.pop(0)
            room = before < outstanding  # a burst that ends in this cycle still counts
            ctx.set(dut.request.ready, room and rng.random() < 0.5)
            if ctx.get(dut.request.valid) and ctx.get(dut.request.ready):
                in_flight.append((ctx.get(dut.request.payload.address), ctx.get(dut.request.payload.length) + 1))
            await ctx.tick()

    async def check(ctx):
        nonlocal retired, ahead
        for command in commands:
            bursts = expected_bursts(command, bus)
            words = [(a + i * bus, local + i * bus & 0x3FFFFFFF) for a, n, local, _ in bursts for i in range(n)]
            for number, (address, local) in enumerate(words):
                while not ctx.get(dut.write_en):
                    assert not ctx.get(dut.retire)
                    await ctx.tick()
                assert ctx.get(dut.write_data) == address & (1 << 8 * bus) - 1
                assert ctx.get(dut.write_address) == local and ctx.get(dut.write_memory) == command["memory"]
                last = number == len(words) - 1
                assert ctx.get(dut.retire) == last
                assert not ctx.get(dut.idle)
                if last:
                    assert (ctx.get(dut.signal), ctx.get(dut.tag)) == (command["signal"], command["tag"])
                    ahead = max(ahead, started - retired - 1)
                    retired += 1
                await ctx.tick()
        assert ctx.get(dut.idle)

    simulate(dut, start, memory, check)
    if outstanding > 1:
        assert ahead >= 1  # a command started before an earlier one's beats were all there
