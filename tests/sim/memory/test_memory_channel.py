"""The external memory against tables of cycles worked out by hand."""

import ctypes

import numpy as np
import pytest

from intaglio.machine.config import Config
from intaglio.machine.memory import MemoryConfig
from intaglio.sim.memory import channel, model_of, step_for_c
from intaglio.sim.memory import port as m


def memory(bus=8, rate=8, latency=1, outstanding=8):
    return channel.reset(Config(bus_bytes=bus, memory=MemoryConfig(rate, latency, outstanding)))


def always(t):
    return 1


def run(state, requests, cycles, w_valid=always, r_ready=always, b_ready=always, step=channel.step):
    """Offers requests ("r" or "w", address, beats) in order, from cycle 0, each until it is accepted.

    Returns what was handshaken, by kind: requests and responses as cycles, beats as (cycle,
    address) and, of reads, last.
    """
    seen = {"request": [], "r": [], "w": [], "b": []}
    requests = list(requests)
    for t in range(cycles):
        if requests and state[m.REQUEST_READY]:
            seen["request"].append(t)
        if state[m.R_VALID] and r_ready(t):
            seen["r"].append((t, int(state[m.R_ADDRESS]), int(state[m.R_LAST])))
        if state[m.W_READY] and w_valid(t):
            seen["w"].append((t, int(state[m.W_ADDRESS])))
        if state[m.B_VALID] and b_ready(t):
            seen["b"].append(t)
        kind, address, beats = requests[0] if requests else ("", 0, 0)
        if requests and state[m.REQUEST_READY]:
            requests.pop(0)
        step(state, kind == "r", kind == "w", address, beats, w_valid(t), r_ready(t), b_ready(t))
    return seen


@pytest.mark.parametrize("latency", [1, 32, 200])
def test_first_beat_comes_a_latency_after_the_request_and_bursts_follow_without_a_gap(latency):
    seen = run(memory(latency=latency), [("r", 64, 2), ("r", 128, 3)], latency + 10)
    assert seen["request"] == [0, 1]
    L = latency
    # The second burst was accepted in cycle 1: its latency has passed when the first is done.
    assert seen["r"] == [(L, 64, 0), (L + 1, 72, 1), (L + 2, 128, 0), (L + 3, 136, 0), (L + 4, 144, 1)]


@pytest.mark.parametrize(
    "rate, cycles",
    [
        (8, [5, 6, 7, 8, 9, 10]),
        (4, [5, 7, 9, 11, 13, 15]),
        (1, [5, 13, 21, 29, 37, 45]),
        # t * 3 >= 0 at 5; then due 23, 31, 39, 47, 55: cycles ceil(due / 3).
        (3, [5, 8, 11, 13, 16, 19]),
    ],
)
def test_beats_are_spaced_evenly_by_the_rate(rate, cycles):
    seen = run(memory(rate=rate, latency=5), [("r", 0, 6)], 60)
    assert [t for t, _, _ in seen["r"]] == cycles


