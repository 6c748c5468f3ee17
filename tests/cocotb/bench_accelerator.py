"""The whole accelerator between AXI memory and AXI4-Lite software, both of cocotbext-axi, with pauses on all channels."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from bench_side import TIMEOUT_MS, started
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiSlave
from faulty_memory import FaultyMemory
from host import Host, quiet, stalled
from rtl_bench import parameters
from workloads import Workload, random_workload

from intaglio.hw.ledger import CAUSES
from intaglio.machine.config import Config
from intaglio.machine.config_files import config_from_dict
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.isa import Opcode
from intaglio.machine.registers import ID_VALUE, STATUS_FAULT_LSB, Control, Register, Status
from intaglio.program.program import PROGRAM_OFFSET
from intaglio.sim.tensors import read_tensors
from tests.hw.units import expected_bursts

RAM_BYTES = 1 << 20


def random_base() -> int:
    return 4096 * random.randrange(RAM_BYTES // 2 // 4096)


def check_outputs(workload: Workload, memory: bytes) -> None:
    """memory: the program's, after the end."""
    found = read_tensors(workload.program, np.frombuffer(memory, np.uint8))
    for name, right in workload.outputs.items():
        assert np.array_equal(found[name].reshape(-1), right.reshape(-1)), f"{name} of network {workload.seed}"


async def on_memory(dut) -> tuple[Config, AxiRam, Host, Bus]:
    """The accelerator, started, on a memory that pauses at random, and its bus watched."""
    quiet(dut)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=RAM_BYTES)
    stalled(ram)
    host = Host(dut)
    await started(dut)
    bus = Bus(dut)
    cocotb.start_soon(bus.watch())
    return config_from_dict(parameters()["config"]), ram, host, bus


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def networks(dut) -> None:
    """Random networks one after the other: outputs, status, interrupt and every counter of work."""
    config, ram, host, _ = await on_memory(dut)
    assert await host.read(Register.ID) == ID_VALUE
    shown = await host.read(Register.HASH_LOW) | await host.read(Register.HASH_HIGH) << 32
    assert shown == config.hardware_hash()
    for _ in range(parameters()["networks"]):
        workload, base = random_workload(config), random_base()
        dut._log.info("network %d: %d commands", workload.seed, len(workload.program.commands))
        ram.write(base, workload.memory.tobytes())
        outcome = await host.run(base + PROGRAM_OFFSET, workload.code_bytes, base)
        assert (outcome.status, outcome.fault) == (Status.DONE | Status.INTERRUPT, Fault.NONE)
        check_outputs(workload, ram.read(base, workload.memory.size))
        ledger = workload.ledger()
        assert {counter: outcome.counters[counter] for counter in ledger} == ledger
        assert outcome.counters[Counter.BUSY] in workload.busy()
        assert outcome.counters[Counter.CYCLES] == sum(outcome.counters[cause] for cause in CAUSES)


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def errors(dut) -> None:
    """A bad word on a read, on a write, a malformed command: status, code and address; then the same program runs."""
    quiet(dut)
    config = config_from_dict(parameters()["config"])
    memory = FaultyMemory(RAM_BYTES)
    stalled(AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, target=memory))
    host = Host(dut)
    await started(dut)
    workload, base = random_workload(config), random_base()
    size = workload.memory.size
    memory[base : base + size] = workload.memory.tobytes()

    async def run(fault: Fault, addresses: set[int]) -> None:
        outcome = await host.run(base + PROGRAM_OFFSET, workload.code_bytes, base)
        assert (outcome.status, outcome.fault) == (Status.ERROR | Status.INTERRUPT, fault)
        assert outcome.fault_address in addresses, (hex(outcome.fault_address), addresses)

    for opcode, fault in ((Opcode.LOAD, Fault.READ_RESPONSE), (Opcode.STORE, Fault.WRITE_RESPONSE)):
        transfers = [c for c in workload.program.commands if c.opcode == opcode]
        bursts = [burst for c in transfers for burst in expected_bursts(c, config.bus_bytes, base)]
        address, beats, _, _ = random.choice(bursts)
        bad = address + config.bus_bytes * random.randrange(beats)
        setattr(memory, "bad_reads" if opcode == Opcode.LOAD else "bad_writes", range(bad, bad + config.bus_bytes))
        await run(fault, {first for first, n, _, _ in bursts if first <= bad < first + n * config.bus_bytes})
        memory.bad_reads = memory.bad_writes = range(0)

    starts = np.cumsum([0] + [4 * len(c.words()) for c in workload.program.commands])[:-1]
    offset = int(random.choice(list(starts)))
    at = base + PROGRAM_OFFSET + offset
    good = memory[at]
    memory[at] = 0
    await run(Fault.BAD_OPCODE, {offset})
    memory[at] = good

    memory[base : base + size] = workload.memory.tobytes()
    outcome = await host.run(base + PROGRAM_OFFSET, workload.code_bytes, base)
    assert (outcome.status, outcome.fault) == (Status.DONE | Status.INTERRUPT, Fault.NONE)
    check_outputs(workload, memory[base : base + size])


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def stops(dut) -> None:
    """A run is stopped at random moments: what is asked of the bus from then on is what stood there at most, all that is in flight
    comes to its end, and the program runs again at once."""
    config, ram, host, bus = await on_memory(dut)
    stopped = in_flight = 0
    # Half a run is waited for at every stop.
    workload, base = random_workload(config, most_cycles=3_000), random_base()
    ram.write(base, workload.memory.tobytes())
    whole = await host.run(base + PROGRAM_OFFSET, workload.code_bytes, base)
    assert whole.status == Status.DONE | Status.INTERRUPT
    for _ in range(parameters()["networks"] * 10):
        ram.write(base, workload.memory.tobytes())
        await host.write(Register.CONTROL, Control.START | Control.INTERRUPT_ENABLE)
        for _ in range(random.randrange(whole.counters[Counter.CYCLES])):
            await RisingEdge(dut.clk)
        await host.write(Register.CONTROL, Control.STOP | Control.INTERRUPT_ENABLE)
        # The write was performed before it was answered: one request at most stands on the bus, and goes out.
        before = bus.requests
        in_flight += bus.in_flight > 0
        while (status := await host.read(Register.STATUS)) & (Status.BUSY | Status.DRAINING):
            pass
        assert bus.requests <= before + 1 and bus.in_flight == 0
        after = bus.requests
        for _ in range(100):
            await RisingEdge(dut.clk)
        assert bus.requests == after and dut.irq.value == 1
        fault = Fault(status >> STATUS_FAULT_LSB & 0xFF)
        if fault != Fault.NONE:
            stopped += 1
            assert (status & 0xF, fault) == (Status.ERROR | Status.INTERRUPT, Fault.STOPPED)
            assert await host.read(Register.ERROR_ADDRESS) == 0
        else:
            assert status & 0xF == Status.DONE | Status.INTERRUPT
        await host.write(Register.CONTROL, Control.INTERRUPT_ENABLE | Control.INTERRUPT_CLEAR)
    assert stopped >= 5 and in_flight >= 2, (stopped, in_flight)
    ram.write(base, workload.memory.tobytes())
    outcome = await host.run(base + PROGRAM_OFFSET, workload.code_bytes, base)
    assert (outcome.status, outcome.fault) == (Status.DONE | Status.INTERRUPT, Fault.NONE)
    check_outputs(workload, ram.read(base, workload.memory.size))


