"""Splitter: cuts the rows of a LOAD or STORE into bursts that cross no page and are no longer than MOST_BEATS.

Its registers are int64 [REGISTERS]: whether a command is in it, the command's index, the row's address, the next burst's address, words
left of the row, rows left with this one, cycles until its burst stands at its output. Addresses and lengths count bus words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled
from intaglio.machine import latency
from intaglio.machine.limits import FETCH_BLOCK_BYTES, MOST_BEATS, PAGE
from intaglio.sim.clock.schedule import ADDRESS, ENGINE, ROW_WORDS, ROWS, STRIDE
from intaglio.sim.clock.tokens import COMPUTE

ACTIVE, COMMAND, _ROW_AT, AT, _LEFT, _ROWS_LEFT, _WAITS = range(7)
REGISTERS = 7
_FIRST, _STEP = latency.TRANSFER_REQUEST - 1, latency.TRANSFER_STEP - 1


@compiled(inline="always")
def beats_of(splitter: NDArray[np.int64], page_words: int) -> int:
    """Beats of the burst that stands at its output."""
    most = min(page_words - splitter[AT] % page_words, MOST_BEATS)
    beats: int = min(splitter[_LEFT], most)
    return beats


@compiled(inline="always")
def asks(splitter: NDArray[np.int64]) -> bool:
    """True if its burst stands at its output in this cycle; else it comes a cycle nearer."""
    if splitter[_WAITS] != 0:
        splitter[_WAITS] -= 1
        return False
    return bool(splitter[ACTIVE])


@compiled(inline="always")
def take_burst(splitter: NDArray[np.int64], beats: int, commands: NDArray[np.int64], address_mask: int) -> bool:
    """Its burst is taken. Returns whether it was its command's last."""
    splitter[_WAITS] = _STEP
    if splitter[_LEFT] != beats:
        splitter[AT] = (splitter[AT] + beats) & address_mask
        splitter[_LEFT] -= beats
        return False
    if splitter[_ROWS_LEFT] == 1:
        splitter[ACTIVE] = 0
        return True
    command = commands[splitter[COMMAND]]
    splitter[_ROW_AT] = (splitter[_ROW_AT] + command[STRIDE]) & address_mask
    splitter[AT] = splitter[_ROW_AT]
    splitter[_LEFT] = command[ROW_WORDS]
    splitter[_ROWS_LEFT] -= 1
    return False


@compiled(inline="always")
def begin(splitter: NDArray[np.int64], number: int, commands: NDArray[np.int64]) -> None:
    """A command starts."""
    command = commands[number]
    splitter[ACTIVE], splitter[_WAITS] = 1, _FIRST
    splitter[COMMAND] = number
    splitter[_ROW_AT] = command[ADDRESS]
    splitter[AT] = command[ADDRESS]
    splitter[_LEFT] = command[ROW_WORDS]
    splitter[_ROWS_LEFT] = command[ROWS]


@compiled()
def count_bursts(commands: NDArray[np.int64], program_words: int, shift: int) -> int:
    """Bursts of a program, FETCH's included. shift: log2 of the bus's bytes."""
    block = FETCH_BLOCK_BYTES >> shift
    count = -(-((4 * program_words + (1 << shift) - 1) >> shift) // block)
    splitter = np.zeros(REGISTERS, np.int64)
    for number in range(len(commands)):
        if commands[number, ENGINE] != COMPUTE:
            begin(splitter, number, commands)
            while splitter[ACTIVE]:
                take_burst(splitter, beats_of(splitter, PAGE >> shift), commands, (1 << (32 - shift)) - 1)
                count += 1
    return count
