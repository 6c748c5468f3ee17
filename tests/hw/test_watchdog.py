"""The watchdog alone, to the cycle."""

from __future__ import annotations

import random

import pytest
from units import simulate

from intaglio.hw.ledger import Watchdog


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 8, 300])
def test_expires_in_the_limits_cycle_in_a_row(limit: int) -> None:
    """Progress, and time without `run`, begin the count again."""
    rng = random.Random(limit)
    dut = Watchdog()
    seen = []

    async def check(ctx):
        ctx.set(dut.limit, limit)
        await ctx.tick()
        idle = 0
        for run, progress, cycles in [
            (1, 0, limit + 3),
            (1, 1, 2),
            (1, 0, max(0, limit - 1)),
            (1, 1, 1),
            (1, 0, limit + 1),
            (0, 0, 2),
        ] + [(rng.random() < 0.8, rng.random() < 0.3, rng.randrange(2 * min(limit, 8) + 2)) for _ in range(60)]:
            ctx.set(dut.run, int(run))
            ctx.set(dut.progress, int(progress))
            for _ in range(cycles):
                idle = idle + 1 if run and not progress else 0
                assert ctx.get(dut.expired) == (limit > 0 and idle == limit), (idle, run, progress)
                seen.append(idle == limit)
                await ctx.tick()

    simulate(dut, check)
    assert not limit or any(seen)
