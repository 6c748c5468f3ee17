"""The whole accelerator between AXI memory and AXI4-Lite software, both of cocotbext-axi, with pauses on all channels."""

from __future__ import annotations

import random

import cocotb
import numpy as np
from bench_side import TIMEOUT_MS, started
from cocotbext.axi import AxiBus, AxiRam, AxiSlave
from faulty_memory import FaultyMemory
from host import Host, quiet, stalled
from rtl_bench import parameters
from workloads import Workload, random_workload

from intaglio.hw.ledger import CAUSES
from intaglio.machine.config import config_from_dict
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.isa import Opcode
from intaglio.machine.registers import ID_VALUE, Register, Status
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


@cocotb.test(timeout_time=TIMEOUT_MS, timeout_unit="ms")
async def networks(dut) -> None:
    """Random networks one after the other: outputs, status, interrupt and every counter of work."""
    quiet(dut)
    config = config_from_dict(parameters()["config"])
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=RAM_BYTES)
    stalled(ram)
    host = Host(dut)
    await started(dut)
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
