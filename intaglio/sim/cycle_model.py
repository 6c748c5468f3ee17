"""The host's clock: every cycle of the accelerator's control, without its data. The oracle of event_model, and the recorder.

Cycles in which nothing but the core counts down are taken at once.

Steps the machines of intaglio/hw (named here as there) register by register against a model of external memory (sim.memory), so that its
cycles are the RTL's. A compute command is a length: the core's schedule is rigid (machine.timing).

In _run, a cycle is: the memory's outputs; what follows from the registers ("combinational"); the memory's step; the
registers' next values. Nothing below the memory's step is read in the same cycle before it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled, specialised
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Engine, LocalMemory
from intaglio.machine.limits import (
    DEFAULT_WATCHDOG,
    FETCH_BLOCK_BYTES,
    FETCH_FIFO_BYTES,
    MOST_BEATS,
    MOST_TOKENS,
    PAGE,
    QUEUE_DEPTHS,
    STORE_BUFFER_WORDS,
)
from intaglio.sim.memory import MemoryModel, model_of
from intaglio.sim.memory.port import B_VALID, R_LAST, R_VALID, REQUEST_READY, W_LAST, W_READY
from intaglio.sim.schedule import (
    ADDRESS,
    ENGINE,
    MEMORY,
    ROW_WORDS,
    ROWS,
    SIGNAL,
    STRIDE,
    WAIT,
    WORDS,
    Schedule,
    schedule_of_words,
)

LOAD, COMPUTE, STORE = int(Engine.LOAD), int(Engine.COMPUTE), int(Engine.STORE)
ENGINES = len(Engine)
_DEPTHS = tuple(QUEUE_DEPTHS[engine] for engine in Engine)
_FETCH, _DISPATCH, _LOAD = latency.FETCH, latency.DISPATCH, latency.LOAD
_FETCH_MASK = (1 << (_FETCH - 1)) - 1  # of the pipe before FETCH's FIFO, which itself takes two cycles
_TO_BUFFER = latency.STORE_ISSUE + latency.ACTIVATION_READ + latency.STORE_BUFFER - 2
"""Cycles from the choice of a word to its entry into STORE's buffer."""

# A splitter's registers.
_ACTIVE, _COMMAND, _ROW_AT, _AT, _LEFT, _ROWS_LEFT = range(6)

_DONE, _STUCK, _OVERFLOW = range(3)
_RING = 32  # a power of two above the largest memory.outstanding

_COUNTERS = len(Counter)
_CYCLES = int(Counter.CYCLES)
_BUSY = int(Counter.BUSY)
_WAIT_LOAD = int(Counter.WAIT_LOAD)
_WAIT_STORE = int(Counter.WAIT_STORE)
_WAIT_COMMAND = int(Counter.WAIT_COMMAND)
_FINISHING = int(Counter.FINISHING)
_LOAD_WORDS = int(Counter.LOAD_ACTIVATION_WORDS)  # then those of the other memories, in LocalMemory order
_STORE_WORDS = int(Counter.STORE_WORDS)
_FETCH_WORDS = int(Counter.FETCH_WORDS)
_COMMANDS = int(Counter.COMMANDS)
assert [Counter.LOAD_ACTIVATION_WORDS + m for m in LocalMemory] == [
    Counter.LOAD_ACTIVATION_WORDS,
    Counter.LOAD_WEIGHT_WORDS,
    Counter.LOAD_CHANNEL_WORDS,
]

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
"""What the clock counts; the other counters are functions of the compute commands alone."""


BURST_COLUMNS = ("command", "is_write", "address", "beats", "requested", "accepted", "first", "last", "answered")
_B_COMMAND, _B_WRITE, _B_ADDRESS, _B_BEATS, _B_REQUESTED, _B_ACCEPTED, _B_FIRST, _B_LAST, _B_ANSWERED = range(9)
_BURSTS, _STATES, _READS, _WRITES, _SENT = range(5)  # what the recording has counted
_Notes = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Recording:
    """When everything happened, in cycles.

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


class StuckError(RuntimeError):
    """The program does not end: the hardware's watchdog or token counters would stop it. A valid Program never does this."""