class Bus:
    """Counts the master's handshakes, and watches what its configuration promises.

    requests: addresses taken. in_flight: bursts without their last beat or response.
    """

    def __init__(self, dut) -> None:
        self._dut = dut
        self._config = config_from_dict(parameters()["config"])
        self.requests = self.in_flight = self._unwritten = 0

    async def watch(self) -> None:
        dut, config = self._dut, self._config
        while True:
            await RisingEdge(dut.clk)
            read = bool(dut.m_axi_arvalid.value) and bool(dut.m_axi_arready.value)
            write = bool(dut.m_axi_awvalid.value) and bool(dut.m_axi_awready.value)
            if read:
                assert int(dut.m_axi_arcache.value) == config.axi_cache
            if write:
                assert int(dut.m_axi_awcache.value) == config.axi_cache
            if config.write_after_address and dut.m_axi_wvalid.value:
                assert self._unwritten > 0, "a word before its burst's address"
            if dut.m_axi_wvalid.value and dut.m_axi_wready.value and dut.m_axi_wlast.value:
                self._unwritten -= 1
            ended = bool(dut.m_axi_rvalid.value) and bool(dut.m_axi_rlast.value)
            self._unwritten += write
            self.requests += read + write
            self.in_flight += read + write - ended - bool(dut.m_axi_bvalid.value)
