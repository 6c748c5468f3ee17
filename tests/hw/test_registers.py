"""The register block alone: the map, the machine's state, refusals, and the document made from the table."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

from amaranth.hdl import Module
from system import lite_read, lite_write
from units import simulate, small_config

from intaglio.hw.arbiter import Arbiter
from intaglio.hw.axi import OKAY, SLVERR
from intaglio.hw.registers import Registers
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.isa import Engine
from intaglio.machine.limits import DEFAULT_WATCHDOG
from intaglio.machine.registers import (
    FAULT_MEANINGS,
    ID_VALUE,
    STATUS_FAULT_LSB,
    TABLE,
    Control,
    Register,
    Status,
    counter_offset,
    document,
)

SETTINGS = (Register.PROGRAM_ADDRESS, Register.PROGRAM_SIZE, Register.BASE_ADDRESS, Register.WATCHDOG)


def test_document_is_current() -> None:
    path = Path(__file__).parents[2] / "docs" / "registers.md"
    assert path.read_text() == document(), "run `python -m intaglio.machine.registers > docs/registers.md`"


def test_table() -> None:
    offsets = [e.offset for e in TABLE]
    assert offsets == sorted(set(offsets)) and all(o % 4 == 0 for o in offsets)
    assert {e.name for e in TABLE} >= {r.name for r in Register} - {"COUNTERS"}
    assert set(FAULT_MEANINGS) == set(Fault)


def test_every_register() -> None:
    config = small_config(8)
    dut = Registers(config)
    rng = random.Random(11)
    counters = {c: rng.getrandbits(64) for c in Counter}
    given = []

    async def ledger(ctx):
        """Answers what is asked some cycles later, and shows other words before."""
        while True:
            await ctx.tick()
            if not ctx.get(dut.asked):
                continue
            ctx.set(dut.word, rng.getrandbits(32))
            for _ in range(rng.choice([0, 1, 5, 150])):
                await ctx.tick()
            number = ctx.get(dut.wanted)
            given.append(number)
            ctx.set(dut.word, counters[Counter(number >> 1)] >> 32 * (number & 1) & 0xFFFFFFFF)
            ctx.set(dut.shown, 1)
            await ctx.tick()
            ctx.set(dut.shown, 0)

    async def check(ctx):
        lite = dut.lite
        retired = [rng.getrandbits(32) | 1 << 31 for _ in Engine]
        ctx.set(dut.retired, sum(count << 32 * i for i, count in enumerate(retired)))
        assert await lite_read(ctx, lite, Register.WATCHDOG) == (DEFAULT_WATCHDOG, OKAY)
        values = {r: rng.getrandbits(32) for r in SETTINGS}
        for register, value in values.items():
            assert await lite_write(ctx, lite, register, value) == OKAY
            assert await lite_write(ctx, lite, register, ~value & 0xFFFFFFFF, strobes=7) == SLVERR
        expected = {
            Register.ID: ID_VALUE,
            Register.VERSION: 7,
            Register.HASH_LOW: config.hardware_hash() & 0xFFFFFFFF,
            Register.HASH_HIGH: config.hardware_hash() >> 32,
            Register.CONTROL: 0,
            Register.STATUS: 0,
            Register.ERROR_ADDRESS: 0,
            Register.RETIRED_LOAD: retired[Engine.LOAD],
            Register.RETIRED_COMPUTE: retired[Engine.COMPUTE],
            Register.RETIRED_STORE: retired[Engine.STORE],
            **values,
        }
        for c, value in counters.items():
            expected[counter_offset(c)] = value & 0xFFFFFFFF
            expected[counter_offset(c) + 4] = value >> 32
        for register in (Register.PROGRAM_ADDRESS, Register.BASE_ADDRESS):
            expected[register] &= ~4095
        assert set(expected) == {e.offset for e in TABLE}
        for offset in range(0, 4096, 4):
            if offset in expected:
                assert await lite_read(ctx, lite, offset) == (expected[offset], OKAY), hex(offset)
            elif offset < 0x200 or offset > 0xFF0:
                assert await lite_read(ctx, lite, offset) == (0, SLVERR), hex(offset)
        assert await lite_write(ctx, lite, Register.ID, 0) == SLVERR
        assert await lite_write(ctx, lite, 0x40, 0) == SLVERR

    simulate(dut, check, background=(ledger,))
    assert given == list(range(2 * len(Counter)))


def test_without_counters_their_registers_are_0() -> None:
    config = dataclasses.replace(small_config(8), counters=False)
    dut = Registers(config)

    async def check(ctx):
        for entry in TABLE:
            value, response = await lite_read(ctx, dut.lite, entry.offset)
            assert response == OKAY and (value == 0 or entry.offset < Register.COUNTERS)
        assert await lite_read(ctx, dut.lite, TABLE[-1].offset + 4) == (0, SLVERR)
        assert await lite_read(ctx, dut.lite, Register.HASH_LOW) == (config.hardware_hash() & 0xFFFFFFFF, OKAY)

    simulate(dut, check)


def test_address_and_data_apart_and_a_late_master() -> None:
    dut = Registers(small_config(8))

    async def check(ctx):
        lite = dut.lite
        for order in ("aw", "w"), ("w", "aw"):
            value = 0x1234_0000 + 4096 * len(order[0])
            for channel in order:
                ctx.set(lite.awaddr, Register.BASE_ADDRESS)
                ctx.set(lite.wdata, value)
                ctx.set(lite.wstrb, 15)
                ctx.set(getattr(lite, channel + "valid"), 1)
                await ctx.tick()
                ctx.set(getattr(lite, channel + "valid"), 0)
                for _ in range(3):
                    await ctx.tick()
            for _ in range(5):
                assert ctx.get(lite.bvalid) and ctx.get(dut.base_address) == value
                await ctx.tick()
            ctx.set(lite.bready, 1)
            await ctx.tick()
            ctx.set(lite.bready, 0)
            assert not ctx.get(lite.bvalid)
        ctx.set(lite.araddr, Register.ID)
        ctx.set(lite.arvalid, 1)
        await ctx.tick()
        ctx.set(lite.arvalid, 0)
        for _ in range(2):
            await ctx.tick()
        for _ in range(5):
            assert ctx.get(lite.rvalid) and ctx.get(lite.rdata) == ID_VALUE
            await ctx.tick()

    simulate(dut, check)


def test_state() -> None:
    dut = Registers(small_config(8))

    async def status(ctx):
        return (await lite_read(ctx, dut.lite, Register.STATUS))[0]

    async def control(ctx, value):
        assert await lite_write(ctx, dut.lite, Register.CONTROL, value) == OKAY

    async def check(ctx):
        ctx.set(dut.fault, Fault.WATCHDOG)  # means nothing while idle
        ctx.set(dut.failed, 1)
        assert await status(ctx) == 0
        ctx.set(dut.fault, 0)
        ctx.set(dut.failed, 0)
        # Bursts in flight forbid a start.
        ctx.set(dut.in_flight, 1)
        await control(ctx, Control.START)
        assert await status(ctx) == Status.DRAINING
        ctx.set(dut.in_flight, 0)
        await control(ctx, Control.START)
        assert await status(ctx) == Status.BUSY
        assert await lite_write(ctx, dut.lite, Register.BASE_ADDRESS, 4096) == SLVERR
        assert ctx.get(dut.run) and ctx.get(dut.counting) and not ctx.get(dut.irq)
        await control(ctx, Control.START | Control.INTERRUPT_ENABLE)  # ignored but for the enable
        assert ctx.get(dut.run)
        ctx.set(dut.finished, 1)
        assert not ctx.get(dut.counting)
        await ctx.tick()
        assert ctx.get(dut.irq) and not ctx.get(dut.run)
        assert await status(ctx) == Status.DONE | Status.INTERRUPT
        await control(ctx, Control.INTERRUPT_ENABLE | Control.INTERRUPT_CLEAR)
        assert not ctx.get(dut.irq)
        assert await status(ctx) == Status.DONE
        ctx.set(dut.finished, 0)
        await control(ctx, Control.START)
        assert await status(ctx) == Status.BUSY
        # An error wins over the end.
        ctx.set(dut.finished, 1)
        ctx.set(dut.fault, Fault.WRITE_RESPONSE)
        ctx.set(dut.failed, 1)
        ctx.set(dut.fault_address, 0xABC0)
        await ctx.tick()
        ctx.set(dut.fault, Fault.WATCHDOG)
        ctx.set(dut.failed, 1)
        ctx.set(dut.fault_address, 0)
        await ctx.tick()
        assert await status(ctx) == Status.ERROR | Status.INTERRUPT | Fault.WRITE_RESPONSE << STATUS_FAULT_LSB
        assert await lite_read(ctx, dut.lite, Register.ERROR_ADDRESS) == (0xABC0, OKAY)
        await control(ctx, Control.SOFT_RESET | Control.START)
        assert await status(ctx) == 0

    simulate(dut, check)


def test_clear_begin_run_counting() -> None:
    dut = Registers(small_config(8))
    seen = []

    async def watch(ctx):
        ctx.set(dut.finished, 1)  # in cycle 0 nothing has begun: it does not end there
        while len(seen) < 40:
            seen.append((ctx.get(dut.clear), ctx.get(dut.begin), ctx.get(dut.run), ctx.get(dut.counting)))
            await ctx.tick()

    async def software(ctx):
        await lite_write(ctx, dut.lite, Register.CONTROL, Control.START)

    simulate(dut, software, watch)
    p = next(i for i, s in enumerate(seen) if s[0])
    assert seen[p : p + 4] == [(1, 0, 0, 0), (0, 1, 1, 1), (0, 0, 1, 0), (0, 0, 0, 0)]
    assert sum(s[0] for s in seen) == sum(s[1] for s in seen) == 1


class Model:
    """What software sees of the block, write by write and event by event."""

    def __init__(self) -> None:
        self.settings = dict.fromkeys(SETTINGS, 0) | {Register.WATCHDOG: DEFAULT_WATCHDOG}
        self.status = self.enabled = self.fault_address = 0

    def write(self, offset: int, value: int, strobes: int, in_flight: bool) -> int:
        """The response. A write that is refused, or of fewer than four bytes, changes nothing."""
        if strobes != 15:
            return SLVERR
        busy = self.status & Status.BUSY
        if offset == Register.CONTROL:
            self.enabled = value & Control.INTERRUPT_ENABLE
            if value & Control.INTERRUPT_CLEAR:
                self.status &= ~int(Status.INTERRUPT)
            reset = value & Control.SOFT_RESET
            if reset or (value & Control.START and not busy and not in_flight):
                self.status, self.fault_address = 0 if reset else int(Status.BUSY), 0
            elif value & Control.STOP and busy:
                self.event(False, Fault.STOPPED, 0)
            return OKAY
        if offset in SETTINGS and not busy:
            page = offset in (Register.PROGRAM_ADDRESS, Register.BASE_ADDRESS)
            self.settings[Register(offset)] = value & ~4095 if page else value
            return OKAY
        return SLVERR

    def event(self, finished: bool, fault: Fault, address: int) -> None:
        """A cycle with these; an error before an end."""
        if self.status & Status.BUSY and fault:
            self.status = int(Status.ERROR | Status.INTERRUPT) | fault << STATUS_FAULT_LSB
            self.fault_address = address
        elif self.status & Status.BUSY and finished:
            self.status = int(Status.DONE | Status.INTERRUPT)


def test_random_writes_and_events() -> None:
    """Every register after every write, whatever the state: refused ones change nothing, accepted ones what they should."""
    rng = random.Random(12)
    dut, model = Registers(small_config(8)), Model()
    offsets = [int(e.offset) for e in TABLE] + [0x1C4, 0xFFC, *SETTINGS, *SETTINGS, *[int(Register.CONTROL)] * 20]
    refused = set()

    async def check(ctx):
        lite, in_flight = dut.lite, False
        for _ in range(800):
            if rng.random() < 0.15:
                finished, fault, address = rng.random() < 0.5, rng.choice(list(Fault)), rng.getrandbits(32)
                ctx.set(dut.finished, finished)
                ctx.set(dut.fault, fault)
                ctx.set(dut.failed, fault != Fault.NONE)
                ctx.set(dut.fault_address, address)
                model.event(finished, fault, address)
                await ctx.tick()
                ctx.set(dut.finished, 0)
                ctx.set(dut.fault, 0)
                ctx.set(dut.failed, 0)
            if rng.random() < 0.2:
                in_flight = not in_flight
                ctx.set(dut.in_flight, in_flight)
            offset, value = rng.choice(offsets), rng.getrandbits(32)
            if offset == Register.CONTROL and rng.random() < 0.8:
                value &= ~Control.SOFT_RESET
            strobes = rng.choice((15, 15, 15, rng.randrange(15)))
            was = model.status & Status.BUSY
            response = model.write(offset, value, strobes, in_flight)
            assert await lite_write(ctx, lite, offset, value, strobes) == response, hex(offset)
            if was and response == SLVERR and offset in SETTINGS and strobes == 15:
                refused.add(offset)
            expected = {
                Register.CONTROL: model.enabled,
                Register.STATUS: model.status | Status.DRAINING * in_flight,
                Register.ERROR_ADDRESS: model.fault_address,
                **model.settings,
            }
            for register, content in expected.items():
                assert await lite_read(ctx, lite, register) == (content, OKAY), register.name
            shown = dut.program_address, dut.program_size, dut.base_address, dut.watchdog
            assert [ctx.get(port) for port in shown] == [model.settings[register] for register in SETTINGS]
            assert ctx.get(dut.run) == bool(model.status & Status.BUSY)
            assert ctx.get(dut.irq) == bool(model.enabled and model.status & Status.INTERRUPT)

    simulate(dut, check)
    assert refused == set(SETTINGS)


def test_channels_at_any_pace() -> None:
    """Reads and writes under way at once, address and data apart, requests that stand while an answer is not taken, answers that wait:
    each request is answered once, in order, and nothing else is."""
    rng = random.Random(13)
    config = small_config(8)
    dut = Registers(config)
    lite = dut.lite
    reads = [rng.choice([Register.ID, Register.VERSION, Register.HASH_LOW, 0x1C4]) for _ in range(60)]
    writes = [
        (
            rng.choice([Register.PROGRAM_SIZE, Register.WATCHDOG, Register.ID, 0x1C4]),
            rng.getrandbits(32),
            rng.choice([15, 15, 7]),
        )
        for _ in range(60)
    ]
    shown = {Register.ID: ID_VALUE, Register.VERSION: 7, Register.HASH_LOW: config.hardware_hash() & 0xFFFFFFFF}
    answered = {"r": [], "b": []}

    async def side(ctx, valid, ready, items, show):
        for item in items:
            for _ in range(rng.choice([0, 0, 1, 4, 9])):
                await ctx.tick()
            show(ctx, item)
            ctx.set(valid, 1)
            await ctx.tick().until(ready)
            ctx.set(valid, 0)
            show(ctx, None)

    async def read_addresses(ctx):
        await side(
            ctx, lite.arvalid, lite.arready, reads, lambda ctx, a: ctx.set(lite.araddr, 0xFFC if a is None else a)
        )

    async def write_addresses(ctx):
        await side(
            ctx,
            lite.awvalid,
            lite.awready,
            writes,
            lambda ctx, w: ctx.set(lite.awaddr, Register.BASE_ADDRESS if w is None else w[0]),
        )

    async def write_data(ctx):
        def show(ctx, w):
            ctx.set(lite.wdata, 0 if w is None else w[1])
            ctx.set(lite.wstrb, 15 if w is None else w[2])

        await side(ctx, lite.wvalid, lite.wready, writes, show)

    async def answers(ctx):
        last = {"r": None, "b": None}
        for _ in range(1500):
            for name, valid, ready, payload in (
                ("r", lite.rvalid, lite.rready, (lite.rdata, lite.rresp)),
                ("b", lite.bvalid, lite.bready, (lite.bresp,)),
            ):
                take = rng.random() < 0.3
                ctx.set(ready, take)
                got = tuple(ctx.get(p) for p in payload) if ctx.get(valid) else None
                assert last[name] is None or got == last[name]  # an answer stands until it is taken
                last[name] = None if take else got
                if take and got is not None:
                    answered[name].append(got)
            await ctx.tick()
        for register, port in ((Register.PROGRAM_SIZE, dut.program_size), (Register.WATCHDOG, dut.watchdog)):
            assert ctx.get(port) == [value for a, value, strobes in writes if a == register and strobes == 15][-1]

    simulate(dut, answers, read_addresses, write_addresses, write_data)
    assert answered["r"] == [(shown.get(a, 0), OKAY if a in shown else SLVERR) for a in reads]
    accepted = (Register.PROGRAM_SIZE, Register.WATCHDOG)
    assert answered["b"] == [(OKAY if a in accepted and strobes == 15 else SLVERR,) for a, _, strobes in writes]


def test_stop_at_every_moment() -> None:
    """A STOP ends a run whenever it is written, from START's write on; without a run it is forgotten; an end beside it counts."""
    for wait in range(12):
        dut = Registers(small_config(8))
        runs: list[int] = []

        async def check(ctx, wait=wait, dut=dut, runs=runs):
            lite = dut.lite
            assert await lite_write(ctx, lite, Register.CONTROL, Control.STOP) == OKAY
            assert await lite_read(ctx, lite, Register.STATUS) == (0, OKAY)
            # START together with a STOP: nothing runs yet that could be stopped.
            assert await lite_write(ctx, lite, Register.CONTROL, Control.START | Control.STOP) == OKAY
            for _ in range(wait):
                await ctx.tick()
            assert ctx.get(dut.run) or wait < 4
            assert await lite_write(ctx, lite, Register.CONTROL, Control.STOP) == OKAY
            await ctx.tick().repeat(4)
            expected = int(Status.ERROR | Status.INTERRUPT) | Fault.STOPPED << STATUS_FAULT_LSB
            assert await lite_read(ctx, lite, Register.STATUS) == (expected, OKAY)
            assert not ctx.get(dut.run)
            # The next run knows nothing of it.
            assert await lite_write(ctx, lite, Register.CONTROL, Control.START) == OKAY
            await ctx.tick().repeat(20)
            assert ctx.get(dut.run)
            ctx.set(dut.finished, 1)
            await ctx.tick().repeat(2)
            assert await lite_read(ctx, lite, Register.STATUS) == (int(Status.DONE | Status.INTERRUPT), OKAY)
            runs.append(wait)

        simulate(dut, check)
        assert runs == [wait]


