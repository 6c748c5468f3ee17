"""Every model of external memory: its stepped and closed forms are one, clocks, RTL and mapper follow it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.memory import MemoryConfig
from intaglio.sim.engines import run_program
from intaglio.sim.memory import model_of
from intaglio.sim.memory.port import B_VALID, R_LAST, R_VALID, REQUEST_READY, W_LAST, W_READY
from tests.sim.programs import SMALL, random_program
from tests.sim.refresh_memory import RefreshConfig

SEEDS = range(12)


def random_memory(rng: random.Random, bus: int, kind: type[MemoryConfig]) -> MemoryConfig:
    plain = rng.randint(1, bus), rng.choice([1, 3, rng.randint(1, 40)]), rng.randint(1, 16)
    if kind is MemoryConfig:
        return MemoryConfig(*plain)
    every = rng.randint(5, 90)
    return RefreshConfig(*plain, every, rng.randint(1, every - 1))


def config_of(rng: random.Random, kind: type[MemoryConfig]) -> Config:
    bus = rng.choice([4, 8, 16])
    return replace(SMALL, bus_bytes=bus, memory=random_memory(rng, bus, kind))


@pytest.mark.parametrize("kind", [MemoryConfig, RefreshConfig])
@pytest.mark.parametrize("seed", SEEDS)
def test_stepped_and_closed_forms_are_one(seed: int, kind: type[MemoryConfig]) -> None:
    """Bursts offered at random times; a write's data are there some cycles after its acceptance."""
    rng = random.Random(f"{seed} {kind.__name__}")
    config = config_of(rng, kind)
    model = model_of(config)
    state, now, parameters = model.reset(config), model.begin(), model.parameters(config)
    waiting = [(rng.random() < 0.4, 4096 * n, rng.choice([1, 2, rng.randint(1, 30)])) for n in range(60)]
    beats_due: list[tuple[bool, int]] = []  # of accepted bursts in order: whether a write's, and the beat's cycle
    answers_due: list[int] = []
    data_at: list[int] = []  # of writes in order: the first cycle with data
    answered = taken = 0
    for t in range(20_000):
        if not waiting and not beats_due and not answers_due:
            break
        if state[R_VALID]:
            assert beats_due.pop(0) == (False, t)
        has_data = bool(data_at) and t >= data_at[0]
        if state[W_READY] and has_data:
            assert beats_due.pop(0) == (True, t)
            if state[W_LAST]:
                data_at.pop(0)
        if state[B_VALID]:
            assert answers_due.pop(0) == t
            answered += 1
        offers = bool(waiting) and rng.random() < 0.3
        is_write, address, beats = waiting[0] if offers else (False, 0, 0)
        if offers and state[REQUEST_READY]:
            waiting.pop(0)
            ready, times = t + rng.randint(1, 20), np.zeros(beats, np.int64)
            if is_write:
                data_at.append(ready)
            first, last, ends, now = model.burst(parameters, now, is_write, t, ready, address, beats, times)
            assert (first, last) == (times[0], times[-1]) and (ends >= last)
            beats_due += [(is_write, at) for at in times.tolist()]
            if is_write:
                answers_due.append(ends + 0)
            taken += 1
        model.step(state, int(offers and not is_write), int(offers and is_write), address, beats, int(has_data), 1, 1)
    assert taken == 60 and not beats_due and not answers_due and answered


@pytest.mark.parametrize("kind", [MemoryConfig, RefreshConfig])
def test_waiting_is_as_many_steps(kind: type[MemoryConfig]) -> None:
    config = config_of(random.Random(1), kind)
    model = model_of(config)
    one, other = model.reset(config), model.reset(config)
    for state in (one, other):
        model.step(state, 1, 0, 64, 3, 0, 1, 1)
        for _ in range(300):
            model.step(state, 0, 0, 0, 0, 0, 1, 1)
    model.wait(one, 77)
    for _ in range(77):
        model.step(other, 0, 0, 0, 0, 0, 1, 1)
    seen = []
    for state in (one, other):
        model.step(state, 1, 0, 64, 9, 0, 1, 1)
        seen.append([])
        for _ in range(200):
            seen[-1].append((int(state[R_VALID]), int(state[R_LAST]) if state[R_VALID] else 0))
            model.step(state, 0, 0, 0, 0, 0, 1, 1)
    assert seen[0] == seen[1] and sum(valid for valid, _ in seen[0]) == 9


@pytest.mark.parametrize("seed", range(3))
def test_the_rtl_behind_a_memory_that_refreshes(seed: int) -> None:
    config = replace(SMALL, memory=random_memory(random.Random(seed), SMALL.bus_bytes, RefreshConfig))
    program = random_program(config, seed)
    host, rtl = (run_program(config, program, {}, engine) for engine in ("host", "rtl"))
    assert host.cycles == rtl.cycles and host.retire_cycles.tolist() == rtl.retire_cycles.tolist()
    assert host.counters == rtl.counters and np.array_equal(host.memory, rtl.memory)
    plain = run_program(
        replace(config, memory=MemoryConfig(config.memory.bytes_per_cycle, config.memory.latency)), program, {}
    )
    assert plain.cycles < host.cycles


def test_the_mapper_counts_with_a_models_cost() -> None:
    assert RefreshConfig(8, 20, 4, 100, 25).cost.bytes_per_cycle == 6
    assert RefreshConfig(8, 20, 4, 100, 25).cost.least_cycles(601) == 101


def test_a_memory_without_a_model() -> None:
    class Other(MemoryConfig):
        pass

    with pytest.raises(LookupError, match="no model of external memory for Other"):
        model_of(replace(load_config("tiny16"), memory=Other()))
