"""The ledger alone: every word exact after a run, whatever was counted when, and none from before."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import ResetInserter, Signal
from units import simulate

from intaglio.hw.ledger import Ledger
from intaglio.machine.counters import Counter
from intaglio.machine.limits import COUNTER_ROUND

WIDE = {Counter.MACS: 25, Counter.REQUANTIZATIONS: 24, Counter.PARTIAL_WRITES: 23, Counter.CYCLES: 22}
"""Counters whose words overflow within few cycles, as 64-bit ones do within none that a test has."""


async def read(ctx, dut: Ledger, wanted: int) -> tuple[int, int]:
    """The word, and the cycles that it took."""
    ctx.set(dut.asked, 1)
    ctx.set(dut.wanted, wanted)
    for cycle in range(dut.LONGEST + 1):
        if ctx.get(dut.shown):
            word = ctx.get(dut.word)
            await ctx.tick()
            ctx.set(dut.asked, 0)
            return word, cycle
        await ctx.tick()
    raise AssertionError(f"word {wanted} is not shown")


async def restart(ctx, dut: Ledger, clear: Signal) -> None:
    """A reset, as START gives one."""
    ctx.set(dut.run, 0)
    ctx.set(clear, 1)
    await ctx.tick()
    ctx.set(clear, 0)


@pytest.mark.parametrize("seed", range(6))
def test_counts_are_exact_after_a_run(seed: int) -> None:
    """Runs of any length, a reset before each; a read as early as can be after the end; the greatest increments in every
    cycle, so that a narrow counter that is a bit too narrow shows it."""
    rng = random.Random(seed)
    widths = {c: WIDE.get(c, rng.choice([1, 1, 1, 2, 5])) for c in Counter}
    dut, clear = Ledger(widths), Signal()
    longest = 0

    async def check(ctx):
        nonlocal longest
        for cycles in (rng.randrange(1, 4), rng.randrange(3 * COUNTER_ROUND), 700, COUNTER_ROUND - 1):
            counts = dict.fromkeys(Counter, 0)
            ctx.set(dut.run, 1)
            rate = rng.choice([0.1, 0.6, 1])
            for _ in range(cycles):
                for c in Counter:
                    most = (1 << widths[c]) - 1
                    value = rng.choice([most, most, rng.randrange(most + 1)]) if rng.random() < rate else 0
                    ctx.set(getattr(dut.increments, c.name.lower()), value)
                    counts[c] += value
                await ctx.tick()
            for c in Counter:
                ctx.set(getattr(dut.increments, c.name.lower()), 0)
            await ctx.tick()
            ctx.set(dut.run, 0)
            for _ in range(rng.choice([0, 1, 2, 3, rng.randrange(2 * COUNTER_ROUND)])):
                await ctx.tick()
            wanted = list(range(dut.WORDS)) * 2
            if rng.random() < 0.5:
                rng.shuffle(wanted)
            for word in wanted:
                low_or_high, took = await read(ctx, dut, word)
                longest = max(longest, took)
                assert low_or_high == counts[Counter(word >> 1)] >> 32 * (word & 1) & 0xFFFFFFFF, (word, cycles)
                for _ in range(rng.choice([0, 0, 1, 2])):
                    await ctx.tick()
            if cycles == 700:
                assert counts[Counter.MACS] >> 32 or rate < 1
            await restart(ctx, dut, clear)

    simulate(ResetInserter(clear)(dut), check)
    assert COUNTER_ROUND < longest <= dut.LONGEST


def test_reads_while_counting() -> None:
    """They wait for nothing, and give what was counted not long ago; nothing of the run before."""
    dut, clear = Ledger(dict.fromkeys(Counter, 1)), Signal()

    async def check(ctx):
        for _ in range(2):
            ctx.set(dut.run, 1)
            ctx.set(dut.increments.cycles, 1)
            now, values = 0, []
            while now < 500:
                value, took = await read(ctx, dut, 2 * Counter.CYCLES)
                assert took <= 4
                assert max(0, now + took - COUNTER_ROUND - 6) <= value <= now + took, now
                now += took + 1
                values.append(value)
            assert values == sorted(values) and values[0] == 0 and len(set(values)) > 4
            await restart(ctx, dut, clear)

    simulate(ResetInserter(clear)(dut), check)
