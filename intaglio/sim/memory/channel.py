"""The external memory: one state machine that the host simulator and the driver of the RTL both step.

One channel carries read and write beats, one at a time; bursts are served in order of acceptance. The model
knows addresses and times, not data: whoever steps it moves the bytes. Its outputs are Moore outputs: they
stand in `state` before a step, depend on earlier cycles only, and hold for the whole cycle.

Times, with B = bytes_per_cycle, L = latency, N = outstanding:
* A request is accepted in a cycle with REQUEST_READY and a valid; REQUEST_READY stands while fewer than N
  bursts are outstanding. A read is outstanding up to its last beat's handshake, a write up to its response's.
* A burst at the head of the queue owns the channel from the cycle after its predecessor's last beat. A read's
  beats are valid no earlier than L cycles after its acceptance, a write's are ready from the cycle after.
* Beats keep to the rate by a credit: a beat is possible in cycle t once t * B >= `due`. A beat taken in the
  first such cycle moves due by bus_bytes (so fractions of a cycle carry over), one taken later sets it to
  t * B + bus_bytes.
* A write's response is valid L cycles after its last beat at the earliest, responses in order.
* A beat or response that is not taken waits.

Faults, for tests: beats whose address lies in [ERROR_FROM, ERROR_TO) answer SLVERR, beats that reach beyond
MEMORY_END DECERR (a write's response is that of its worst beat), and the memory never offers a beat at or
beyond SILENT_FROM.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.compiled import compiled
from intaglio.machine.config import Config
from intaglio.machine.memory import MemoryConfig
from intaglio.sim.memory import port
from intaglio.sim.memory.model import MemoryModel, register
from intaglio.sim.memory.port import (
    B_RESPONSE,
    B_VALID,
    BUS_BYTES,
    BYTES_PER_CYCLE,
    CYCLE,
    LATENCY,
    OKAY,
    OUTSTANDING,
    OWN,
    R_ADDRESS,
    R_LAST,
    R_RESPONSE,
    R_VALID,
    REQUEST_READY,
    SILENT_FROM,
    W_ADDRESS,
    W_LAST,
    W_READY,
    response,
)

# What the machine remembers.
_DUE = OWN
IN_FLIGHT = OWN + 1  # bursts outstanding
_HEAD = OWN + 2  # number of the burst that owns the channel; bursts count up and lie in the ring at number % RING
_TAIL = OWN + 3  # number of the next burst to be accepted
_BEAT = OWN + 4  # beats of the head burst that are done
_WORST = OWN + 5  # worst response among them
_B_HEAD = OWN + 6  # the same for responses of writes
_B_TAIL = OWN + 7
RING = 16  # the largest N
_IS_WRITE = OWN + 8  # rings of bursts
_ADDRESS = _IS_WRITE + RING
_BEATS = _ADDRESS + RING
_ACCEPTED = _BEATS + RING
_B_TIME = _ACCEPTED + RING  # rings of responses
_B_CODE = _B_TIME + RING
STATE_SIZE = _B_CODE + RING


@compiled()
def _outputs(s: NDArray[np.int64]) -> None:
    """Derives this cycle's outputs from what the machine remembers."""
    now = s[CYCLE]
    s[REQUEST_READY] = s[IN_FLIGHT] < s[OUTSTANDING]
    s[R_VALID] = 0
    s[R_LAST] = 0
    s[W_READY] = 0
    if s[_HEAD] < s[_TAIL] and now * s[BYTES_PER_CYCLE] >= s[_DUE]:
        i = s[_HEAD] % RING
        address = s[_ADDRESS + i] + s[_BEAT] * s[BUS_BYTES]
        if address < s[SILENT_FROM]:
            if s[_IS_WRITE + i]:
                s[W_READY] = 1
                s[W_ADDRESS] = address
                s[W_LAST] = s[_BEAT] + 1 == s[_BEATS + i]
            elif now >= s[_ACCEPTED + i] + s[LATENCY]:
                s[R_VALID] = 1
                s[R_LAST] = s[_BEAT] + 1 == s[_BEATS + i]
                s[R_ADDRESS] = address
                s[R_RESPONSE] = response(s, address)
    j = s[_B_HEAD] % RING
    s[B_VALID] = s[_B_HEAD] < s[_B_TAIL] and now >= s[_B_TIME + j]
    s[B_RESPONSE] = s[_B_CODE + j]


