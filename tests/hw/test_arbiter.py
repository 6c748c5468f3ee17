"""The arbiter alone: priority, the limit, one request a cycle, order of what comes back."""

from __future__ import annotations

import random

import pytest
from units import simulate, small_config

from intaglio.hw.arbiter import Arbiter


@pytest.mark.parametrize("outstanding", [1, 3, 16])
def test_random(outstanding: int) -> None:
    rng = random.Random(outstanding)
    dut = Arbiter(small_config(8, outstanding))
    ports = [dut.fetch, dut.store, dut.load]
    taken_count = [0, 0, 0]

    async def check(ctx):
        standing = [None, None, None]  # requests offered and not taken
        reads, writes = [], []  # in flight: (address, is fetch)
        going_out = None  # (is write, address, beats)
        ran = False  # in the cycle before
        for cycle in range(3000):
            run = cycle % 500 < 450
            ctx.set(dut.run, run)
            for i, port in enumerate(ports):
                if standing[i] is None and rng.random() < (0.06, 0.1, 0.4)[i]:
                    standing[i] = (8 * rng.getrandbits(29), rng.randint(1, 256))
                ctx.set(port.valid, standing[i] is not None)
                if standing[i]:
                    ctx.set(port.payload, {"address": standing[i][0], "length": standing[i][1] - 1})
            ar_ready, aw_ready = rng.random() < 0.7, rng.random() < 0.7
            ctx.set(dut.ar_ready, ar_ready)
            ctx.set(dut.aw_ready, aw_ready)
            answerable = reads if going_out is None or going_out[0] else reads[:-1]
            r = bool(answerable) and rng.random() < 0.3
            answerable = writes if going_out is None or not going_out[0] else writes[:-1]
            b = bool(answerable) and rng.random() < 0.3
            ctx.set(dut.r_last, r)
            ctx.set(dut.b, b)

            assert ctx.get(dut.in_flight) == len(reads) + len(writes)
            assert ctx.get(dut.r_known) == bool(reads) and ctx.get(dut.b_known) == bool(writes)
            if reads:
                assert (ctx.get(dut.r_address), ctx.get(dut.r_fetch)) == reads[0]
            if writes:
                assert ctx.get(dut.b_address) == writes[0]
            ar, aw = ctx.get(dut.ar_valid), ctx.get(dut.aw_valid)
            assert (ar, aw) == ((0, 0) if going_out is None else (not going_out[0], going_out[0]))
            if going_out:
                assert (ctx.get(dut.request.address), ctx.get(dut.request.length) + 1) == going_out[1:]
            may = (
                ran
                and len(reads) + len(writes) < outstanding
                and (going_out is None or (aw_ready if going_out[0] else ar_ready))
            )
            ran = run
            first = next((i for i in range(3) if standing[i]), None)
            chosen = first if may else None
            for i, port in enumerate(ports):
                if standing[i]:
                    assert ctx.get(port.ready) == (i == chosen)
            if going_out and (aw_ready if going_out[0] else ar_ready):
                going_out = None
            if r:
                reads.pop(0)
            if b:
                writes.pop(0)
            if chosen is not None:
                taken_count[chosen] += 1
                going_out = (chosen == 1, *standing[chosen])
                if chosen == 1:
                    writes.append(standing[chosen][0])
                else:
                    reads.append((standing[chosen][0], chosen == 0))
                standing[chosen] = None
            await ctx.tick()

    simulate(dut, check)
    assert min(taken_count) > 20


def test_back_to_back() -> None:
    dut = Arbiter(small_config(8, 16))

    async def check(ctx):
        ctx.set(dut.run, 1)
        ctx.set(dut.ar_ready, 1)
        await ctx.tick()
        ctx.set(dut.load.valid, 1)
        for _ in range(10):
            assert ctx.get(dut.load.ready)
            await ctx.tick()
            assert ctx.get(dut.ar_valid)

    simulate(dut, check)
