"""The clock from cycle to cycle: the accelerator's control, without its data. The oracle of event_model, and the recorder.

Steps the machines of intaglio/hw (stepping.py) against a model of external memory (sim.memory), so that its cycles are the RTL's. A
compute command is a length: the core's schedule is rigid (machine.timing).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import specialised
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.limits import DEFAULT_WATCHDOG, MOST_TOKENS
from intaglio.sim.clock.recording import begin_notes, recording_of
from intaglio.sim.clock.result import SYSTEM_COUNTERS, CycleResult, StuckError
from intaglio.sim.clock.schedule import Schedule, schedule_of_words
from intaglio.sim.clock.stepping import OVERFLOW, STUCK, run
from intaglio.sim.memory import MemoryModel, model_of


def run_cycles(
    config: Config,
    words: NDArray[np.uint32],
    compute_cycles: NDArray[np.int64],
    watchdog: int = DEFAULT_WATCHDOG,
    record: bool = False,
    leads: NDArray[np.int64] | None = None,
) -> CycleResult:
    """The clock of an encoded program.

    words: the program, valid. compute_cycles: machine.timing's cycles, at least 2, for each compute command in order.
    leads: timing.lead_cycles of each; none where left out.
    record, errors: as run_clock; ValueError for a malformed program, too.
    """
    return run_clock(config, schedule_of_words(config, words, compute_cycles, leads), watchdog, record)


def run_clock(
    config: Config, schedule: Schedule, watchdog: int = DEFAULT_WATCHDOG, record: bool = False
) -> CycleResult:
    """Steps through every cycle of a program.

    record: what happens when is written down too (for this, another copy of the loop is compiled). Raises StuckError for a
    program that does not end.
    """
    commands = schedule.commands
    shift = config.bus_bytes.bit_length() - 1
    model = model_of(config)
    retired = np.full(len(commands), -1, np.int64)
    counters = np.zeros(len(Counter), np.int64)
    notes = begin_notes(schedule, shift) if record else None
    end = _clock(model)(
        model.reset(config),
        commands,
        schedule.lengths,
        schedule.leads,
        schedule.program_words,
        shift,
        config.memory.outstanding,
        watchdog,
        retired,
        counters,
        notes,
    )
    if end == STUCK:
        raise StuckError(
            f"no progress for {watchdog} cycles, after {np.count_nonzero(retired >= 0)} of {len(commands)} "
            f"commands, in cycle {counters[Counter.CYCLES]}"
        )
    if end == OVERFLOW:
        raise StuckError(f"more than {MOST_TOKENS} tokens wait, in cycle {counters[Counter.CYCLES]}")
    recording = None if notes is None else recording_of(notes)
    return CycleResult(
        int(counters[Counter.CYCLES]), retired, {c: int(counters[c]) for c in SYSTEM_COUNTERS}, recording
    )


@cache
def _clock(model: MemoryModel) -> Any:
    """stepping.run, compiled for a model of external memory."""
    return specialised(run, model.module, {"nogil": True}, memory_step=model.step, memory_wait=model.wait)