def test_nothing_is_taken_before_the_reset_is_released() -> None:
    """The port's ready signals stay low up to the edge that ends the reset within, the engines are reset a cycle longer; what waits is
    answered."""
    dut = Registers(small_config(8))
    ready = (dut.lite.awready, dut.lite.wready, dut.lite.arready)

    async def reset(ctx):
        ctx.set(dut.reset, 1)
        for cycle in range(9):
            assert not any(ctx.get(one) for one in ready) and ctx.get(dut.clear) == (cycle > 0)
            await ctx.tick()
        ctx.set(dut.reset, 0)
        assert ctx.get(dut.lite.awready) and ctx.get(dut.lite.wready) and ctx.get(dut.clear)
        await ctx.tick()
        assert not ctx.get(dut.clear)

    async def reads(ctx):
        assert await lite_read(ctx, dut.lite, Register.VERSION) == (7, OKAY)

    async def writes(ctx):
        assert await lite_write(ctx, dut.lite, Register.WATCHDOG, 5) == OKAY
        assert await lite_read(ctx, dut.lite, Register.WATCHDOG) == (5, OKAY)

    simulate(dut, reset, writes)
    simulate(dut, reset, reads)


def test_one_request_at_most_follows_the_answer_to_a_stop() -> None:
    """Of an engine that asks for a burst a cycle, on a bus that takes one where it likes."""
    rng = random.Random(24)
    stood = 0
    for _ in range(60):
        m = Module()
        m.submodules.registers = registers = Registers(small_config(8))
        m.submodules.arbiter = arbiter = Arbiter(small_config(8, 16))
        m.d.comb += [arbiter.run.eq(registers.run), arbiter.load.valid.eq(1), arbiter.r_last.eq(arbiter.r_known)]
        wait, takes = rng.randrange(20, 40), rng.choice([0.2, 0.5, 1.0])

        async def check(ctx, registers=registers, arbiter=arbiter, wait=wait, takes=takes):
            nonlocal stood
            lite, requests, stopped = registers.lite, 0, False

            async def bus(cycles):
                nonlocal requests
                for _ in range(cycles):
                    ctx.set(arbiter.ar_ready, rng.random() < takes)
                    requests += stopped and ctx.get(arbiter.ar_valid) and ctx.get(arbiter.ar_ready)
                    await ctx.tick()

            for value, cycles in (Control.START, wait), (Control.STOP, 0):
                for port, given in (lite.awaddr, Register.CONTROL), (lite.wdata, value), (lite.wstrb, 15):
                    ctx.set(port, given)
                for port in (lite.awvalid, lite.wvalid, lite.bready):
                    ctx.set(port, 1)
                await bus(1)
                for port in (lite.awvalid, lite.wvalid):
                    ctx.set(port, 0)
                while not ctx.get(lite.bvalid):
                    await bus(1)
                stopped = value == Control.STOP  # in the answer's own cycle too: the host may see it at its end
                await bus(1 + cycles)
            await bus(60)
            stood += requests
            assert requests <= 1 and not ctx.get(arbiter.ar_valid)
            assert await lite_read(ctx, lite, Register.STATUS) == (
                Status.ERROR | Status.INTERRUPT | Fault.STOPPED << STATUS_FAULT_LSB,
                OKAY,
            )

        simulate(m, check)
    assert stood > 10
