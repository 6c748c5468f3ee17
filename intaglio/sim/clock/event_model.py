"""The host's clock, from event to event: cycle_model's cycles, retirements and counters without its steps.

Between two events (a command starts or ends, a burst is taken or answered, a queue moves) the registers of cycle_model
only count. What makes that provable:

* The arbiter's `in_flight` holds the external memory's queue below its limit, so a burst is accepted in the cycle after it
  is taken.
* Bursts own the channel in the order of their taking. A read's beats are always taken, so they follow from the
  memory's closed form (sim.memory).
* Of a write's beats only the first can find no data: STORE's buffer holds more words than its loop has cycles, so each
  word behind it is there when the channel can take it.
* Dispatch takes a word a cycle from those that FETCH's bursts bring, and waits only before a command's first word.

So a burst's times are known when it is taken, and a cycle without a start, a taken burst or an arriving event is skipped.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled, specialised
from intaglio.machine import latency
from intaglio.machine.config import Config
from intaglio.machine.counters import LOAD_COUNTERS, Counter
from intaglio.machine.isa import Engine
from intaglio.machine.limits import (
    DEFAULT_WATCHDOG,
    FETCH_BLOCK_BYTES,
    FETCH_FIFO_BYTES,
    MOST_BEATS,
    PAGE,
    QUEUE_DEPTHS,
    STORE_BUFFER_WORDS,
)
from intaglio.sim.clock.cycle_model import run_clock
from intaglio.sim.clock.result import SYSTEM_COUNTERS, CycleResult
from intaglio.sim.clock.schedule import (
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
    by_engine,
)
from intaglio.sim.clock.tokens import COMPUTE, ENGINES, LOAD, STORE, give, may_start, take, too_many
from intaglio.sim.memory import MemoryModel, model_of

_NEVER = 2**62
_RING = 32  # a power of two above the largest memory.outstanding
assert STORE_BUFFER_WORDS >= latency.STORE_CREDIT  # or a write's later beats could wait for data
_STORE_DATA, _FETCH, _DISPATCH, _LOAD = latency.STORE_DATA, latency.FETCH, latency.DISPATCH, latency.LOAD
_FETCH_REQUEST = latency.FETCH_REQUEST
_TRANSFER_REQUEST, _TRANSFER_STEP = latency.TRANSFER_REQUEST, latency.TRANSFER_STEP
_DEPTHS = tuple(QUEUE_DEPTHS[engine] for engine in Engine)
_AHEAD = FETCH_FIFO_BYTES // FETCH_BLOCK_BYTES  # blocks that FETCH holds or awaits

_BUSY, _WAIT_LOAD, _WAIT_STORE = int(Counter.BUSY), int(Counter.WAIT_LOAD), int(Counter.WAIT_STORE)
_WAIT_COMMAND, _FINISHING = int(Counter.WAIT_COMMAND), int(Counter.FINISHING)


def run_events(config: Config, schedule: Schedule, watchdog: int = DEFAULT_WATCHDOG) -> CycleResult:
    """Equal to run_clock in everything; StuckError as there."""
    model = model_of(config)
    if watchdog <= model.longest_wait(config) + 64:  # it may end a program that would go on
        return run_clock(config, schedule, watchdog)
    commands = schedule.commands
    retired = np.full(len(commands), -1, np.int64)
    causes = np.zeros(len(Counter), np.int64)
    bus = config.bus_bytes
    cycles = _clock(model)(
        model.parameters(config),
        model.begin(),
        commands,
        schedule.lengths,
        schedule.leads,
        schedule.program_words,
        bus,
        config.memory.outstanding,
        retired,
        causes,
    )
    if cycles < 0:
        return run_clock(config, schedule, watchdog)  # which tells what stops it
    counters = {c: int(causes[c]) for c in SYSTEM_COUNTERS}
    words = commands[:, ROW_WORDS] * commands[:, ROWS]
    loads = commands[:, ENGINE] == LOAD
    counters |= dict.fromkeys(LOAD_COUNTERS.values(), 0)
    for memory, counter in LOAD_COUNTERS.items():
        counters[counter] += int(words[loads & (commands[:, MEMORY] == memory)].sum())
    counters |= {
        Counter.CYCLES: int(cycles),
        Counter.STORE_WORDS: int(words[commands[:, ENGINE] == STORE].sum()),
        Counter.FETCH_WORDS: -(-4 * schedule.program_words // bus),
        Counter.COMMANDS: len(commands),
    }
    return CycleResult(int(cycles), retired, counters)


@compiled(inline="always")
def _beats(at: int, left: int, page_words: int) -> int:
    """Beats of the burst that begins at bus word `at` of a row with `left` words to go."""
    return min(left, min(page_words - (at & (page_words - 1)), MOST_BEATS))


def burst(*_: Any) -> Any:
    """Stands for a memory model's closed form."""
    raise NotImplementedError


