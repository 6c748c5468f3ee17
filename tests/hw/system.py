"""Runs an Accelerator in Amaranth's simulator against the external-memory model."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from amaranth.hdl import Cat
from amaranth.sim import Simulator
from fake_core import FakeCore

from intaglio.hw.accelerator import Accelerator
from intaglio.hw.axi import INCR
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine
from intaglio.machine.registers import STATUS_FAULT_LSB, Control, Register, Status, counter_offset
from intaglio.sim.memory import model_of
from intaglio.sim.memory import port as mm

PROGRAM = 0x10000
TIMEOUT = 60000


@dataclass
class Outcome:
    """What a run left: status register, error address, cycles with `counting`, the last of them with a handshake of
    the master's, (cycle, engine, tag) of each retirement, counters, the external memory."""

    status: int = 0
    fault: int = 0
    fault_address: int = 0
    interrupt: int = 0
    counted: int = 0
    last_on_bus: int = 0
    retired: list[tuple[int, Engine, int]] = field(default_factory=list)
    counters: dict[Counter, int] = field(default_factory=dict)
    registers: dict[Register, int] = field(default_factory=dict)
    image: bytearray = field(default_factory=bytearray)


async def until(ctx, *signals) -> None:
    """Until all of them are high; AssertionError if that takes too long."""
    for _ in range(200):
        if all(ctx.get(signal) for signal in signals):
            return
        await ctx.tick()
    raise AssertionError(f"200 cycles without {', '.join(signal.name for signal in signals)}")


async def lite_write(ctx, lite, offset: int, value: int, strobes: int = 15) -> int:
    """Returns the response. Address and data go together; ends in a cycle of its own."""
    ctx.set(lite.awaddr, offset)
    ctx.set(lite.awvalid, 1)
    ctx.set(lite.wdata, value)
    ctx.set(lite.wstrb, strobes)
    ctx.set(lite.wvalid, 1)
    ctx.set(lite.bready, 1)
    await until(ctx, lite.awready, lite.wready)
    await ctx.tick()
    ctx.set(lite.awvalid, 0)
    ctx.set(lite.wvalid, 0)
    await until(ctx, lite.bvalid)
    response = ctx.get(lite.bresp)
    await ctx.tick()
    ctx.set(lite.bready, 0)
    return response


async def lite_read(ctx, lite, offset: int) -> tuple[int, int]:
    """(data, response)"""
    ctx.set(lite.araddr, offset)
    ctx.set(lite.arvalid, 1)
    ctx.set(lite.rready, 1)
    await until(ctx, lite.arready)
    await ctx.tick()
    ctx.set(lite.arvalid, 0)
    await until(ctx, lite.rvalid)
    out = ctx.get(lite.rdata), ctx.get(lite.rresp)
    await ctx.tick()
    ctx.set(lite.rready, 0)
    return out