@dataclass(frozen=True)
class CycleResult:
    """cycles: the counter CYCLES. retire_cycles: int64, the cycle of each command's retirement, in program order.
    counters: SYSTEM_COUNTERS. recording: if it was asked for."""

    cycles: int
    retire_cycles: NDArray[np.int64]
    counters: dict[Counter, int]
    recording: Recording | None = None


def run_cycles(
    config: Config,
    words: NDArray[np.uint32],
    compute_cycles: NDArray[np.int64],
    watchdog: int = DEFAULT_WATCHDOG,
    record: bool = False,
) -> CycleResult:
    """The clock of an encoded program.

    words: the program, valid. compute_cycles: machine.timing's cycles, at least 2, for each compute command in order.
    record, errors: as run_clock; ValueError for a malformed program, too.
    """
    return run_clock(config, schedule_of_words(config, words, compute_cycles), watchdog, record)


def run_clock(
    config: Config, schedule: Schedule, watchdog: int = DEFAULT_WATCHDOG, record: bool = False
) -> CycleResult:
    """Steps through every cycle of a program.

    record: what happens when is written down too (for this, another copy of the loop is compiled). Raises StuckError for a
    program that does not end.
    """
    commands, lengths, program_words = schedule.commands, schedule.lengths, schedule.program_words
    shift = config.bus_bytes.bit_length() - 1
    model = model_of(config)
    memory = model.reset(config)
    retired = np.full(len(commands), -1, np.int64)
    counters = np.zeros(_COUNTERS, np.int64)
    notes = None
    if record:
        bursts = _count_bursts(commands, program_words, shift)
        notes = (
            np.full((len(commands), 2), -1, np.int64),
            np.full((bursts, len(BURST_COLUMNS)), -1, np.int64),
            np.zeros((4 * len(lengths) + 4, 2), np.int64),
            np.zeros((2, bursts), np.int64),
            np.zeros(5, np.int64),
        )
    end = _clock(model)(
        memory, commands, lengths, program_words, shift, config.memory.outstanding, watchdog, retired, counters, notes
    )
    if end == _STUCK:
        raise StuckError(
            f"no progress for {watchdog} cycles, after {np.count_nonzero(retired >= 0)} of {len(commands)} "
            f"commands, in cycle {counters[_CYCLES]}"
        )
    if end == _OVERFLOW:
        raise StuckError(f"more than {MOST_TOKENS} tokens wait, in cycle {counters[_CYCLES]}")
    recording = None
    if notes is not None:
        times, burst_rows, states, _, counts = notes
        recording = Recording(times[:, 0], times[:, 1], burst_rows[: counts[_BURSTS]], states[: counts[_STATES]])
    return CycleResult(int(counters[_CYCLES]), retired, {c: int(counters[c]) for c in SYSTEM_COUNTERS}, recording)


@compiled(inline="always")
def _beats(splitter: NDArray[np.int64], page_words: int) -> int:
    """Splitter: beats of the burst that stands at its output."""
    most = min(page_words - splitter[_AT] % page_words, MOST_BEATS)
    beats: int = min(splitter[_LEFT], most)
    return beats


@compiled(inline="always")
def _take(splitter: NDArray[np.int64], beats: int, commands: NDArray[np.int64], address_mask: int) -> bool:
    """Splitter: its burst is taken. Returns whether it was its command's last."""
    if splitter[_LEFT] != beats:
        splitter[_AT] = (splitter[_AT] + beats) & address_mask
        splitter[_LEFT] -= beats
        return False
    if splitter[_ROWS_LEFT] == 1:
        splitter[_ACTIVE] = 0
        return True
    command = commands[splitter[_COMMAND]]
    splitter[_ROW_AT] = (splitter[_ROW_AT] + command[STRIDE]) & address_mask
    splitter[_AT] = splitter[_ROW_AT]
    splitter[_LEFT] = command[ROW_WORDS]
    splitter[_ROWS_LEFT] -= 1
    return False


@compiled(inline="always")
def _begin(splitter: NDArray[np.int64], number: int, commands: NDArray[np.int64]) -> None:
    """Splitter: a command starts."""
    command = commands[number]
    splitter[_ACTIVE] = 1
    splitter[_COMMAND] = number
    splitter[_ROW_AT] = command[ADDRESS]
    splitter[_AT] = command[ADDRESS]
    splitter[_LEFT] = command[ROW_WORDS]
    splitter[_ROWS_LEFT] = command[ROWS]


