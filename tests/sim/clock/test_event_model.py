"""The clock from event to event equals the clock that steps: cycles, retirements, counters, errors."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intaglio import data
from intaglio.errors import InputError
from intaglio.machine.config import Config, MemoryConfig
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.machine.isa import Command, Engine, LocalMemory, Opcode
from intaglio.machine.timing import compute_cycles
from intaglio.network import load
from intaglio.program.table import table_of
from intaglio.session import Session
from intaglio.sim.clock.cycle_model import run_clock
from intaglio.sim.clock.event_model import run_events
from intaglio.sim.clock.result import StuckError
from intaglio.sim.clock.schedule import Schedule, schedule_of, schedule_of_words
from tests.hw.streams import compute_lengths, random_stream, words_of
from tests.sim.programs import SMALL, random_commands

MODELS = Path(__file__).resolve().parents[4] / "shared" / "models"


def hold_equal(config: Config, schedule: Schedule) -> int:
    """Returns the cycles."""
    clock, events = run_clock(config, schedule), run_events(config, schedule)
    assert events.cycles == clock.cycles
    assert events.retire_cycles.tolist() == clock.retire_cycles.tolist()
    assert events.counters == clock.counters
    return clock.cycles


def random_config(rng: random.Random, bus: int) -> Config:
    memory = MemoryConfig(
        rng.choice([1, bus, rng.randint(1, bus)]),
        rng.choice([1, 2, 3, rng.randint(1, 60), 300]),
        rng.choice([1, 2, 16, rng.randint(1, 16)]),
    )
    return Config(
        rows=4,
        cols=4,
        requantizers=2,
        activation_bytes=16384,
        weight_bytes=16384,
        channel_bytes=4096,
        bus_bytes=bus,
        memory=memory,
    )


def encoded(config: Config, commands: list[Command]) -> Schedule:
    """With the lengths that random_stream chose."""
    lengths = np.array(compute_lengths(commands), np.int64)
    return schedule_of_words(config, np.array(words_of(commands), np.uint32), lengths)


def test_commands_of_billions_of_cycles() -> None:
    """The clock goes past them; so it must stand where it would have come to step by step."""
    long = 0
    for seed in range(60):
        print("seed", seed)
        rng = random.Random(f"long {seed}")
        config = random_config(rng, 8)
        commands = random_stream(rng, config, rng.randint(1, 40), 400)
        lengths = np.array(compute_lengths(commands), np.int64)
        lengths[rng.sample(range(len(lengths)), min(2, len(lengths)))] = 3 * 10**12
        cycles = hold_equal(config, schedule_of_words(config, np.array(words_of(commands), np.uint32), lengths))
        long += cycles > 10**12
    assert long > 20


@pytest.mark.parametrize("bus", [4, 8, 16, 32, 64])
def test_random_programs(bus: int) -> None:
    cycles = 0
    for seed in range(200):
        print("bus", bus, "seed", seed)
        rng = random.Random(f"{bus} {seed}")
        config = random_config(rng, bus)
        commands = random_stream(rng, config, rng.randint(1, 60), rng.choice([2, 20, 400, 3000]))
        cycles += hold_equal(config, encoded(config, commands))
    print(cycles, "cycles equal")


@pytest.mark.parametrize("bus", [4, 8, 16, 32, 64])
def test_large_transfers_anywhere(bus: int) -> None:
    """Bursts of 256 beats, cut at pages, and addresses that wrap."""
    for seed in range(20):
        print("bus", bus, "seed", seed)
        rng = random.Random(f"large {bus} {seed}")
        config = random_config(rng, bus)
        commands = []
        for command in random_stream(rng, config, rng.randint(1, 12), 5000):
            fields = dict(command.fields)
            if command.engine != Engine.COMPUTE:
                row = bus * rng.choice([1, 255, 256, 257, rng.randint(1, 3000)])
                fields |= {
                    "external": rng.randrange(0, 1 << 32, bus),
                    "external_stride": rng.randrange(0, 1 << 32, bus),
                    "row_bytes": row,
                    "rows": rng.randint(1, 5),
                }
            commands.append(Command(command.opcode, fields))
        hold_equal(config, encoded(config, commands))


def test_long_streams_of_short_commands() -> None:
    """Dispatch, queues and FETCH decide."""
    for seed in range(10):
        print("seed", seed)
        rng = random.Random(f"short {seed}")
        config = random_config(rng, rng.choice([4, 8, 16, 32, 64]))
        hold_equal(config, encoded(config, random_stream(rng, config, 1500, 5)))


def test_nothing_to_do() -> None:
    config = random_config(random.Random(0), 8)
    assert hold_equal(config, schedule_of(config, table_of([]))) == 1


@pytest.mark.parametrize("name", shipped_names())
def test_the_shipped_network(name: str) -> None:
    session = Session.map(load(data.MODEL), load_config(name))
    for memory in (session.config.memory, MemoryConfig(1, 100, session.config.memory.outstanding)):
        config = replace(session.config, memory=memory)
        hold_equal(config, schedule_of(config, table_of(session.program.commands)))


@pytest.mark.conformance
def test_the_shared_networks() -> None:
    if not MODELS.is_dir():
        pytest.skip(f"{MODELS} is missing")
    config = load_config("edge64")
    ran = 0
    for path in sorted(MODELS.glob("*.tflite")):
        try:
            session = Session.map(load(path), config)
        except InputError:
            continue  # an operator that this version does not have
        print(path.name, hold_equal(config, schedule_of(config, table_of(session.program.commands))), "cycles")
        ran += 1
    assert ran


@pytest.mark.parametrize("watchdog", [300, 1 << 17])
def test_what_does_not_end_is_told_alike(watchdog: int) -> None:
    config = random_config(random.Random(1), 8)
    load = Command(Opcode.LOAD, {"row_bytes": 64, "rows": 1})
    stuck = [load, Command(Opcode.POOL, {"wait": 1, "in_base": 2}), Command(Opcode.POOL, {"in_base": 2})]
    overflowing = [Command(Opcode.POOL, {"signal": 1, "in_base": 2})] * 256
    for commands, message in (
        (stuck, f"no progress for {watchdog} cycles, after 1 of 3"),
        (overflowing, "more than 255"),
    ):
        told = []
        for run in (run_clock, run_events):
            with pytest.raises(StuckError, match=message) as error:
                run(config, encoded(config, commands), watchdog)
            told.append(str(error.value))
        assert told[0] == told[1]


def test_a_watchdog_shorter_than_the_memorys_latency() -> None:
    config = Config(memory=MemoryConfig(8, 200, 1))
    schedule = encoded(config, [Command(Opcode.LOAD, {"row_bytes": 64, "rows": 1})])
    for watchdog, ends in ((100, False), (300, True)):
        for run in (run_clock, run_events):
            if ends:
                run(config, schedule, watchdog)
            else:
                with pytest.raises(StuckError, match="no progress for 100 cycles"):
                    run(config, schedule, watchdog)


def test_a_program_need_not_be_encoded() -> None:
    """schedule_of equals the schedule of the words with machine.timing's lengths."""
    rng = np.random.default_rng(3)
    commands = random_commands(SMALL, rng, 60)
    for i in range(40):
        fields = {
            "external": 8 * i,
            "external_stride": 64,
            "row_bytes": 8 + 8 * i,
            "rows": 1 + i % 3,
            "tag": i,
            "wait": i % 4,
            "signal": i // 4 % 4,
            "memory": [*LocalMemory][i % 3],
        }
        commands.insert(int(rng.integers(len(commands))), Command(Opcode.LOAD if i % 2 else Opcode.STORE, fields))
    lengths = [compute_cycles(SMALL, c) for c in commands if c.engine == Engine.COMPUTE]
    want = schedule_of_words(SMALL, np.array(words_of(commands), np.uint32), np.array(lengths, np.int64))
    have = schedule_of(SMALL, table_of(commands))
    assert np.array_equal(have.commands, want.commands) and np.array_equal(have.lengths, want.lengths)
    assert have.program_words == want.program_words


def test_transfers_that_are_none_are_refused() -> None:
    for fields, message in (
        ({"rows": 1}, "of no rows or no bytes"),
        ({"rows": 1, "row_bytes": 12}, "row_bytes is not a multiple of the bus"),
    ):
        with pytest.raises(ValueError, match=message):
            schedule_of(SMALL, table_of([Command(Opcode.LOAD, fields)]))


def test_time_follows_events_and_not_cycles() -> None:
    """Far below what it does: 10 M cycles in less than a millisecond."""
    config = random_config(random.Random(2), 8)
    commands = [Command(Opcode.LOAD, {"row_bytes": 2048, "rows": 1})] * 200 + [
        Command(Opcode.POOL, {"in_base": 50_000})
    ] * 200
    schedule = encoded(config, commands)
    run_events(config, schedule)
    begin = time.perf_counter()
    result = run_events(config, schedule)
    assert result.cycles > 10_000_000
    assert time.perf_counter() - begin < 0.1