@cache
def _clock(model: MemoryModel) -> Any:
    """_run, compiled for a model of external memory."""
    return specialised(_run, model.module, {"nogil": True}, burst=model.burst)


def _run(
    memory: tuple[int, ...],
    now: tuple[int, ...],
    commands: NDArray[np.int64],
    lengths: NDArray[np.int64],
    leads: NDArray[np.int64],
    program_words: int,
    bus: int,
    outstanding: int,
    retired: NDArray[np.int64],
    causes: NDArray[np.int64],
) -> int:
    """memory, now: parameters and beginning of a memory model's closed form. The cycles; -1 where nothing can happen any
    more, or too many tokens wait. Fills retired and causes.

    It is one function for the reason of stepping.run: its numbers must be local variables.
    """
    total = len(commands)
    lanes = bus // 4
    page_words = PAGE // bus
    address_mask = (1 << 32) // bus - 1
    block = FETCH_BLOCK_BYTES // bus
    fetch_words = (4 * program_words + bus - 1) // bus
    blocks = (fetch_words + block - 1) // block

    order = by_engine(commands)
    tokens = np.zeros(2 * ENGINES, np.int64)

    # Every `..._at` is the first cycle that sees a change.
    in_flight = 0  # bursts taken and not answered
    untold = np.zeros(0, np.int64)  # times of beats that nobody asks for
    read_at, read_ends = np.full(_RING, _NEVER, np.int64), np.full(_RING, -1, np.int64)  # ends: the command, or -1
    read_head, read_tail, next_read = 0, 0, _NEVER
    write_at, write_ends = np.full(_RING, _NEVER, np.int64), np.full(_RING, -1, np.int64)
    write_head, write_tail, next_write = 0, 0, _NEVER
    # Fetch: blocks taken, when the next may be, and of each when its words reach dispatch and when they have left.
    taken, fetch_at = 0, _FETCH_REQUEST if blocks else _NEVER
    arrives = np.zeros((2 * _AHEAD, max(block, 1)), np.int64)
    left_at = np.zeros(2 * _AHEAD, np.int64)
    blocks_left = 0
    # Dispatch: the command, its words that were taken, the cycle of the last one, whether its queue has room; the command on
    # its way to its queue.
    current, index, word, last_word, gate, dispatched_at = 0, 0, 0, 0, False, _NEVER
    handed, handed_at = 0, _NEVER
    queue_room = np.array(_DEPTHS, np.int64)
    # Load and store: commands started and queued; the active one's next burst.
    load_next, load_queued, load_active, load_at = 0, 0, False, _NEVER
    load, load_row, load_word, load_left, load_rows = 0, 0, 0, 0, 0
    store_next, store_queued, store_active, store_at = 0, 0, False, _NEVER
    store, store_row, store_word, store_left, store_rows = 0, 0, 0, 0, 0
    load_ends, load_ends_at = np.zeros(_RING, np.int64), np.full(_RING, _NEVER, np.int64)  # retirements to come
    load_head, load_tail, load_retire_at = 0, 0, _NEVER
    store_retire, store_retire_at = 0, _NEVER
    # Core: the command that runs, and one that began before that one has ended.
    compute_next, staged, core, core_at = 0, 0, 0, _NEVER
    second, second_at = 0, _NEVER

    causes[_WAIT_COMMAND] += 1
    t = 1
    while True:
        # What this cycle sees first.
        signals = False
        if load_retire_at == t:
            number = load_ends[load_head & (_RING - 1)]
            give(tokens, LOAD, commands[number, SIGNAL])
            load_head += 1
            load_retire_at = load_ends_at[load_head & (_RING - 1)] if load_head != load_tail else _NEVER
            signals = True
        if store_retire_at == t:
            give(tokens, STORE, commands[store_retire, SIGNAL])
            store_retire_at = _NEVER
            signals = True
        if core_at == t:
            give(tokens, COMPUTE, commands[core, SIGNAL])
            core, core_at = second, second_at
            second_at = _NEVER
            signals = True
        if signals and too_many(tokens):
            return -1
        if next_read == t:
            in_flight -= 1
            number = read_ends[read_head & (_RING - 1)]
            if number >= 0:
                retired[number] = t + _LOAD - 1
                load_ends[load_tail & (_RING - 1)], load_ends_at[load_tail & (_RING - 1)] = number, t + _LOAD
                load_retire_at = min(load_retire_at, t + _LOAD)
                load_tail += 1
            read_head += 1
            next_read = read_at[read_head & (_RING - 1)] if read_head != read_tail else _NEVER
        if next_write == t:
            in_flight -= 1
            number = write_ends[write_head & (_RING - 1)]
            if number >= 0:
                retired[number] = t
                store_retire, store_retire_at = number, t + 1
            write_head += 1
            next_write = write_at[write_head & (_RING - 1)] if write_head != write_tail else _NEVER
        if dispatched_at == t:
            handed, handed_at = commands[current, ENGINE], t + _DISPATCH - 1
            queue_room[handed] -= 1
            current += 1
            index, gate, dispatched_at = 0, False, _NEVER

        if handed_at == t:
            if handed == LOAD:
                load_queued += 1
            elif handed == STORE:
                store_queued += 1
            else:
                staged += 1
            handed_at = _NEVER

        # Dispatch: as many of the command's words as are on their way.
        if dispatched_at == _NEVER and current < total:
            if not gate:
                gate = queue_room[commands[current, ENGINE]] != 0
                last_word = max(last_word, t - 1)
            if gate:
                length = commands[current, WORDS]
                while index < length:
                    at = word // lanes
                    number = at // block
                    if number >= taken:
                        break
                    step = min(length - index, lanes - word % lanes)
                    last_word = max(last_word + 1, arrives[number % (2 * _AHEAD), at % block] + _FETCH) + step - 1
                    index += step
                    word += step
                    if word % (lanes * block) == 0:
                        left_at[number % (2 * _AHEAD)] = last_word + _FETCH_REQUEST
                        blocks_left = number + 1
                        if taken == number + _AHEAD and taken < blocks:
                            fetch_at = last_word + _FETCH_REQUEST
                if index == length:
                    dispatched_at = last_word + 1

        # Starts, from the registers as they are.
        load_starts = (
            load_queued != 0 and not load_active and may_start(tokens, LOAD, commands[order[LOAD, load_next], WAIT])
        )
        store_starts = (
            store_queued != 0
            and not store_active
            and may_start(tokens, STORE, commands[order[STORE, store_next], WAIT])
        )
        compute_starts = False
        if staged != 0 and second_at == _NEVER and (core_at == _NEVER or t >= core_at - leads[compute_next]):
            compute_starts = may_start(tokens, COMPUTE, commands[order[COMPUTE, compute_next], WAIT])
        if core_at != _NEVER or compute_starts:
            cause = _BUSY
        elif staged != 0:
            waits = commands[order[COMPUTE, compute_next], WAIT]
            cause = _WAIT_LOAD if waits & 1 and tokens[2 * COMPUTE] == 0 else _WAIT_STORE
        else:
            cause = _FINISHING if current == total and handed_at == _NEVER else _WAIT_COMMAND
        acts = load_starts or store_starts or compute_starts

        # The arbiter.
        if in_flight != outstanding and min(fetch_at, min(store_at, load_at)) <= t:
            acts = True
            in_flight += 1
            if fetch_at <= t:
                count = min(block, fetch_words - taken * block)
                times = arrives[taken % (2 * _AHEAD)]
                _, last, _, now = burst(memory, now, False, t + 1, 0, taken * FETCH_BLOCK_BYTES, count, times)
                read_at[read_tail & (_RING - 1)] = last + 1
                read_ends[read_tail & (_RING - 1)] = -1
                next_read = min(next_read, last + 1)
                read_tail += 1
                taken += 1
                if taken == blocks:
                    fetch_at = _NEVER
                elif taken < _AHEAD:
                    fetch_at = t + _FETCH_REQUEST
                elif blocks_left > taken - _AHEAD:
                    fetch_at = max(t + _FETCH_REQUEST, left_at[(taken - _AHEAD) % (2 * _AHEAD)])
                else:
                    fetch_at = _NEVER
            elif store_at <= t:
                store_at = t + _TRANSFER_STEP
                count = _beats(store_word, store_left, page_words)
                _, _, answered, now = burst(memory, now, True, t + 1, t + _STORE_DATA, store_word * bus, count, untold)
                store_left -= count
                store_word = (store_word + count) & address_mask
                ends = -1
                if store_left == 0:
                    store_rows -= 1
                    if store_rows == 0:
                        store_active, store_at = False, _NEVER
                        ends = store
                    else:
                        store_row = (store_row + commands[store, STRIDE]) & address_mask
                        store_word, store_left = store_row, commands[store, ROW_WORDS]
                write_at[write_tail & (_RING - 1)] = answered + 1
                write_ends[write_tail & (_RING - 1)] = ends
                next_write = min(next_write, answered + 1)
                write_tail += 1
            else:
                load_at = t + _TRANSFER_STEP
                count = _beats(load_word, load_left, page_words)
                _, last, _, now = burst(memory, now, False, t + 1, 0, load_word * bus, count, untold)
                load_left -= count
                load_word = (load_word + count) & address_mask
                ends = -1
                if load_left == 0:
                    load_rows -= 1
                    if load_rows == 0:
                        load_active, load_at = False, _NEVER
                        ends = load
                    else:
                        load_row = (load_row + commands[load, STRIDE]) & address_mask
                        load_word, load_left = load_row, commands[load, ROW_WORDS]
                read_at[read_tail & (_RING - 1)] = last + 1
                read_ends[read_tail & (_RING - 1)] = ends
                next_read = min(next_read, last + 1)
                read_tail += 1

        # What started.
        if load_starts:
            load = order[LOAD, load_next]
            take(tokens, LOAD, commands[load, WAIT])
            load_next += 1
            load_queued -= 1
            queue_room[LOAD] += 1
            load_active, load_at = True, t + _TRANSFER_REQUEST
            load_row = load_word = commands[load, ADDRESS]
            load_left, load_rows = commands[load, ROW_WORDS], commands[load, ROWS]
        if store_starts:
            store = order[STORE, store_next]
            take(tokens, STORE, commands[store, WAIT])
            store_next += 1
            store_queued -= 1
            queue_room[STORE] += 1
            store_active, store_at = True, t + _TRANSFER_REQUEST
            store_row = store_word = commands[store, ADDRESS]
            store_left, store_rows = commands[store, ROW_WORDS], commands[store, ROWS]
        if compute_starts:
            number, ends_at = order[COMPUTE, compute_next], t + lengths[compute_next]
            take(tokens, COMPUTE, commands[number, WAIT])
            if core_at == _NEVER:
                core, core_at = number, ends_at
            else:
                second, second_at = number, ends_at
            retired[number] = ends_at - 1
            compute_next += 1
            staged -= 1
            queue_room[COMPUTE] += 1

        if acts:
            causes[cause] += 1
            t += 1
            continue
        after = min(
            min(min(next_read, next_write), min(load_retire_at, store_retire_at)),
            min(core_at, min(dispatched_at, handed_at)),
        )
        if in_flight != outstanding:
            after = min(after, min(fetch_at, min(store_at, load_at)))
        if staged != 0 and core_at != _NEVER and second_at == _NEVER and core_at - leads[compute_next] > t:
            after = min(after, core_at - leads[compute_next])
        if after == _NEVER:
            idle = taken == blocks and in_flight == 0 and load_queued == 0 and store_queued == 0 and staged == 0
            return t if current == total and idle else -1
        causes[cause] += after - t
        t = after
