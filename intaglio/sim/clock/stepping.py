"""The loop of cycle_model: the machines of intaglio/hw (named here as there), register by register.

Cycles in which nothing but the core counts down are taken at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.machine import latency
from intaglio.machine.counters import LOAD_COUNTERS, Counter
from intaglio.machine.isa import Engine, LocalMemory
from intaglio.machine.limits import FETCH_BLOCK_BYTES, FETCH_FIFO_BYTES, PAGE, QUEUE_DEPTHS, STORE_BUFFER_WORDS
from intaglio.sim.clock.recording import (
    Notes,
    note_accepted,
    note_answered,
    note_dispatched,
    note_read,
    note_request,
    note_started,
    note_state,
    note_written,
)
from intaglio.sim.clock.schedule import ENGINE, MEMORY, WAIT, WORDS, by_engine
from intaglio.sim.clock.splitter import ACTIVE, AT, COMMAND, REGISTERS, asks, beats_of, begin, take_burst
from intaglio.sim.clock.tokens import COMPUTE, ENGINES, LOAD, STORE, may_start, retire, take, too_many
from intaglio.sim.memory.port import B_VALID, R_LAST, R_VALID, REQUEST_READY, W_LAST, W_READY

_DEPTHS = tuple(QUEUE_DEPTHS[engine] for engine in Engine)
_FETCH, _DISPATCH, _LOAD = latency.FETCH, latency.DISPATCH, latency.LOAD
_FETCH_REQUEST = latency.FETCH_REQUEST
_FETCH_ASKS = (1 << (_FETCH_REQUEST - 1)) - 1
_FETCH_MASK = (1 << (_FETCH - 1)) - 1  # of the pipe before FETCH's FIFO, which itself takes two cycles
_TO_BUFFER = latency.STORE_ISSUE + latency.ACTIVATION_READ + latency.STORE_BUFFER - 2
"""Cycles from the choice of a word to its entry into STORE's buffer."""

DONE, STUCK, OVERFLOW = range(3)
"""Ends of a run: by itself, by the watchdog, with more tokens than their counters hold."""
_RING = 32  # a power of two above the largest memory.outstanding

_CYCLES = int(Counter.CYCLES)
_BUSY, _WAIT_LOAD, _WAIT_STORE = int(Counter.BUSY), int(Counter.WAIT_LOAD), int(Counter.WAIT_STORE)
_WAIT_COMMAND, _FINISHING = int(Counter.WAIT_COMMAND), int(Counter.FINISHING)
_STORE_WORDS, _FETCH_WORDS = int(Counter.STORE_WORDS), int(Counter.FETCH_WORDS)
_LOAD_WORDS = tuple(int(LOAD_COUNTERS[memory]) for memory in LocalMemory)


def memory_step(*_: Any) -> None:
    """Stands for a memory model's step, memory_wait for its wait."""
    raise NotImplementedError


memory_wait = memory_step


