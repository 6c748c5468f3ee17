"""The gate against a plain count."""

from __future__ import annotations

import random

from units import simulate

from intaglio.hw.tokens import Tokens
from intaglio.machine.isa import Engine, token_bit


def test_random() -> None:
    rng = random.Random(7)
    dut = Tokens()
    count = {(a, b): 0 for a in Engine for b in Engine if a != b}

    async def check(ctx):
        for _ in range(3000):
            available = ctx.get(dut.available)
            starts = waits = retires = signals = 0
            down, up = [], []
            for e in Engine:
                for o in Engine:
                    if e == o:
                        continue
                    bit = 2 * e + token_bit(e, o)
                    assert available >> bit & 1 == (count[o, e] > 0)
                    if count[o, e] and rng.random() < 0.4:
                        waits |= 1 << bit
                        down.append((o, e))
                    if rng.random() < 0.4:
                        signals |= 1 << bit
                        up.append((e, o))
                if rng.random() < 0.5:
                    starts |= 1 << e
                if rng.random() < 0.5:
                    retires |= 1 << e
            down = [k for k in down if starts >> k[1] & 1]
            up = [k for k in up if retires >> k[0] & 1]
            ctx.set(dut.start, starts)
            ctx.set(dut.waits, waits)
            ctx.set(dut.retire, retires)
            ctx.set(dut.signals, signals)
            assert not ctx.get(dut.overflow)
            for k in down:
                count[k] -= 1
            for k in up:
                count[k] += 1
            await ctx.tick()

    simulate(dut, check)


def test_overflow() -> None:
    for e in Engine:
        for o in Engine:
            if e != o:
                _overflow(e, o)


def _overflow(e: Engine, o: Engine) -> None:
    dut = Tokens()

    async def check(ctx):
        ctx.set(dut.retire, 1 << e)
        ctx.set(dut.signals, 1 << 2 * e + token_bit(e, o))
        for _ in range(255):
            assert not ctx.get(dut.overflow)
            await ctx.tick()
        # One consumed in the same cycle leaves room.
        ctx.set(dut.start, 1 << o)
        ctx.set(dut.waits, 1 << 2 * o + token_bit(o, e))
        await ctx.tick()
        assert not ctx.get(dut.overflow)
        ctx.set(dut.start, 0)
        await ctx.tick()
        assert ctx.get(dut.overflow)

    simulate(dut, check)
