"""Layers of one output pixel on two weight lanes: exact, faster, and only where the hardware has them."""

from __future__ import annotations

import numpy as np
import pytest
from mapper_check import check
from mapper_graphs import Builder

from intaglio.machine.config import Config
from intaglio.machine.config_files import load_config
from intaglio.machine.isa import Command, Opcode
from intaglio.mapper import map_network
from intaglio.mapper.emit.accesses import accesses
from intaglio.network.execute import random_inputs
from intaglio.network.graph import Graph, Padding
from intaglio.program.program import Program
from intaglio.sim.engines import clock_of, run_program
from intaglio.verifier.footprint import footprints
from intaglio.verifier.legality import faults
from intaglio.verifier.validate import validate
from tests.hw.split_commands import random_split

MACHINES = [
    ("edge64", []),
    ("edge64", ["bus_bytes=16", "memory.bytes_per_cycle=16"]),
    ("tiny16", ["rows=2", "cols=5", "requantizers=2"]),
    ("tiny16", ["bus_bytes=16", "weight_bytes=512", "activation_bytes=1024", "channel_bytes=256"]),
    ("tiny16", ["rows=3", "cols=7", "weight_bytes=1024", "bus_bytes=8"]),
    ("tiny16", ["rows=1"]),
]
ONE = ["weight_lanes=1"]


def splits(program: Program) -> list[Command]:
    return [c for c in program.commands if c["split"]]


def dense_layers(seed: int) -> Graph:
    """Fully connected layers one behind another, of odd lengths too; behind an image with padded rows in half of them."""
    random = np.random.default_rng(seed)
    b = Builder(seed)
    y = b.input(1, *(int(n) for n in random.integers(1, 5, 2)), int(random.integers(1, 40)))
    if not random.integers(0, 2):
        y = b.dense(b.reshape(y, 1, int(np.prod(b.tensors[y].shape))), int(random.integers(1, 90)))
    else:
        _, rows, cols, _ = b.tensors[y].shape
        y = b.conv(y, int(random.integers(1, 60)), (rows, cols), weight_zero_point=int(random.integers(-128, 128)))
        y = b.conv(y, int(random.integers(1, 60)), (3, 3), padding=Padding(1, 1, 1, 1))
        y = b.reshape(y, 1, b.tensors[y].shape[-1])
    for _ in range(2):
        y = b.dense(y, int(random.integers(1, 90)))
    return b.graph(y)


@pytest.mark.parametrize("machine", range(len(MACHINES)))
@pytest.mark.parametrize("seed", range(10))
def test_random_layers(seed: int, machine: int) -> None:
    name, overrides = MACHINES[machine]
    print(f"seed {seed} on {name} {overrides}")
    config = load_config(name, ["weight_zero_points=true", *overrides])
    program = check(dense_layers(seed), config, seed=seed)
    assert config.lanes == 2 or not splits(program)


@pytest.mark.parametrize("seed", range(4))
def test_on_the_rtl(seed: int) -> None:
    print(f"seed {seed}")
    graph, config = dense_layers(seed + 100), load_config("tiny16", ["weight_zero_points=true"])
    program = check(graph, config)
    assert splits(program)
    host, rtl = (run_program(config, program, random_inputs(graph, seed), engine) for engine in ("host", "rtl"))
    assert host.cycles == rtl.cycles and host.counters == rtl.counters
    assert np.array_equal(host.retire_cycles, rtl.retire_cycles) and np.array_equal(host.memory, rtl.memory)


def dense(inputs: int, outputs: int, batch: int = 1) -> Graph:
    b = Builder(inputs)
    return b.graph(b.dense(b.input(batch, inputs), outputs))


