"""DEPTHWISE on an array with enough rows for patches of every form: the RTL equals the host in outputs, cycles, counters."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Command
from intaglio.sim.engines import run_program
from tests.hw.core_commands import random_add, random_conv, random_pool
from tests.hw.depthwise_commands import random_depthwise
from tests.sim.programs import program_of, random_image

TALL = Config(
    name="tall",
    rows=12,
    cols=2,
    requantizers=1,
    activation_bytes=4096,
    weight_bytes=4096,
    channel_bytes=2048,
    bus_bytes=8,
    depthwise_delay=16,
)
COMMANDS = 12


def check(config: Config, seed: int) -> None:
    rng = np.random.default_rng(seed)
    others = [lambda: random_conv(config, rng, True), lambda: random_add(config, rng), lambda: random_pool(config, rng)]
    commands = []
    for tag in range(COMMANDS):
        command = random_depthwise(config, rng) if rng.random() < 0.7 else others[int(rng.integers(3))]()
        commands.append(Command(command.opcode, {**command.fields, "tag": tag}))
    program = program_of(config, commands, random_image(config, rng))
    host, rtl = (run_program(config, program, {}, engine) for engine in ("host", "rtl"))
    assert np.array_equal(host.memory, rtl.memory)
    assert host.counters == rtl.counters and host.retire_cycles.tolist() == rtl.retire_cycles.tolist()


@pytest.mark.parametrize("part", range(10))
def test_patches_of_every_form(part: int) -> None:
    first = int(np.random.SeedSequence().entropy % 2**32)
    for seed in range(first, first + 4):
        print("seed", seed)
        check(TALL, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["edge64", "edge256", "wide"])
def test_as_shipped(name: str) -> None:
    for seed in range(8):
        print("seed", seed)
        check(load_config(name), seed)