def test_the_rate_is_exact_over_a_long_burst():
    seen = run(memory(rate=3, latency=1), [("r", 0, 256)], 1000)
    assert seen["r"][-1][0] == 1 + -(-255 * 8 // 3)


@pytest.mark.parametrize(
    "outstanding, requests, reads",
    [
        # One in flight: the next request goes in the cycle after the last beat.
        (1, [0, 6, 12], [4, 5, 10, 11, 16, 17]),
        (2, [0, 1, 6], [4, 5, 6, 7, 10, 11]),
        (8, [0, 1, 2], [4, 5, 6, 7, 8, 9]),
    ],
)
def test_requests_wait_for_the_outstanding_limit(outstanding, requests, reads):
    seen = run(memory(latency=4, outstanding=outstanding), [("r", 0, 2)] * 3, 30)
    assert seen["request"] == requests
    assert [t for t, _, _ in seen["r"]] == reads


@pytest.mark.parametrize("latency", [1, 32, 200])
def test_a_write_answers_a_latency_after_its_last_beat(latency):
    seen = run(memory(latency=latency, outstanding=1), [("w", 256, 3), ("r", 0, 1)], 3 * latency + 10)
    assert seen["w"] == [(1, 256), (2, 264), (3, 272)]
    assert seen["b"] == [3 + latency]
    assert seen["request"] == [0, 4 + latency]  # outstanding up to its response
    assert seen["r"] == [(4 + 2 * latency, 0, 1)]


def test_reads_and_writes_share_the_channel_in_order():
    seen = run(memory(latency=4), [("r", 0, 2), ("w", 512, 2), ("r", 64, 1), ("w", 1024, 1)], 30)
    assert seen["request"] == [0, 1, 2, 3]
    assert seen["r"] == [(4, 0, 0), (5, 8, 1), (8, 64, 1)]
    assert seen["w"] == [(6, 512), (7, 520), (9, 1024)]
    assert seen["b"] == [11, 13]


def test_at_half_rate_writes_spend_the_same_credit():
    # r at 4, due 24 -> w at 6 and 8, r at 10.
    seen = run(memory(latency=4, rate=4), [("r", 0, 1), ("w", 512, 2), ("r", 64, 1)], 30)
    assert [t for t, _, _ in seen["r"]] == [4, 10]
    assert [t for t, _ in seen["w"]] == [6, 8]
    assert seen["b"] == [12]


def test_a_beat_that_is_not_taken_waits_and_the_credit_starts_anew():
    # Possible at 4, taken at 9 (due 9 * 3 + 8 = 35), then 12, then due 43: 15.
    seen = run(memory(latency=4, rate=3), [("r", 0, 3)], 30, r_ready=lambda t: t >= 9)
    assert [t for t, _, _ in seen["r"]] == [9, 12, 15]
    seen = run(memory(latency=4, rate=3), [("w", 0, 3)], 30, w_valid=lambda t: t >= 9)
    assert [t for t, _ in seen["w"]] == [9, 12, 15]
    assert seen["b"] == [19]


def test_responses_wait_in_order():
    seen = run(memory(latency=2), [("w", 0, 1), ("w", 8, 1)], 30, b_ready=lambda t: t >= 10)
    assert [t for t, _ in seen["w"]] == [1, 2]
    assert seen["b"] == [10, 11]


def test_a_read_wins_over_a_write_in_one_cycle():
    state = memory()
    channel.step(state, 1, 1, 40, 1, 0, 0, 0)
    assert (state[m.R_VALID], state[m.R_ADDRESS], state[m.W_READY], state[channel.IN_FLIGHT]) == (1, 40, 0, 1)


def test_faults():
    state = memory()
    state[m.ERROR_FROM], state[m.ERROR_TO], state[m.MEMORY_END] = 72, 80, 96
    codes = []
    channel.step(state, 1, 0, 64, 5, 0, 0, 0)
    for _ in range(5):
        codes.append(int(state[m.R_RESPONSE]))
        channel.step(state, 0, 0, 0, 0, 0, 1, 1)
    assert codes == [m.OKAY, m.SLVERR, m.OKAY, m.OKAY, m.DECERR]
    channel.step(state, 0, 1, 64, 3, 1, 0, 0)
    for _ in range(3):
        channel.step(state, 0, 0, 0, 0, 1, 0, 0)
    assert (state[m.B_VALID], state[m.B_RESPONSE]) == (1, m.SLVERR)


def test_silence_is_for_ever():
    state = memory()
    state[m.SILENT_FROM] = 4096
    seen = run(state, [("r", 4088, 1), ("r", 4096, 1), ("w", 0, 1)], 500)
    assert seen["request"] == [0, 1, 2]
    assert seen["r"] == [(1, 4088, 1)]
    assert seen["w"] == [] and seen["b"] == []


def test_c_steps_the_same_machine():
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, *[ctypes.c_int64] * 7)(step_for_c(model_of(Config())).value)
    requests = [("r", 0, 3), ("w", 64, 2), ("r", 128, 4), ("w", 0, 1)] * 3
    a, b = memory(rate=3, latency=7, outstanding=2), memory(rate=3, latency=7, outstanding=2)
    shaky = {"w_valid": lambda t: t % 3 != 0, "r_ready": lambda t: t % 5 != 1, "b_ready": lambda t: t % 2}
    by_python = run(a, requests, 300, **shaky)
    by_c = run(b, requests, 300, **shaky, step=lambda s, *x: call(s.ctypes.data, *map(int, x)))
    assert by_python == by_c and len(by_c["b"]) == 6
    assert np.array_equal(a, b)
