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

import ctypes
import functools

import numba
import numpy as np
from numba import types

from intaglio.compiled import compiled, compiled_for_c

# Outputs, valid before a step.
REQUEST_READY = 0  # arready and awready
R_VALID = 1
R_LAST = 2
R_ADDRESS = 3  # byte address of the beat; has a meaning with R_VALID, as R_LAST and R_RESPONSE
R_RESPONSE = 4  # OKAY, SLVERR or DECERR
W_READY = 5
W_ADDRESS = 6  # byte address of the beat that the memory takes next; has a meaning with W_READY, as W_LAST
W_LAST = 7
B_VALID = 8
B_RESPONSE = 9
# Parameters; those for faults may be set after a reset, before the first step.
BUS_BYTES = 10
BYTES_PER_CYCLE = 11
LATENCY = 12
OUTSTANDING = 13
ERROR_FROM = 14
ERROR_TO = 15
MEMORY_END = 16
SILENT_FROM = 17
# What the machine remembers.
CYCLE = 18
_DUE = 19
IN_FLIGHT = 20  # bursts outstanding
_HEAD = 21  # number of the burst that owns the channel; bursts count up and lie in the ring at number % RING
_TAIL = 22  # number of the next burst to be accepted
_BEAT = 23  # beats of the head burst that are done
_WORST = 24  # worst response among them
_B_HEAD = 25  # the same for responses of writes
_B_TAIL = 26
RING = 16  # the largest N
_IS_WRITE = 27  # rings of bursts
_ADDRESS = _IS_WRITE + RING
_BEATS = _ADDRESS + RING
_ACCEPTED = _BEATS + RING
_B_TIME = _ACCEPTED + RING  # rings of responses
_B_CODE = _B_TIME + RING
STATE_SIZE = _B_CODE + RING

OKAY, SLVERR, DECERR = 0, 2, 3
NEVER = 2**62


@compiled()
def _outputs(s):
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
                s[R_RESPONSE] = _response(s, address)
    j = s[_B_HEAD] % RING
    s[B_VALID] = s[_B_HEAD] < s[_B_TAIL] and now >= s[_B_TIME + j]
    s[B_RESPONSE] = s[_B_CODE + j]


@compiled()
def _response(s, address):
    if address + s[BUS_BYTES] > s[MEMORY_END]:
        return DECERR
    if s[ERROR_FROM] <= address < s[ERROR_TO]:
        return SLVERR
    return OKAY


@compiled()
def memory_reset(state, bus_bytes, bytes_per_cycle, latency, outstanding):
    """Cycle 0 of an idle, faultless memory. state: int64 [STATE_SIZE]; the rest as in machine.config."""
    state[:] = 0
    state[BUS_BYTES] = bus_bytes
    state[BYTES_PER_CYCLE] = bytes_per_cycle
    state[LATENCY] = latency
    state[OUTSTANDING] = outstanding
    state[MEMORY_END] = NEVER
    state[SILENT_FROM] = NEVER
    _outputs(state)


@compiled()
def memory_step(state, ar_valid, aw_valid, address, beats, w_valid, r_ready, b_ready):
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
            s[_WORST] = max(s[_WORST], _response(s, s[W_ADDRESS]))
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


@functools.cache
def step_for_c() -> ctypes.c_void_p:
    """memory_step for C: void (*)(int64_t *state, int64_t ar_valid, ..., int64_t b_ready)."""

    @compiled_for_c(types.void(types.CPointer(types.int64), *[types.int64] * 7))
    def step(pointer, ar_valid, aw_valid, address, beats, w_valid, r_ready, b_ready):
        state = numba.carray(pointer, STATE_SIZE, np.int64)
        memory_step(state, ar_valid, aw_valid, address, beats, w_valid, r_ready, b_ready)

    _keep.append(step)
    return ctypes.c_void_p(step.address)


_keep: list[object] = []  # compiled callbacks must outlive their addresses