@compiled(inline="always")
def _may_start(tokens: NDArray[np.int64], engine: int, waits: int) -> bool:
    return not ((waits & 1 and tokens[2 * engine] == 0) or (waits & 2 and tokens[2 * engine + 1] == 0))


@compiled(inline="always")
def _consume(tokens: NDArray[np.int64], engine: int, waits: int) -> None:
    tokens[2 * engine] -= waits & 1
    tokens[2 * engine + 1] -= waits >> 1


@compiled()
def _count_bursts(commands: NDArray[np.int64], program_words: int, shift: int) -> int:
    """How many bursts a program makes, FETCH's included."""
    block = FETCH_BLOCK_BYTES >> shift
    count = -(-((4 * program_words + (1 << shift) - 1) >> shift) // block)
    splitter = np.zeros(6, np.int64)
    for number in range(len(commands)):
        if commands[number, ENGINE] != COMPUTE:
            _begin(splitter, number, commands)
            while splitter[_ACTIVE]:
                _take(splitter, _beats(splitter, PAGE >> shift), commands, (1 << (32 - shift)) - 1)
                count += 1
    return count


@compiled(inline="always")
def _note_state(notes: _Notes, state: int, cycle: int) -> None:
    """COMPUTE's cause of this cycle, written down where it changes."""
    states, counts = notes[2], notes[4]
    n = counts[_STATES]
    if n == 0 or states[n - 1, 0] != state:
        states[n, 0] = state
        states[n, 1] = cycle
        counts[_STATES] = n + 1


@compiled(inline="always")
def _note_request(notes: _Notes, cycle: int, command: int, is_write: int, address: int, beats: int) -> None:
    """A burst that the arbiter takes in this cycle."""
    bursts, order, counts = notes[1], notes[3], notes[4]
    n = counts[_BURSTS]
    bursts[n, _B_COMMAND] = command
    bursts[n, _B_WRITE] = is_write
    bursts[n, _B_ADDRESS] = address
    bursts[n, _B_BEATS] = beats
    bursts[n, _B_REQUESTED] = cycle
    counts[_BURSTS] = n + 1
    kind = _WRITES if is_write else _READS
    order[is_write, counts[kind]] = n
    counts[kind] += 1


@compiled(inline="always")
def _note_beat(notes: _Notes, cycle: int, burst: int) -> None:
    """A beat of a burst in this cycle."""
    if notes[1][burst, _B_FIRST] < 0:
        notes[1][burst, _B_FIRST] = cycle
    notes[1][burst, _B_LAST] = cycle


def memory_step(*_: Any) -> None:
    """Stands for a memory model's step, memory_wait for its wait."""
    raise NotImplementedError


memory_wait = memory_step


@cache
def _clock(model: MemoryModel) -> Any:
    """_run, compiled for a model of external memory."""
    return specialised(_run, model.module, {"nogil": True}, memory_step=model.step, memory_wait=model.wait)


def _run(
    memory: NDArray[np.int64],
    commands: NDArray[np.int64],
    lengths: NDArray[np.int64],
    program_words: int,
    shift: int,
    outstanding: int,
    watchdog: int,
    retired: NDArray[np.int64],
    counters: NDArray[np.int64],
    notes: _Notes | None,
) -> int:
    """Cycle 0 to the end. Fills retired and counters, and notes (the arrays of a Recording) unless they are None; numba
    leaves out the code for them then."""
    total = len(commands)
    lanes = (1 << shift) // 4
    page_words = PAGE >> shift
    address_mask = (1 << (32 - shift)) - 1
    block = FETCH_BLOCK_BYTES >> shift

    # Commands of each engine in order; how many have started, and wait in its queue; room in the queues.
    order = np.zeros((ENGINES, max(total, 1)), np.int64)
    filled = np.zeros(ENGINES, np.int64)
    for i in range(total):
        engine = commands[i, ENGINE]
        order[engine, filled[engine]] = i
        filled[engine] += 1
    load_next, load_queued = 0, 0
    compute_next, staged = 0, 0
    store_next, store_queued = 0, 0
    queue_room = np.array(_DEPTHS, np.int64)

    tokens = np.zeros(2 * ENGINES, np.int64)  # [of engine, from the first or second of the others]

    # Fetch.
    fetch_left, fetch_room, fetch_at = 0, FETCH_FIFO_BYTES >> shift, 0
    fetch_pipe, fifo_count, fifo_valid = 0, 0, 0
    # Dispatch; the engine of a command on its way to its queue, and the cycles to go.
    lane, index, words_left, current = 0, 0, 0, 0
    handed, handed_left = -1, 0
    # Load: bursts in flight (command if it is the command's last, else -1; memory).
    load = np.zeros(6, np.int64)
    load_last, load_memory = np.zeros(_RING, np.int64), np.zeros(_RING, np.int64)
    load_head, load_tail = 0, 0
    load_retire = -1
    load_pipe = np.full(_LOAD, -1, np.int64)  # commands whose last beat came as many cycles ago; the last of it retires
    # Store: bursts to read; bursts in flight; words on their way; the buffer.
    store = np.zeros(6, np.int64)
    read_beats = np.zeros(_RING, np.int64)
    read_head, read_tail, read_beat, room = 0, 0, 0, STORE_BUFFER_WORDS
    store_last = np.zeros(_RING, np.int64)
    store_head, store_tail = 0, 0
    pipe = 0
    buffer_count, buffer_valid = 0, 0
    store_retire = -1
    # Arbiter.
    ar_valid, aw_valid, address, beats, in_flight = 0, 0, 0, 0, 0
    read_is_fetch = np.zeros(_RING, np.int64)
    owner_head, owner_tail = 0, 0
    # Core.
    core_left, core_command = 0, 0

    idle = 0
    # Cycle 0: begin.
    memory_step(memory, 0, 0, 0, 0, 0, 1, 1)
    fetch_left = (4 * program_words + (1 << shift) - 1) >> shift
    words_left = program_words
    counters[_WAIT_COMMAND] += 1
    if notes is not None:
        _note_state(notes, _WAIT_COMMAND, 0)
    cycle = 1

    while True:
        counters[_CYCLES] = cycle
        if (
            words_left == 0
            and handed < 0
            and fetch_left == 0
            and in_flight == 0
            and core_left == 0
            and staged == 0
            and load_queued == 0
            and store_queued == 0
            and load[_ACTIVE] == 0
            and store[_ACTIVE] == 0
            and load_pipe.max() < 0
            and store_retire < 0
        ):
            return _DONE

        # The memory's outputs.
        ready = memory[REQUEST_READY]
        r_valid, r_last = memory[R_VALID], memory[R_LAST]
        w_ready, memory_w_last = memory[W_READY], memory[W_LAST]
        b_valid = memory[B_VALID]

        # Combinational: starts through the gate.
        load_starts = -1
        if load_queued and not load[_ACTIVE]:
            number = order[LOAD, load_next]
            if _may_start(tokens, LOAD, commands[number, WAIT]):
                load_starts = number
        store_starts = -1
        if store_queued and not store[_ACTIVE]:
            number = order[STORE, store_next]
            if _may_start(tokens, STORE, commands[number, WAIT]):
                store_starts = number
        compute_starts = -1
        compute_retires = -1
        busy = core_left != 0
        if busy:
            counters[_BUSY] += 1
            if core_left == 1:
                compute_retires = core_command
        elif staged:
            number = order[COMPUTE, compute_next]
            waits = commands[number, WAIT]
            if _may_start(tokens, COMPUTE, waits):
                compute_starts = number
                busy = True
                counters[_BUSY] += 1
            elif waits & 1 and tokens[2 * COMPUTE] == 0:
                counters[_WAIT_LOAD] += 1
            else:
                counters[_WAIT_STORE] += 1
        elif words_left == 0 and handed < 0:
            counters[_FINISHING] += 1
        else:
            counters[_WAIT_COMMAND] += 1

        if notes is not None:
            if busy:
                _note_state(notes, _BUSY, cycle)
            elif staged:
                waits = commands[order[COMPUTE, compute_next], WAIT]
                _note_state(notes, _WAIT_LOAD if waits & 1 and tokens[2 * COMPUTE] == 0 else _WAIT_STORE, cycle)
            else:
                _note_state(notes, _FINISHING if words_left == 0 and handed < 0 else _WAIT_COMMAND, cycle)

        # Combinational: arbiter, dispatch, reads of STORE.
        take_fetch, take_store, take_load = False, False, False
        if in_flight != outstanding and (ready or not (ar_valid or aw_valid)):
            if fetch_left != 0 and fetch_room >= block:
                take_fetch = True
            elif store[_ACTIVE]:
                take_store = True
            elif load[_ACTIVE]:
                take_load = True
        accepted = False
        if fifo_valid and words_left != 0:
            accepted = queue_room[commands[current, ENGINE]] != 0
        popped = accepted and lane == lanes - 1
        issued = read_head != read_tail and room != 0
        sent = buffer_valid and w_ready

        # While the core alone counts down, nothing else moves: on to the cycle before its last.
        if (
            core_left > 2
            and in_flight == 0
            and not (ar_valid or aw_valid or accepted or issued or sent)
            and not (take_fetch or take_store or take_load)
            and load_starts < 0
            and store_starts < 0
            and load_retire < 0
            and store_retire < 0
            and pipe == 0
            and buffer_count == 0
            and fetch_pipe == 0
            and fifo_valid == (fifo_count != 0)
            and handed < 0
            and load_pipe.max() < 0
        ):
            skipped = core_left - 2
            counters[_BUSY] += skipped
            memory_wait(memory, skipped)
            cycle += skipped
            core_left = 2

        # Watchdog.
        if (
            r_valid
            or b_valid
            or sent
            or ((ar_valid or aw_valid) and ready)
            or accepted
            or busy
            or load_retire >= 0
            or store_retire >= 0
        ):
            idle = 0
        else:
            idle += 1
            if idle == watchdog:
                return _STUCK

        # The memory's step.
        memory_step(memory, ar_valid, aw_valid, address, beats, buffer_valid, 1, 1)

        # Registers: tokens.
        if load_retire >= 0:
            signals = commands[load_retire, SIGNAL]
            tokens[2 * COMPUTE] += signals & 1
            tokens[2 * STORE] += signals >> 1
            retired[load_retire] = cycle
            counters[_COMMANDS] += 1
        if compute_retires >= 0:
            signals = commands[compute_retires, SIGNAL]
            tokens[2 * LOAD] += signals & 1
            tokens[2 * STORE + 1] += signals >> 1
            retired[compute_retires] = cycle
            counters[_COMMANDS] += 1
        if store_retire >= 0:
            signals = commands[store_retire, SIGNAL]
            tokens[2 * LOAD + 1] += signals & 1
            tokens[2 * COMPUTE + 1] += signals >> 1
            retired[store_retire] = cycle
            counters[_COMMANDS] += 1
        if load_starts >= 0:
            _consume(tokens, LOAD, commands[load_starts, WAIT])
        if compute_starts >= 0:
            _consume(tokens, COMPUTE, commands[compute_starts, WAIT])
        if store_starts >= 0:
            _consume(tokens, STORE, commands[store_starts, WAIT])
        if load_retire >= 0 or store_retire >= 0 or compute_retires >= 0:
            for i in range(2 * ENGINES):
                if tokens[i] > MOST_TOKENS:
                    return _OVERFLOW

        if notes is not None:
            for starts in (load_starts, compute_starts, store_starts):
                if starts >= 0:
                    notes[0][starts, 1] = cycle
            if ready and (ar_valid or aw_valid):
                notes[1][notes[4][_BURSTS] - 1, _B_ACCEPTED] = cycle
            if sent:
                burst = notes[3][1, notes[4][_SENT]]
                _note_beat(notes, cycle, burst)
                if memory_w_last:
                    notes[4][_SENT] += 1

        # Registers: arbiter, fetch's and the splitters' sides of it.
        if ready:
            ar_valid, aw_valid = 0, 0
        if take_fetch:
            beats = min(fetch_left, block)
            ar_valid, address = 1, fetch_at
            fetch_left -= beats
            fetch_at += FETCH_BLOCK_BYTES
            fetch_room -= beats
            read_is_fetch[owner_tail % _RING] = 1
            owner_tail += 1
            in_flight += 1
            if notes is not None:
                _note_request(notes, cycle, -1, 0, address, beats)
        elif take_store:
            beats = _beats(store, page_words)
            aw_valid, address = 1, store[_AT] << shift
            read_beats[read_tail % _RING] = beats
            read_tail += 1
            number = store[_COMMAND]
            last = _take(store, beats, commands, address_mask)
            store_last[store_tail % _RING] = number if last else -1
            store_tail += 1
            in_flight += 1
            if notes is not None:
                _note_request(notes, cycle, number, 1, address, beats)
        elif take_load:
            beats = _beats(load, page_words)
            ar_valid, address = 1, load[_AT] << shift
            number = load[_COMMAND]
            load_memory[load_tail % _RING] = commands[number, MEMORY]
            last = _take(load, beats, commands, address_mask)
            load_last[load_tail % _RING] = number if last else -1
            load_tail += 1
            read_is_fetch[owner_tail % _RING] = 0
            owner_tail += 1
            in_flight += 1
            if notes is not None:
                _note_request(notes, cycle, number, 0, address, beats)

        # Registers: dispatch and the queues.
        if popped:
            fetch_room += 1
        fifo_count -= popped
        fifo_valid = fifo_count != 0
        if accepted:
            words_left -= 1
            lane = 0 if popped else lane + 1
            index += 1
            if index == commands[current, WORDS]:
                index = 0
                if notes is not None:
                    notes[0][current, 0] = cycle
                handed, handed_left = commands[current, ENGINE], _DISPATCH
                queue_room[handed] -= 1
                current += 1
        if handed >= 0:
            handed_left -= 1
            if handed_left == 0:
                if handed == LOAD:
                    load_queued += 1
                elif handed == STORE:
                    store_queued += 1
                else:
                    staged += 1
                handed = -1

        # Registers: core.
        if core_left != 0:
            core_left -= 1
        if compute_starts >= 0:
            core_left = lengths[compute_next] - 1
            core_command = compute_starts
            compute_next += 1
            staged -= 1
            queue_room[COMPUTE] += 1
        if load_starts >= 0:
            _begin(load, load_starts, commands)
            load_next += 1
            load_queued -= 1
            queue_room[LOAD] += 1
        if store_starts >= 0:
            _begin(store, store_starts, commands)
            store_next += 1
            store_queued -= 1
            queue_room[STORE] += 1

        # Registers: beats read.
        for i in range(_LOAD - 1, 0, -1):
            load_pipe[i] = load_pipe[i - 1]
        load_pipe[0] = -1
        fetch_pipe = (fetch_pipe << 1) & _FETCH_MASK
        if notes is not None and r_valid:
            _note_beat(notes, cycle, notes[3][0, owner_head])
            if r_last:
                notes[1][notes[3][0, owner_head], _B_ANSWERED] = cycle
        if r_valid:
            if read_is_fetch[owner_head % _RING]:
                fetch_pipe |= 1
                counters[_FETCH_WORDS] += 1
            else:
                i = load_head % _RING
                counters[_LOAD_WORDS + load_memory[i]] += 1
                if r_last:
                    load_pipe[0] = load_last[i]
                    load_head += 1
            if r_last:
                owner_head += 1
                in_flight -= 1

        load_retire = load_pipe[_LOAD - 1]
        fifo_count += fetch_pipe >> (_FETCH - 2) & 1

        # Registers: words stored, responses.
        buffer_count -= sent
        buffer_valid = buffer_count != 0
        buffer_count += (pipe >> (_TO_BUFFER - 1)) & 1
        pipe = (pipe << 1) & 0xFFFF | issued
        room += sent
        room -= issued
        counters[_STORE_WORDS] += sent
        if issued:
            read_beat += 1
            if read_beat == read_beats[read_head % _RING]:
                read_beat = 0
                read_head += 1
        store_retire = -1
        if notes is not None and b_valid:
            notes[1][notes[3][1, store_head], _B_ANSWERED] = cycle
        if b_valid:
            store_retire = store_last[store_head % _RING]
            store_head += 1
            in_flight -= 1
        cycle += 1