@pytest.mark.parametrize("inputs", [640, 641])
def test_two_lanes_nearly_halve_the_cycles(inputs: int) -> None:
    """Where memory outside is fast enough. The one lane's array takes a word of weights a cycle, two take two."""
    wide = ["bus_bytes=16", "memory.bytes_per_cycle=16"]
    cycles = []
    for overrides in (wide, [*wide, *ONE]):
        config = load_config("edge64", overrides)
        program = check(dense(inputs, 128), config)
        assert bool(splits(program)) == (config.lanes == 2)
        cycles.append(clock_of(config, program.commands).cycles)
    assert 7 * cycles[0] < 4 * cycles[1]


def test_a_batch_does_not_need_the_second_lane() -> None:
    assert not splits(check(dense(64, 32, batch=3), load_config("edge64")))


def test_reductions_in_parts_are_not_split() -> None:
    config = load_config("tiny16", ["weight_bytes=512"])
    program = check(dense(700, 9), config)
    assert not splits(program) and any(c["drain_from"] for c in program.commands if c.opcode == Opcode.CONV)


def test_a_pixel_of_a_larger_image_reads_no_more_than_is_loaded() -> None:
    """An odd run that ends inside the row: the byte behind it, whose weight counts as 0, is loaded too."""
    b = Builder(5)
    y = b.conv(b.input(1, 9, 9, 3), 40, (7, 7), (9, 9))
    config = load_config("tiny16")
    program = check(b.graph(y), config)
    validate(program, config)
    assert splits(program)


GOOD = random_split(load_config("tiny16"), np.random.default_rng(0)).fields


def reasons(config: Config, **fields: int) -> list[str]:
    return list(faults(config, Command(Opcode.CONV, {**GOOD, **fields}), 0))


def test_the_good_one() -> None:
    assert not reasons(load_config("tiny16"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pixel_tiles": 2}, "pixel_tiles = 2 is not 1"),
        ({"rows_per_tile": 3, "slot_cycles": 99, "last_slot_cycles": 99}, "rows_per_tile = 3 is not 2"),
        ({"last_pixels": 1}, "last_pixels = 1 is not 2"),
        ({"region_width": 1}, "region_width = 1 is not 2"),
        ({"weight_base": GOOD["weight_base"] + 1}, "is odd"),
        ({"slot_cycles": 1, "last_slot_cycles": 1}, "its pixels or"),
    ],
)
def test_illegal_commands(fields: dict[str, int], message: str) -> None:
    found = reasons(load_config("tiny16"), **fields)
    assert any(message in reason for reason in found), found


def test_weights_of_both_rows_lie_inside_the_memory() -> None:
    config = load_config("tiny16")
    words = config.weight_bytes // config.weight_word_bytes
    part = next(p for p in footprints(config, Command(Opcode.CONV, GOOD)) if p.memory == 1)
    room = words - (part.high - part.low) // config.weight_word_bytes
    assert not reasons(config, weight_base=room)
    assert "the weight memory" in reasons(config, weight_base=room + 2)[0]


@pytest.mark.parametrize("overrides", [["weight_lanes=1"], ["rows=1"]])
def test_without_a_second_lane_split_is_refused(overrides: list[str]) -> None:
    config = load_config("tiny16", overrides)
    assert config.lanes == 1
    assert any("a second weight lane is not built in" in reason for reason in reasons(config))
    assert not splits(map_network(dense(64, 32), config))


@pytest.mark.parametrize("seed", range(20))
def test_both_accounts_of_what_is_touched(seed: int) -> None:
    """accesses.py's bounding intervals hold footprint.py's rows, and no more where that is one row."""
    config = load_config("tiny16")
    command = random_split(config, np.random.default_rng(seed))
    bounds: dict[tuple[int, bool], tuple[int, int]] = {}
    for a in accesses(config, command):
        low, high = bounds.get((a.space, a.write), (a.low, a.high))
        bounds[a.space, a.write] = min(low, a.low), max(high, a.high)
    exact = sorted(
        (int(f.memory), f.write, f.low, f.high) for f in footprints(config, command) if f.memory not in (None, 2)
    )
    assert sorted((*key, *ends) for key, ends in bounds.items() if key[0] != 2) == exact
