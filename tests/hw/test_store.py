"""STORE alone: words in the order of the bursts, with any back-pressure and waiting responses; full rate; retirements."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Cat
from units import BUSES, expected_bursts, payload_of, simulate, small_config

from intaglio.hw.store import Store
from intaglio.machine import latency
from intaglio.machine.isa import Command, Opcode

LATENCY = latency.ACTIVATION_READ


def _commands(rng: random.Random, bus: int, count: int) -> list[Command]:
    return [
        Command(
            Opcode.STORE,
            {
                "external": bus * rng.randrange((1 << 32) // bus),
                "external_stride": bus * rng.randrange(512),
                "row_bytes": bus * rng.choice([1, 2, rng.randint(1, 60)]),
                "rows": rng.randint(1, 4),
                "local": bus * rng.randrange((1 << 30) // bus),
                "local_stride": bus * rng.randrange(1 << 8),
                "signal": rng.randrange(4),
                "tag": number << 12 | rng.randrange(1 << 12),
            },
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("outstanding", [1, 4])
@pytest.mark.parametrize("speed", [0.3, 1.0])
def test_words(bus: int, outstanding: int, speed: float) -> None:
    rng = random.Random(f"{bus} {outstanding} {speed}")
    dut = Store(small_config(bus, outstanding))
    commands = _commands(rng, bus, 10)
    bursts = [(number, *b) for number, c in enumerate(commands) for b in expected_bursts(c, bus)]
    retired: list[tuple[int, int]] = []

    async def start(ctx):
        for command in commands:
            ctx.set(dut.start.valid, 1)
            ctx.set(dut.start.payload, payload_of(command))
            await ctx.tick().until(dut.start.ready)
            ctx.set(dut.start.valid, 0)

    async def core(ctx):
        """A word's value is its address; exactly LATENCY cycles after its read, nonsense otherwise."""
        pipe = [None] * LATENCY
        while True:
            pipe.append(ctx.get(dut.read_address) if ctx.get(dut.read_en) else None)
            out = pipe.pop(0) if len(pipe) > LATENCY else None
            ctx.set(dut.read_data, rng.getrandbits(8 * bus) if out is None else out)
            await ctx.tick()

    async def port(ctx):
        requested, received, answered = 0, 0, 0  # bursts
        beat = 0
        stalled = None
        while len(retired) < len(commands):
            ready = requested - answered < outstanding and rng.random() < speed
            ctx.set(dut.request.ready, ready)
            if ready and ctx.get(dut.request.valid):
                _, address, beats, _, _ = bursts[requested]
                assert (ctx.get(dut.request.payload.address), ctx.get(dut.request.payload.length) + 1) == (
                    address,
                    beats,
                )
                requested += 1
            before = received
            ready = rng.random() < speed
            ctx.set(dut.words.ready, ready)
            word = ctx.get(Cat(dut.words.payload, dut.word_last)) if ctx.get(dut.words.valid) else None
            if stalled is not None:
                assert word == stalled  # an offer stands until it is taken
            stalled = None if ready else word
            if ready and word is not None:
                _, _, beats, local, _ = bursts[received]
                assert ctx.get(dut.words.payload) == local + beat * bus
                beat += 1
                assert ctx.get(dut.word_last) == (beat == beats)
                if beat == beats:
                    beat = 0
                    received += 1
            answer = answered < before and rng.random() < speed  # not in the cycle of the last word
            ctx.set(dut.response, answer)
            answered += answer
            if ctx.get(dut.retire):
                retired.append((ctx.get(dut.tag), ctx.get(dut.signal)))
                assert not ctx.get(dut.idle)
            await ctx.tick()
        assert answered == len(bursts)
        assert ctx.get(dut.idle)

    simulate(dut, start, port, background=(core,))
    assert retired == [(c["tag"], c["signal"]) for c in commands]


def test_a_word_each_cycle() -> None:
    dut = Store(small_config(8))
    command = Command(Opcode.STORE, {"row_bytes": 8 * 100, "rows": 1})

    async def check(ctx):
        ctx.set(dut.start.valid, 1)
        ctx.set(dut.start.payload, payload_of(command))
        ctx.set(dut.request.ready, 1)
        ctx.set(dut.words.ready, 1)
        await ctx.tick()
        ctx.set(dut.start.valid, 0)
        await ctx.tick().until(dut.words.valid)
        for _ in range(99):
            assert ctx.get(dut.words.valid)
            await ctx.tick()
        assert not ctx.get(dut.words.valid)

    simulate(dut, check)
