"""The whole system side in Amaranth's simulator equals the cycle model: cycles, retirements, counters."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from streams import EXTERNAL, EXTERNAL_BYTES, compute_lengths, random_stream, words_of
from system import Outcome, run_system

from intaglio.hw.ledger import CAUSES
from intaglio.machine.config import Config, MemoryConfig
from intaglio.machine.counters import Counter
from intaglio.machine.isa import Command, Engine, Opcode
from intaglio.machine.registers import Register, Status
from intaglio.sim.clock.cycle_model import run_cycles
from intaglio.sim.clock.result import StuckError


def config_of(bus: int, rate: int, latency: int, outstanding: int) -> Config:
    return Config(
        rows=4,
        cols=4,
        requantizers=2,
        activation_bytes=16384,
        weight_bytes=16384,
        channel_bytes=4096,
        bus_bytes=bus,
        memory=MemoryConfig(rate, latency, outstanding),
    )


def hold_equal(config: Config, commands: list[Command], outcome: Outcome) -> None:
    model = run_cycles(config, np.array(words_of(commands), np.uint32), np.array(compute_lengths(commands), np.int64))
    assert outcome.status & (Status.DONE | Status.ERROR) == Status.DONE
    expected = sorted((int(at), c.engine, c["tag"]) for at, c in zip(model.retire_cycles, commands, strict=True))
    assert sorted(outcome.retired) == expected
    assert outcome.counted == outcome.counters[Counter.CYCLES] == model.cycles
    for counter, value in model.counters.items():
        assert outcome.counters[counter] == value, counter.name
    assert sum(model.counters[c] for c in CAUSES) == model.cycles
    assert outcome.counters[Counter.MACS] == 7 * model.counters[Counter.BUSY]
    assert outcome.counters[Counter.WEIGHT_READS] == model.counters[Counter.BUSY]
    for engine, register in (
        (Engine.LOAD, Register.RETIRED_LOAD),
        (Engine.COMPUTE, Register.RETIRED_COMPUTE),
        (Engine.STORE, Register.RETIRED_STORE),
    ):
        assert outcome.registers[register] == sum(c.engine == engine for c in commands)


SHAPES = [  # bus, rate, latency, outstanding
    (4, 4, 1, 1),
    (4, 1, 20, 4),
    (8, 8, 32, 8),
    (8, 3, 100, 16),
    (16, 16, 10, 2),
    (16, 7, 50, 8),
    (32, 32, 5, 3),
    (32, 5, 64, 16),
    (64, 64, 200, 16),
    (64, 40, 3, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "-".join(map(str, s)))
@pytest.mark.parametrize("seed", [1, 2])
def test_random_streams(shape: tuple[int, int, int, int], seed: int) -> None:
    print("seed", seed)
    rng = random.Random(f"{shape} {seed}")
    config = config_of(*shape)
    commands = random_stream(rng, config, rng.choice([1, 8, 20, 30]))
    image = bytearray(EXTERNAL + EXTERNAL_BYTES)
    for outcome in run_system(config, words_of(commands), image, runs=2):
        hold_equal(config, commands, outcome)


def test_no_output_follows_an_input_within_a_cycle() -> None:
    config = config_of(8, 3, 5, 4)
    commands = random_stream(random.Random(9), config, 20)
    (outcome,) = run_system(config, words_of(commands), bytearray(EXTERNAL + EXTERNAL_BYTES), probe=True)
    hold_equal(config, commands, outcome)


def test_model_refuses() -> None:
    config = config_of(8, 8, 32, 8)
    no = np.zeros(0, np.int64)
    load = Command(Opcode.LOAD, {"row_bytes": 64, "rows": 1})
    pool = Command(Opcode.POOL, {"wait": 1})

    def run(commands: list[Command], lengths: list[int] | NDArray[np.int64] = no) -> None:
        run_cycles(config, np.array(words_of(commands), np.uint32), np.array(lengths, np.int64), watchdog=300)

    with pytest.raises(StuckError, match="no progress for 300 cycles, after 1 of 3 commands"):
        run([load, pool, pool], [2, 2])
    with pytest.raises(StuckError, match="more than 255 tokens"):
        run([Command(Opcode.POOL, {"signal": 1})] * 256, [2] * 256)
    with pytest.raises(ValueError, match="1 lengths and 1 leads for 0 compute commands"):
        run([load], [5])
    with pytest.raises(ValueError, match="a compute command of 1 cycles"):
        run([pool], [1])
    with pytest.raises(ValueError, match="no rows or no bytes"):
        run([Command(Opcode.STORE, {"rows": 1})])
    with pytest.raises(ValueError, match="row_bytes is not a multiple of the bus"):
        run([Command(Opcode.LOAD, {"rows": 1, "row_bytes": 12})])
    with pytest.raises(ValueError, match="word 8: no such command, or cut short"):
        run_cycles(config, np.array([*load.words(), *pool.words()[:31]], np.uint32), no)


def test_model_is_fast() -> None:
    """Far below what it does (8 M cycles/s), but not interpreted."""
    config = config_of(8, 4, 32, 8)
    commands = random_stream(random.Random(5), config, 4000)
    words, lengths = np.array(words_of(commands), np.uint32), np.array(compute_lengths(commands), np.int64)
    run_cycles(config, words[:0], lengths[:0])
    start = time.perf_counter()
    result = run_cycles(config, words, lengths)
    assert result.cycles / (time.perf_counter() - start) > 5e5
