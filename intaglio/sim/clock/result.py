"""Results of the host's clock: cycles, retirements, counters, and the recording of what happened when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intaglio.machine.counters import Counter

SYSTEM_COUNTERS = (
    Counter.CYCLES,
    Counter.BUSY,
    Counter.WAIT_LOAD,
    Counter.WAIT_STORE,
    Counter.WAIT_COMMAND,
    Counter.FINISHING,
    Counter.LOAD_ACTIVATION_WORDS,
    Counter.LOAD_WEIGHT_WORDS,
    Counter.LOAD_CHANNEL_WORDS,
    Counter.STORE_WORDS,
    Counter.FETCH_WORDS,
    Counter.COMMANDS,
)
"""Counters of the clock; the others are functions of the compute commands alone."""

BURST_COLUMNS = ("command", "is_write", "address", "beats", "requested", "accepted", "first", "last", "answered")


@dataclass(frozen=True)
class Recording:
    """Times of everything that happened, in cycles.

    dispatched, started: int64 [commands], when the command's last word entered its queue, and when its engine took it
    with its tokens. A compute command is busy from `started` to its retirement, both counted.
    bursts: int64 [bursts, BURST_COLUMNS], in the order of their requests. command: index, -1 for FETCH's. address: bytes.
    beats: bus words. requested: when the arbiter took it; accepted: its handshake outside; first, last: beats;
    answered: a write's response, a read's last beat.
    states: int64 [changes, 2], the cause (BUSY, WAIT_LOAD, WAIT_STORE, WAIT_COMMAND, FINISHING of Counter) of every cycle
    from the second entry on, up to the next change.
    """

    dispatched: NDArray[np.int64]
    started: NDArray[np.int64]
    bursts: NDArray[np.int64]
    states: NDArray[np.int64]


@dataclass(frozen=True)
class CycleResult:
    """Cycles of a run, and what the clock counts in it.

    cycles: the counter CYCLES. retire_cycles: int64, the cycle of each command's retirement, in program order.
    counters: SYSTEM_COUNTERS. recording: if it was asked for.
    """

    cycles: int
    retire_cycles: NDArray[np.int64]
    counters: dict[Counter, int]
    recording: Recording | None = None


class StuckError(RuntimeError):
    """The program does not end: the hardware's watchdog or token counters would stop it. A valid Program never does this."""