def run_system(
    config: Config,
    words: list[int],
    image: bytearray | None = None,
    watchdog: int = 1 << 20,
    base: int = 0,
    faults: dict[int, int] | None = None,
    program_bytes: int | None = None,
    runs: int = 1,
    prepare: Callable[[FakeCore], Callable | None] | None = None,
    probe: bool = False,
) -> list[Outcome]:
    """One outcome a run; each run starts the same program again, without a reset between.

    faults: memory model state to set after its reset. prepare(core) may return a testbench to add. probe: shows each cycle that no
    output of the master follows its inputs within the cycle.
    """
    core = FakeCore(config)
    dut = Accelerator(config, core)
    model = model_of(config)
    memory = model.reset(config)
    for index, value in (faults or {}).items():
        memory[index] = value
    image = image if image is not None else bytearray(PROGRAM + 4 * len(words) + 4096)
    program = b"".join(w.to_bytes(4, "little") for w in words)
    image[PROGRAM : PROGRAM + len(program)] = program
    outcomes: list[Outcome] = []
    current = Outcome()
    ended = False

    async def memory_side(ctx):
        axi, b = dut.m_axi, config.bus_bytes
        inputs = Cat(axi.arready, axi.awready, axi.wready, axi.rvalid, axi.rlast, axi.rresp, axi.bvalid, axi.bresp)
        outputs = Cat(
            axi.arvalid,
            axi.araddr,
            axi.arlen,
            axi.awvalid,
            axi.awaddr,
            axi.awlen,
            axi.wvalid,
            axi.wdata,
            axi.wlast,
            axi.rready,
            axi.bready,
        )
        while not ended:
            if probe:
                before = ctx.get(outputs)
                for value in (0, (1 << len(inputs)) - 1, random.getrandbits(len(inputs))):
                    ctx.set(inputs, value)
                    assert ctx.get(outputs) == before
            r_valid, w_ready = memory[mm.R_VALID], memory[mm.W_READY]
            ready = int(memory[mm.REQUEST_READY])
            ctx.set(axi.arready, ready)
            ctx.set(axi.awready, ready)
            ctx.set(axi.rvalid, int(r_valid))
            ctx.set(axi.rlast, int(memory[mm.R_LAST]))
            ctx.set(axi.rresp, int(memory[mm.R_RESPONSE]) if r_valid else 0)
            if r_valid:
                at = int(memory[mm.R_ADDRESS])
                ctx.set(axi.rdata, int.from_bytes(image[at : at + b], "little"))
            ctx.set(axi.wready, int(w_ready))
            ctx.set(axi.bvalid, int(memory[mm.B_VALID]))
            ctx.set(axi.bresp, int(memory[mm.B_RESPONSE]) if memory[mm.B_VALID] else 0)
            if ctx.get(dut.counting):
                retire = ctx.get(dut.retire)
                if retire:
                    tags = ctx.get(dut.tags)
                    for engine in Engine:
                        if retire >> engine & 1:
                            current.retired.append((current.counted, engine, tags >> 16 * engine & 0xFFFF))
                current.counted += 1
            assert ctx.get(axi.rready) and ctx.get(axi.bready)  # always
            w_valid = ctx.get(axi.wvalid)
            assert not w_valid or ctx.get(axi.wstrb) == (1 << b) - 1
            if w_valid and w_ready:
                at = int(memory[mm.W_ADDRESS])
                image[at : at + b] = ctx.get(axi.wdata).to_bytes(b, "little")
            ar, aw = ctx.get(axi.arvalid), ctx.get(axi.awvalid)
            if ar:
                address, beats = ctx.get(axi.araddr), ctx.get(axi.arlen) + 1
            else:
                address, beats = ctx.get(axi.awaddr), ctx.get(axi.awlen) + 1
            if ar or aw:
                assert not (ar and aw)
                size, burst = (axi.arsize, axi.arburst) if ar else (axi.awsize, axi.awburst)
                assert 1 << ctx.get(size) == b and ctx.get(burst) == INCR
                assert address % 4096 + beats * b <= 4096 and address % b == 0
            if ((ar or aw) and ready) or r_valid or memory[mm.B_VALID] or (w_valid and w_ready):
                current.last_on_bus = current.counted - 1
            model.step(memory, ar, aw, address, beats, w_valid, 1, 1)
            await ctx.tick()

    async def software(ctx):
        nonlocal current, ended
        lite = dut.s_axi
        await lite_write(ctx, lite, Register.PROGRAM_ADDRESS, PROGRAM)
        await lite_write(ctx, lite, Register.PROGRAM_SIZE, len(program) if program_bytes is None else program_bytes)
        await lite_write(ctx, lite, Register.BASE_ADDRESS, base)
        await lite_write(ctx, lite, Register.WATCHDOG, watchdog)
        for _ in range(runs):
            current = Outcome()
            await lite_write(ctx, lite, Register.CONTROL, Control.START | Control.INTERRUPT_ENABLE)
            for _ in range(TIMEOUT):
                current.interrupt = ctx.get(dut.irq)
                if current.interrupt:
                    break
                await ctx.tick()
            for _ in range(4):
                await ctx.tick()
            status, _ = await lite_read(ctx, lite, Register.STATUS)
            current.status, current.fault = status & 0xFF, status >> STATUS_FAULT_LSB
            for _ in range(TIMEOUT):
                if not status & Status.DRAINING or mm.SILENT_FROM in (faults or {}):
                    break
                status, _ = await lite_read(ctx, lite, Register.STATUS)
            for register in Register:
                current.registers[register] = (await lite_read(ctx, lite, register))[0]
            current.fault_address = current.registers[Register.ERROR_ADDRESS]
            for counter in Counter:
                low, _ = await lite_read(ctx, lite, counter_offset(counter))
                high, _ = await lite_read(ctx, lite, counter_offset(counter) + 4)
                current.counters[counter] = high << 32 | low
            current.image = image
            outcomes.append(current)
        ended = True

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(memory_side)
    sim.add_testbench(software)
    extra = prepare(core) if prepare else None
    if extra:
        sim.add_testbench(extra, background=True)
    sim.run()
    return outcomes
