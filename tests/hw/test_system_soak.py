"""Many long random streams: the system side's Verilog, in Verilator around the stand-in core, equals the cycle model."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from fake_core import FakeCore
from streams import EXTERNAL, EXTERNAL_BYTES, compute_lengths, random_stream, words_of

from intaglio.hw.verilog import emit_flat
from intaglio.machine.config import Config, MemoryConfig
from intaglio.machine.registers import Control, Register, Status, counter_offset
from intaglio.sim.clock.cycle_model import run_cycles
from intaglio.sim.rtl.build import library_of
from intaglio.sim.rtl.model import Model
from intaglio.sim.rtl.toolchain import verilator

PROGRAM = EXTERNAL + EXTERNAL_BYTES
STREAMS = 60
OUTSTANDING = {4: 1, 8: 8, 16: 16, 32: 3, 64: 5}


def config_of(bus: int, rate: int, latency: int) -> Config:
    return Config(
        rows=4,
        cols=4,
        requantizers=2,
        activation_bytes=16384,
        weight_bytes=16384,
        channel_bytes=4096,
        bus_bytes=bus,
        memory=MemoryConfig(rate, latency, OUTSTANDING[bus]),
    )


@cache
def library(bus: int) -> Path:
    """Rate and latency are the memory model's: one library does for all."""
    config = config_of(bus, 1, 1)
    return library_of(emit_flat(config, FakeCore(config)), verilator())


@pytest.mark.slow
@pytest.mark.parametrize("bus", OUTSTANDING)
def test_soak(bus: int) -> None:
    cycles = 0
    for seed in range(STREAMS):
        print("bus", bus, "seed", seed)
        rng = random.Random(f"{bus} {seed}")
        config = config_of(bus, rng.randint(1, bus), rng.choice([1, 2, 3, rng.randint(1, 60), 300]))
        commands = random_stream(rng, config, rng.randint(1, 400), rng.choice([2, 20, 400, 3000]))
        words = np.array(words_of(commands), np.uint32)
        lengths = np.array(compute_lengths(commands), np.int64)
        memory = np.zeros(PROGRAM + 4 * len(words) + 64, np.uint8)
        memory[PROGRAM : PROGRAM + 4 * len(words)] = words.view(np.uint8)
        expected = run_cycles(config, words, lengths)
        with Model(library(bus), config, memory) as model:
            for register, value in ((Register.PROGRAM_ADDRESS, PROGRAM), (Register.PROGRAM_SIZE, 4 * len(words))):
                model.write(register, value)
            model.write(Register.CONTROL, Control.START | Control.INTERRUPT_ENABLE)
            assert model.run(10 * expected.cycles + 1000)
            assert model.read(Register.STATUS) == Status.DONE | Status.INTERRUPT
            for counter, value in expected.counters.items():
                at = counter_offset(counter)
                assert model.read(at) | model.read(at + 4) << 32 == value, counter.name
            got = sorted(map(tuple, model.events().tolist()))
        assert got == sorted(
            (int(at), int(c.engine), c["tag"]) for at, c in zip(expected.retire_cycles, commands, strict=True)
        )
        cycles += expected.cycles
    print(cycles, "cycles equal")
