"""The whole system side in Amaranth's simulator equals the cycle model: cycles, retirements, counters."""

from __future__ import annotations

import random

import numpy as np
import pytest
from streams import EXTERNAL, EXTERNAL_BYTES, compute_lengths, random_stream, words_of
from system import Outcome, run_system

from intaglio.hw.config import Config, MemoryConfig
from intaglio.hw.counters import Counter
from intaglio.hw.isa import Command, Engine
from intaglio.hw.ledger import CAUSES
from intaglio.hw.registers import Register, Status
from intaglio.sim.cycle_model import run_cycles


def config_of(bus: int, rate: int, latency: int, outstanding: int) -> Config:
    return Config(rows=4, cols=4, requantizers=2, activation_bytes=16384, weight_bytes=16384, channel_bytes=4096,
                  bus_bytes=bus, memory=MemoryConfig(rate, latency, outstanding))


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
    for engine, register in ((Engine.LOAD, Register.RETIRED_LOAD), (Engine.COMPUTE, Register.RETIRED_COMPUTE),
                             (Engine.STORE, Register.RETIRED_STORE)):
        assert outcome.registers[register] == sum(c.engine == engine for c in commands)


SHAPES = [  # bus, rate, latency, outstanding
    (4, 4, 1, 1), (4, 1, 20, 4), (8, 8, 32, 8), (8, 3, 100, 16), (16, 16, 10, 2), (16, 7, 50, 8), (32, 32, 5, 3),
    (32, 5, 64, 16), (64, 64, 200, 16), (64, 40, 3, 1),
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
