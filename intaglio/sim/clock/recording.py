"""The recording of a run, as cycle_model fills it: when commands and bursts went on, and what COMPUTE did.

Notes are arrays that a compiled loop can fill: times [commands, dispatched and started], bursts [bursts, BURST_COLUMNS], states [changes,
cause and cycle], the numbers of read and of written bursts in order [2, bursts], and how many of each there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled
from intaglio.sim.clock.result import BURST_COLUMNS, Recording
from intaglio.sim.clock.schedule import Schedule
from intaglio.sim.clock.splitter import count_bursts

Notes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
_COMMAND, _WRITE, _ADDRESS, _BEATS, _REQUESTED, _ACCEPTED, _FIRST, _LAST, _ANSWERED = range(len(BURST_COLUMNS))
_BURSTS, _STATES, _READS, _WRITES, _READ, _WRITTEN, _ANSWERS = range(7)
"""Counts: bursts, states, bursts of reads and of writes, reads that ended, writes whose data ended, writes that were answered."""


def begin_notes(schedule: Schedule, shift: int) -> Notes:
    """Empty notes for a program. shift: log2 of the bus's bytes."""
    bursts = count_bursts(schedule.commands, schedule.program_words, shift)
    return (
        np.full((len(schedule.commands), 2), -1, np.int64),
        np.full((bursts, len(BURST_COLUMNS)), -1, np.int64),
        np.zeros((4 * len(schedule.lengths) + 4, 2), np.int64),
        np.zeros((2, bursts), np.int64),
        np.zeros(7, np.int64),
    )


def recording_of(notes: Notes) -> Recording:
    """The recording of a run that has ended."""
    times, bursts, states, _, counts = notes
    return Recording(times[:, 0], times[:, 1], bursts[: counts[_BURSTS]], states[: counts[_STATES]])


@compiled(inline="always")
def note_state(notes: Notes, state: int, cycle: int) -> None:
    """COMPUTE's cause of this cycle, written down where it changes."""
    states, counts = notes[2], notes[4]
    n = counts[_STATES]
    if n == 0 or states[n - 1, 0] != state:
        states[n, 0] = state
        states[n, 1] = cycle
        counts[_STATES] = n + 1


@compiled(inline="always")
def note_dispatched(notes: Notes, cycle: int, command: int) -> None:
    """A command's last word leaves dispatch."""
    notes[0][command, 0] = cycle


@compiled(inline="always")
def note_started(notes: Notes, cycle: int, command: int) -> None:
    """A command starts."""
    notes[0][command, 1] = cycle


@compiled(inline="always")
def note_request(notes: Notes, cycle: int, command: int, is_write: int, address: int, beats: int) -> None:
    """A burst that the arbiter takes. command: -1 for FETCH's."""
    bursts, order, counts = notes[1], notes[3], notes[4]
    n = counts[_BURSTS]
    bursts[n, _COMMAND] = command
    bursts[n, _WRITE] = is_write
    bursts[n, _ADDRESS] = address
    bursts[n, _BEATS] = beats
    bursts[n, _REQUESTED] = cycle
    counts[_BURSTS] = n + 1
    kind = _WRITES if is_write else _READS
    order[is_write, counts[kind]] = n
    counts[kind] += 1


@compiled(inline="always")
def note_accepted(notes: Notes, cycle: int) -> None:
    """The memory accepts the burst that was requested last."""
    notes[1][notes[4][_BURSTS] - 1, _ACCEPTED] = cycle


@compiled(inline="always")
def note_read(notes: Notes, cycle: int, last: int) -> None:
    """A beat that is read. last: its burst's last one."""
    burst = notes[3][0, notes[4][_READ]]
    _note_beat(notes, cycle, burst)
    if last:
        notes[1][burst, _ANSWERED] = cycle
        notes[4][_READ] += 1


@compiled(inline="always")
def note_written(notes: Notes, cycle: int, last: int) -> None:
    """A beat that is written. last: its burst's last one."""
    _note_beat(notes, cycle, notes[3][1, notes[4][_WRITTEN]])
    if last:
        notes[4][_WRITTEN] += 1


@compiled(inline="always")
def note_answered(notes: Notes, cycle: int) -> None:
    """A write's response."""
    notes[1][notes[3][1, notes[4][_ANSWERS]], _ANSWERED] = cycle
    notes[4][_ANSWERS] += 1


@compiled(inline="always")
def _note_beat(notes: Notes, cycle: int, burst: int) -> None:
    if notes[1][burst, _FIRST] < 0:
        notes[1][burst, _FIRST] = cycle
    notes[1][burst, _LAST] = cycle
