"""One Program, two engines: the host's models, or the RTL. Both give the same RunResult."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.errors import InputError
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.isa import Command, Engine
from intaglio.program.program import Program
from intaglio.program.table import Table, table_of
from intaglio.sim.clock.cycle_model import run_clock
from intaglio.sim.clock.event_model import run_events
from intaglio.sim.clock.result import SYSTEM_COUNTERS, CycleResult, StuckError
from intaglio.sim.clock.schedule import schedule_of
from intaglio.sim.functional import execute_program
from intaglio.sim.rtl.build import Progress
from intaglio.sim.rtl.simulate import run_rtl

ENGINES = ("host", "rtl")
NEVER = 1 << 62
"""Cycles of commands that do not end."""


@dataclass(frozen=True)
class RunResult:
    """The result of a run, whichever engine ran it; equal in every field for a valid program but for counters that the RTL
    has not.

    engine: who ran it. outputs: by name, int8 [rows, row_bytes] as the Program's places have them. memory: external memory
    after the end, uint8 [memory_bytes]. cycles: from the start to the end. retire_cycles: int64 [commands], the cycle in
    which each command retired, in program order. layer_cycles: for each tag that COMPUTE retired, in order of time, its
    cycles (layer_intervals); they add up to `cycles`. counters: the ledger; empty where the RTL ran a configuration
    without counters.
    """

    engine: str
    outputs: dict[str, np.ndarray]
    memory: np.ndarray
    cycles: int
    retire_cycles: np.ndarray
    layer_cycles: dict[int, int]
    counters: dict[Counter, int]


def run_program(
    config: Config,
    program: Program,
    inputs: Mapping[str, np.ndarray],
    engine: str = "host",
    progress: Progress | None = None,
    waves: Path | None = None,
) -> RunResult:
    """Runs a validated program on `engine`, one of ENGINES. inputs: int8 arrays by name.

    progress and waves are the RTL's (see run_rtl).
    """
    if engine == "host":
        return _on_host(config, program, inputs)
    if engine == "rtl":
        return _on_rtl(config, program, inputs, progress, waves)
    raise InputError(f"engine {engine!r}: must be one of {', '.join(ENGINES)}")


def clock_of(config: Config, commands: Sequence[Command], record: bool = False) -> CycleResult:
    """The cycles of a program's commands, which no data change: no memory is simulated. record: with what happens when,
    for which every cycle is stepped through."""
    schedule = schedule_of(config, table_of(commands))
    return run_clock(config, schedule, record=True) if record else run_events(config, schedule)


def cycles_of(config: Config, table: Table) -> int:
    """The mapper's clock. Commands that leave more tokens than the counters hold are none to take: NEVER."""
    try:
        return run_events(config, schedule_of(config, table)).cycles
    except StuckError:
        return NEVER


def layer_spans(program: Program, retire_cycles: np.ndarray, cycles: int) -> list[tuple[int, int, int]]:
    """(tag, begin, end) of consecutive intervals that fill a run: the cycles up to and with the one in which COMPUTE retires
    a command belong to that command's layer, the last layer's to the run's end. Layers that run piece by piece together
    have several each. Empty where nothing is computed."""
    out: list[tuple[int, int, int]] = []
    begin = 0
    compute = [i for i, command in enumerate(program.commands) if command.engine == Engine.COMPUTE]
    for i in compute:
        tag, end = program.commands[i]["tag"], int(retire_cycles[i]) + 1 if i != compute[-1] else cycles
        if out and out[-1][0] == tag:
            out[-1] = tag, out[-1][1], end
        else:
            out.append((tag, begin, end))
        begin = end
    return out


def layer_intervals(program: Program, retire_cycles: np.ndarray, cycles: int) -> dict[int, int]:
    """Cycles of each tag in layer_spans, in the order in which they begin; they add up to the run. A layer without compute
    commands has none."""
    out: dict[int, int] = {}
    for tag, begin, end in layer_spans(program, retire_cycles, cycles):
        out[tag] = out.get(tag, 0) + end - begin
    return out


def _on_host(config: Config, program: Program, inputs: Mapping[str, np.ndarray]) -> RunResult:
    done = execute_program(config, program, inputs)
    clock = clock_of(config, program.commands)
    ledger = done.counters.sum(axis=0)
    counters = {c: clock.counters[c] if c in SYSTEM_COUNTERS else int(ledger[c]) for c in Counter}
    layers = layer_intervals(program, clock.retire_cycles, clock.cycles)
    return RunResult("host", done.outputs, done.memory, clock.cycles, clock.retire_cycles, layers, counters)


def _on_rtl(
    config: Config, program: Program, inputs: Mapping[str, np.ndarray], progress: Progress | None, waves: Path | None
) -> RunResult:
    done = run_rtl(config, program, inputs, progress, waves)
    if done.fault != Fault.NONE:
        raise RuntimeError(
            f"the RTL stopped with {done.fault.name} at 0x{done.fault_address:x} in cycle "
            f"{done.cycles}; `validate` the program"
        )
    retired = in_program_order(program, done.events)
    layers = layer_intervals(program, retired, done.cycles)
    return RunResult("rtl", done.outputs, done.memory, done.cycles, retired, layers, done.counters)


def in_program_order(program: Program, events: np.ndarray) -> np.ndarray:
    """Retire cycles of the commands, int64 [commands], from events [events, 3] in order of time: engines retire in
    order. RuntimeError if the trace's tags or number are not those of the program."""
    out = np.zeros(len(program.commands), np.int64)
    for engine in Engine:
        mine = [i for i, c in enumerate(program.commands) if c.engine == engine]
        seen = events[events[:, 1] == engine]
        tags = [program.commands[i]["tag"] for i in mine]
        if seen[:, 2].tolist() != tags:
            raise RuntimeError(f"{engine.name} retired tags {seen[:, 2].tolist()[:20]}..., not {tags[:20]}...")
        out[mine] = seen[:, 0]
    return out
