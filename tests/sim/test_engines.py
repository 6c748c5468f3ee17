"""The host's models and the RTL: equal in every field of RunResult. And how the RTL reports what goes wrong."""

import dataclasses

import numpy as np
import pytest

from intaglio.errors import InputError
from intaglio.machine.config import MemoryConfig
from intaglio.machine.config_files import load_config, shipped_names
from intaglio.machine.counters import Counter
from intaglio.machine.faults import Fault
from intaglio.machine.isa import Command, Engine, Opcode
from intaglio.sim.engines import in_program_order, layer_intervals, layer_spans, run_program
from intaglio.sim.memory import port
from intaglio.sim.rtl import build
from intaglio.sim.rtl.simulate import run_rtl
from tests.sim.programs import SMALL, program_of, random_image, random_program

MEMORIES = [MemoryConfig(), MemoryConfig(8, 1), MemoryConfig(3, 7), MemoryConfig(1, 200), MemoryConfig(4, 100)]


def equal(a, b):
    for name, value in a.outputs.items():
        assert np.array_equal(value, b.outputs[name]), name
    assert np.array_equal(a.memory, b.memory)
    assert a.counters == b.counters
    assert a.retire_cycles.tolist() == b.retire_cycles.tolist()
    assert (a.cycles, a.layer_cycles) == (b.cycles, b.layer_cycles)


@pytest.mark.parametrize("seed", range(20))
def test_the_rtl_equals_the_host(seed):
    config = dataclasses.replace(SMALL, memory=MEMORIES[seed % len(MEMORIES)])
    program = random_program(config, seed)
    host = run_program(config, program, {}, "host")
    equal(host, run_program(config, program, {}, "rtl"))
    assert sum(host.layer_cycles.values()) == host.cycles == host.counters[Counter.CYCLES]
    causes = (Counter.BUSY, Counter.WAIT_LOAD, Counter.WAIT_STORE, Counter.WAIT_COMMAND, Counter.FINISHING)
    assert sum(host.counters[c] for c in causes) == host.cycles


def test_hardware_that_does_not_count_nor_multiply_in_add() -> None:
    """Everything but the counters is equal, cycles too."""
    config = dataclasses.replace(SMALL, counters=False, add_multipliers=False)
    for seed in range(3):
        program = random_program(config, seed)
        host, rtl = run_program(config, program, {}, "host"), run_program(config, program, {}, "rtl")
        assert rtl.counters == {} and host.counters[Counter.CYCLES] == rtl.cycles
        equal(dataclasses.replace(host, counters={}), rtl)


@pytest.mark.parametrize("tables", [1, 4])
def test_results_through_tables(tables: int) -> None:
    config = dataclasses.replace(SMALL, tables=tables)
    for seed in range(20):
        program = random_program(config, seed)
        equal(run_program(config, program, {}, "host"), run_program(config, program, {}, "rtl"))


@pytest.mark.parametrize("multipliers", ["lut", 2])
def test_products_out_of_look_up_tables(multipliers: str | int) -> None:
    """Outputs, memory and cycles: as those of multipliers."""
    config = dataclasses.replace(SMALL, multipliers=multipliers)
    for seed in range(20):
        program = random_program(config, seed)
        host = run_program(config, program, {}, "host")
        equal(host, run_program(config, program, {}, "rtl"))
        assert host.cycles == run_program(SMALL, random_program(SMALL, seed), {}, "host").cycles


@pytest.mark.parametrize(
    "shape",
    [
        dict(rows=4, cols=4, weight_lanes=1),
        dict(rows=7, cols=3),
        dict(rows=3, cols=5, weight_lanes=1, weight_zero_points=False),
    ],
    ids=lambda shape: f"{shape['rows']}x{shape['cols']}",
)
def test_two_products_a_multiplier(shape: dict[str, int]) -> None:
    """Pairs of all rows, of those behind the first two, and with a row left alone. A compute command takes a cycle more
    than without, in which nothing else differs."""
    config = dataclasses.replace(SMALL, multipliers="packed", feed_bytes=0, partial_bytes=0, **shape)
    assert config.packed
    for seed in range(20):
        program = random_program(config, seed)
        host = run_program(config, program, {}, "host")
        equal(host, run_program(config, program, {}, "rtl"))
        plain = dataclasses.replace(config, multipliers="dsp")
        alike = run_program(plain, random_program(plain, seed), {}, "host")
        assert np.array_equal(alike.memory, host.memory) and 0 <= host.cycles - alike.cycles <= len(program.commands)