def run(
    memory: NDArray[np.int64],
    commands: NDArray[np.int64],
    lengths: NDArray[np.int64],
    leads: NDArray[np.int64],
    program_words: int,
    shift: int,
    outstanding: int,
    watchdog: int,
    retired: NDArray[np.int64],
    counters: NDArray[np.int64],
    notes: Notes | None,
) -> int:
    """Cycle 0 to the end. Fills retired and counters, and notes unless they are None; numba leaves out the code for them then.

    A cycle is: the memory's outputs; what follows from the registers ("combinational"); the memory's step; the registers' next
    values, by engine. Nothing below the memory's step is read in the same cycle before it is written.

    It is one function because its registers must be local variables: as functions of each engine, from named tuples of registers to
    the next ones, a cycle took 4.3 ns in place of 3.1, recorded 8.6 in place of 3.7 (numba counts references of arrays that
    are handed over).
    """
    lanes = (1 << shift) // 4
    page_words = PAGE >> shift
    address_mask = (1 << (32 - shift)) - 1
    block = FETCH_BLOCK_BYTES >> shift

    # Commands of each engine in order; how many have started, and wait in its queue; room in the queues.
    order = by_engine(commands)
    load_next, load_queued = 0, 0
    compute_next, staged = 0, 0
    store_next, store_queued = 0, 0
    queue_room = np.array(_DEPTHS, np.int64)

    tokens = np.zeros(2 * ENGINES, np.int64)  # [of engine, from the first or second of the others]

    # Fetch.
    fetch_left, fetch_room, fetch_at = 0, FETCH_FIFO_BYTES >> shift, 0
    fetch_asks = 0  # a bit for each cycle in which it might ask, on their way to the request
    fetch_pipe, fifo_count, fifo_valid = 0, 0, 0
    # Dispatch; the engine of a command on its way to its queue, and the cycles to go.
    lane, index, words_left, current = 0, 0, 0, 0
    handed, handed_left = -1, 0
    # Load: bursts in flight (command if it is the command's last, else -1; memory).
    load = np.zeros(REGISTERS, np.int64)
    load_last, load_memory = np.zeros(_RING, np.int64), np.zeros(_RING, np.int64)
    load_head, load_tail = 0, 0
    load_retire = -1
    load_pipe = np.full(_LOAD, -1, np.int64)  # commands whose last beat came as many cycles ago; the last of it retires
    # Store: bursts to read; bursts in flight; words on their way; the buffer.
    store = np.zeros(REGISTERS, np.int64)
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
    # Core: the command that runs, and one that began before that one has ended.
    core_left, core_command = 0, 0
    second_left, second_command = 0, 0

    idle = 0
    # Cycle 0: begin.
    memory_step(memory, 0, 0, 0, 0, 0, 1, 1)
    fetch_left = (4 * program_words + (1 << shift) - 1) >> shift
    words_left = program_words
    counters[_WAIT_COMMAND] += 1
    if notes is not None:
        note_state(notes, _WAIT_COMMAND, 0)
    cycle = 1

    while True:
        counters[_CYCLES] = cycle
        if (
            (words_left == 0 and handed < 0 and fetch_left == 0 and in_flight == 0 and core_left == 0)
            and (load_queued == 0 and staged == 0 and store_queued == 0)
            and (load[ACTIVE] == 0 and store[ACTIVE] == 0 and load_pipe.max() < 0 and store_retire < 0)
        ):
            return DONE

        # The memory's outputs.
        ready = memory[REQUEST_READY]
        r_valid, r_last = memory[R_VALID], memory[R_LAST]
        w_ready, memory_w_last = memory[W_READY], memory[W_LAST]
        b_valid = memory[B_VALID]

        # Combinational: starts through the gate.
        load_starts = -1
        if load_queued and not load[ACTIVE]:
            number = order[LOAD, load_next]
            if may_start(tokens, LOAD, commands[number, WAIT]):
                load_starts = number
        store_starts = -1
        if store_queued and not store[ACTIVE]:
            number = order[STORE, store_next]
            if may_start(tokens, STORE, commands[number, WAIT]):
                store_starts = number
        compute_starts = -1
        compute_retires = core_command if core_left == 1 else -1
        if staged and second_left == 0 and core_left <= leads[compute_next]:
            number = order[COMPUTE, compute_next]
            if may_start(tokens, COMPUTE, commands[number, WAIT]):
                compute_starts = number
        if core_left != 0 or compute_starts >= 0:
            cause = _BUSY
        elif staged:
            waits = commands[order[COMPUTE, compute_next], WAIT]
            cause = _WAIT_LOAD if waits & 1 and tokens[2 * COMPUTE] == 0 else _WAIT_STORE
        else:
            cause = _FINISHING if words_left == 0 and handed < 0 else _WAIT_COMMAND
        counters[cause] += 1
        if notes is not None:
            note_state(notes, cause, cycle)

        # Combinational: arbiter, dispatch, reads of STORE.
        take_fetch, take_store, take_load = False, False, False
        store_asks, load_asks = asks(store), asks(load)
        if in_flight != outstanding and (ready or not (ar_valid or aw_valid)):
            if fetch_asks >> (_FETCH_REQUEST - 2):
                take_fetch = True
            elif store_asks:
                take_store = True
            elif load_asks:
                take_load = True
        fetch_may = fetch_left != 0 and fetch_room >= block
        accepted = False
        if fifo_valid and words_left != 0:
            accepted = queue_room[commands[current, ENGINE]] != 0
        popped = accepted and lane == lanes - 1
        issued = read_head != read_tail and room != 0
        sent = buffer_valid and w_ready

        # While the core alone counts down, nothing else moves: on to the cycle before its last.
        rest = max(2, leads[compute_next] + 1) if staged else 2
        if (
            (
                core_left > rest
                and second_left == 0
                and in_flight == 0
                and not (ar_valid or aw_valid or accepted or issued or sent)
            )
            and not (take_fetch or take_store or take_load or fetch_may or fetch_asks or load[ACTIVE] or store[ACTIVE])
            and (load_starts < 0 and store_starts < 0 and store_retire < 0 and handed < 0)
            and (pipe == 0 and buffer_count == 0 and fetch_pipe == 0 and fifo_valid == (fifo_count != 0))
            and load_pipe.max() < 0
        ):
            skipped = core_left - rest
            counters[_BUSY] += skipped
            memory_wait(memory, skipped)
            cycle += skipped
            core_left = rest

        # Watchdog.
        if (
            r_valid
            or b_valid
            or sent
            or ((ar_valid or aw_valid) and ready)
            or accepted
            or cause == _BUSY
            or load_retire >= 0
            or store_retire >= 0
        ):
            idle = 0
        else:
            idle += 1
            if idle == watchdog:
                return STUCK

        # The memory's step.
        memory_step(memory, ar_valid, aw_valid, address, beats, buffer_valid, 1, 1)

        # Registers: tokens.
        if load_retire >= 0:
            retire(LOAD, load_retire, cycle, commands, tokens, retired, counters)
        if compute_retires >= 0:
            retire(COMPUTE, compute_retires, cycle, commands, tokens, retired, counters)
        if store_retire >= 0:
            retire(STORE, store_retire, cycle, commands, tokens, retired, counters)
        if load_starts >= 0:
            take(tokens, LOAD, commands[load_starts, WAIT])
        if compute_starts >= 0:
            take(tokens, COMPUTE, commands[compute_starts, WAIT])
        if store_starts >= 0:
            take(tokens, STORE, commands[store_starts, WAIT])
        if (load_retire >= 0 or store_retire >= 0 or compute_retires >= 0) and too_many(tokens):
            return OVERFLOW

        if notes is not None:
            for starts in (load_starts, compute_starts, store_starts):
                if starts >= 0:
                    note_started(notes, cycle, starts)
            if ready and (ar_valid or aw_valid):
                note_accepted(notes, cycle)
            if sent:
                note_written(notes, cycle, memory_w_last)

        # Registers: arbiter, fetch's and the splitters' sides of it.
        if ready:
            ar_valid, aw_valid = 0, 0
        fetch_asks = 0 if take_fetch else (fetch_asks << 1 | fetch_may) & _FETCH_ASKS
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
                note_request(notes, cycle, -1, 0, address, beats)
        elif take_store:
            beats = beats_of(store, page_words)
            aw_valid, address = 1, store[AT] << shift
            read_beats[read_tail % _RING] = beats
            read_tail += 1
            number = store[COMMAND]
            last = take_burst(store, beats, commands, address_mask)
            store_last[store_tail % _RING] = number if last else -1
            store_tail += 1
            in_flight += 1
            if notes is not None:
                note_request(notes, cycle, number, 1, address, beats)
        elif take_load:
            beats = beats_of(load, page_words)
            ar_valid, address = 1, load[AT] << shift
            number = load[COMMAND]
            load_memory[load_tail % _RING] = commands[number, MEMORY]
            last = take_burst(load, beats, commands, address_mask)
            load_last[load_tail % _RING] = number if last else -1
            load_tail += 1
            read_is_fetch[owner_tail % _RING] = 0
            owner_tail += 1
            in_flight += 1
            if notes is not None:
                note_request(notes, cycle, number, 0, address, beats)

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
                    note_dispatched(notes, cycle, current)
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
        if second_left != 0:
            second_left -= 1
        if compute_starts >= 0:
            second_left, second_command = lengths[compute_next] - 1, compute_starts
            compute_next += 1
            staged -= 1
            queue_room[COMPUTE] += 1
        if core_left == 0:
            core_left, core_command, second_left = second_left, second_command, 0
        if load_starts >= 0:
            begin(load, load_starts, commands)
            load_next += 1
            load_queued -= 1
            queue_room[LOAD] += 1
        if store_starts >= 0:
            begin(store, store_starts, commands)
            store_next += 1
            store_queued -= 1
            queue_room[STORE] += 1

        # Registers: beats read.
        for i in range(_LOAD - 1, 0, -1):
            load_pipe[i] = load_pipe[i - 1]
        load_pipe[0] = -1
        fetch_pipe = (fetch_pipe << 1) & _FETCH_MASK
        if notes is not None and r_valid:
            note_read(notes, cycle, r_last)
        if r_valid:
            if read_is_fetch[owner_head % _RING]:
                fetch_pipe |= 1
                counters[_FETCH_WORDS] += 1
            else:
                i = load_head % _RING
                counters[_LOAD_WORDS[load_memory[i]]] += 1
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
            note_answered(notes, cycle)
        if b_valid:
            store_retire = store_last[store_head % _RING]
            store_head += 1
            in_flight -= 1
        cycle += 1
