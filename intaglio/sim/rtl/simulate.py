"""A Program on the RTL itself: the Verilog, verilated, with the memory model around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.registers import STATUS_FAULT_LSB, Control, Register, Status, counter_offset
from intaglio.program.program import PROGRAM_OFFSET, Program
from intaglio.sim.rtl.build import WAVES, Progress, library
from intaglio.sim.rtl.model import Model
from intaglio.sim.tensors import initial_memory, read_tensors

CYCLE_LIMIT = 2**40
"""The hardware's watchdog ends a run that is stuck long before."""


@dataclass(frozen=True)
class RtlResult:
    """State of registers, trace port and memory after the interrupt.

    cycles: the counter CYCLES; of hardware that does not count, cycles with `counting`. events: each retirement in order of
    time, int64 [events, 3]: cycle, isa.Engine, tag. counters: by Counter; empty of hardware that does not count. outputs: by name, int8 [rows, row_bytes]. memory: external memory, uint8 [memory_bytes].
    fault, fault_address: Fault.NONE if the program ran to its end.
    """

    cycles: int
    events: np.ndarray
    counters: dict[Counter, int]
    outputs: dict[str, np.ndarray]
    memory: np.ndarray
    fault: Fault
    fault_address: int


def run_rtl(
    config: Config,
    program: Program,
    inputs: Mapping[str, np.ndarray],
    progress: Progress | None = None,
    waves: Path | None = None,
    base: int = 0,
    faults: Mapping[int, int] | None = None,
    watchdog: int | None = None,
) -> RtlResult:
    """Runs a program on the RTL of `config`, from reset to the interrupt.

    inputs: int8 arrays by name. progress: told what takes long (the first call builds the model). waves: a .fst or .vcd
    file to write. base: external address of the program's memory, a multiple of 4096. For tests: faults sets
    parameters of the memory model by index (ERROR_FROM, ...), watchdog the register.
    """
    if waves is not None and waves.suffix not in WAVES:
        raise InputError(f"waves {waves}: the name must end in {' or '.join(WAVES)}")
    shared = library(config, waves.suffix if waves else None, progress)
    memory = initial_memory(program, inputs)
    settings = {
        Register.PROGRAM_ADDRESS: base + PROGRAM_OFFSET,
        Register.PROGRAM_SIZE: 4 * len(program.words()),
        Register.BASE_ADDRESS: base,
    }
    if watchdog is not None:
        settings[Register.WATCHDOG] = watchdog
    with Model(shared, config, memory, base, waves) as model:
        for index, value in (faults or {}).items():
            model.state[index] = value
        _check_identity(model, config)
        for register, value in settings.items():
            model.write(register, value)
        model.write(Register.CONTROL, Control.START | Control.INTERRUPT_ENABLE)
        if not model.run(CYCLE_LIMIT):
            raise RuntimeError(f"the RTL did not raise its interrupt within {CYCLE_LIMIT} cycles")
        status = model.read(Register.STATUS)
        counters = {
            counter: model.read(counter_offset(counter)) | model.read(counter_offset(counter) + 4) << 32
            for counter in (Counter if config.counters else ())
        }
        return RtlResult(
            cycles=counters[Counter.CYCLES] if config.counters else model.cycles(),
            events=model.events(),
            counters=counters,
            outputs=read_tensors(program, memory),
            memory=memory,
            fault=Fault(status >> STATUS_FAULT_LSB & 0xFF) if status & Status.ERROR else Fault.NONE,
            fault_address=model.read(Register.ERROR_ADDRESS),
        )


def _check_identity(model: Model, config: Config) -> None:
    """The hardware names the configuration that it was made for."""
    shown = model.read(Register.HASH_LOW) | model.read(Register.HASH_HIGH) << 32
    if shown != config.hardware_hash():
        raise RuntimeError(f"the RTL shows configuration {shown:016x}, not {config.hardware_hash():016x}")