@pytest.mark.parametrize("chip", [None, "ecp5-85f"])
def test_the_verilog_that_users_get(chip: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module a block, with the chip's own multipliers: as the flat text that the simulator runs, and the host."""
    config = dataclasses.replace(SMALL, chip=chip)
    assert ("MULT18X18D" in build.verilog_of(config)) == (chip is not None)
    monkeypatch.setattr(build, "flat_of", build.verilog_of)
    for seed in range(20):
        program = random_program(config, seed)
        equal(run_program(config, program, {}, "host"), run_program(config, program, {}, "rtl"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
def test_a_thousand_random_programs(part):
    for seed in range(1000 + 100 * part, 1100 + 100 * part):
        config = dataclasses.replace(SMALL, memory=MEMORIES[seed % len(MEMORIES)])
        program = random_program(config, seed)
        print(f"seed {seed}")
        equal(run_program(config, program, {}, "host"), run_program(config, program, {}, "rtl"))


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_names())
def test_the_rtl_equals_the_host_as_shipped(name):
    config = load_config(name)
    for seed in range(3):
        program = random_program(config, seed)
        equal(run_program(config, program, {}, "host"), run_program(config, program, {}, "rtl"))


def test_it_does_not_matter_where_the_program_lies():
    program = random_program(SMALL, 1)
    low, high = run_rtl(SMALL, program, {}), run_rtl(SMALL, program, {}, base=0xABCD_E000)
    assert np.array_equal(low.memory, high.memory)
    assert low.counters == high.counters and np.array_equal(low.events, high.events)


def test_a_read_error_stops_the_machine_and_names_the_burst():
    program = random_program(SMALL, 2)
    load = program.commands[1]
    faults = {port.ERROR_FROM: load["external"] + 8, port.ERROR_TO: load["external"] + 16}
    result = run_rtl(SMALL, program, {}, faults=faults)
    assert (result.fault, result.fault_address) == (Fault.READ_RESPONSE, load["external"])


def test_a_write_error_stops_the_machine():
    program = random_program(SMALL, 2)
    store = program.commands[-1]
    faults = {port.ERROR_FROM: store["external"], port.ERROR_TO: store["external"] + 8}
    result = run_rtl(SMALL, program, {}, faults=faults)
    assert (result.fault, result.fault_address) == (Fault.WRITE_RESPONSE, store["external"])


def test_an_address_beyond_the_memory_is_a_bus_error():
    program = random_program(SMALL, 2)
    shorter = dataclasses.replace(program, memory_bytes=program.memory_bytes - 64, outputs=())
    assert run_rtl(SMALL, shorter, {}).fault == Fault.WRITE_RESPONSE


def test_a_silent_memory_ends_in_the_watchdog():
    program = random_program(SMALL, 2)
    result = run_rtl(SMALL, program, {}, faults={port.SILENT_FROM: 4096}, watchdog=5000)
    assert result.fault == Fault.WATCHDOG
    assert 5000 < result.cycles < 10000


def test_a_program_that_the_rtl_refuses_raises():
    program = random_program(SMALL, 2)
    image = bytearray(program.image)
    image[0] = 99
    with pytest.raises(RuntimeError, match=r"BAD_OPCODE at 0x0 in cycle"):
        run_program(SMALL, dataclasses.replace(program, image=bytes(image)), {}, "rtl")


def test_an_unknown_engine_is_refused():
    with pytest.raises(InputError, match="engine 'fpga': must be one of host, rtl"):
        run_program(SMALL, random_program(SMALL, 0, 1), {}, "fpga")


# Layers and events.


def commands(*pairs):
    opcode = {Engine.LOAD: Opcode.LOAD, Engine.COMPUTE: Opcode.POOL, Engine.STORE: Opcode.STORE}
    made = tuple(Command(opcode[engine], {"tag": tag}) for engine, tag in pairs)
    pool = Command(Opcode.POOL, {"region_rows": 1, "region_cols": 1, "channels": 1})
    base = program_of(SMALL, [pool], random_image(SMALL, np.random.default_rng(0)))
    return dataclasses.replace(base, commands=made)


L, C, S = Engine.LOAD, Engine.COMPUTE, Engine.STORE


def test_layers_are_consecutive_intervals_and_the_last_ends_with_the_run():
    program = commands((L, 3), (C, 3), (C, 3), (S, 3), (C, 5), (S, 5))
    assert layer_intervals(program, np.array([5, 20, 40, 60, 90, 120]), 130) == {3: 41, 5: 89}


def test_layers_that_take_turns_have_their_own_cycles():
    program = commands((C, 3), (C, 5), (L, 3), (C, 3), (C, 5), (S, 5))
    retired = np.array([10, 30, 31, 45, 50, 60])
    assert layer_spans(program, retired, 70) == [(3, 0, 11), (5, 11, 31), (3, 31, 46), (5, 46, 70)]
    assert layer_intervals(program, retired, 70) == {3: 26, 5: 44}


def test_a_program_without_compute_commands_has_no_layers():
    assert layer_intervals(commands((L, 0), (S, 0)), np.array([5, 9]), 12) == {}


def test_events_are_put_in_program_order_and_checked():
    program = commands((L, 0), (C, 0), (L, 1), (C, 1))
    events = np.array([[5, 0, 0], [9, 0, 1], [9, 1, 0], [30, 1, 1]])
    assert in_program_order(program, events).tolist() == [5, 9, 9, 30]
    with pytest.raises(RuntimeError, match="COMPUTE retired tags"):
        in_program_order(program, events[:3])
