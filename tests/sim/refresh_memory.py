"""A second model of external memory: the channel that now and then stands still, as a DRAM does while it refreshes.

One file: its configuration, its stepped form (the channel's, whose beats wait while it refreshes), its closed form, its cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intaglio.compiled import compiled
from intaglio.machine.memory import MemoryConfig, TransferCost
from intaglio.sim.memory import MemoryModel, channel, register
from intaglio.sim.memory.port import CYCLE, R_LAST, R_VALID, W_READY

_EVERY, _FOR = channel.STATE_SIZE, channel.STATE_SIZE + 1


@dataclass(frozen=True)
class RefreshConfig(MemoryConfig):
    """every: cycles from one refresh to the next; the first is in cycle 0. lasts: cycles of one, in which no beat is possible."""

    every: int = 100
    lasts: int = 10

    @cached_property
    def cost(self) -> TransferCost:
        return TransferCost(self.bytes_per_cycle * (1 - self.lasts / self.every), self.latency)


@compiled()
def _refreshing(s):
    if s[CYCLE] % s[_EVERY] < s[_FOR]:
        s[R_VALID] = s[R_LAST] = s[W_READY] = 0


def reset(config):
    state = np.append(channel.reset(config), [config.memory.every, config.memory.lasts])
    _refreshing(state)
    return state


@compiled()
def step(state, ar_valid, aw_valid, address, beats, w_valid, r_ready, b_ready):
    channel.step(state, ar_valid, aw_valid, address, beats, w_valid, r_ready, b_ready)
    _refreshing(state)


@compiled()
def wait(state, cycles):
    channel.wait(state, cycles)


def parameters(config):
    memory = config.memory
    return config.bus_bytes, memory.bytes_per_cycle, memory.latency, memory.every, memory.lasts


@compiled()
def burst(of, now, is_write, accepted, ready, address, beats, times):
    bus, rate, latency, every, lasts = of
    free, due = now
    first, at = 0, max(free, ready if is_write else accepted + latency)
    for beat in range(beats):
        at = max(at, -(-due // rate))
        if at % every < lasts:
            at += lasts - at % every
        due = due + bus if (at - 1) * rate < due else at * rate + bus
        if beat == 0:
            first = at
        if len(times):
            times[beat] = at
        at += 1
    return first, at - 1, at - 1 + latency if is_write else at - 1, (at, due)


def longest_wait(config):
    return channel.longest_wait(config) + config.memory.lasts


register(RefreshConfig, MemoryModel(__name__, reset, step, wait, parameters, channel.begin, burst, longest_wait))