def reset(config: Config) -> NDArray[np.int64]:
    """Cycle 0 of an idle, faultless memory."""
    state = port.idle(config, STATE_SIZE)
    _outputs(state)
    return state


@compiled()
def step(
    state: NDArray[np.int64],
    ar_valid: int,
    aw_valid: int,
    address: int,
    beats: int,
    w_valid: int,
    r_ready: int,
    b_ready: int,
) -> None:
    """One cycle: commits this cycle's handshakes, then derives the next cycle's outputs.

    address (bytes, a multiple of the bus) and beats (1 to 256) belong to the request; the read is accepted
    if a read's and a write's are both valid, which the accelerator's arbiter never does.
    """
    s = state
    now = s[CYCLE]
    r_taken = s[R_VALID] and r_ready
    w_taken = s[W_READY] and w_valid
    requested = s[REQUEST_READY] and (ar_valid or aw_valid)
    if s[B_VALID] and b_ready:
        s[_B_HEAD] += 1
        s[IN_FLIGHT] -= 1
    if r_taken or w_taken:
        at = now * s[BYTES_PER_CYCLE]
        if at - s[BYTES_PER_CYCLE] < s[_DUE]:
            s[_DUE] += s[BUS_BYTES]
        else:
            s[_DUE] = at + s[BUS_BYTES]
        if w_taken:
            s[_WORST] = max(s[_WORST], response(s, s[W_ADDRESS]))
        s[_BEAT] += 1
        if s[_BEAT] == s[_BEATS + s[_HEAD] % RING]:
            if w_taken:
                j = s[_B_TAIL] % RING
                s[_B_TIME + j] = now + s[LATENCY]
                s[_B_CODE + j] = s[_WORST]
                s[_B_TAIL] += 1
            else:
                s[IN_FLIGHT] -= 1
            s[_HEAD] += 1
            s[_BEAT] = 0
            s[_WORST] = OKAY
    if requested:
        i = s[_TAIL] % RING
        s[_IS_WRITE + i] = not ar_valid
        s[_ADDRESS + i] = address
        s[_BEATS + i] = beats
        s[_ACCEPTED + i] = now
        s[_TAIL] += 1
        s[IN_FLIGHT] += 1
    s[CYCLE] = now + 1
    _outputs(s)


@compiled()
def wait(state: NDArray[np.int64], cycles: int) -> None:
    """As many steps with no burst in flight and no request."""
    state[CYCLE] += cycles


def parameters(config: Config) -> tuple[int, ...]:
    """Bytes of a beat, rate, latency."""
    return config.bus_bytes, config.memory.bytes_per_cycle, config.memory.latency


def begin() -> tuple[int, ...]:
    """The first cycle in which a burst may own the channel, and the credit's `due`."""
    return 0, 0


@compiled(inline="always")
def burst(
    of: Any, now: Any, is_write: bool, accepted: int, ready: int, address: int, beats: int, times: Any
) -> tuple[int, int, int, Any]:
    """As MemoryModel's."""
    bus, rate, latency = of
    free, due = now
    first, due = _first_beat(max(free, ready if is_write else accepted + latency), due, bus, rate)
    if len(times):
        times[0] = first
        for i in range(1, beats):
            times[i] = -(-(due + (i - 1) * bus) // rate)
    last, due = _last_beat(first, due, beats, bus, rate)
    return first, last, last + latency if is_write else last, (last + 1, due)


@compiled(inline="always")
def _first_beat(earliest: int, due: int, bus: int, rate: int) -> tuple[int, int]:
    """The channel's first cycle with credit from `earliest` on, and `due` after a beat in it."""
    at = max(earliest, -(-due // rate))
    return at, due + bus if (at - 1) * rate < due else at * rate + bus


@compiled(inline="always")
def _last_beat(first: int, due: int, beats: int, bus: int, rate: int) -> tuple[int, int]:
    """The last beat of a burst whose first one has left `due`; and `due` after it."""
    if beats == 1:
        return first, due
    due += (beats - 2) * bus
    return -(-due // rate), due + bus


def longest_wait(config: Config) -> int:
    """More cycles than ever pass without a beat or an answer while a burst is in flight."""
    return config.memory.latency + config.bus_bytes


register(MemoryConfig, MemoryModel(__name__, reset, step, wait, parameters, begin, burst, longest_wait))
